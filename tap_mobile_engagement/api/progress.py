"""How far a run has come, for the person who waits hours for it.

With a terminal on standard error there is a live display, if the extra ``progress`` is
installed; everywhere else, and in every pipeline, a line of the log at growing intervals.
"""

from __future__ import annotations

import logging
import sys
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from tap_mobile_engagement.api.observer import Observer
from tap_mobile_engagement.api.tasks import Phase

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from rich.progress import TaskID

    from tap_mobile_engagement.api.observer import Summary

_FIRST_LINE = timedelta(seconds=30)
_LAST_PAUSE = timedelta(minutes=30)
_MEGABYTE = 1_000_000

log = logging.getLogger(__name__)


def line(summary: Summary) -> str:
    """How far a run has come, as a line for the log."""
    left = summary.time_left
    phases = summary.phases
    return (
        f"Export tasks: {summary.read} of {summary.total} read "
        f"({summary.bytes_read / _MEGABYTE:,.1f} MB), {summary.running} running, "
        f"{phases[Phase.READY]} waiting to be read, {phases[Phase.DUE]} to come; "
        f"{_short(summary.elapsed)} elapsed, "
        + (f"about {_short(left)} left" if left is not None else "no estimate yet")
    )


class ProgressLines(Observer):
    """A line of the log at growing intervals."""

    def __init__(self) -> None:
        self._pause = _FIRST_LINE
        self._due_at = _FIRST_LINE

    def progressed(self, summary: Summary, now: datetime) -> None:
        """Log a line, if the last one is long enough ago."""
        del now
        if summary.elapsed >= self._due_at:
            log.info("%s", line(summary))
            self._pause = min(self._pause * 2, _LAST_PAUSE)
            self._due_at = summary.elapsed + self._pause


class LiveProgress(Observer):
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

    def progressed(self, summary: Summary, now: datetime) -> None:
        """Move the bar."""
        del now
        left = summary.time_left
        words = f"{summary.running} running, {summary.bytes_read / _MEGABYTE:,.1f} MB read"
        if left is not None:
            words += f", about {_short(left)} left"
        if self._bar is None:
            self._begin(words, summary.total)
        assert self._bar is not None  # noqa: S101  (it was begun)
        self._bars.update(self._bar, completed=summary.read, total=summary.total, words=words)

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


def new_progress() -> Observer:
    """The display that fits: live on a terminal, lines everywhere else."""
    if sys.stderr.isatty():
        try:
            return LiveProgress()
        except ImportError:
            pass
    return ProgressLines()


def _short(duration: timedelta) -> str:
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
