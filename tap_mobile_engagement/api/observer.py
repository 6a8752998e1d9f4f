"""What happens to export tasks: the one place of log, progress, warnings and timeline."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import replace
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from tap_mobile_engagement.api.progress import SasExpiry, new_progress
from tap_mobile_engagement.api.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from tap_mobile_engagement.api.progress import Summary
    from tap_mobile_engagement.api.tasks import PendingExport

log = logging.getLogger(__name__)


_TASK = "app {app}: export task {task}"
_UNKNOWN = "is in state {detail!r}, which is unknown; it is watched until its time is up"
_EMPTY = "succeeded, but there is no content of it: {detail}"


class What(Enum):
    """What can happen to an export task: how the log says it, and the phase that begins."""

    CREATED = (logging.INFO, f"{_TASK} created: {{detail}}", "queued")
    RESUMED = (logging.INFO, "app {app}: taking up export task {task} ({data_type})", "queued")
    STATE = (logging.INFO, f"{_TASK} ({{data_type}}) is {{detail}}", None)
    UNKNOWN_STATE = (logging.WARNING, f"{_TASK} ({{data_type}}) {_UNKNOWN}", None)
    STARTED = (logging.INFO, "", "running")
    SUCCEEDED = (logging.INFO, "", "waiting")
    FAILED = (logging.WARNING, "{detail}", "failed")
    EMPTY = (logging.WARNING, f"{_TASK} ({{data_type}}) {_EMPTY}", None)
    REFUSED = (logging.INFO, "{detail}", None)
    READING = (logging.INFO, "", "reading")
    READ = (logging.INFO, "", "read")


class Observer:
    """Shows what happens, and when each SAS ends; threads may share it."""

    def __init__(
        self,
        now: Callable[[], datetime],
        *,
        sas_ends: Mapping[str, datetime | None] | None = None,
        timeline_path: str | None = None,
    ) -> None:
        self._now = now
        self._began_at = now()
        self._lock = threading.Lock()
        self._progress = new_progress()
        self._sas_expiry = SasExpiry(sas_ends or {})
        self._timeline = Timeline()
        self._timeline_path = timeline_path
        self._read = 0
        self._bytes_read = 0

    def happened(self, what: What, export: PendingExport, detail: object = "") -> None:
        """Something happened to the latest task of an export."""
        task_id = next(reversed(export.task_ids), None)
        level, line, phase = what.value
        data_type, app = export.key
        words = line.format(app=app, task=task_id, data_type=data_type, detail=detail)
        with self._lock:
            if words:
                log.log(level, "%s", words)
            if phase and task_id:
                self._timeline.begins(phase, task_id, f"{app}: {export}", self._now())

    def read(self, export: PendingExport, size: int) -> None:
        """All records of an export are out, whose files had that many bytes."""
        self._read += 1
        self._bytes_read += size
        self.happened(What.READ, export)

    def progressed(self, summary: Summary) -> None:
        """The tasks have come so far."""
        now = self._now()
        elapsed = max(now - self._began_at, timedelta())
        summary = replace(
            summary, read=self._read, bytes_read=self._bytes_read, elapsed=elapsed
        )
        with self._lock:
            self._progress.show(summary)
            for warning in self._sas_expiry.warnings(summary, now):
                log.warning("%s", warning)

    def close(self) -> None:
        """The run is over. No picture is worth a failed run."""
        with self._lock:
            self._progress.close()
            if self._timeline_path is None:
                return
            try:
                picture = self._timeline.svg(self._now())
                with open(self._timeline_path, "wb", opener=_open_at_once) as file:
                    file.write(picture.encode())
            except OSError as error:
                log.warning(
                    "The timeline could not be written to %s: %s", self._timeline_path, error
                )


def _open_at_once(path: str, flags: int) -> int:
    """The opener of a file; a pipe without a reader is refused, not waited for."""
    return os.open(path, flags | os.O_NONBLOCK, 0o666)
