"""The command itself: what it tells without settings, and how it ends when it is asked to."""

from __future__ import annotations

import fcntl
import json
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.datatypes import DATA_TYPES
from tap_mobile_engagement.settings import SETTINGS
from tests.support.messages import Messages, bookmark, own_fields, partition
from tests.support.simulated import settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from subprocess import Popen

    from tests.support.simulated import Command, StartSimulator

_PATIENCE_SECONDS = 60
_NEARLY_FULL = 32 * 1024  # bytes; a pipe holds up to twice that, depending on the writes
_STUCK_SECONDS = 0.5


# Without any settings.


def test_it_tells_its_version(command: Command) -> None:
    run = command.run("--version")

    assert version("tap-mobile-engagement") in run.stdout.decode()
    assert run.exit_code == 0


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["--nonsense"]])
def test_the_module_is_the_command(command: Command, arguments: list[str]) -> None:
    module = [sys.executable, "-m", "tap_mobile_engagement"]
    done = subprocess.run([*module, *arguments], capture_output=True, check=False)

    run = command.run(*arguments)
    assert (done.returncode, done.stdout) == (run.exit_code, run.stdout)


@pytest.mark.parametrize("form", [(), ("--format=json",), ("--format=markdown",)])
def test_it_tells_of_every_setting(command: Command, form: tuple[str, ...]) -> None:
    run = command.run("--about", *form)

    text = run.stdout.decode()
    for setting in SETTINGS:
        assert setting.name in text
    assert run.exit_code == 0


def test_what_it_tells_of_a_setting_is_what_the_table_says(command: Command) -> None:
    about = json.loads(command.run("--about", "--format=json").stdout)

    properties = about["settings"]["properties"]
    for setting in SETTINGS:
        assert properties[setting.name]["description"] == setting.schema["description"]
        assert properties[setting.name].get("default") == setting.default
        assert properties[setting.name].get("secret", False) is setting.secret


def test_it_discovers_its_streams(command: Command) -> None:
    run = command.run("--discover")

    streams = {stream["stream"]: stream for stream in json.loads(run.stdout)["streams"]}
    assert run.exit_code == 0
    for data_type in DATA_TYPES:
        stream = streams[data_type.name]
        assert stream["key_properties"] == [*data_type.keys]
        assert stream.get("replication_key") == (
            "exported_until" if data_type.historical else None
        )
        assert stream["schema"]["properties"].keys() == data_type.schema["properties"].keys()


def test_it_runs_with_settings_from_the_environment(
    start_simulator: StartSimulator,
    folder: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulator = start_simulator()
    for name, value in settings_for(simulator, folder).items():
        text = value if isinstance(value, str) else json.dumps(value)
        monkeypatch.setenv(f"TAP_MOBILE_ENGAGEMENT_{name.upper()}", text)

    run = command.run("--config=ENV")

    assert run.exit_code == 0
    truth = simulator.truth("shop", "tags")
    assert len(run.messages.records("tags")) == len(truth) > 0


# Asked to end.


@contextmanager
def working(
    command: Command, settings: dict[str, Any], until: Callable[[Popen[bytes]], bool]
) -> Iterator[Popen[bytes]]:
    """A run of the tap that has come as far as ``until`` says."""
    with command.started(settings=settings) as process:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not until(process):
            assert process.poll() is None, command.logged
            assert time.monotonic() < deadline, command.logged
            time.sleep(0.02)
        yield process


class Stuck:
    """Tells when a process writes no more, for the pipe behind its output is not read."""

    def __init__(self) -> None:
        self._unread = 0
        self._since = time.monotonic()

    def __call__(self, process: Popen[bytes]) -> bool:
        assert process.stdout is not None
        answer = fcntl.ioctl(process.stdout, termios.FIONREAD, b"\0" * 4)
        (unread,) = struct.unpack("i", answer)
        now = time.monotonic()
        if unread != self._unread:
            self._unread, self._since = unread, now
        return unread > _NEARLY_FULL and now - self._since > _STUCK_SECONDS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_waits_ends_it_with_the_task_in_the_state(
    start_simulator: StartSimulator, folder: Path, command: Command, number: signal.Signals
) -> None:
    # Given a run that waits for a task of events, which takes an hour
    hangs = {"fault": "task_hangs", "data_type": "events", "seconds": 3600}
    simulator = start_simulator(hangs)
    settings = settings_for(simulator, folder)

    def is_past_events(process: Popen[bytes]) -> bool:
        del process
        # One that was created later shows that the tap has the answer for that of events.
        return "events" in [task.request.data_type for task in simulator.tasks][:-1]

    # when it is asked to end
    with working(command, settings, is_past_events) as process:
        process.send_signal(number)
        stdout, _ = process.communicate(timeout=_PATIENCE_SECONDS)

    # then it does, with that task in its state,
    messages = Messages.parse(stdout)
    assert process.returncode == 128 + number
    assert "Traceback" not in command.logged
    hanging = next(task for task in simulator.tasks if task.request.data_type == "events")
    tasks = {task["id"]: task for task in partition(messages.state, "events")["tasks"]}
    assert tasks[hanging.id]["start"] == "2016-05-01"

    # and the next run reads what it has written by then.
    simulator.clock.advance(seconds=3600)
    later = sync(settings, state=messages.state).checked()
    blobs = {record["blob_name"] for record in later.records("events")}
    assert {*hanging.blobs} <= blobs
    events = [task for task in simulator.tasks if task.request.data_type == "events"]
    assert len(events) == 2  # one for each week


def test_a_signal_while_nobody_reads_cuts_no_line_and_loses_no_state(
    start_simulator: StartSimulator, folder: Path, command: Command
) -> None:
    # Given a run that is stuck, for what it writes is not read
    simulator = start_simulator(devices=60, sessions_per_device=2.0)
    settings = settings_for(simulator, folder, window_days=1)

    with working(command, settings, Stuck()) as process:
        # when it is asked to end, and then somebody reads
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=_PATIENCE_SECONDS)

    # then all lines are whole, and the last of them is a state that claims no more than is out.
    messages = Messages.parse(stdout)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in command.logged
    assert messages.all[-1]["type"] == "STATE"
    out = list(own_fields(messages.records("activities")))
    everything = simulator.truth("shop", "activities")
    assert len(out) < len(everything), "it was done before it was asked to end"
    claimed = bookmark(messages.state, "activities") or ""
    assert all(record in out for record in everything if record["timestamp"] < claimed[:10])
