"""What the SDK lets a user ask for: selection, stream maps, flattening, versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.datatypes import DATA_TYPES
from tests.support.messages import Messages, assert_same, own_fields
from tests.support.simulated import catalog_of, settings_for, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.simulated import StartSimulator

HISTORICAL = [data_type.name for data_type in DATA_TYPES if data_type.historical]
SNAPSHOTS = [data_type.name for data_type in DATA_TYPES if not data_type.historical]


def metadata(catalog: dict[str, Any], stream: str) -> list[dict[str, Any]]:
    """The metadata of a stream in a catalog."""
    (found,) = (each["metadata"] for each in catalog["streams"] if each["stream"] == stream)
    entries: list[dict[str, Any]] = found
    return entries


# Selection.


def test_a_stream_that_is_not_selected_creates_no_task(
    simulator: Simulator, folder: Path
) -> None:
    settings = settings_for(simulator, folder)

    messages = sync(settings, catalog=catalog_of(settings, "jobs", "tags")).checked()

    assert {message["stream"] for message in messages.of_type("SCHEMA")} == {"jobs", "tags"}
    assert {task.request.data_type for task in simulator.tasks} == {"jobs", "tags"}
    assert_same(own_fields(messages.records("tags")), simulator.truth("shop", "tags"))


def test_the_streams_that_are_off_at_first_come_where_they_are_selected(
    simulator: Simulator, folder: Path
) -> None:
    settings = settings_for(simulator, folder)
    unselected = sync(settings).checked()
    tasks = [task.id for task in simulator.tasks]

    catalog = catalog_of(settings, "campaigns", "export_tasks")
    messages = sync(settings, catalog=catalog).checked()

    assert messages.records("campaigns")
    assert sorted(row["task_id"] for row in messages.records("export_tasks")) == sorted(tasks)
    assert unselected.of_type("SCHEMA", "campaigns") == []
    assert unselected.of_type("SCHEMA", "export_tasks") == []


def test_a_field_that_is_not_selected_is_left_out(simulator: Simulator, folder: Path) -> None:
    settings = settings_for(simulator, folder)
    catalog = catalog_of(settings, "events")
    for entry in metadata(catalog, "events"):
        if tuple(entry["breadcrumb"]) == ("properties", "extras"):
            entry["metadata"]["selected"] = False

    messages = sync(settings, catalog=catalog).checked()

    truth = [
        {name: value for name, value in record.items() if name != "extras"}
        for record in simulator.truth("shop", "events")
    ]
    assert_same(own_fields(messages.upserted("events")), truth)
    (schema,) = messages.of_type("SCHEMA", "events")
    assert "extras" not in schema["schema"]["properties"]


def test_a_historical_stream_as_full_table_begins_at_the_beginning(
    simulator: Simulator, folder: Path
) -> None:
    settings = settings_for(simulator, folder)
    first = sync(settings).checked()
    catalog = catalog_of(settings, "events")
    for stream in catalog["streams"]:
        stream["replication_method"] = "FULL_TABLE"
    for entry in metadata(catalog, "events"):
        if not entry["breadcrumb"]:
            entry["metadata"]["replication-method"] = "FULL_TABLE"

    messages = sync(settings, catalog=catalog, state=first.state).checked()

    assert_same(own_fields(messages.upserted("events")), simulator.truth("shop", "events"))


# Stream maps and flattening.


def with_maps(settings: dict[str, Any], **maps: Any) -> dict[str, Any]:
    return {**settings, "stream_maps": {**maps, "__else__": None}}


def test_a_stream_map_renames_and_drops_fields(simulator: Simulator, folder: Path) -> None:
    settings = with_maps(
        settings_for(simulator, folder),
        events={
            "__alias__": "app_events",
            "label": "name",
            "name": None,
            "day": "timestamp[0:10]",
        },
    )

    messages = sync(settings).checked()

    records = messages.records("app_events")
    truth = simulator.truth("shop", "events")
    assert {message["stream"] for message in messages.of_type("RECORD")} == {"app_events"}
    assert all("name" not in record for record in records)
    assert {(record["label"], record["day"]) for record in records} == {
        (record["name"], record["timestamp"][:10]) for record in truth
    }


def test_a_stream_map_filters_records(simulator: Simulator, folder: Path) -> None:
    truth = simulator.truth("shop", "events")
    name = truth[0]["name"]
    settings = with_maps(
        settings_for(simulator, folder), events={"__filter__": f"name == '{name}'"}
    )

    messages = sync(settings).checked()

    wanted = [record for record in truth if record["name"] == name]
    assert 0 < len(wanted) < len(truth)
    assert_same(own_fields(messages.upserted("events")), wanted)


def test_the_bookmark_moves_behind_records_that_a_map_filtered_out(
    simulator: Simulator, folder: Path
) -> None:
    settings = with_maps(
        settings_for(simulator, folder), events={"__filter__": "name == 'nothing'"}
    )

    messages = sync(settings).checked()

    assert messages.records("events") == []
    (partition,) = messages.state["bookmarks"]["events"]["partitions"]
    assert partition["replication_key_value"] == "2016-05-15T00:00:00Z"


def test_flattening_spreads_tags_over_fields(simulator: Simulator, folder: Path) -> None:
    settings = settings_for(simulator, folder, flattening_enabled=True, flattening_max_depth=1)

    messages = sync(settings, catalog=catalog_of(settings, "sessions", "tags")).checked()

    # Without a schema of their own, objects become JSON texts when records are flattened.
    assert_same(own_fields(messages.upserted("sessions")), simulator.truth("shop", "sessions"))
    for record in messages.records("tags"):
        assert not any(isinstance(value, dict) for value in record.values())
        assert record["tags"]


# The same records by either path.


def test_the_fast_path_and_that_of_the_sdk_write_the_same(
    start_simulator: StartSimulator, folder: Path
) -> None:
    # Given a map that changes nothing, so that records have to go through the SDK
    simulator = start_simulator(repeats=0.1)
    settings = settings_for(simulator, folder, lookback_days=30)
    same = {data_type.name: {"__filter__": "True"} for data_type in DATA_TYPES}

    fast = sync(settings).checked()
    slow = sync({**settings, "stream_maps": same}).checked()

    for data_type in DATA_TYPES:
        records = [without_run(record) for record in fast.records(data_type.name)]
        assert records
        assert_same([without_run(record) for record in slow.records(data_type.name)], records)


def without_run(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what differs between two runs: the blob, and when it was made."""
    varies = {"blob_name", "exported_until"}
    return {name: value for name, value in record.items() if name not in varies}


# Versions of snapshots.


def test_the_message_that_retires_old_rows_follows_the_last_record(
    simulator: Simulator, folder: Path
) -> None:
    settings = settings_for(simulator, folder, emit_activate_version_messages=True)

    messages = sync(settings).checked()

    for stream in SNAPSHOTS:
        of_stream = [message for message in messages.all if message.get("stream") == stream]
        kinds = [message["type"] for message in of_stream]
        records = len(messages.records(stream))
        assert kinds == ["SCHEMA", *["RECORD"] * records, "ACTIVATE_VERSION"]
        assert len({message["version"] for message in of_stream[1:]}) == 1
    for stream in HISTORICAL:
        assert messages.of_type("ACTIVATE_VERSION", stream) == []


def test_without_that_setting_records_have_no_version(
    simulator: Simulator, folder: Path
) -> None:
    settings = settings_for(simulator, folder, emit_activate_version_messages=False)

    messages = sync(settings).checked()

    assert messages.of_type("ACTIVATE_VERSION") == []
    assert not any("version" in message for message in messages.of_type("RECORD"))


@pytest.mark.parametrize("blobs_per_task", [1, 3])
def test_a_snapshot_that_fails_retires_nothing(
    start_simulator: StartSimulator, folder: Path, blobs_per_task: int
) -> None:
    # Given a file of tags that ends in the middle
    fault = {"fault": "blob_truncated", "data_type": "tags", "at": -20}
    simulator = start_simulator(fault, blobs_per_task=blobs_per_task)
    settings = settings_for(simulator, folder, emit_activate_version_messages=True)

    run = sync(settings)

    assert run.failure is not None
    assert versions(run.messages) == {*SNAPSHOTS} - {"tags"}


def test_a_snapshot_of_several_apps_of_which_one_fails_retires_nothing(
    start_simulator: StartSimulator, folder: Path
) -> None:
    fault = {"fault": "blob_truncated", "app": "game", "data_type": "tokens", "at": -20}
    simulator = start_simulator(fault, apps=("game", "shop"))
    settings = settings_for(simulator, folder, emit_activate_version_messages=True)

    run = sync(settings)

    assert run.failure is not None
    assert versions(run.messages) == {*SNAPSHOTS} - {"tokens"}


def versions(messages: Messages) -> set[str]:
    """The streams whose old rows a run retired."""
    return {message["stream"] for message in messages.of_type("ACTIVATE_VERSION")}
