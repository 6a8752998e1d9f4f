"""Settings for tests that need them checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.settings import check

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from tap_mobile_engagement.settings import Settings


def parse(config: Mapping[str, Any], *, today: date) -> Settings:
    """The settings; raises the first error."""
    settings, errors = check(config, today=today)
    if settings is None:
        raise errors[0]
    return settings
