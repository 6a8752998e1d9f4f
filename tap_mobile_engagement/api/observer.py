"""What happens to export tasks: the one place of log, progress and timeline."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import partial
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from tap_mobile_engagement.api.tasks import TaskState
from tap_mobile_engagement.containers.folder import open_private

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import TaskID

    from tap_mobile_engagement.api.tasks import PendingExport

_FIRST_LINE = timedelta(seconds=30)
_LAST_PAUSE = timedelta(minutes=30)
_ROW = 18  # pixels per task
_LEFT = 380  # pixels for the labels
_WIDTH = 900  # pixels for the time
_TOP = 64
_BOTTOM = 28
_PARTS = 8  # of the time, between two lines of the grid
_LEAST_WIDTH = 2.0  # pixels; so that a short phase is seen at all

# The colour of each phase of a task, and what it is; a task that is done is "read".
_PHASES = {
    "queued": ("#c9ced6", "queued by the service"),
    "running": ("#4c78a8", "running at the service"),
    "waiting": ("#f2cf5b", "written, not yet read"),
    "reading": ("#54a24b", "read by the tap"),
    "failed": ("#e45756", "failed"),
}
_PHASE_OF: dict[object, str] = {TaskState.STARTED: "running", TaskState.SUCCEEDED: "waiting"}

log = logging.getLogger(__name__)

_TASK = "app {app}: export task {task}"
_EMPTY = "succeeded, but there is no content of it: {detail}"


class What(Enum):
    """What can happen to an export task: how the log says it, and the phase that begins."""

    CREATED = (logging.INFO, f"{_TASK} created: {{detail}}", "queued")
    RESUMED = (logging.INFO, "app {app}: taking up export task {task} ({data_type})", "queued")
    STATE = (logging.INFO, f"{_TASK} ({{data_type}}) is {{detail}}", None)
    FAILED = (logging.WARNING, "{detail}", "failed")
    EMPTY = (logging.WARNING, f"{_TASK} ({{data_type}}) {_EMPTY}", None)
    READING = (logging.INFO, "", "reading")
    READ = (logging.INFO, "", "read")


class Observer:
    """Shows what happens; threads may share it."""

    def __init__(
        self, now: Callable[[], datetime], *, timeline_path: str | None = None
    ) -> None:
        self._now = now
        self._began_at = now()
        self._lock = threading.Lock()
        self._live: LiveProgress | None = None
        with suppress(ImportError):
            self._live = LiveProgress() if sys.stderr.isatty() else None
        self._pause = self._line_due_at = _FIRST_LINE
        self._timeline_path = timeline_path
        self._times: dict[tuple[str, str], dict[str, datetime]] = {}  # of phases, by task
        self._read = 0

    def happened(self, what: What, export: PendingExport, detail: object = "") -> None:
        """Something happened to the latest task of an export."""
        task_id = next(reversed(export.task_ids), None)
        level, line, phase = what.value
        data_type, app = export.key
        words = line.format(app=app, task=task_id, data_type=data_type, detail=detail)
        with self._lock:
            self._read += what is What.READ
            if words:
                log.log(level, "%s", words)
            if what is What.STATE:
                phase = _PHASE_OF.get(detail)
            if phase and task_id:
                times = self._times.setdefault((task_id, f"{app}: {export}"), {})
                times.setdefault(phase, self._now())

    def progressed(self, *, running: int, unread: int) -> None:
        """Show how many tasks are at work, and how many exports are still to be read."""
        elapsed = self._now() - self._began_at
        with self._lock:
            if self._live is not None:
                self._live.show(self._read, self._read + unread, running)
            elif elapsed >= self._line_due_at:
                words = "Export tasks: %d of %d read, %d running; %s elapsed"
                total = self._read + unread
                log.info(words, self._read, total, running, in_words(elapsed))
                self._pause = min(self._pause * 2, _LAST_PAUSE)
                self._line_due_at = elapsed + self._pause

    def close(self) -> None:
        """The run is over. No picture is worth a failed run."""
        with self._lock:
            if self._live is not None:
                self._live.close()
            if self._timeline_path is None:
                return
            try:
                with open(self._timeline_path, "wb", opener=open_private) as file:
                    file.write(self._picture(self._now()).encode())
            except OSError as error:
                log.warning("The timeline could not be written: %s", error)

    def _picture(self, end: datetime) -> str:
        """The timeline of a run that ended then."""
        begin = min((min(times.values()) for times in self._times.values()), default=end)
        span = max((end - begin).total_seconds(), 1.0)
        width, height = _LEFT + _WIDTH + 20, _TOP + _ROW * len(self._times) + _BOTTOM
        title = (
            f"{len(self._times)} export tasks from "
            f"{begin.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, {in_words(end - begin)}"
        )
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" font-size="11">'
        )
        parts = [svg, _rect(0, 0, width, height, "#fff"), _text(_LEFT, 22, title)]
        x: float = _LEFT
        for color, words in _PHASES.values():
            parts += [_rect(x, 34, 10, 10, color), _text(x + 14, 43, words)]
            x += 30 + 7 * len(words)
        for number in range(_PARTS + 1):
            x = _LEFT + number / _PARTS * _WIDTH
            words = in_words(timedelta(seconds=number / _PARTS * span))
            parts.append(_rect(x, _TOP - 6, 1, height - _BOTTOM + 10 - _TOP, "#ddd"))
            parts.append(_text(x, height - 10, words, anchor="middle"))
        for row, ((_, label), times) in enumerate(self._times.items()):
            y = _TOP + row * _ROW
            parts.append(f"<g>{_text(_LEFT - 8, y + 12, label, anchor='end')}")
            known = [(name, times[name]) for name in (*_PHASES, "read") if name in times]
            for (name, start), (_, until) in pairwise([*known, ("", end)]):
                if name == "read":
                    continue
                last = start if name == "failed" else until
                left, right = (
                    _LEFT + (at - begin).total_seconds() / span * _WIDTH for at in (start, last)
                )
                bar = max(right - left, _LEAST_WIDTH)
                parts.append(_rect(left, y + 2, bar, _ROW - 5, _PHASES[name][0]))
            parts.append("</g>")
        return "\n".join([*parts, "</svg>\n"])


class LiveProgress:
    """A bar on the terminal, below the lines of the log; ImportError without ``progress``."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415  (an extra)
        from rich.progress import BarColumn, Progress, TimeElapsedColumn  # noqa: PLC0415

        words = "{task.completed}/{task.total}, {task.fields[running]} running"
        columns = ("export tasks", BarColumn(), words, TimeElapsedColumn())
        terminal = Console(stderr=True)  # (messages go to standard output)
        self._bars = Progress(*columns, console=terminal, transient=True, redirect_stdout=False)
        self._bar: TaskID | None = None
        self._restore: list[Callable[[], object]] = []

    def show(self, read: int, total: int, running: int) -> None:
        """Move the bar."""
        if self._bar is None:
            terminal = sys.stderr
            self._bars.start()
            # The display takes the place of standard error; the log has to go through it.
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler) and handler.stream is terminal:
                    handler.setStream(sys.stderr)
                    self._restore.append(partial(handler.setStream, terminal))
            self._bar = self._bars.add_task("", running=0)
        self._bars.update(self._bar, completed=read, total=total, running=running)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bars.stop()
        for restore in self._restore:
            restore()
        self._restore.clear()


def in_words(duration: timedelta) -> str:
    """A duration in whole seconds, as hours, minutes and seconds."""
    return str(timedelta(seconds=int(duration.total_seconds())))


def _text(x: float, y: int, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _rect(x: float, y: int, width: float, height: int, color: str) -> str:
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" fill="{color}"/>'
