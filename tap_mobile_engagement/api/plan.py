"""Which export task is next, and what follows from what was seen. No I/O, no clock.

The runner asks the :class:`Plan` for the next action, does it, and reports the outcome. A
report about an export that is no longer in the plan changes nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import structs

from tap_mobile_engagement.api.policy import Intake, has_succeeded
from tap_mobile_engagement.api.tasks import (
    AT_WORK,
    TO_BE_DONE,
    Key,
    Note,
    PendingExport,
    Phase,
    plain_id,
)
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, RetryLaterError
from tap_mobile_engagement.retry import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_mobile_engagement.api.client import TaskRefusedError
    from tap_mobile_engagement.api.tasks import ExportTask
    from tap_mobile_engagement.errors import TapError
    from tap_mobile_engagement.sources.base import Part
    from tap_mobile_engagement.state import TaskEntry

LOOK_AGAIN_FOR = timedelta(minutes=1)
"""How long after the success of a task its blobs are looked for, before it counts as empty."""

TRIES_PER_WINDOW = 3
"""Failed tasks of one window after which it is halved."""

TASK_IS_OVER = frozenset(
    {
        Code.TASK_FAILED,
        Code.TASK_TIMEOUT,
        Code.TASK_LOST,
        Code.UNKNOWN_TASK_STATE,
        Code.AMBIGUOUS_BLOBS,
    }
)
"""Failures after which the state drops a task, and its range is exported again."""

_TRIED_AGAIN = frozenset({Code.TASK_FAILED, Code.TASK_LOST})
_HALVED = _TRIED_AGAIN | {Code.TASK_TIMEOUT, Code.TASK_TOO_LARGE}
_BLOB_PAUSES = Schedule(first=1, largest=20, growth=2)


@dataclass(slots=True)
class Plan:
    """All exports that are due, in the order of reading, and how far each has come.

    Attributes:
        timeout: How long a task may take, from its creation.
        one_at_a_time: Data types whose tasks could be mixed up, with each other or a similar
            data type's: the next one is created when the blobs of the last one are known.
        one_app: Whether one app at a time may have tasks created.
        read_first: Data types whose tasks write over each other's blobs: the next one is
            created when the last one is read.
        notes: What the state has to be told, in order; the caller removes them.
    """

    limit: int
    schedule: Schedule
    timeout: timedelta = timedelta(days=1)
    one_at_a_time: frozenset[str] = frozenset()
    one_app: bool = False
    read_first: set[str] = field(default_factory=set)
    notes: deque[Note] = field(default_factory=deque)
    _exports: list[PendingExport] = field(default_factory=list)
    _task_ids: set[str] = field(default_factory=set)  # of all tasks of the run
    _turn: str | None = None  # the app whose tasks are created while it is one at a time
    _reading: PendingExport | None = None
    _intake: Intake = field(default_factory=Intake)
    _put_off: Counter[Key] = field(default_factory=Counter)  # refused with nothing under way

    def add(self, exports: Iterable[PendingExport]) -> None:
        """Put exports at the end of the plan: what is added first is wanted first."""
        self._exports += exports

    def counts(self) -> tuple[int, int]:
        """How many tasks are at work, and how many exports are not read yet."""
        running = sum(export.phase in AT_WORK for export in self._exports)
        return running, len(self._exports)

    def next_action(self, now: datetime) -> PendingExport | datetime | None:
        """The export with the most urgent action: create, poll or find blobs, by its phase.

        First what lets the reader continue, then what uses free room. Polls come last, the most
        overdue one first, so that a slow service puts off neither a new task nor a poll for
        ever. Without an action it is the time to ask again; None for not before a report.
        """
        polls = []
        wakes = []
        for export in self._exports:
            if export.phase not in {Phase.RUNNING, Phase.WRITTEN}:
                continue
            if export.due_at and export.due_at > now:
                wakes.append(export.due_at)
            elif export.phase is Phase.WRITTEN:
                return export
            else:
                polls.append(export)
        candidate = self._next_to_create(now)
        if isinstance(candidate, PendingExport):
            candidate.phase = Phase.CREATING
            return candidate
        if polls:
            return min(polls, key=lambda each: each.due_at or now)
        return min([*wakes, candidate] if candidate else wakes, default=None)

    def _next_to_create(self, now: datetime) -> PendingExport | datetime | None:
        """The first export that may have its task created now; or when one may."""
        running = sum(e.phase in {Phase.CREATING, Phase.RUNNING} for e in self._exports)
        if running >= self.limit:
            return None
        opens_at = self._intake.opens_at(running)
        if opens_at and now < opens_at:
            return opens_at
        busy = {e.key.data_type for e in self._exports if self._is_in_the_way(e)}
        if self._reading:
            busy |= {self._reading.key.data_type} & self.read_first
        app = self._app_in_turn() if self.one_app else None
        candidates = []
        wakes = []
        for export in self._exports:
            data_type = export.key.data_type
            if export.phase is not Phase.DUE or app not in {None, export.key.app}:
                continue
            if self._may_mix(data_type, busy):
                continue
            if export.due_at is None or export.due_at <= now:
                candidates.append(export)
            else:
                wakes.append(export.due_at)
            if data_type in self.one_at_a_time:
                busy.add(data_type)  # this is the first of them
        if candidates:
            # One export that alone is refused, again and again, must not keep the others back.
            return min(candidates, key=lambda each: self._put_off[each.key])
        return min(wakes, default=None)

    def _is_in_the_way(self, export: PendingExport) -> bool:
        is_unread = export.phase is Phase.READY and export.key.data_type in self.read_first
        return export.phase in AT_WORK or is_unread

    def _app_in_turn(self) -> str | None:
        """The app that had the first task, until it has nothing more to be done."""
        apps = [export.key.app for export in self._exports if export.phase in TO_BE_DONE]
        if self._turn not in apps:
            self._turn = next(iter(apps), None)
        return self._turn

    def _may_mix(self, data_type: str, busy: set[str]) -> bool:
        """Whether a task of it could be mixed up with one that is at work."""
        near = BY_NAME[data_type].alike & busy
        return bool(near if data_type in self.one_at_a_time else near & self.one_at_a_time)

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
        self._intake = Intake()
        self._put_off.clear()

    def refused(
        self, export: PendingExport, refusal: TaskRefusedError, now: datetime
    ) -> timedelta | None:
        """Fewer tasks at a time, after a pause, which is returned; None if all is given up."""
        export.phase = Phase.DUE
        running = sum(e.phase is Phase.RUNNING for e in self._exports)
        self._intake = intake = self._intake.refused(
            now, running=running, schedule=self.schedule, retry_after=refusal.retry_after
        )
        if not running:
            self._put_off[export.key] += 1
        if intake.is_hopeless or intake.closed_until is None:
            step = (
                "No task of this run is under way that could be why: find out what else "
                "exports, or run again later"
            )
            self._create_no_more(RetryLaterError(refusal.code, refusal.what, next_step=step))
            return None
        return intake.closed_until - now

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

    def searched(self, export: PendingExport, parts: Sequence[Part], now: datetime) -> bool:
        """Blobs were looked for: True when that is over, False to look again for a while."""
        if not parts and self.looks_again(export, now):
            pause = timedelta(seconds=_BLOB_PAUSES.pause(export.searches))
            export.searches += 1
            export.due_at = min(now + pause, _looked_for_until(export))
            return False
        if self._is_written_over(export, parts):
            return True
        if parts or not export.is_second_look:
            export.phase, export.parts = Phase.READY, parts
        else:
            self._forget_task(export)
            self._remove(export)
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

    def looks_again(self, export: PendingExport, now: datetime) -> bool:
        """Whether the blobs of a task may still turn up, so that they are looked for again."""
        return now < _looked_for_until(export)

    def failed(self, export: PendingExport, error: TapError, now: datetime) -> None:
        """A task failed, or there is none: try again, halve the range, or give up.

        What failed or got lost is tried again a few times, and then in halves. What ran out of
        time, or was refused as too large, is halved at once. Other failures are not the
        range's.
        """
        is_second_look = export.is_second_look
        if error.code in TASK_IS_OVER:
            self._forget_task(export)
            if is_second_look:
                self._remove(export)
        if export not in self._exports:
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
        self._exports = [
            e for e in self._exports if e.key != export.key or e.phase is not Phase.DUE
        ]

    def head(self, key: Key) -> PendingExport | None:
        """The export to be read next of that data type and app; None if none is left."""
        return next((export for export in self._exports if export.key == key), None)

    def take(self, export: PendingExport) -> None:
        """The reader has it."""
        self._remove(export)
        self._reading = export

    def done_reading(self) -> None:
        """The reader has done with what it took, and wants more."""
        self._reading = None

    def abandon(self, key: Key) -> None:
        """Do nothing more for a stream that ended; its tasks stay in the state."""
        self._exports = [export for export in self._exports if export.key != key]
        self._reading = None

    def _remove(self, export: PendingExport) -> None:
        if export in self._exports:
            self._exports.remove(export)


def _looked_for_until(export: PendingExport) -> datetime:
    assert export.written_at is not None  # noqa: S101  (its phase is WRITTEN)
    return export.written_at + LOOK_AGAIN_FOR
