"""ACTIVATE_VERSION retires rows, so it follows only what is proven to be all there is."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.archive.forms import gzipped
from tests.support.batches import batches_in
from tests.support.simulated import LeapingTime, catalog_of, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.messages import Messages
    from tests.support.simulated import StartSimulator, Sync

EVENT = {"deviceId": "d", "events": [{"name": "n", "timestamp": "2016-05-01T08:00:00Z"}]}
SOUND = b'[{"deviceId":"d1","tags":{"plan":"free"}}]'
OTHER = json.dumps([{"deviceId": f"d{n}", "tags": {"plan": "paid"}} for n in range(99)])
HALF = gzipped(OTHER.encode())[:-20]


def archive(folder: Path, files: Mapping[str, bytes], **more: Any) -> dict[str, Any]:
    for number, (name, data) in enumerate(files.items()):
        (folder / name).write_bytes(data)
        os.utime(folder / name, (1_500_000_000 + number,) * 2)
    return {
        "source": "archive",
        "container_url": folder.as_uri(),
        "emit_activate_version_messages": True,
        **more,
    }


def activated(messages: Messages) -> set[str]:
    return {message["stream"] for message in messages.of_type("ACTIVATE_VERSION")}


def assert_no_row_is_retired(run: Sync, caplog: pytest.LogCaptureFixture, why: str) -> None:
    assert activated(run.messages) == set()
    assert f"No ACTIVATE_VERSION, so no row is retired: {why}" in caplog.text


def test_a_snapshot_that_was_read_whole_retires_rows_behind_its_last_record(
    folder: Path,
) -> None:
    files = {"a.json": SOUND, "b.json": OTHER.encode(), "c.json": b"[]", "d": b"", ".x": b"?"}

    messages = sync(archive(folder, files)).checked()

    kinds = [m["type"] for m in messages.all if m.get("stream") == "tags"]
    assert kinds == ["SCHEMA", *["RECORD"] * 100, "ACTIVATE_VERSION"]
    assert activated(messages) == {"tags"}


@pytest.mark.parametrize(
    ("files", "more", "why"),
    [
        ({"a": SOUND, "b": HALF}, {}, "the file b could not be read"),
        ({"a": SOUND, "b": HALF}, {"bad_files": "skip"}, "the file b could not be read"),
        ({"a": SOUND, "b": OTHER.encode()[:-9]}, {}, "the file b could not be read"),
        ({"a": HALF, "b": SOUND}, {}, "the file a could not be read"),
        ({"a": SOUND, "b": b"hello"}, {}, "the file b could not be read"),
        (
            {"a": SOUND, "b": b'[{"deviceId":"d2","tags":7}, {"tags":{"deviceId":"d3"}}]'},
            {"bad_records": "skip", "archive_types": [{"pattern": "b", "data_type": "tags"}]},
            "bad records were skipped",
        ),
        ({"a": b"[]"}, {}, "it holds no record"),
        ({}, {"no_files": "accept"}, "it holds no record"),
        ({".hidden": SOUND}, {"no_files": "accept"}, "it holds no record"),
    ],
)
def test_a_snapshot_that_is_not_proven_whole_retires_nothing(
    folder: Path,
    files: dict[str, bytes],
    more: dict[str, Any],
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = sync(archive(folder, files, **more))

    assert_no_row_is_retired(run, caplog, why)


@pytest.mark.parametrize("as_batches", [False, True])
def test_what_a_catalog_makes_full_table_is_held_to_the_same(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, *, as_batches: bool
) -> None:
    # Given a catalog that reads events whole, and a state of an earlier run
    event = json.dumps([EVENT]).encode()
    settings = archive(folder, {"a": event})
    if as_batches:
        (tmp_path / "batches").mkdir()
        settings["batch_config"] = batches_in(tmp_path / "batches")
    catalog = catalog_of(settings, "events")
    (events,) = (each for each in catalog["streams"] if each["stream"] == "events")
    events["replication_method"] = "FULL_TABLE"

    # then each run reads all, and retires what is gone behind the last record;
    first = sync(settings, catalog=catalog).checked()
    second = sync(settings, catalog=catalog, state=first.state).checked()
    for messages in (first, second):
        kinds = [m["type"] for m in messages.all if m.get("stream") == "events"]
        assert kinds == ["SCHEMA", "RECORD", "ACTIVATE_VERSION"]

    # but not when a file can't be read.
    half = gzipped(json.dumps([EVENT] * 99).encode())[:-9]
    run = sync(archive(folder, {"b": half}), catalog=catalog, state=second.state)
    assert run.messages.records("events")
    assert_no_row_is_retired(run, caplog, "the file b could not be read")


@pytest.mark.parametrize("apps", [("shop",), ("game", "shop")])
def test_a_task_that_was_counted_as_empty_retires_nothing(
    start_simulator: StartSimulator,
    folder: Path,
    apps: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Given a task of one app whose file does not turn up while the tap waits for it
    late = {"fault": "blob_late", "data_type": "tokens", "app": "shop", "seconds": 1e6}
    simulator = start_simulator(late, apps=apps, blob_name="task_id")
    settings = settings_for(simulator, folder, emit_activate_version_messages=True)
    catalog = catalog_of(settings, "tokens", "tags")

    run = sync(settings, catalog=catalog, timing=LeapingTime().timing)

    assert activated(run.messages) == {"tags"}
    assert "an export task wrote no file, which was counted as empty" in caplog.text


def test_an_app_without_any_row_retires_nothing(
    start_simulator: StartSimulator, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    simulator = start_simulator(devices=0)
    settings = settings_for(simulator, folder, emit_activate_version_messages=True)

    run = sync(settings, catalog=catalog_of(settings, "tokens", "devices"))

    assert run.messages.of_type("RECORD") == []
    assert_no_row_is_retired(run, caplog, "it holds no record")


def test_bad_records_count_per_stream_and_app(
    start_simulator: StartSimulator, folder: Path, tmp_path: Path
) -> None:
    # Given two apps, each with a bad record
    bad = {"fault": "bad_element", "data_type": "tokens", "raw": '{"deviceId": 7}', "times": 0}
    simulator = start_simulator(bad, apps=("game", "shop"))
    letters = tmp_path / "bad.ndjson"
    settings = settings_for(
        simulator,
        folder,
        bad_records="skip",
        max_bad_records=1,
        dead_letter_path=str(letters),
    )
    catalog = catalog_of(settings, "tokens")

    messages = sync(settings, catalog=catalog).checked()
    fewer = sync({**settings, "max_bad_records": 0}, catalog=catalog)

    assert len(letters.read_text().splitlines()) == 4
    assert {record["app_name"] for record in messages.records("tokens")} == {"game", "shop"}
    assert "2 failed: tokens of game (TOO_MANY_BAD_RECORDS), tokens of shop" in str(
        fewer.failure
    )
