"""What happens to export tasks: the one place of log, progress and timeline."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from tap_mobile_engagement.api.progress import Summary, new_progress
from tap_mobile_engagement.api.timeline import Timeline
from tap_mobile_engagement.containers.folder import open_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tap_mobile_engagement.api.tasks import PendingExport

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
        self._progress = new_progress()
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
        elapsed = max(self._now() - self._began_at, timedelta())
        with self._lock:
            read = self._read
            self._progress.show(Summary(running, read, read + unread, elapsed))

    def close(self) -> None:
        """The run is over. No picture is worth a failed run."""
        with self._lock:
            self._progress.close()
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
