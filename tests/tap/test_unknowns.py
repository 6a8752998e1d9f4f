"""Whatever way the things turn out that nobody knows of the service: the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.datatypes import DATA_TYPES
from tests.support.messages import Record, assert_same, bookmark, own_fields
from tests.support.simulated import LeapingTime, settings_for, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.datatypes import DataType
    from tests.support.simulated import StartSimulator

UNKNOWNS: list[dict[str, Any]] = [
    *({"blob_name": name} for name in ("task_id", "task_hex", "random", "date", "bare")),
    {"blobs_per_task": 3},
    {"blobs_per_task": 3, "blob_name": "random"},
    {"blobs_per_task": 3, "blob_name": "bare", "compression": "gzip"},
    *({"compression": compression} for compression in ("gzip", "zip")),
    *({"encoding": encoding} for encoding in ("utf-8-sig", "utf-16")),
    *({"json_layout": layout} for layout in ("lines", "concatenated", "wrapper")),
    {"grouping": "flat"},
    {"grouping": "flat", "blob_name": "random"},
    *({"empty": empty} for empty in ("nothing", "array", "blob")),
    *({"empty": empty, "blob_name": "random"} for empty in ("nothing", "array", "blob")),
    {"end_date": "exclusive"},
    {"end_date": "exclusive", "selection": "arrival"},
    {"selection": "arrival"},
    {"utc_offset_minutes": 120},
    {"utc_offset_minutes": -480, "end_date": "exclusive"},
    *({"time_format": form} for form in ("no_zone", "offset", "space", "epoch_ms")),
    *({"time_digits": digits} for digits in (0, 6, 7, 9)),
    {"id_format": "hex"},
    *({"no_id": form} for form in ("missing", "null", "empty", "mixed")),
    {"tags_key": "appInfo"},
    {"user_ids": True},
    {"links": "relative", "device_page": 2},
    {"device_page": 3},
    *({"retry_after": form, "retry_after_seconds": 60} for form in ("seconds", "date")),
    *({"max_tasks": 1, "too_many_status": status} for status in (409, 429)),
    {"max_tasks": 2, "retry_after": "date", "blob_name": "bare"},
    {"repeats": 0.1},
]


def _name(switches: dict[str, Any]) -> str:
    return "-".join(f"{name}={value}" for name, value in switches.items())


def upserted(truth: list[Record], data_type: DataType) -> list[Record]:
    """What is left of repeated items in a target, where items have a key of their own."""
    if data_type.has_record_id:
        return truth
    keys = [key for key in data_type.keys if key != "app_name"]
    return [*{tuple(record[key] for key in keys): record for record in truth}.values()]


CASES = [
    pytest.param(switches, export_format, id=f"{_name(switches)}-{export_format}")
    for switches in UNKNOWNS
    for export_format in ("JsonBlob", "CsvBlob")
    # Neither the name nor the columns of a CSV file tell events from errors.
    if export_format == "JsonBlob"
    or switches.get("blob_name") not in {"random", "date", "bare"}
]


@pytest.mark.parametrize(("switches", "export_format"), CASES)
def test_the_rows_are_the_same(
    start_simulator: StartSimulator, folder: Path, switches: dict[str, Any], export_format: str
) -> None:
    # Given a service that behaves in one of the possible ways, and a range with empty weeks
    simulator = start_simulator(**switches)
    # (a day more at both ends, for one whose days are not those of UTC)
    settings = settings_for(
        simulator,
        folder,
        start_date="2016-04-20",
        end_date="2016-05-16",
        export_format=export_format,
    )

    # when the tap runs, with a clock that leaps over its pauses
    messages = sync(settings, timing=LeapingTime().timing).checked()

    # then a target has what is true, and the bookmark is where it should be.
    for data_type in DATA_TYPES:
        rows = messages.upserted(data_type.name)
        truth = simulator.truth("shop", data_type.name)
        assert_same(own_fields(rows), upserted(truth, data_type))
        if data_type.historical:
            assert bookmark(messages.state, data_type.name) == "2016-05-16T00:00:00Z"


def test_a_range_that_the_service_finds_too_long_says_what_to_set(
    start_simulator: StartSimulator, folder: Path
) -> None:
    # Given a service that takes ranges of three days at most
    simulator = start_simulator(max_range_days=3)

    refused = sync(settings_for(simulator, folder, window_days=7))
    accepted = sync(settings_for(simulator, folder, window_days=3)).checked()

    assert refused.failure is not None
    assert "TASK_REJECTED" in str(refused.failure)
    assert refused.messages.records("events") == []
    assert refused.messages.records("tags")
    assert_same(own_fields(accepted.upserted("events")), simulator.truth("shop", "events"))


def test_fields_that_nobody_documented_are_kept(
    start_simulator: StartSimulator, folder: Path
) -> None:
    simulator = start_simulator(extra_fields=True)

    # (in one window: this simulator adds such fields to other items in each export)
    messages = sync(settings_for(simulator, folder, window_days=14)).checked()

    for data_type in DATA_TYPES:
        records = messages.records(data_type.name)
        # (no file holds the devices: the API answers them as it documents)
        assert data_type.task_path is None or any(
            record["unknown_fields"] for record in records
        ), data_type.name
        assert_same(
            own_fields(messages.upserted(data_type.name)),
            simulator.truth("shop", data_type.name),
        )


@pytest.mark.parametrize("blob_name", ["task_id", "random"])
def test_an_export_that_wrote_nothing_is_looked_for_a_minute_then_it_is_empty(
    start_simulator: StartSimulator,
    folder: Path,
    blob_name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Given a service that writes no blob where there is no data, and a range without data
    simulator = start_simulator(empty="nothing", blob_name=blob_name)
    settings = settings_for(simulator, folder, start_date="2016-04-17", end_date="2016-04-24")
    time = LeapingTime()
    started = time.now()

    messages = sync(settings, timing=time.timing).checked()

    assert (time.now() - started).total_seconds() >= 60
    assert bookmark(messages.state, "events") == "2016-04-24T00:00:00Z"
    warnings = [record.getMessage() for record in caplog.records]
    assert any("(events)" in text and "looks once more" in text for text in warnings)
    assert any("(push_feedback)" in text and "retires no row" in text for text in warnings)
