"""How far a run has come, and whether each SAS lasts as long as the work ahead.

A live display on a terminal (extra ``progress``) shows it, else lines of the log. For a SAS the
longest time of a task counts until the first one has ended, afterwards the usual time.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from tap_mobile_engagement.api.tasks import AT_WORK, TO_BE_DONE, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rich.progress import TaskID

RUNNING_LOW = (timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))
"""Remaining lives of a SAS at which a warning is repeated as long as there is work."""

_FIRST_LINE = timedelta(seconds=30)
_LAST_PAUSE = timedelta(minutes=30)

log = logging.getLogger(__name__)


def in_words(duration: timedelta) -> str:
    """A duration in whole seconds, as hours, minutes and seconds."""
    return str(timedelta(seconds=int(duration.total_seconds())))


@dataclass(frozen=True, slots=True)
class Summary:
    """How far a run has come; ``phases`` count exports without the ``read`` ones.

    ``usual_time`` is a task's average, None before the first has succeeded; ``longest`` is how
    long one may take, ``limit`` how many run at once.
    """

    phases: Mapping[Phase, int]
    usual_time: timedelta | None
    longest: timedelta
    limit: int
    read: int = 0
    bytes_read: int = 0
    elapsed: timedelta = timedelta()

    @property
    def running(self) -> int:
        """Tasks that the service works on, or has just finished."""
        return sum(self.phases.get(phase, 0) for phase in AT_WORK)

    @property
    def to_be_done(self) -> int:
        """Tasks that have not ended or have not been created yet."""
        return sum(self.phases.get(phase, 0) for phase in TO_BE_DONE)

    @property
    def total(self) -> int:
        """All exports of the run."""
        return self.read + sum(self.phases.values())

    @property
    def rounds_take(self) -> timedelta:
        """How long the tasks to be done take, one round after another, at worst."""
        if self.usual_time is None:
            return self.longest  # one round has to fit; more of them would be too careful
        rounds = -(-self.to_be_done // self.limit)
        return min(self.usual_time, self.longest) * rounds

    def time_left(self, unknown: str) -> str:
        """How long the service will still need at this pace, in words."""
        if self.usual_time is None:
            return unknown
        # On average, a task that runs has come half of its way.
        to_come = self.phases.get(Phase.DUE, 0) + self.running / 2
        return f"about {in_words(self.usual_time * to_come / self.limit)} left"

    def __str__(self) -> str:
        ready, due = self.phases.get(Phase.READY, 0), self.phases.get(Phase.DUE, 0)
        return (
            f"Export tasks: {self.read} of {self.total} read "
            f"({self.bytes_read / 1e6:,.1f} MB), {self.running} running, "
            f"{ready} waiting to be read, {due} to come; "
            f"{in_words(self.elapsed)} elapsed, {self.time_left('no estimate yet')}"
        )


class ProgressLines:
    """A line of the log at growing intervals."""

    def __init__(self) -> None:
        self._pause = _FIRST_LINE
        self._due_at = _FIRST_LINE

    def show(self, summary: Summary) -> None:
        """Log a line, if the last one is long enough ago."""
        if summary.elapsed >= self._due_at:
            log.info("%s", summary)
            self._pause = min(self._pause * 2, _LAST_PAUSE)
            self._due_at = summary.elapsed + self._pause

    def close(self) -> None:
        """The run is over."""


class LiveProgress:
    """A bar on the terminal, below the lines of the log; ImportError without ``progress``."""

    def __init__(self) -> None:
        from rich import progress as bars  # noqa: PLC0415  (an extra)
        from rich.console import Console  # noqa: PLC0415

        self._bars = bars.Progress(
            bars.TextColumn("export tasks"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TextColumn("{task.fields[words]}"),
            bars.TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,  # messages go there
        )
        self._bar: TaskID | None = None
        self._restore: list[Callable[[], object]] = []

    def show(self, summary: Summary) -> None:
        """Move the bar."""
        words = f"{summary.running} running, {summary.bytes_read / 1e6:,.1f} MB read"
        if left := summary.time_left(""):
            words += f", {left}"
        if self._bar is None:
            self._begin()
            self._bar = self._bars.add_task("", words=words)
        self._bars.update(self._bar, completed=summary.read, total=summary.total, words=words)

    def _begin(self) -> None:
        terminal = sys.stderr
        self._bars.start()
        # The display takes the place of standard error; the log has to go through it.
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is terminal:
                handler.setStream(sys.stderr)
                self._restore.append(partial(handler.setStream, terminal))

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bars.stop()
        for restore in self._restore:
            restore()
        self._restore.clear()


def new_progress() -> ProgressLines | LiveProgress:
    """The display that fits: live on a terminal, lines everywhere else."""
    if sys.stderr.isatty():
        try:
            return LiveProgress()
        except ImportError:
            pass
    return ProgressLines()


class SasExpiry:
    """Warns before a SAS ends; ``ends`` has the times, aware, of the settings that say one."""

    def __init__(self, ends: Mapping[str, datetime | None]) -> None:
        self._ends = {setting: end for setting, end in ends.items() if end is not None}
        self._lowest: dict[str, timedelta] = {}  # that was warned of
        self._forecast: set[tuple[str, bool]] = set()

    def warnings(self, summary: Summary, now: datetime) -> Iterator[str]:
        """The warnings that are due now, each once."""
        if not summary.to_be_done:
            return
        for setting, end in self._ends.items():
            left = end - now
            low = next((step for step in RUNNING_LOW if left <= step), timedelta.max)
            forecast = (setting, summary.usual_time is not None)
            is_short = left < summary.rounds_take and forecast not in self._forecast
            is_lower = low < self._lowest.get(setting, timedelta.max)
            if is_short or is_lower:
                yield _warning(setting, end, left, summary)
            if is_short:
                self._forecast.add(forecast)
            if is_lower:
                self._lowest[setting] = low


def _warning(setting: str, end: datetime, left: timedelta, summary: Summary) -> str:
    speed = (
        f"one may take up to {in_words(summary.longest)} (task_timeout_minutes)"
        if summary.usual_time is None
        else f"they took {in_words(summary.usual_time)} each so far, {summary.limit} at a time"
    )
    return (
        f"The SAS in the setting {setting} ends at {end:%Y-%m-%dT%H:%M:%SZ}, in "
        f"{in_words(max(left, timedelta()))}, and {summary.to_be_done} export tasks are "
        f"still to be done: {speed}. Put a SAS that lasts longer into the settings; what is "
        "done by then stays done, and the next run continues from there"
    )
