"""The warning of a SAS that ends before an export task may."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.simulated import LeapingTime, catalog_of, settings_for, sync

if TYPE_CHECKING:
    from tap_mobile_engagement.simulator import Simulator
    from tests.support.azurite import Azurite


@pytest.mark.azurite
@pytest.mark.parametrize(("hours", "warned"), [(8, True), (48, False)])
def test_a_run_warns_before_it_waits(
    simulator: Simulator,
    azurite: Azurite,
    caplog: pytest.LogCaptureFixture,
    hours: int,
    *,
    warned: bool,
) -> None:
    container = azurite.new_container()
    url = azurite.sas_url(container, "rwl", expires_in=timedelta(hours=hours))
    settings = settings_for(simulator, url, window_days=14)

    sync(
        settings, catalog=catalog_of(settings, "events"), timing=LeapingTime().timing
    ).checked()

    warnings = [one.getMessage() for one in caplog.records if "The SAS in" in one.getMessage()]
    assert len(warnings) == warned
    assert all("container_url ends at " in warning for warning in warnings)
    assert all("an export task may take 1440 minutes" in warning for warning in warnings)
