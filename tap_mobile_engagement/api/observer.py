"""What happens to export tasks, told to everything that wants to know.

The runner and the source report here and know none of the observers: log lines, progress,
warnings about a SAS, the timeline.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from tap_mobile_engagement.api.tasks import AT_WORK, TO_BE_DONE, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta

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
    EMPTY = auto()
    REFUSED = auto()  # what the service said
    READING = auto()
    READ = auto()


class Event(NamedTuple):
    """Something that happened to an export and its task.

    Attributes:
        what: What it was.
        at: When.
        export: The export.
        task_id: The task; None if there was none.
        detail: More of it, in words.
    """

    what: What
    at: datetime
    export: PendingExport
    task_id: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class Summary:
    """How far a run has come.

    Attributes:
        read: How many exports have been read.
        phases: How many others are in each phase.
        bytes_read: Bytes of files read, as stored.
        elapsed: Since the run began.
        usual_time: What an export task took on average; None before the first has succeeded.
        longest: How long one may take.
        limit: How many tasks run at once.
    """

    read: int
    phases: Mapping[Phase, int]
    bytes_read: int
    elapsed: timedelta
    usual_time: timedelta | None
    longest: timedelta
    limit: int

    @property
    def running(self) -> int:
        """Tasks that the service works on, or has just finished."""
        return sum(self.phases[phase] for phase in AT_WORK)

    @property
    def to_be_done(self) -> int:
        """Tasks that have not ended or have not been created yet."""
        return sum(self.phases[phase] for phase in TO_BE_DONE)

    @property
    def total(self) -> int:
        """All exports of the run."""
        return self.read + sum(self.phases.values())

    @property
    def time_left(self) -> timedelta | None:
        """How long the service will still need, if it continues like this."""
        if self.usual_time is None:
            return None
        # On average, a task that runs has come half of its way.
        to_come = self.phases[Phase.DUE] + self.running / 2
        return self.usual_time * to_come / self.limit

    @property
    def rounds_take(self) -> timedelta:
        """How long the tasks to be done take, one round after another, at worst."""
        if self.usual_time is None:
            # How many rounds of the longest time would be far too much; one has to fit.
            return self.longest
        rounds = -(-self.to_be_done // self.limit)
        return min(self.usual_time, self.longest) * rounds


class Observer:
    """Is told of events and, now and then, how far the run has come."""

    def happened(self, event: Event) -> None:
        """Something happened to a task."""

    def progressed(self, summary: Summary, now: datetime) -> None:
        """The run has come so far."""

    def close(self) -> None:
        """The run is over."""


class Observers:
    """All observers as one; safe to use from several threads.

    Args:
        observers: Whom to tell.
        now: The clock.
    """

    def __init__(self, observers: Sequence[Observer], now: Callable[[], datetime]) -> None:
        self._observers = observers
        self._now = now
        self._lock = threading.Lock()

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
        event = Event(what, self._now(), export, task_id, str(detail))
        with self._lock:
            for observer in self._observers:
                observer.happened(event)

    def progressed(self, summary: Summary) -> None:
        """The run has come so far."""
        with self._lock:
            for observer in self._observers:
                observer.progressed(summary, self._now())

    def close(self) -> None:
        """The run is over."""
        with self._lock:
            for observer in self._observers:
                observer.close()


class LogLines(Observer):
    """A line of the log for each event that matters to people."""

    def happened(self, event: Event) -> None:
        """Log it."""
        key, detail = event.export.key, event.detail
        task = f"app {key.app}: export task {event.task_id} ({key.data_type})"
        match event.what:
            case What.CREATED:
                log.info("app %s: export task %s created: %s", key.app, event.task_id, detail)
            case What.RESUMED:
                log.info(
                    "app %s: taking up export task %s (%s)",
                    key.app,
                    event.task_id,
                    key.data_type,
                )
            case What.STATE:
                log.info("%s is %s", task, detail)
            case What.UNKNOWN_STATE:
                log.warning(
                    "%s is in state %r, which is unknown; it is watched until its time is up",
                    task,
                    detail,
                )
            case What.EMPTY:
                log.warning(
                    "%s succeeded, but there is no content of it: its range counts as empty, "
                    "and the next run looks once more",
                    task,
                )
            case What.FAILED if detail:
                log.warning("%s", detail)
            case What.REFUSED:
                log.info("%s", detail)
            case _:
                pass
