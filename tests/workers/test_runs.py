"""Runs of the tap with workers: the same messages as without, and no worker outlives a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.datatypes import DATA_TYPES
from tap_mobile_engagement.workers import path as parallel
from tap_mobile_engagement.workers.pool import WorkerPool
from tests.support.batches import batches_in, files_named, unpacked
from tests.support.messages import Messages
from tests.support.simulated import catalog_of, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Sequence
    from subprocess import Popen

    from tap_mobile_engagement.reading.arrays import Block
    from tap_mobile_engagement.workers.jobs import Setup
    from tap_mobile_engagement.workers.pool import Handed
    from tests.support.simulated import Command, StartSimulator

STREAMS = [data_type.name for data_type in DATA_TYPES]
PROC = Path("/proc/self/stat")
PATIENCE_SECONDS = 60


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lets every block be a job of its own, and gets the data type of each that is done."""
    taken: list[str] = []
    hand_out = WorkerPool.hand_out

    def watched(pool: WorkerPool, setup: Setup, blocks: Sequence[Block]) -> Handed:
        handed = hand_out(pool, setup, blocks)
        if handed.worker:
            taken.append(setup.data_type)
        return handed

    monkeypatch.setattr(parallel, "JOB_SIZE", 1)
    monkeypatch.setattr(WorkerPool, "hand_out", watched)
    return taken


def without_times(messages: Messages) -> list[dict[str, Any]]:
    """All messages in order, without what differs between any two runs."""
    return [
        {
            key: value
            for key, value in message.items()
            if key not in {"time_extracted", "version"}
        }
        for message in messages.all
    ]


@pytest.fixture
def archive(start_simulator: StartSimulator, folder: Path) -> dict[str, Any]:
    """Settings for an archive of all data types."""
    simulator = start_simulator(devices=40)
    for stream in STREAMS:
        simulator.write_export("shop", stream, folder.as_uri())
    return {"source": "archive", "container_url": folder.as_uri(), "app_names": ["shop"]}


def test_messages_and_states_are_the_same(archive: dict[str, Any], jobs: list[str]) -> None:
    alone = sync(archive).checked()
    assert jobs == []

    shared = sync({**archive, "read_workers": 2}).checked()

    assert without_times(shared) == without_times(alone)
    assert {*jobs} == {*STREAMS}


def test_a_choice_of_fields_is_the_same(archive: dict[str, Any], jobs: list[str]) -> None:
    catalog = catalog_of(archive, "events")
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"][-1:] == ["extras"]:
                entry["metadata"]["selected"] = False
    alone = sync(archive, catalog=catalog).checked()

    shared = sync({**archive, "read_workers": 3}, catalog=catalog).checked()

    assert without_times(shared) == without_times(alone)
    assert "extras" not in shared.records("events")[0]
    assert {*jobs} == {"events"}


def test_versions_are_in_the_messages_too(archive: dict[str, Any], jobs: list[str]) -> None:
    settings = {**archive, "emit_activate_version_messages": True, "read_workers": 2}

    messages = sync(settings, catalog=catalog_of(archive, "devices")).checked()

    (activated,) = {message["version"] for message in messages.of_type("ACTIVATE_VERSION")}
    records = messages.of_type("RECORD", "devices")
    assert {message["version"] for message in records} == {activated}
    assert jobs


def test_batch_files_hold_the_same(
    archive: dict[str, Any], jobs: list[str], tmp_path: Path
) -> None:
    batches = {"batch_config": batches_in(tmp_path / "batches")}
    alone = sync({**archive, **batches}).checked()

    shared = sync({**archive, **batches, "read_workers": 2}).checked()

    assert unpacked(shared) == unpacked(alone)
    assert {*files_named(shared)}.isdisjoint(files_named(alone))
    assert {*jobs} == {*STREAMS}


def test_records_that_go_through_the_sdk_stay_here(
    archive: dict[str, Any], jobs: list[str]
) -> None:
    mapped = {**archive, "stream_maps": {stream: {"extra": "1"} for stream in STREAMS}}

    shared = sync({**mapped, "read_workers": 2}).checked()

    assert without_times(shared) == without_times(sync(mapped).checked())
    assert jobs == []


def test_exports_of_tasks_are_the_same(
    start_simulator: StartSimulator, folder: Path, jobs: list[str]
) -> None:
    simulator = start_simulator(devices=40)
    settings = settings_for(simulator, folder, read_workers=2)

    messages = sync(settings).checked()

    for stream in STREAMS:
        truth = simulator.truth("shop", stream)
        assert len(messages.upserted(stream)) == len(truth), stream
    assert {*jobs} == {*STREAMS}


def test_a_worker_loads_no_sdk() -> None:
    line = [sys.executable, "-X", "importtime", "-m", "tap_mobile_engagement.workers"]
    with TemporaryFile() as memory:
        memory.truncate(4096)
        descriptor = memory.fileno()
        done = subprocess.run(
            [*line, str(descriptor)],
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=True,
        )

    assert b"tap_mobile_engagement.emit" in done.stderr
    assert b"singer_sdk" not in done.stderr


# As a process: with files that are large enough for jobs of the usual size.


@pytest.fixture
def large_archive(folder: Path) -> dict[str, Any]:
    """Settings for an archive with one file of 24 MB."""
    event = {"name": "a", "timestamp": "2016-05-01T00:00:00Z", "extras": {"text": "x" * 300}}
    group = json.dumps({"deviceId": "d", "events": [event] * 20}).encode()
    (folder / "events.json").write_bytes(b"[" + b",".join([group] * 3_000) + b"]")
    return {"source": "archive", "container_url": folder.as_uri(), "read_workers": 2}


def parent_of(pid: int) -> int | None:
    """Who started a process; None if it is gone."""
    try:
        _, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return None
    state, parent, *_ = rest.split()
    return None if state == "Z" else int(parent)


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that are still there."""
    there = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [each for each in there if parent_of(each) == pid]


def is_gone(pid: int) -> bool:
    return parent_of(pid) is None


def wait_until(holds: Any, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def workers_of(process: Popen[bytes]) -> list[int]:
    """The workers of a tap, as soon as both are there."""
    wait_until(lambda: len(children_of(process.pid)) == 2, "no workers")
    return children_of(process.pid)


needs_proc = pytest.mark.skipif(not PROC.exists(), reason="children are found in /proc")


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_processes_cuts_no_line(
    large_archive: dict[str, Any], command: Command, number: signal.Signals
) -> None:
    with command.started(settings=large_archive) as process:
        workers = workers_of(process)
        # As from a terminal, or from what ends all processes of a service.
        for pid in (*workers, process.pid):
            os.kill(pid, number)
        stdout, _ = process.communicate(timeout=PATIENCE_SECONDS)

    messages = Messages.parse(stdout)
    assert process.returncode == 128 + number, command.logged
    assert 0 < len(messages.records("events")) < 60_000
    assert all(map(is_gone, workers))
    assert "Traceback" not in command.logged
    assert "A process for decoding ended" not in command.logged


@needs_proc
def test_workers_of_a_killed_tap_end_too(
    large_archive: dict[str, Any], command: Command
) -> None:
    with command.started(settings=large_archive) as process:
        workers = workers_of(process)
        process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)

        wait_until(lambda: all(map(is_gone, workers)), "workers are left")

    assert "Traceback" not in command.logged


@needs_proc
def test_a_killed_worker_costs_no_record(
    large_archive: dict[str, Any], command: Command
) -> None:
    with command.started(settings=large_archive) as process:
        os.kill(workers_of(process)[0], signal.SIGKILL)
        stdout, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 0, command.logged
    messages = Messages.parse(stdout)
    assert len(messages.records("events")) == 60_000
    assert "A process for decoding ended (exit code -9)" in command.logged
