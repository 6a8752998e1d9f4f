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

PHASES = {
    "queued": ("#c9ced6", "queued by the service"),
    "running": ("#4c78a8", "running at the service"),
    "waiting": ("#f2cf5b", "written, not yet read"),
    "reading": ("#54a24b", "read by the tap"),
    "failed": ("#e45756", "failed"),
}
"""The colour of each phase of a task, and what it is; a task that is done is "read"."""

log = logging.getLogger(__name__)

_TASK = "app {app}: export task {task}"
_STATE = f"{_TASK} ({{data_type}}) is {{detail}}"
_UNKNOWN = "is in state {detail!r}, which is unknown; it is watched until its time is up"
_EMPTY = "succeeded, but there is no content of it: {detail}"


class What(Enum):
    """What can happen to an export task: how the log says it, and the phase that begins."""

    CREATED = (logging.INFO, f"{_TASK} created: {{detail}}", "queued")
    RESUMED = (logging.INFO, "app {app}: taking up export task {task} ({data_type})", "queued")
    STATE = (logging.INFO, _STATE, None)
    UNKNOWN_STATE = (logging.WARNING, f"{_TASK} ({{data_type}}) {_UNKNOWN}", None)
    STARTED = (logging.INFO, _STATE, "running")
    SUCCEEDED = (logging.INFO, _STATE, "waiting")
    FAILED = (logging.WARNING, "{detail}", "failed")
    EMPTY = (logging.WARNING, f"{_TASK} ({{data_type}}) {_EMPTY}", None)
    REFUSED = (logging.INFO, "{detail}", None)
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
        self._live = new_live_progress()
        self._pause = self._line_due_at = _FIRST_LINE
        self._timeline = Timeline()
        self._timeline_path = timeline_path
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
            if phase and task_id:
                self._timeline.begins(phase, task_id, f"{app}: {export}", self._now())

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
                picture = self._timeline.svg(self._now())
                with open(self._timeline_path, "wb", opener=open_private) as file:
                    file.write(picture.encode())
            except OSError as error:
                log.warning(
                    "The timeline could not be written to %s: %s", self._timeline_path, error
                )


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

    def show(self, read: int, total: int, running: int) -> None:
        """Move the bar."""
        if self._bar is None:
            self._begin()
            self._bar = self._bars.add_task("", running=0)
        self._bars.update(self._bar, completed=read, total=total, running=running)

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


def new_live_progress() -> LiveProgress | None:
    """The live display, where there is a terminal and the extra."""
    with suppress(ImportError):
        return LiveProgress() if sys.stderr.isatty() else None
    return None


def in_words(duration: timedelta) -> str:
    """A duration in whole seconds, as hours, minutes and seconds."""
    return str(timedelta(seconds=int(duration.total_seconds())))


class Timeline:
    """Collects when the phases of export tasks begin, and draws them."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._times: dict[str, dict[str, datetime]] = {}  # phase → begin, by task

    def begins(self, phase: str, task_id: str, label: str, at: datetime) -> None:
        """A phase of a task begins: one of :data:`PHASES`, or "read"."""
        self._labels.setdefault(task_id, label)
        self._times.setdefault(task_id, {}).setdefault(phase, at)

    def svg(self, end: datetime) -> str:
        """The picture of a run that ended then."""
        begin = min((min(times.values()) for times in self._times.values()), default=end)
        span = max((end - begin).total_seconds(), 1.0)
        height = _TOP + _ROW * len(self._times) + _BOTTOM
        parts = [_head(begin, end, len(self._times), height), *_grid(span, height)]
        for row, (task_id, times) in enumerate(self._times.items()):
            label, y = self._labels[task_id], _TOP + row * _ROW
            parts.append(f"<g>{_text(_LEFT - 8, y + 12, label, anchor='end')}")
            known = [(name, times[name]) for name in (*PHASES, "read") if name in times]
            for (name, start), (_, until) in pairwise([*known, ("", end)]):
                if name == "read":
                    continue
                last = start if name == "failed" else until
                left, right = (
                    _LEFT + (at - begin).total_seconds() / span * _WIDTH for at in (start, last)
                )
                width = max(right - left, _LEAST_WIDTH)
                parts.append(_rect(left, y + 2, width, _ROW - 5, PHASES[name][0]))
            parts.append("</g>")
        return "\n".join([*parts, "</svg>\n"])


def _text(x: float, y: int, text: str, *, anchor: str = "start", size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(text)}</text>"
    )


def _rect(x: float, y: int, width: float, height: int, color: str) -> str:
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" fill="{color}"/>'


def _head(begin: datetime, end: datetime, tasks: int, height: int) -> str:
    width = _LEFT + _WIDTH + 20
    title = (
        f"{tasks} export tasks from {begin.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, "
        f"{in_words(end - begin)}"
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="system-ui, sans-serif" fill="#333">'
    )
    parts = [svg, _rect(0, 0, width, height, "#fff"), _text(_LEFT, 22, title, size=14)]
    x = _LEFT
    for color, words in PHASES.values():
        parts += [_rect(x, 34, 10, 10, color), _text(x + 14, 43, words)]
        x += 30 + 7 * len(words)
    return "\n".join(parts)


def _grid(span: float, height: int) -> list[str]:
    lines = []
    for number in range(_PARTS + 1):
        x = _LEFT + number / _PARTS * _WIDTH
        words = in_words(timedelta(seconds=number / _PARTS * span))
        lines += [
            _rect(x, _TOP - 6, 1, height - _BOTTOM + 10 - _TOP, "#ddd"),
            _text(x, height - 10, words, anchor="middle"),
        ]
    return lines
