"""The files of an archive that could not be read: each is named once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tap_mobile_engagement.errors import TapError

log = logging.getLogger("tap-mobile-engagement")


class BadFiles:
    """Takes note of bad files, whichever streams met them.

    Attributes:
        failures: Those that fail the run, in the order in which they were met.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[object, object], TapError] = {}
        self.failures: list[TapError] = []

    def note(self, error: TapError, *, is_skipped: bool) -> None:
        """Take note of one.

        Args:
            error: What is wrong with it; it names the blob, and the stream that met it.
            is_skipped: Whether the run continues without it; then a warning names it at once.
        """
        where = error.where
        key = where.get("blob"), where.get("member")
        known = self._known.setdefault(key, error)
        if known is not error:
            if known.where.get("stream") != where.get("stream"):
                known.where.pop("stream", None)  # it concerns more than one
        elif is_skipped:
            name = "/".join(str(part) for part in key if part)
            log.warning("Skipped the file %s: %s: %s", name, error.code, error.what)
        else:
            self.failures.append(error)
