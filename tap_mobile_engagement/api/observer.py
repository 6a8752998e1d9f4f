"""What happens to export tasks: the one place of log, progress, warnings and timeline."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import replace
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING

from tap_mobile_engagement.api.progress import new_progress
from tap_mobile_engagement.api.sas_expiry import SasExpiry
from tap_mobile_engagement.api.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from tap_mobile_engagement.api.progress import Summary
    from tap_mobile_engagement.api.tasks import PendingExport

log = logging.getLogger(__name__)


class What(Enum):
    """What can happen to an export task, and what the detail of it says."""

    CREATED = auto()  # how it is described to the service
    RESUMED = auto()
    STATE = auto()  # its new state; the first time it is seen
    STARTED = auto()
    UNKNOWN_STATE = auto()  # the state
    SUCCEEDED = auto()
    FAILED = auto()  # the error, where the task is tried again
    EMPTY = auto()  # what it counts as
    REFUSED = auto()  # what the service said
    READING = auto()
    READ = auto()


_TASK = "app {app}: export task {task}"
_UNKNOWN = "is in state {detail!r}, which is unknown; it is watched until its time is up"
_EMPTY = "succeeded, but there is no content of it: {detail}"
_LINES = {
    What.CREATED: (logging.INFO, f"{_TASK} created: {{detail}}"),
    What.RESUMED: (logging.INFO, "app {app}: taking up export task {task} ({data_type})"),
    What.STATE: (logging.INFO, f"{_TASK} ({{data_type}}) is {{detail}}"),
    What.UNKNOWN_STATE: (logging.WARNING, f"{_TASK} ({{data_type}}) {_UNKNOWN}"),
    What.EMPTY: (logging.WARNING, f"{_TASK} ({{data_type}}) {_EMPTY}"),
    What.FAILED: (logging.WARNING, "{detail}"),
    What.REFUSED: (logging.INFO, "{detail}"),
}
_PHASES = {
    What.CREATED: "queued",
    What.RESUMED: "queued",
    What.STARTED: "running",
    What.SUCCEEDED: "waiting",
    What.READING: "reading",
    What.FAILED: "failed",
    What.READ: "read",
}


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

    def happened(
        self,
        what: What,
        export: PendingExport,
        *,
        task_id: str | None = None,
        detail: object = "",
    ) -> None:
        """Something happened to an export's task, by default to the one that it has."""
        task_id = task_id or (export.task.id if export.task else None)
        key, words = export.key, str(detail)
        with self._lock:
            if what in _LINES and (words or what is not What.FAILED):
                level, line = _LINES[what]
                places = {"app": key.app, "data_type": key.data_type}
                log.log(level, "%s", line.format(task=task_id, detail=words, **places))
            if what in _PHASES and task_id:
                data_type, _, rest = str(export).partition(" ")
                label = " ".join(part for part in (data_type, key.app, rest) if part)
                self._timeline.begins(_PHASES[what], task_id, label, self._now())

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
            self._sas_expiry.progressed(summary, now)

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
