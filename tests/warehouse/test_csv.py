"""CSV exports: the same records as from JSON, under the same keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.datatypes import DATA_TYPES
from tests.support.messages import Messages, assert_same, bookmark, own_fields
from tests.support.simulated import LeapingTime, catalog_of, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.messages import Record
    from tests.support.simulated import StartSimulator

STREAMS = [data_type.name for data_type in DATA_TYPES]
# A file's name and the time of a snapshot are another export's own.
OF_THE_EXPORT = {"blob_name", "exported_until"}


def lasting(records: list[Record]) -> Iterator[Record]:
    """Records without what another export of the same items would say differently."""
    for record in records:
        yield {name: value for name, value in record.items() if name not in OF_THE_EXPORT}


def assert_true(
    messages: Messages, simulator: Simulator, streams: Iterable[str] = STREAMS
) -> None:
    """Every stream's rows are what the simulator knows."""
    for stream in streams:
        rows = messages.upserted(stream)
        truth = simulator.truth("shop", stream)
        assert truth
        assert_same(own_fields(rows), truth)


@pytest.mark.parametrize("delimiter", [",", ";", "tab"])
def test_records_are_those_of_json_with_their_ids(
    start_simulator: StartSimulator, folder: Path, delimiter: str
) -> None:
    simulator = start_simulator(csv_delimiter=delimiter)

    from_json = sync(settings_for(simulator, folder)).checked()
    from_csv = sync(settings_for(simulator, folder, export_format="CsvBlob")).checked()

    assert {path.suffix for path in folder.rglob("*.*")} == {".json", ".csv"}
    for stream in STREAMS:
        assert from_json.records(stream)
        assert_same(lasting(from_csv.upserted(stream)), lasting(from_json.upserted(stream)))


def test_a_target_holds_an_item_once_when_the_format_changes(
    simulator: Simulator, folder: Path
) -> None:
    # Given a run that asked for JSON, and a few more days
    first = sync(settings_for(simulator, folder)).checked()
    simulator.clock.advance(days=3)

    # when the next run asks for CSV, and exports some days again
    settings = settings_for(
        simulator, folder, export_format="CsvBlob", end_date="2016-05-18", lookback_days=14
    )
    second = sync(settings, state=first.state).checked()

    assert len(second.records("events")) > len(first.upserted("events"))
    assert_true(first + second, simulator)


# Whose file is it, when neither its name nor its content tells?


@pytest.mark.parametrize("blob_name", ["random", "date", "bare"])
@pytest.mark.parametrize(
    ("switches", "export_format"),
    [({}, "CsvBlob"), ({"blobs_per_task": 3}, "CsvBlob"), ({"grouping": "flat"}, "JsonBlob")],
    ids=["csv", "csv in parts", "flat json"],
)
def test_events_and_errors_that_look_alike_are_not_mixed_up(
    start_simulator: StartSimulator,
    folder: Path,
    blob_name: str,
    switches: dict[str, Any],
    export_format: str,
) -> None:
    # Given tasks that take a while, so that those of several data types overlap
    simulator = start_simulator(blob_name=blob_name, run_seconds=0.2, **switches)
    settings = settings_for(simulator, folder, export_format=export_format)
    streams = ("errors", "events", "jobs", "sessions")

    messages = sync(settings, catalog=catalog_of(settings, *streams)).checked()

    assert_true(messages, simulator, streams)


def test_a_file_of_an_earlier_run_that_nothing_tells_is_exported_again(
    start_simulator: StartSimulator, folder: Path
) -> None:
    # Given a run that ended before it read what its tasks of events and errors wrote
    simulator = start_simulator(blob_name="random")
    settings = settings_for(simulator, folder, export_format="CsvBlob")
    state = sync(settings).checked().state
    for stream in ("events", "errors"):
        (partition,) = state["bookmarks"][stream]["partitions"]
        task = next(t for t in simulator.tasks if t.request.data_type == stream)
        partition.pop("replication_key_value")
        partition["tasks"] = [
            {
                "id": str(task.id),
                "start": "2016-05-01",
                "end": "2016-05-08",
                "created": "2016-05-15T00:00:00Z",
            }
        ]
    tasks = len(simulator.tasks)

    messages = sync(settings, state=state, timing=LeapingTime().timing).checked()

    asked = [
        (task.request.data_type, str(task.request.start))
        for task in simulator.tasks[tasks:]
        if task.request.data_type in {"events", "errors"}
    ]
    assert sorted(asked) == [
        ("errors", "2016-05-01"),
        ("errors", "2016-05-08"),
        ("events", "2016-05-01"),
        ("events", "2016-05-08"),
    ]
    for stream in ("events", "errors"):
        assert bookmark(messages.state, stream) == "2016-05-15T00:00:00Z"
        assert_same(own_fields(messages.upserted(stream)), simulator.truth("shop", stream))
