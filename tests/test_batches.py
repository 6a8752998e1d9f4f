"""BATCH: the same records as RECORD messages, in files, with STATE behind its data."""

from __future__ import annotations

import gzip
import json
import resource
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from singer_sdk.exceptions import ConfigValidationError
from upath import UPath

from tap_mobile_engagement.datatypes import DATA_TYPES
from tap_mobile_engagement.output import batch_files
from tap_mobile_engagement.output.batch_files import MOST_RECORDS, batch_config
from tap_mobile_engagement.redaction import redact
from tests.support.batches import batches_in, files_named, lines_of, unpacked
from tests.support.messages import assert_same, bookmark, own_fields
from tests.support.simulated import catalog_of, settings_for, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.messages import Messages
    from tests.support.simulated import StartSimulator

STREAMS = [data_type.name for data_type in DATA_TYPES]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """An empty folder for BATCH files."""
    path = tmp_path / "batches"
    path.mkdir()
    return path


@pytest.fixture
def archive(simulator: Simulator, folder: Path) -> dict[str, Any]:
    """Settings for an archive of all data types: each run over it reads the same files."""
    for stream in STREAMS:
        simulator.write_export("shop", stream, folder.as_uri())
    return {"source": "archive", "container_url": folder.as_uri(), "app_names": ["shop"]}


def records_by_stream(messages: Messages) -> dict[str, list[Any]]:
    """Every record under the name that its message gives to its stream, in order."""
    found: dict[str, list[Any]] = {}
    for message in messages.of_type("RECORD"):
        found.setdefault(message["stream"], []).append(message["record"])
    return found


def without_extras(settings: dict[str, Any]) -> dict[str, Any]:
    """A catalog with everything selected but the extras of events."""
    from tap_mobile_engagement.tap import TapMobileEngagement  # noqa: PLC0415

    catalog: dict[str, Any] = TapMobileEngagement(config=settings).catalog_dict
    (events,) = (each for each in catalog["streams"] if each["stream"] == "events")
    for entry in events["metadata"]:
        if tuple(entry["breadcrumb"]) == ("properties", "extras"):
            entry["metadata"]["selected"] = False
    return catalog


# The same records.


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_files_hold_the_records_of_all_streams(
    archive: dict[str, Any], files: Path, compression: str
) -> None:
    config = batches_in(files, encoding={"format": "jsonl", "compression": compression})

    as_records = sync(archive).checked()
    as_batches = sync(archive | {"batch_config": config}).checked()

    assert as_batches.of_type("RECORD") == []
    assert {message["stream"] for message in as_batches.of_type("BATCH")} == {*STREAMS}
    assert records_by_stream(unpacked(as_batches)) == records_by_stream(as_records)
    assert as_batches.state == as_records.state
    modes = {path.stat().st_mode & 0o777 for path in files.rglob("*.jsonl*")}
    assert modes == {0o600}  # they hold personal data


SPECIAL: dict[str, dict[str, Any]] = {
    "a filter and a changed field": {
        "stream_maps": {
            "events": {"__filter__": "record['session_id'] is not None", "name": "name.upper()"}
        }
    },
    "another name": {"stream_maps": {"events": {"__alias__": "things"}}},
    "two streams out of one": {"stream_maps": {"copy": {"__source__": "events"}, "events": {}}},
    "a stream that is dropped": {"stream_maps": {"events": None}},
    "flattened": {"flattening_enabled": True, "flattening_max_depth": 1},
}


@pytest.mark.parametrize("special", SPECIAL.values(), ids=SPECIAL.keys())
def test_files_hold_what_stream_maps_make_of_records(
    archive: dict[str, Any], files: Path, special: dict[str, Any]
) -> None:
    settings = archive | special

    as_records = sync(settings).checked()
    as_batches = sync(settings | {"batch_config": batches_in(files)}).checked()

    found = records_by_stream(unpacked(as_batches))
    assert found == records_by_stream(as_records)
    assert found != records_by_stream(sync(archive).checked()), "the setting changed nothing"
    assert {path.as_uri() for path in files.iterdir()} == {*files_named(as_batches)}


def test_fields_that_are_not_selected_are_not_in_the_files(
    archive: dict[str, Any], files: Path
) -> None:
    catalog = without_extras(archive)

    as_records = sync(archive, catalog=catalog).checked()
    config = {"batch_config": batches_in(files)}
    as_batches = sync(archive | config, catalog=catalog).checked()

    found = records_by_stream(unpacked(as_batches))
    assert found == records_by_stream(as_records)
    assert all("extras" not in record for record in found["events"])
    assert any("extras" in record for record in found["activities"])


def test_export_tasks_bring_the_truth_in_files(
    simulator: Simulator, folder: Path, files: Path
) -> None:
    settings = settings_for(simulator, folder, batch_config=batches_in(files))

    messages = unpacked(sync(settings).checked())

    for stream in STREAMS:
        truth = simulator.truth("shop", stream)
        assert truth
        assert_same(own_fields(messages.upserted(stream)), truth)


# The commit rule.


def test_a_state_follows_all_files_with_the_data_that_it_claims(
    simulator: Simulator, folder: Path, files: Path
) -> None:
    # Given files of few records, so that a range has several
    config = batches_in(files, batch_size=5)
    settings = settings_for(simulator, folder, window_days=3, batch_config=config)

    messages = unpacked(sync(settings).checked())

    # When a target stopped at any STATE, it would have all events before its bookmark.
    truth = simulator.truth("shop", "events")
    seen: set[tuple[str, str]] = set()
    claims = set()
    for message in messages.all:
        if message["type"] == "RECORD" and message["stream"] == "events":
            seen.add((message["record"]["timestamp"], message["record"]["name"]))
        if message["type"] == "STATE":
            claimed = bookmark(message["value"], "events") or ""
            due = {(r["timestamp"], r["name"]) for r in truth if r["timestamp"] < claimed}
            assert due <= seen
            claims.add(claimed)
    assert len(claims - {""}) == 5


def test_an_export_that_fails_leaves_no_file_that_no_message_names(
    start_simulator: StartSimulator, folder: Path, files: Path
) -> None:
    # Given an export of events of which the second file is cut off in the middle
    simulator = start_simulator(
        {"fault": "blob_truncated", "data_type": "events", "nth": 2, "at": -200, "times": 0}
    )
    config = batches_in(files, batch_size=MOST_RECORDS)
    settings = settings_for(simulator, folder, max_concurrent_tasks=1, batch_config=config)

    run = sync(settings)

    # then the first range is out, and nothing of the second is left behind.
    assert run.failure is not None
    assert bookmark(run.messages.state, "events") == "2016-05-08T00:00:00Z"
    assert len(run.messages.of_type("BATCH", "events")) == 1
    assert {path.as_uri() for path in files.iterdir()} == {*files_named(run.messages)}


def test_snapshots_that_replace_each_other_stay_records(
    archive: dict[str, Any], files: Path
) -> None:
    # Given that a snapshot retires the one before (and that a row out of a file has no version,
    # so that a target would retire it at once)
    settings = archive | {
        "emit_activate_version_messages": True,
        "batch_config": batches_in(files),
    }

    messages = sync(settings).checked()

    for data_type in DATA_TYPES:
        records = messages.of_type("RECORD", data_type.name)
        activations = messages.of_type("ACTIVATE_VERSION", data_type.name)
        assert bool(messages.of_type("BATCH", data_type.name)) is data_type.historical
        assert bool(records) is not data_type.historical
        assert len(activations) == (0 if data_type.historical else 1)
        assert {r["version"] for r in records} == {a["version"] for a in activations}


def test_a_storage_that_takes_no_files_fails_the_streams_and_claims_nothing(
    archive: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a root below something that is no folder
    (tmp_path / "file").write_bytes(b"")
    settings = archive | {"batch_config": batches_in(tmp_path / "file" / "batches")}

    run = sync(settings)

    assert "10 failed: activities (STORAGE_UNAVAILABLE)" in str(run.failure)
    assert "a BATCH file can't be written" in caplog.text
    assert run.messages.of_type("BATCH") == []
    assert all(bookmark(state, "events") is None for state in run.messages.states)


@pytest.mark.parametrize("mode", ["fail", "skip"])
def test_what_can_be_read_of_a_bad_file_is_in_the_files_too(
    folder: Path, files: Path, mode: str
) -> None:
    # Given an archive of a sound file and of one that is cut after many records
    items = [{"name": str(n), "timestamp": "2016-05-01T08:00:00Z"} for n in range(9)]
    groups = [{"deviceId": f"d{n}", "events": items} for n in range(2000)]
    (folder / "a").write_text(json.dumps(groups[:3]))
    (folder / "b").write_text(json.dumps(groups)[:-100])
    settings = {"source": "archive", "container_url": str(folder), "bad_files": mode}

    plain = sync(settings)
    batched = sync({**settings, "batch_config": batches_in(files)})

    records = plain.messages.records("events")
    assert len(records) > 9000
    found = unpacked(batched.messages).records("events")
    assert_same(found, records)
    assert str(batched.failure) == str(plain.failure)
    assert bool(plain.failure) is (mode == "fail")


def test_a_file_that_can_not_be_closed_is_removed(archive: dict[str, Any], files: Path) -> None:
    # Given a disk that is full when the last bytes of a compressed file are written
    settings = archive | {"batch_config": batches_in(files)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        run = sync(settings, catalog=catalog_of(settings, "events"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert "events (STORAGE_UNAVAILABLE)" in str(run.failure)
    assert run.messages.of_type("BATCH") == []
    assert [*files.iterdir()] == []


# Files.


def test_a_file_holds_no_more_records_than_asked_for(
    archive: dict[str, Any], files: Path
) -> None:
    settings = archive | {"batch_config": batches_in(files, batch_size=7)}

    messages = sync(settings).checked()

    sizes = [len(lines_of(url)) for url in files_named(messages, "events")]
    assert max(sizes) == 7
    assert len(sizes) > 2
    # (blocks are cut in pieces, so more than the last file of an export may hold fewer)
    assert all(len(lines_of(url)) <= 7 for url in files_named(messages))


def test_a_file_has_no_more_bytes_than_a_target_can_hold(
    archive: dict[str, Any], files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # (through the SDK a record is written at a time)
    monkeypatch.setattr(batch_files, "MOST_BYTES", 10_000)
    settings = archive | {"batch_config": batches_in(files), **SPECIAL["flattened"]}

    messages = sync(settings).checked()

    sizes = [sum(map(len, lines_of(url))) for url in files_named(messages, "events")]
    assert len(sizes) > 1
    assert max(sizes) <= 10_000


def test_files_go_to_any_storage_that_fsspec_knows(archive: dict[str, Any]) -> None:
    root = f"memory:///{uuid4()}"
    settings = archive | {"batch_config": batches_in(root)}

    messages = sync(settings).checked()

    assert records_by_stream(unpacked(messages)) == records_by_stream(sync(archive).checked())
    named = {UPath(url).name for url in files_named(messages)}
    assert {path.name for path in UPath(root).iterdir()} == named


def test_names_of_files_say_what_they_hold(archive: dict[str, Any], files: Path) -> None:
    config = {"storage": {"root": files.as_uri(), "prefix": "run-1-"}}

    messages = sync(archive | {"batch_config": config}).checked()

    (url,) = files_named(messages, "jobs")
    assert UPath(url).name.startswith("run-1-tap-mobile-engagement--jobs-")
    assert gzip.decompress(UPath(url).read_bytes()).count(b"\n") == len(lines_of(url)) > 0


# The setting.


def test_the_size_of_a_batch_has_a_default() -> None:
    found = batch_config({"batch_config": {"storage": {"root": "file:///data"}}})

    assert found is not None
    assert found.batch_size == MOST_RECORDS
    assert found.encoding.compression == "gzip"
    assert batch_config({}) is None


def test_credentials_of_the_storage_are_secrets() -> None:
    batch_config({"batch_config": {"storage": {**ROOT, "params": {"secret": "open sesame"}}}})

    assert redact("open sesame!") == "***!"


ROOT = {"root": "file:///data"}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"storage": ROOT, "encoding": {"format": "parquet"}}, "encoding.format"),
        ({"storage": ROOT, "encoding": {"compression": "zstd"}}, "encoding.compression"),
        ({"storage": ROOT, "batch_size": 0}, "batch_size"),
        ({"encoding": {"format": "jsonl"}}, "storage"),
        ({"storage": {"prefix": "x"}}, "root"),
        ({"storage": ROOT, "size": 5}, "size"),
    ],
)
def test_what_is_not_written_is_refused_before_anything_is_created(
    simulator: Simulator, folder: Path, wrong: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigValidationError) as refused:
        sync(settings_for(simulator, folder, batch_config=wrong))

    (message,) = refused.value.errors
    assert message.startswith("BAD_SETTING: the setting batch_config")
    assert named in message
    assert "storage: {root:" in message
    assert simulator.tasks == []
