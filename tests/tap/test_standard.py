"""The SDK's own tests of a tap, over all streams, in a dry run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.testing import TapTestRunner, get_tap_test_class

from tap_mobile_engagement.datatypes import DATA_TYPES, LISTED_TYPES
from tap_mobile_engagement.simulator import Options, Simulator
from tap_mobile_engagement.tap import TapMobileEngagement
from tests.simulator.client import Client
from tests.support.simulated import SMALL, catalog_of, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

# The SDK wants a tap when tests are collected, to know the streams; it reaches nothing.
_UNREACHED: dict[str, Any] = {
    "container_url": "file:///nowhere",
    "subscription_id": "subscription",
    "resource_group": "group",
    "app_collection": "collection",
    "app_names": ["shop"],
    "tenant_id": "tenant",
    "client_id": "client",
    "client_secret": "client-secret",
    "start_date": "2016-05-01",
}

_OPTIONS: dict[str, Any] = {
    # With the streams that are off by default.
    "catalog": catalog_of(_UNREACHED, *(each.name for each in (*DATA_TYPES, *LISTED_TYPES))),
    "parse_env_config": False,
}
_StandardTests: Any = get_tap_test_class(TapMobileEngagement, config=_UNREACHED, **_OPTIONS)


# That is about `unknown_fields`: null everywhere, for this simulator sends none.
@pytest.mark.filterwarnings("ignore:No records were available to test:UserWarning")
class TestTap(_StandardTests):  # type: ignore[misc]
    """Run against a simulator whose container holds a file of each data type already.

    Another caller created the one export task that the service lists.
    """

    @pytest.fixture(scope="class")
    @classmethod
    def simulator(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
        with Simulator(Options(**SMALL)) as simulator:
            Client(simulator).create("tags", tmp_path_factory.mktemp("theirs").as_uri())
            yield simulator

    @pytest.fixture(scope="class")
    @classmethod
    def runner(
        cls, simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[TapTestRunner]:
        folder = tmp_path_factory.mktemp("container")
        for data_type in DATA_TYPES:
            simulator.write_export("shop", data_type.name, folder.as_uri())
        settings = settings_for(simulator, folder)
        runner = TapTestRunner(TapMobileEngagement, config=settings, **_OPTIONS)
        runner.sync_all()
        yield runner
        assert len(simulator.tasks) == 1, "a dry run created export tasks"

    def test_a_dry_run_brings_a_record_of_every_stream(self, runner: TapTestRunner) -> None:
        assert {stream for stream, records in runner.records.items() if records} == {
            each.name for each in (*DATA_TYPES, *LISTED_TYPES)
        }

    def test_a_dry_run_creates_no_export_task(
        self, runner: TapTestRunner, simulator: Simulator
    ) -> None:
        assert runner.run_sync_dry_run()
        assert runner.run_connection_test()

        assert len(simulator.tasks) == 1
