"""What happens to export tasks: the one place of log, progress and timeline."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import suppress
from datetime import timedelta
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from tap_mobile_engagement.api.timeline import Timeline, in_words
from tap_mobile_engagement.containers.folder import open_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from rich.progress import TaskID

    from tap_mobile_engagement.api.tasks import PendingExport

_FIRST_LINE = timedelta(seconds=30)
_LAST_PAUSE = timedelta(minutes=30)

log = logging.getLogger(__name__)

_TASK = "app {app}: export task {task}"
_STATE = f"{_TASK} ({{data_type}}) is {{detail}}"
_UNKNOWN = "is in state {detail!r}, which is unknown; it is watched until its time is up"
_EMPTY = "succeeded, but there is no content of it: it counts as empty"


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
        """So many tasks are at work, and so many exports are still to be read."""
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
