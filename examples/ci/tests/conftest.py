"""A simulated Mobile Engagement for the tests of a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.simulator import Options, Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A service with little data, whose calendar stands still until a test moves it."""
    with Simulator(Options(devices=10, frozen=True)) as simulator:
        yield simulator


@pytest.fixture
def tap_settings(simulator: Simulator, tmp_path: Path) -> dict[str, Any]:
    """The tap's settings for it; a folder stands in for the container."""
    container = tmp_path / "container"
    container.mkdir()
    options = simulator.options
    return {
        "api_url": simulator.url,
        "authority_url": simulator.url,
        "container_url": container.as_uri(),
        "subscription_id": options.subscription_id,
        "resource_group": options.resource_group,
        "app_collection": options.app_collection,
        "app_names": [*options.apps],
        "tenant_id": options.tenant_id,
        "client_id": options.client_id,
        "client_secret": options.client_secret,
        "start_date": "2016-05-01",
        "poll_interval_seconds": 0.1,
    }
