"""Runs of the tap that are killed at random moments, and started again until one succeeds.

Each run is a process of its own, forked from one that has imported the tap already, for else
most of the time would be spent on imports.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, Self

from tap_mobile_engagement.datatypes import DATA_TYPES
from tap_mobile_engagement.simulator import Options, Simulator
from tests.faults.upserting import UpsertingTarget
from tests.support.simulated import SMALL, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

    from tap_mobile_engagement.simulator.tasks import ExportTask

HISTORICAL = {data_type.name for data_type in DATA_TYPES if data_type.historical}
WINDOW_DAYS = 4
MOST_KILLS = 3
_LONGEST_LIFE = 2.0  # seconds; about as long as an undisturbed run takes
_TARGET_DIES = 0.25  # share of kills that its target shares
_DEADLINE = 120.0  # seconds, for a run that is not killed

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    [
        "tap_mobile_engagement.tap",
        "tap_mobile_engagement.api.source",
        "tests.faults.killing",
    ]
)


@dataclass
class Outcome:
    """What became of one seed.

    Attributes:
        seed: The seed.
        kills: How each run before the last one was killed.
        tasks: How many export tasks with a date range were created.
        least: With how many of them a run gets by that nobody kills.
    """

    seed: int
    kills: list[str] = field(default_factory=list)
    tasks: int = 0
    least: int = 0

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: killed {', '.join(self.kills)}; {self.tasks} tasks with a "
            f"range, {self.least} at least"
        )


class Target(Protocol):
    """Stores what runs of the tap write."""

    @property
    def state(self) -> dict[str, Any] | None:
        """The last state that it knows to be covered by what it stored."""

    def take(self, output: bytes, *, dies: bool = False) -> None:
        """Take the output of one run; with ``dies`` up to a random moment of its own death."""

    def assert_holds_the_truth(self, simulator: Simulator) -> None:
        """Hold what it has stored against the truth, all streams of the app "shop"."""


def survive(
    seed: int, folder: Path, target: Target | None = None, *, account: str | None = None
) -> Outcome:
    """Kill runs of the tap, let one succeed, and hold what the target has against the truth.

    Args:
        seed: Decides over everything that is random, save the speed of this machine.
        folder: An empty folder.
        target: Where the records go; a small one of these tests' own unless given.
        account: Connection string of an account with a container per task, not the folder.

    Raises:
        AssertionError: If a record is missing, or one is there that should not be.
    """
    chance = Random(seed)  # noqa: S311  (no cryptography)
    options = {
        "queue_seconds": chance.choice((0.0, (0.0, 0.1), (0.0, 0.3))),
        "run_seconds": chance.choice((0.0, (0.0, 0.1), (0.0, 0.3))),
        "blobs_per_task": chance.choice((1, 1, 3)),
        "blob_name": chance.choice(("task_id", "task_id", "random")),
        "compression": chance.choice(("none", "gzip")),
    }
    with Simulator(Options(**{**SMALL, **options, "seed": seed})) as simulator:
        settings = settings_for(
            simulator,
            None if account else folder,
            storage_connection_string=account,
            window_days=WINDOW_DAYS,
            lookback_days=0,
            max_concurrent_tasks=chance.choice((2, 8, 16)),
            poll_interval_seconds=0.02,
        )
        target = target or UpsertingTarget(chance)
        outcome = Outcome(seed)
        for _ in range(chance.randint(1, MOST_KILLS)):
            outcome.kills.append(_run_and_kill(simulator, settings, target, chance))
        _run_to_the_end(settings, target)
        target.assert_holds_the_truth(simulator)
        ranges = [_range(task) for task in simulator.tasks if task.request.start]
        outcome.tasks = len([each for each in ranges if each[0] in HISTORICAL])
        outcome.least = len({each for each in ranges if each[0] in HISTORICAL})
    return outcome


def _range(task: ExportTask) -> tuple[str, ...]:
    request = task.request
    return request.data_type, str(request.start), str(request.end)


def _run_and_kill(
    simulator: Simulator, settings: dict[str, Any], target: Target, chance: Random
) -> str:
    """One run that is killed, unless it is done before; returns how."""
    match chance.randrange(4):
        case 0:  # between a POST and its answer
            number = chance.randint(1, 12)
            post = {"fault": "slow_answer", "method": "POST", "path": "*/exportTasks/*"}
            simulator.faults.plan([{**post, "seconds": 0.3, "nth": number}])
            when, how = _struck(simulator), f"after POST {number}"
        case 1:  # while records come out
            size = chance.randrange(1, 400_000)
            when, how = _has_written(size), f"after {size} bytes"
        case _:
            life = chance.uniform(0, _LONGEST_LIFE)
            when, how = _has_lived(life), f"after {life:.2f} s"
    with _Running(settings, target.state, pause=chance.choice((0.0, 0.02))) as run:
        while run.is_alive() and not when(run):
            time.sleep(0.001)
        run.kill()
        output = run.output()
    simulator.faults.clear()
    dies = chance.random() < _TARGET_DIES
    target.take(output, dies=dies)
    return f"{how} with its target" if dies else how


def _run_to_the_end(settings: dict[str, Any], target: Target) -> None:
    with _Running(settings, target.state) as run:
        run.wait(_DEADLINE)
        assert run.exit_code == 0, f"the last run ended with {run.exit_code}"
        target.take(run.output())


class _Running:
    """A run of the tap in a process of its own, and all that it writes.

    Args:
        settings: Its configuration.
        state: Its state.
        pause: Seconds that its reader waits after each piece.
    """

    def __init__(
        self, settings: dict[str, Any], state: dict[str, Any] | None, *, pause: float = 0.0
    ) -> None:
        self._pieces: list[bytes] = []
        self._pause = pause
        self.size = 0
        self._stack = ExitStack()
        self._reader, writer = _processes.Pipe(duplex=False)
        self._stack.callback(self._reader.close)
        self._process: ForkServerProcess = _processes.Process(
            target=_sync, args=(writer, settings, state)
        )
        self._process.start()
        writer.close()
        self.began = time.monotonic()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._thread.join()
        self._stack.close()

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        """As nothing can be hindered from: SIGKILL."""
        self._process.kill()

    def wait(self, seconds: float) -> None:
        self._process.join(seconds)

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    def output(self) -> bytes:
        """All that it wrote; to be asked for when it has ended."""
        self._thread.join()
        return b"".join(self._pieces)

    def _read(self) -> None:
        while piece := os.read(self._reader.fileno(), 1 << 16):
            self._pieces.append(piece)
            self.size += len(piece)
            time.sleep(self._pause)


def _sync(output: Connection, settings: dict[str, Any], state: dict[str, Any] | None) -> None:
    from tap_mobile_engagement.tap import TapMobileEngagement  # noqa: PLC0415  (imported before)

    os.dup2(output.fileno(), 1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    TapMobileEngagement(config=settings, state=state).sync_all()


def _has_lived(seconds: float) -> Callable[[_Running], bool]:
    return lambda run: time.monotonic() - run.began > seconds


def _has_written(size: int) -> Callable[[_Running], bool]:
    return lambda run: run.size >= size


def _struck(simulator: Simulator) -> Callable[[_Running], bool]:
    return lambda _: simulator.faults.report()[0]["strikes"] > 0
