"""How a run ends: signals, a target that dies, the last lines, what goes on after a failure."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tap_mobile_engagement.datatypes import DATA_TYPES
from tap_mobile_engagement.errors import Code
from tests.faults.commands import command_line, started
from tests.support.messages import Messages, assert_same, bookmark, own_fields, partition
from tests.support.simulated import catalog_of, settings_for, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.simulated import StartSimulator

PATIENCE = 60.0  # seconds, on a busy machine


def until_tasks(simulator: Simulator, count: int) -> None:
    """Wait until the service has so many export tasks."""
    deadline = time.monotonic() + PATIENCE
    while len(simulator.tasks) < count:
        assert time.monotonic() < deadline, "no task was created"
        time.sleep(0.01)


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_tasks_run_leaves_all_of_them_in_the_state(
    start_simulator: StartSimulator, folder: Path, which: signal.Signals
) -> None:
    # Given a run that waits for tasks, one of which is being created at this moment
    slow = {"fault": "slow_answer", "method": "POST", "path": "*/exportTasks/*"}
    simulator = start_simulator({**slow, "nth": 3, "seconds": 1.0}, run_seconds=600.0)
    with started(settings_for(simulator, folder), folder.parent) as process:
        until_tasks(simulator, 3)

        # when a signal asks it to end
        process.send_signal(which)
        output, log = process.communicate(timeout=PATIENCE)

    # then it ends with the state written, and that knows every task that there is.
    assert process.returncode == 128 + which
    assert b"The state is written" in log
    state = Messages.parse(output).state
    known = [
        task["id"]
        for data_type in DATA_TYPES
        for task in partition(state, data_type.name).get("tasks", [])
    ]
    assert sorted(known) == sorted(task.id for task in simulator.tasks)


def test_a_second_signal_ends_a_run_whose_target_reads_no_more(
    simulator: Simulator, folder: Path
) -> None:
    # Given a run that is blocked, for nobody reads what it writes
    with started(settings_for(simulator, folder), folder.parent) as process:
        assert process.stdout is not None
        process.stdout.read1(1)  # type: ignore[attr-defined]
        time.sleep(2.0)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)

        # when a second signal comes
        process.send_signal(signal.SIGTERM)

        # then it ends.
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM


def test_a_target_that_dies_is_told_in_one_line(simulator: Simulator, folder: Path) -> None:
    with started(settings_for(simulator, folder), folder.parent) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        log = process.stderr.read().decode()
        code = process.wait(PATIENCE)

    assert code == 1
    assert Code.OUTPUT_CLOSED in log.splitlines()[-1]
    assert "BrokenPipeError: [Errno" not in log.splitlines()[-1]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")  # noqa: PTH110
def test_a_full_disk_below_the_output_is_told(simulator: Simulator, folder: Path) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            command_line(settings_for(simulator, folder), folder.parent),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=PATIENCE,
        )

    assert done.returncode == 1
    assert Code.OUTPUT_CLOSED in done.stderr.decode().splitlines()[-1]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")  # noqa: PTH110
def test_a_full_disk_below_the_dead_letter_file_fails_its_stream_alone(
    start_simulator: StartSimulator, folder: Path
) -> None:
    bad = {"fault": "bad_element", "data_type": "events", "raw": '{"deviceId": [1]}'}
    simulator = start_simulator(bad)
    settings = settings_for(
        simulator, folder, bad_records="skip", dead_letter_path="/dev/full", window_days=14
    )

    run = sync(settings, catalog=catalog_of(settings, "events", "jobs"))

    assert run.failure is not None
    assert "events of shop (BAD_SETTING)" in str(run.failure)
    assert bookmark(run.messages.state, "events") is None
    assert bookmark(run.messages.state, "jobs") == "2016-05-15T00:00:00Z"


def test_one_app_that_fails_keeps_no_other_from_going_on(
    start_simulator: StartSimulator, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Given two apps, the first of which can't export its events
    fault = {"fault": "task_fails", "app": "shop", "data_type": "events", "times": 0}
    simulator = start_simulator(fault, apps=("shop", "news"))
    settings = settings_for(simulator, folder, window_days=14, start_date="2016-05-13")

    # when the tap runs
    run = sync(settings, catalog=catalog_of(settings, "events", "jobs"))

    # then all else is out,
    assert str(run.failure).startswith("STREAMS_FAILED: 1 failed: events of shop (TASK_FAILED)")
    state = run.messages.state
    assert bookmark(state, "events", "shop") is None
    assert bookmark(state, "events", "news") == "2016-05-15T00:00:00Z"
    assert bookmark(state, "jobs", "shop") == "2016-05-15T00:00:00Z"
    assert bookmark(state, "jobs", "news") == "2016-05-15T00:00:00Z"
    # and the last lines say what failed, and what to do.
    last = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"][-1]
    assert last.startswith("- TASK_FAILED: the export task failed")
    places = ("app=shop", "stream=events", "range=2016-05-13/2016-05-14", "task=")
    assert all(place in last for place in places)
    assert "Run again" in last


def test_a_snapshot_that_fails_for_one_app_retires_nothing(
    start_simulator: StartSimulator, folder: Path
) -> None:
    fault = {"fault": "task_fails", "app": "shop", "data_type": "tokens", "times": 0}
    simulator = start_simulator(fault, apps=("shop", "news"))
    settings = settings_for(simulator, folder, emit_activate_version_messages=True)

    run = sync(settings, catalog=catalog_of(settings, "tokens", "tags"))

    assert run.failure is not None
    assert run.messages.records("tokens")
    retired = [message["stream"] for message in run.messages.of_type("ACTIVATE_VERSION")]
    assert retired == ["tags"]


def test_the_records_in_front_of_a_failure_stay(
    start_simulator: StartSimulator, folder: Path
) -> None:
    # Given a second range whose file is broken
    fault = {"fault": "blob_truncated", "data_type": "events", "nth": 2, "at": -5}
    simulator = start_simulator(fault)
    settings = settings_for(simulator, folder, window_days=7, lookback_days=0)
    catalog = catalog_of(settings, "events")

    # when the tap runs, and once more
    first = sync(settings, catalog=catalog)
    tasks = len(simulator.tasks)
    second = sync(settings, state=first.messages.state, catalog=catalog).checked()

    # then the first range is not exported again, the second is.
    assert bookmark(first.messages.state, "events") == "2016-05-08T00:00:00Z"
    assert [str(task.request.start) for task in simulator.tasks[tasks:]] == ["2016-05-08"]
    both = first.messages + second
    assert_same(own_fields(both.upserted("events")), simulator.truth("shop", "events"))
