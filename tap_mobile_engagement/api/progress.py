"""How far a run has come, for the person who waits hours for it.

With a terminal on standard error there is a live display, if the extra ``progress`` is
installed; everywhere else, and in every pipeline, a line of the log at growing intervals.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Protocol

from tap_mobile_engagement.api.plan import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.progress import TaskID

_FIRST_LINE = timedelta(seconds=30)
_LAST_PAUSE = timedelta(minutes=30)
_MEGABYTE = 1_000_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands.

    Attributes:
        read: How many exports have been read.
        phases: How many others are in each phase.
        bytes_read: Bytes of files read, as stored.
        elapsed: Since the run began.
        usual_time: What an export task took on average; None before the first has succeeded.
        limit: How many tasks run at once.
    """

    read: int
    phases: Mapping[Phase, int]
    bytes_read: int
    elapsed: timedelta
    usual_time: timedelta | None
    limit: int

    @property
    def running(self) -> int:
        """Tasks that the service works on, or has just finished."""
        return sum(self.phases[p] for p in (Phase.CREATING, Phase.RUNNING, Phase.WRITTEN))

    @property
    def total(self) -> int:
        """All exports of the run."""
        return self.read + sum(self.phases.values())

    @property
    def left(self) -> timedelta | None:
        """How long the service will still need, if it goes on like this."""
        if self.usual_time is None:
            return None
        # On average, a task that runs has come half of its way.
        to_come = self.phases[Phase.DUE] + self.running / 2
        return self.usual_time * to_come / self.limit

    def __str__(self) -> str:
        """The line for the log."""
        left = self.left
        return (
            f"Export tasks: {self.read} of {self.total} read "
            f"({self.bytes_read / _MEGABYTE:,.1f} MB), {self.running} running, "
            f"{self.phases[Phase.READY]} waiting to be read, {self.phases[Phase.DUE]} to come; "
            f"{_short(self.elapsed)} elapsed, "
            + (f"about {_short(left)} left" if left is not None else "no estimate yet")
        )


class Progress(Protocol):
    """Shows how far a run has come."""

    def show(self, standing: Standing) -> None:
        """Take note of where the run stands; show it when it is time."""

    def close(self) -> None:
        """Nothing more is to be shown."""


class ProgressLines:
    """A line of the log at growing intervals."""

    def __init__(self) -> None:
        self._pause = _FIRST_LINE
        self._due_at = _FIRST_LINE

    def show(self, standing: Standing) -> None:
        """Log a line, if the last one is long enough ago."""
        if standing.elapsed >= self._due_at:
            log.info("%s", standing)
            self._pause = min(self._pause * 2, _LAST_PAUSE)
            self._due_at = standing.elapsed + self._pause

    def close(self) -> None:
        """Nothing to do."""


class LiveProgress:
    """A bar on the terminal, below the lines of the log.

    Raises:
        ImportError: If the extra ``progress`` is not installed.
    """

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415  (an extra)
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
        )
        from rich.progress import Progress as Bars  # noqa: PLC0415

        self._bars = Bars(
            TextColumn("export tasks"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,  # messages go there
        )
        self._bar: TaskID | None = None
        self._restore: list[Callable[[], object]] = []

    def show(self, standing: Standing) -> None:
        """Move the bar."""
        left = standing.left
        words = f"{standing.running} running, {standing.bytes_read / _MEGABYTE:,.1f} MB read"
        if left is not None:
            words += f", about {_short(left)} left"
        if self._bar is None:
            self._begin(words, standing.total)
        assert self._bar is not None  # noqa: S101  (it was begun)
        self._bars.update(self._bar, completed=standing.read, total=standing.total, words=words)

    def _begin(self, words: str, total: int) -> None:
        terminal = sys.stderr
        self._bars.start()
        # The display stands in for standard error now; the log has to go through it.
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is terminal:
                handler.setStream(sys.stderr)
                self._restore.append(partial(handler.setStream, terminal))
        self._bar = self._bars.add_task("", total=total, words=words)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bars.stop()
        for restore in self._restore:
            restore()
        self._restore.clear()


def new_progress() -> Progress:
    """The display that fits: live on a terminal, lines everywhere else."""
    if sys.stderr.isatty():
        try:
            return LiveProgress()
        except ImportError:
            pass
    return ProgressLines()


def since(begin: datetime, now: datetime) -> timedelta:
    """How long it has been; never less than nothing, whatever the clock did."""
    return max(now - begin, timedelta())


def _short(duration: timedelta) -> str:
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
