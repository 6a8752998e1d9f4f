"""Whole runs of the tap, held against what the simulator knows to be true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.datatypes import DATA_TYPES
from tests.support.messages import Messages, assert_same, bookmark, own_fields, partition
from tests.support.simulated import catalog_of, settings_for, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.simulated import StartSimulator

STREAMS = [data_type.name for data_type in DATA_TYPES]
HISTORICAL = [data_type.name for data_type in DATA_TYPES if data_type.historical]
SNAPSHOTS = [name for name in STREAMS if name not in HISTORICAL]


def assert_true(messages: Messages, simulator: Simulator, app: str = "shop") -> None:
    """Every stream's rows of an app are what the simulator knows."""
    for stream in STREAMS:
        rows = [row for row in messages.upserted(stream) if row["app_name"] == app]
        truth = simulator.truth(app, stream)
        assert truth, f"the simulator has no {stream}: that would prove nothing"
        assert_same(own_fields(rows), truth)


def test_a_first_run_brings_exactly_what_is_there(simulator: Simulator, folder: Path) -> None:
    messages = sync(settings_for(simulator, folder)).checked()

    assert_true(messages, simulator)


def test_every_record_says_where_it_comes_from(simulator: Simulator, folder: Path) -> None:
    messages = sync(settings_for(simulator, folder)).checked()

    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    for stream in STREAMS:
        for record in messages.records(stream):
            assert record["app_name"] == "shop"
            assert record["unknown_fields"] is None
            if stream == "devices":
                assert record["blob_name"] is None
            else:
                assert record["blob_name"] in files


def test_a_record_says_until_when_its_window_was_exported(
    simulator: Simulator, folder: Path
) -> None:
    # When windows of three days are asked for, of which the last is cut short ...
    messages = sync(settings_for(simulator, folder, window_days=3)).checked()

    # ... then each record carries the end of the window that brought it. (This service takes
    # `endDate` as a day to export, so the day at a border comes twice.)
    ends = [f"2016-05-{day:02}T00:00:00Z" for day in (4, 7, 10, 13, 15)]
    for record in messages.records("events"):
        until = record["exported_until"]
        assert until in ends
        begin = ["2016-05-01", *(end[:10] for end in ends)][ends.index(until)]
        assert begin <= record["timestamp"][:10] <= until[:10]
    assert {record["exported_until"] for record in messages.records("events")} == {*ends}


def test_a_later_run_brings_what_is_new_and_what_came_late(
    simulator: Simulator, folder: Path
) -> None:
    # Given a run, and five more days
    first = sync(settings_for(simulator, folder)).checked()
    known = {stream: simulator.truth("shop", stream) for stream in HISTORICAL}
    tasks = len(simulator.tasks)
    simulator.clock.advance(days=5)
    late = [
        record
        for record in simulator.truth("shop", "events")
        if record["timestamp"] < "2016-05-15" and record not in known["events"]
    ]
    assert late, "the simulator has no late data: that would prove nothing"

    # when the tap runs again with the state of the first run
    settings = settings_for(simulator, folder, end_date="2016-05-20")
    second = sync(settings, state=first.state).checked()

    # then a target holds everything, and only the days from the lookback on were asked for.
    assert_true(first + second, simulator)
    assert {
        (str(task.request.start), str(task.request.end))
        for task in simulator.tasks[tasks:]
        if task.request.data_type == "events"
    } == {("2016-05-12", "2016-05-19"), ("2016-05-19", "2016-05-20")}
    for stream in HISTORICAL:
        assert bookmark(first.state, stream) == "2016-05-15T00:00:00Z"
        assert bookmark(second.state, stream) == "2016-05-20T00:00:00Z"
        assert partition(second.state, stream)["date_range"] == {
            "start": "2016-05-19",
            "end": "2016-05-20",
        }


def test_a_run_that_has_nothing_new_to_ask_for_still_looks_back(
    simulator: Simulator, folder: Path
) -> None:
    first = sync(settings_for(simulator, folder)).checked()

    second = sync(settings_for(simulator, folder), state=first.state).checked()

    assert_true(first + second, simulator)
    assert min(record["timestamp"] for record in second.records("events")) >= "2016-05-12"
    assert second.state == first.state


def test_without_lookback_a_run_that_is_up_to_date_creates_no_task_for_a_range(
    simulator: Simulator, folder: Path
) -> None:
    settings = settings_for(simulator, folder, lookback_days=0)
    first = sync(settings).checked()
    tasks = len(simulator.tasks)

    second = sync(settings, state=first.state).checked()

    asked = {task.request.data_type for task in simulator.tasks[tasks:]}
    assert asked == {"push_feedback", "tags", "tokens"}
    assert second.state == first.state


def test_each_app_has_records_and_a_state_of_its_own(
    start_simulator: StartSimulator, folder: Path
) -> None:
    simulator = start_simulator(apps=("shop", "game"))

    messages = sync(settings_for(simulator, folder)).checked()

    for app in ("shop", "game"):
        assert_true(messages, simulator, app)
        for stream in HISTORICAL:
            assert bookmark(messages.state, stream, app) == "2016-05-15T00:00:00Z"


def test_an_app_that_is_added_later_begins_at_the_start_date(
    start_simulator: StartSimulator, folder: Path
) -> None:
    simulator = start_simulator(apps=("shop", "game"))
    settings = settings_for(simulator, folder, app_names=["shop"])
    first = sync(settings).checked()

    second = sync({**settings, "app_names": ["shop", "game"]}, state=first.state).checked()

    assert not [row for row in first.records("events") if row["app_name"] == "game"]
    assert_true(second, simulator, "game")


def test_a_range_without_data_moves_the_bookmark(simulator: Simulator, folder: Path) -> None:
    # Given a week before there was any data
    settings = settings_for(simulator, folder, start_date="2016-04-17", end_date="2016-04-24")

    messages = sync(settings).checked()

    for stream in HISTORICAL:
        assert messages.records(stream) == []
        assert bookmark(messages.state, stream) == "2016-04-24T00:00:00Z"


def test_records_fit_their_schema(simulator: Simulator, folder: Path) -> None:
    import jsonschema  # noqa: PLC0415  (slow to import, and needed here alone)

    messages = sync(settings_for(simulator, folder)).checked()

    for stream in STREAMS:
        (schema,) = messages.of_type("SCHEMA", stream)
        validator = jsonschema.Draft7Validator(
            schema["schema"], format_checker=jsonschema.FormatChecker()
        )
        for record in messages.records(stream):
            validator.validate(record)
            assert record.keys() == schema["schema"]["properties"].keys()


@pytest.mark.parametrize("details", [True, False])
def test_devices_come_without_details_where_those_are_not_wanted(
    simulator: Simulator, folder: Path, *, details: bool
) -> None:
    messages = sync(settings_for(simulator, folder, device_details=details)).checked()

    truth = simulator.truth("shop", "devices")
    devices = messages.records("devices")
    assert len(devices) == len(truth)
    assert any(device["phone_model"] for device in devices) is details
    assert all(device["first_seen"] for device in devices)


def test_only_the_campaign_types_that_are_asked_for_come(
    simulator: Simulator, folder: Path
) -> None:
    settings = settings_for(simulator, folder, campaign_types=["Poll", "DataPush"])

    messages = sync(settings).checked()

    wanted: list[dict[str, Any]] = [
        record
        for record in simulator.truth("shop", "push_feedback")
        if record["campaign_type"] in ("Poll", "DataPush")
    ]
    assert wanted
    assert_same(own_fields(messages.upserted("push_feedback")), wanted)


def test_the_container_may_be_the_path_of_a_folder(simulator: Simulator, folder: Path) -> None:
    settings = settings_for(simulator, str(folder))

    messages = sync(settings, catalog=catalog_of(settings, "tokens")).checked()

    truth = simulator.truth("shop", "tokens")
    assert_same(own_fields(messages.upserted("tokens")), truth)
