"""How far a run has come: a live display on a terminal (extra ``progress``), else log lines."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import TaskID

_FIRST_LINE = timedelta(seconds=30)
_LAST_PAUSE = timedelta(minutes=30)

log = logging.getLogger(__name__)


def in_words(duration: timedelta) -> str:
    """A duration in whole seconds, as hours, minutes and seconds."""
    return str(timedelta(seconds=int(duration.total_seconds())))


@dataclass(frozen=True, slots=True)
class Summary:
    """How many export tasks are at work, how many exports were read, and how long it took."""

    running: int
    read: int
    total: int
    elapsed: timedelta

    def __str__(self) -> str:
        return (
            f"Export tasks: {self.read} of {self.total} read, {self.running} running; "
            f"{in_words(self.elapsed)} elapsed"
        )


class ProgressLines:
    """A line of the log at growing intervals."""

    def __init__(self) -> None:
        self._pause = self._due_at = _FIRST_LINE

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
            bars.TextColumn("{task.fields[running]} running"),
            bars.TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,  # messages go there
        )
        self._bar: TaskID | None = None
        self._restore: list[Callable[[], object]] = []

    def show(self, summary: Summary) -> None:
        """Move the bar."""
        if self._bar is None:
            self._begin()
            self._bar = self._bars.add_task("", running=0)
        self._bars.update(
            self._bar, completed=summary.read, total=summary.total, running=summary.running
        )

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
