"""Which export task is next, and what follows from what was seen. No I/O, no clock."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import structs

from tap_mobile_engagement.api.tasks import (
    AT_WORK,
    REFUSAL_LIMIT,
    Key,
    Note,
    PendingExport,
    Phase,
    has_succeeded,
    plain_id,
    task_lost,
)
from tap_mobile_engagement.clock import Schedule
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, RetryLaterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_mobile_engagement.api.client import TaskRefusedError
    from tap_mobile_engagement.api.tasks import ExportTask
    from tap_mobile_engagement.errors import TapError
    from tap_mobile_engagement.sources.base import Part
    from tap_mobile_engagement.state import TaskEntry

LOOK_AGAIN_FOR = timedelta(minutes=1)  # a success's blobs, before it counts as empty
TRIES_PER_WINDOW = 3  # failed tasks of one window after which it is halved
_TRIED_AGAIN = frozenset({Code.TASK_FAILED, Code.TASK_LOST})
TASK_IS_OVER = _TRIED_AGAIN | {Code.TASK_TIMEOUT, Code.UNKNOWN_TASK_STATE, Code.AMBIGUOUS_BLOBS}
"""Failures after which the state drops a task, and its range is exported again."""

_HALVED = _TRIED_AGAIN | {Code.TASK_TIMEOUT, Code.TASK_TOO_LARGE}
_BLOB_PAUSES = Schedule(first=1, largest=20, growth=2)


@dataclass(slots=True)
class Plan:
    """All exports that are due, in order; reports about others change nothing."""

    limit: int
    schedule: Schedule
    timeout: timedelta = timedelta(days=1)
    one_at_a_time: frozenset[str] = frozenset()  # whose tasks could be mixed up
    one_app: bool = False  # whether tasks of two apps could be
    read_first: set[str] = field(default_factory=set)  # who write over each other's blobs
    notes: deque[Note] = field(default_factory=deque)  # for the state; the caller removes them
    _exports: list[PendingExport] = field(default_factory=list)
    _task_ids: set[str] = field(default_factory=set)  # of all tasks of the run
    _turn: str | None = None  # the app whose tasks are created while it is one at a time
    _reading: list[PendingExport] = field(default_factory=list)  # one at most
    _refusals: int = 0  # in a row
    _closed_until: datetime | None = None  # the service is asked for no task before
    _idle_since: datetime | None = None  # it refuses though no task of ours is under way
    _put_off: Counter[Key] = field(default_factory=Counter)  # refused meanwhile

    def add(self, exports: Iterable[PendingExport]) -> None:
        """Put exports at the end of the plan: what is added first is wanted first."""
        self._exports += exports

    def counts(self) -> tuple[int, int]:
        """How many tasks are at work, and how many exports are not read yet."""
        running = sum(export.phase in AT_WORK for export in self._exports)
        return running, len(self._exports)

    def next_action(self, now: datetime) -> PendingExport | datetime | None:
        """The export with the most urgent action, or the time to ask again, if any."""
        at_work = [e for e in self._exports if e.phase in {Phase.RUNNING, Phase.WRITTEN}]
        due = [e for e in at_work if e.due_at is None or e.due_at <= now]
        if written := next((e for e in due if e.phase is Phase.WRITTEN), None):
            return written
        candidate = self._next_to_create(now)
        if isinstance(candidate, PendingExport):
            candidate.phase = Phase.CREATING
            return candidate
        if due:  # last, and the most overdue first, so that a slow service puts off none
            return min(due, key=lambda each: each.due_at or now)
        moments = (candidate, *(each.due_at for each in at_work))
        return min(filter(None, moments), default=None)

    def _next_to_create(self, now: datetime) -> PendingExport | datetime | None:
        """The first export that may have its task created now; or when one may."""
        running = sum(e.phase in {Phase.CREATING, Phase.RUNNING} for e in self._exports)
        if running >= self.limit:
            return None
        if self._closed_until and now < self._closed_until:
            return self._closed_until
        candidates = [*self._candidates()]
        due = [each for each in candidates if each.due_at is None or each.due_at <= now]
        if due:
            # One export that alone is refused, again and again, must not keep the others back.
            return min(due, key=lambda each: self._put_off[each.key])
        return min((each.due_at for each in candidates if each.due_at), default=None)

    def _candidates(self) -> Iterator[PendingExport]:
        """Exports whose tasks could be mixed up with none that is at work, nor each other."""
        busy = {e.key.data_type for e in self._exports if e.phase in AT_WORK}
        unread = [e for e in self._exports if e.phase is Phase.READY] + self._reading
        busy |= {export.key.data_type for export in unread} & self.read_first
        # The app that had the first task has its turn until it has nothing more to be done.
        to_be_done = AT_WORK | {Phase.DUE}
        apps = [export.key.app for export in self._exports if export.phase in to_be_done]
        if self._turn not in apps:
            self._turn = next(iter(apps), None)
        for export in self._exports:
            data_type, app = export.key
            near = BY_NAME[data_type].alike & busy
            if data_type not in self.one_at_a_time:
                near &= self.one_at_a_time
            is_due = export.phase is Phase.DUE and not near
            if is_due and (app == self._turn or not self.one_app):
                yield export
                if data_type in self.one_at_a_time:
                    busy.add(data_type)

    @property
    def to_resume(self) -> list[PendingExport]:
        """Exports whose task is of an earlier run and not polled yet."""
        return [e for e in self._exports if e.phase is Phase.DUE and e.task is not None]

    def has_task(self, task_id: str) -> bool:
        """Whether a task of the run has that id: no answer can give it to another export."""
        return plain_id(task_id) in self._task_ids

    def resume(
        self, export: PendingExport, now: datetime, *, retry_after: float | None = None
    ) -> None:
        """Begin to poll a task: a new one after the first pause, an older one at once."""
        assert export.task is not None  # noqa: S101  (there is one to resume)
        self._turn = self._turn or export.key.app
        self._task_ids.add(plain_id(export.task.id))
        if export.is_second_look:  # it has ended; what it may have written late is looked for
            export.phase, export.written_at = Phase.WRITTEN, now - LOOK_AGAIN_FOR
            return
        export.phase = Phase.RUNNING
        pause = timedelta(seconds=self.schedule.pause(0, retry_after=retry_after))
        # The clock of the machine that created it may have been ahead.
        created = min(export.task.created, now)
        export.task = structs.replace(export.task, created=created)
        export.due_at = max(now, created + pause)

    def created(
        self,
        export: PendingExport,
        task: TaskEntry,
        now: datetime,
        *,
        retry_after: float | None = None,
    ) -> None:
        """A task was created; the state has to know it, even of a stream that has failed."""
        export.task, export.asked_at = task, now
        self.notes.append(Note(export.key, task, is_over=False))
        self.resume(export, now, retry_after=retry_after)
        self._refusals, self._closed_until, self._idle_since = 0, None, None
        self._put_off.clear()

    def refused(
        self, export: PendingExport, refusal: TaskRefusedError, now: datetime
    ) -> timedelta | None:
        """No task for a pause, which is returned, or until one ends; None: all is given up."""
        export.phase = Phase.DUE
        seconds = self.schedule.pause(self._refusals, retry_after=refusal.retry_after)
        pause = timedelta(seconds=seconds)
        self._refusals += 1
        self._closed_until = now + pause
        if any(each.phase is Phase.RUNNING for each in self._exports):
            self._idle_since = None
            return pause
        self._put_off[export.key] += 1
        self._idle_since = self._idle_since or now
        if self._closed_until - self._idle_since <= REFUSAL_LIMIT:
            return pause
        step = "No task of this run is under way that could be why: run again later"
        self._create_no_more(RetryLaterError(refusal.code, refusal.what, next_step=step))
        return None

    def polled(self, export: PendingExport, answer: ExportTask | None, now: datetime) -> None:
        """A task was asked about (None: a 404): set its phase and the time of the next poll."""
        assert export.task is not None  # noqa: S101  (it was asked about)
        export.polls += 1
        export.misses = 0 if answer else export.misses + 1
        export.state = answer.state if answer else export.state
        retry_after = answer.retry_after if answer else None
        pause = self.schedule.pause(export.polls, retry_after=retry_after)
        export.due_at = now + timedelta(seconds=pause)
        deadline = export.task.created + self.timeout
        if now < deadline < export.due_at:
            # A poll at the deadline itself: a task that just made it is not given up.
            export.due_at = deadline
        if has_succeeded(export, answer, now, self.timeout):
            export.phase, export.due_at, export.written_at = Phase.WRITTEN, None, now
            export.polls = 0
            self._closed_until = None  # another may be taken in its place

    def searched(self, export: PendingExport, parts: Sequence[Part], now: datetime) -> bool:
        """Blobs were looked for: whether that is over. Raises TASK_LOST."""
        assert export.written_at is not None  # noqa: S101  (its phase is WRITTEN)
        until = export.written_at + LOOK_AGAIN_FOR
        if not parts and now < until:
            pause = timedelta(seconds=_BLOB_PAUSES.pause(export.polls))
            export.polls += 1
            export.due_at = min(now + pause, until)
            return False
        if not parts and export.asked_at is None and not export.is_second_look:
            raise task_lost("an export task of an earlier run left no blob, or they are gone")
        if self._is_written_over(export, parts):
            return True
        if parts or not export.is_second_look:
            export.phase, export.parts = Phase.READY, parts
        else:
            self._forget_task(export)
            self._exports = [each for each in self._exports if each is not export]
        return True

    def _is_written_over(self, export: PendingExport, parts: Sequence[Part]) -> bool:
        """Whether a task wrote over blobs that are not read yet: both are exported again."""
        if export.key.data_type not in self.one_at_a_time:
            return False
        names = {part.blob_name for part in parts}
        same_type = [e for e in self._exports if e.key.data_type == export.key.data_type]
        others = [other for other in same_type if other.phase is Phase.READY]
        if not any(part.blob_name in names for other in others for part in other.parts):
            return False
        self.read_first.add(export.key.data_type)
        for each in (*others, export):
            self._forget_task(each)
            each.phase, each.due_at = Phase.DUE, None
        return True

    def failed(self, export: PendingExport, error: TapError, now: datetime) -> None:
        """A task failed, or there is none: try again, halve the range, or give up."""
        is_second_look = export.is_second_look
        if error.code in TASK_IS_OVER:
            self._forget_task(export)
        if export not in self._exports:
            return
        if is_second_look and export.task is None:
            self._exports.remove(export)
            return
        export.failures += 1
        halves = export.window.halves() if export.window else None
        if error.code in _TRIED_AGAIN and export.failures < TRIES_PER_WINDOW:
            pause = self.schedule.pause(export.failures - 1)
            export.phase, export.due_at = Phase.DUE, now + timedelta(seconds=pause)
        elif error.code in _HALVED and halves:
            at = self._exports.index(export)
            self._exports[at : at + 1] = [
                PendingExport(export.key, half, export.campaign_type) for half in halves
            ]
        else:
            self._give_up(export, error)
        if error.code is Code.AMBIGUOUS_BLOBS:
            self._create_no_more(error)

    def _forget_task(self, export: PendingExport) -> None:
        if export.task is not None:
            self.notes.append(Note(export.key, export.task, is_over=True))
        export.drop_task()

    def _create_no_more(self, error: TapError) -> None:
        due = [export for export in self._exports if export.phase is Phase.DUE]
        first_of_each = {export.key: export for export in reversed(due)}
        for export in first_of_each.values():
            failure = type(error)(error.code, error.what, next_step=error.next_step)
            self._give_up(export, failure.at(**export.where))

    def _give_up(self, export: PendingExport, error: TapError) -> None:
        """Let it fail; no later one is created any more, because it could not be read."""
        export.phase, export.error = Phase.FAILED, error
        behind = self._exports.index(export) + 1
        self._exports[behind:] = [
            e for e in self._exports[behind:] if e.key != export.key or e.phase is not Phase.DUE
        ]

    def head(self, key: Key) -> PendingExport | None:
        """The export to be read next of that data type and app; None if none is left."""
        return next((export for export in self._exports if export.key == key), None)

    def take(self, export: PendingExport | None) -> None:
        """The reader has it, and has done with what it took before."""
        self._reading = [export] if export else []
        self._exports = [each for each in self._exports if each is not export]

    def abandon(self, key: Key) -> None:
        """Do nothing more for a stream that ended; its tasks stay in the state."""
        self.take(None)
        self._exports = [export for export in self._exports if export.key != key]
