"""The tap against a simulator: its settings, and runs of it in this process or in its own."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.clock import Clock
from tap_mobile_engagement.errors import TapError
from tap_mobile_engagement.simulator import Options, Simulator
from tap_mobile_engagement.tap import TapMobileEngagement
from tests.support.messages import Messages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Protocol

    class StartSimulator(Protocol):
        """Starts a simulator; see :func:`start_simulator`."""

        def __call__(self, *faults: dict[str, Any], **options: Any) -> Simulator: ...


COMMAND = Path(sys.executable).with_name("tap-mobile-engagement")

_DEADLINE_SECONDS = 120  # for one run of the command, on a busy machine

# Little data, but some of every data type in every week. The calendar stands still, so that a
# run and the truth that it is held against see the same.
SMALL: dict[str, Any] = {
    "seed": 5,
    "devices": 12,
    "sessions_per_device": 0.5,
    "errors_per_session": 0.5,
    "crashes_per_session": 0.4,
    "frozen": True,
    "token_seconds": 1e9,
}


@pytest.fixture
def start_simulator() -> Iterator[StartSimulator]:
    """Start simulators with :data:`SMALL` and more options; they stop after the test.

    Their data begins on 2016-05-01, and their clock stands at 2016-05-15.
    """
    with ExitStack() as stack:

        def start(*faults: dict[str, Any], **options: Any) -> Simulator:
            simulator = Simulator(Options(**{**SMALL, **options}), faults=faults)
            return stack.enter_context(simulator)

        yield start


@pytest.fixture
def simulator(start_simulator: StartSimulator) -> Simulator:
    """A simulator with nothing special about it."""
    return start_simulator()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder that is a container."""
    path = tmp_path / "container"
    path.mkdir()
    return path


def settings_for(
    simulator: Simulator, container: Path | str | None, **changes: Any
) -> dict[str, Any]:
    """A configuration of the tap for a simulator.

    Args:
        simulator: Gives URL, names and credentials.
        container: A folder, or the URL of a container; None where ``changes`` say it.
        changes: More settings, or other values; None takes one out.
    """
    options = simulator.options
    settings = {
        "container_url": container.as_uri() if isinstance(container, Path) else container,
        "api_url": simulator.url,
        "authority_url": simulator.url,
        "subscription_id": options.subscription_id,
        "resource_group": options.resource_group,
        "app_collection": options.app_collection,
        "app_names": [*options.apps],
        "tenant_id": options.tenant_id,
        "client_id": options.client_id,
        "client_secret": options.client_secret,
        "start_date": options.first_day.isoformat(),
        "end_date": options.clock_start.date().isoformat(),
        "poll_interval_seconds": 0.05,
        "poll_max_interval_seconds": 0.2,
    } | changes
    return {name: value for name, value in settings.items() if value is not None}


# In this process.


class LeapingTime(Clock):
    """A clock that leaps over every pause, so that a test sees hours go by in no time."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)
        self._lock = threading.Lock()
        super().__init__(lambda: self._now)

    def pause(self, seconds: float) -> None:
        with self._lock:
            self._now += timedelta(seconds=max(seconds, 0.0))

    @property
    def timing(self) -> Clock:
        """What a tap needs to live by this clock."""
        return self


@dataclass(frozen=True)
class Sync:
    """What became of a run in this process.

    Attributes:
        messages: What it wrote.
        failure: What it failed with; None if it did not.
    """

    messages: Messages
    failure: TapError | None

    def checked(self) -> Messages:
        """The messages of a run that must not have failed."""
        if self.failure is not None:
            raise AssertionError(str(self.failure))
        return self.messages


def sync(
    settings: dict[str, Any],
    *,
    state: dict[str, Any] | None = None,
    catalog: dict[str, Any] | None = None,
    timing: Clock | None = None,
) -> Sync:
    """Run the tap in this process.

    Args:
        settings: Its configuration.
        state: What an earlier run left.
        catalog: What to select; all without one.
        timing: Another clock than the real one.
    """
    output = io.TextIOWrapper(io.BytesIO())
    failure = None
    with redirect_stdout(output):
        # The tap keeps its state in the dictionary that it is given.
        tap = TapMobileEngagement(config=settings, state=deepcopy(state), catalog=catalog)
        if timing is not None:
            tap.timing = timing
        try:
            tap.sync_all()
        except TapError as error:
            failure = error
    buffer = output.buffer
    assert isinstance(buffer, io.BytesIO)
    return Sync(Messages.parse(buffer.getvalue()), failure)


def catalog_of(settings: dict[str, Any], *selected: str) -> dict[str, Any]:
    """The tap's own catalog, with the named streams selected and no others."""
    catalog: dict[str, Any] = TapMobileEngagement(config=settings).catalog_dict
    for stream in catalog["streams"]:
        is_selected = stream["stream"] in selected
        stream["selected"] = is_selected
        for entry in stream["metadata"]:
            if entry["breadcrumb"] in ([], ()):
                entry["metadata"]["selected"] = is_selected
    return catalog


# As a process of its own.


@dataclass(frozen=True)
class Run:
    """What became of one run of the command.

    Attributes:
        exit_code: Its exit code; negative if a signal ended it.
        stdout: What it wrote to standard output.
        stderr: The lines that it wrote to standard error.
    """

    exit_code: int
    stdout: bytes
    stderr: list[str]

    @property
    def messages(self) -> Messages:
        """Standard output as Singer messages."""
        return Messages.parse(self.stdout)


class Command:
    """The real command, with files for its options in a folder of the test.

    Args:
        folder: Where the files go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "stderr.txt"

    def run(self, *arguments: str, settings: dict[str, Any] | None = None, **files: Any) -> Run:
        """Run it to its end.

        Args:
            arguments: Its arguments.
            settings: Its configuration; without it none is given.
            files: Contents of further files, by the option that names them: ``state``.
        """
        done = subprocess.run(
            self._line(*arguments, settings=settings, **files),
            capture_output=True,
            check=False,
            timeout=_DEADLINE_SECONDS,
            cwd=self._folder,
        )
        return Run(done.returncode, done.stdout, done.stderr.decode().splitlines())

    @contextmanager
    def started(self, *, settings: dict[str, Any], **files: Any) -> Iterator[Popen[bytes]]:
        """Start it, with a pipe for its messages that nobody reads; it ends with the block."""
        with (
            self._log.open("wb") as log,
            Popen(
                self._line(settings=settings, **files),
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._folder,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    @property
    def logged(self) -> str:
        """What the run that was started wrote to standard error so far."""
        return self._log.read_text()

    def _line(
        self, *arguments: str, settings: dict[str, Any] | None = None, **files: Any
    ) -> Sequence[str]:
        if settings is not None:
            files["config"] = settings
        options: list[str] = []
        for option, content in files.items():
            path = self._folder / f"{option}.json"
            path.write_text(json.dumps(content))
            options += [f"--{option}", str(path)]
        return [str(COMMAND), *arguments, *options]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The real command."""
    return Command(tmp_path)
