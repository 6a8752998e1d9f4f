"""Which export task is next, and what follows from what was seen. No I/O, no clock.

A :class:`Plan` holds all exports that are due, in the order in which they will be read, and
keeps as many of them under way as it may. The runner asks for the next action, does it, reports
what came of it, and asks again. A report about an export that is no longer in the plan, because
its stream has failed meanwhile, is taken calmly.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.api import failures
from tap_mobile_engagement.api.observer import Summary
from tap_mobile_engagement.api.policy import (
    TASK_IS_OVER,
    VISIBLE_WITHIN,
    GiveUp,
    Halve,
    Intake,
    TryAgain,
    Verdict,
    after_failure,
    judge,
    later,
)
from tap_mobile_engagement.api.tasks import (
    AT_WORK,
    TO_BE_DONE,
    Create,
    FindBlobs,
    Key,
    Note,
    PendingExport,
    Phase,
    Poll,
    TaskEntry,
    Wait,
)
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code
from tap_mobile_engagement.retry import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_mobile_engagement.api.failures import TaskRefusedError
    from tap_mobile_engagement.api.tasks import ExportTask
    from tap_mobile_engagement.errors import TapError

LOOK_AGAIN_FOR = timedelta(minutes=1)
"""How long after the success of a task its blobs are looked for, before it counts as empty."""

_BLOB_PAUSES = Schedule(first=1, largest=20, growth=2)


@dataclass(slots=True)
class Plan:
    """All exports that are due, and how far each has come.

    Attributes:
        limit: How many tasks may run at once, over all data types and apps.
        schedule: The pace of polling, and of tries after a failure.
        timeout: How long a task may take, from its creation.
        one_at_a_time: Data types whose tasks could be mixed up, with each other or with those
            of a data type that looks alike, where they write: the next one is not created
            before the blobs of the last one are known.
        one_app: Whether no task of a second app may be created yet.
        read_first: Data types whose tasks write over each other's blobs: the next one is not
            created before the last one is read.
        notes: What the state has to be told, in order; the caller takes them off.
    """

    limit: int
    schedule: Schedule
    timeout: timedelta = timedelta(days=1)
    one_at_a_time: frozenset[str] = frozenset()
    one_app: bool = False
    read_first: set[str] = field(default_factory=set)
    notes: deque[Note] = field(default_factory=deque)
    _exports: list[PendingExport] = field(default_factory=list)
    _apps: dict[str, int] = field(default_factory=dict)  # in the order of the settings
    _reading: list[PendingExport] = field(default_factory=list)
    _intake: Intake = field(default_factory=Intake)
    _put_off: Counter[Key] = field(default_factory=Counter)  # refused with nothing under way
    _done: int = 0  # how many tasks of this run have succeeded
    _time_of_done: timedelta = timedelta()  # how long they took, all together

    def add(self, exports: Iterable[PendingExport]) -> None:
        """Put exports at the end of the plan: what is added first is wanted first."""
        for export in exports:
            self._apps.setdefault(export.key.app, len(self._apps))
            self._exports.append(export)

    def summary(self, *, read: int, bytes_read: int, elapsed: timedelta) -> Summary:
        """How far the run has come."""
        phases = dict.fromkeys(Phase, 0)
        for export in self._exports:
            phases[export.phase] += 1
        usual = self._time_of_done / self._done if self._done else None
        return Summary(read, phases, bytes_read, elapsed, usual, self.timeout, self.limit)

    # What to do next.

    def next_action(self, now: datetime) -> Create | Poll | FindBlobs | Wait:
        """The most urgent action.

        First what lets the reader continue, then what fills the room that there is. Polls come
        last, the one first that is due for longest: so with many tasks, or a service that
        answers slowly, neither a new task nor another poll is put off for ever.
        """
        polls = []
        wake: datetime | None = None
        for export in self._exports:
            if export.phase not in {Phase.RUNNING, Phase.WRITTEN}:
                continue
            if export.due_at and export.due_at > now:
                wake = _earlier(wake, export.due_at)
            elif export.phase is Phase.WRITTEN:
                return FindBlobs(export)
            else:
                polls.append(export)
        candidate, opens_at = self._next_to_create(now)
        if candidate is not None:
            candidate.phase = Phase.CREATING
            return Create(candidate)
        if polls:
            return Poll(min(polls, key=lambda each: each.due_at or now))
        return Wait(_earlier(wake, opens_at))

    def _next_to_create(self, now: datetime) -> tuple[PendingExport | None, datetime | None]:
        """The first export that may have its task created now; or when one may."""
        running = sum(e.phase in {Phase.CREATING, Phase.RUNNING} for e in self._exports)
        if running >= self.limit:
            return None, None
        opens_at = self._intake.opens_at(running)
        if opens_at and now < opens_at:
            return None, opens_at
        candidates = []
        wake: datetime | None = None
        at_work = {e.key.data_type for e in self._exports if e.phase in AT_WORK}
        unread = {e.key.data_type for e in self._exports if e.phase is Phase.READY}
        unread |= {export.key.data_type for export in self._reading}
        at_work |= unread & self.read_first
        app = self._first_app() if self.one_app else None
        for export in self._exports:
            data_type = export.key.data_type
            if export.phase is not Phase.DUE or app not in {None, export.key.app}:
                continue
            if self._may_mix(data_type, at_work):
                continue
            if export.due_at is None or export.due_at <= now:
                candidates.append(export)
            else:
                wake = _earlier(wake, export.due_at)
            if data_type in self.one_at_a_time:
                at_work.add(data_type)  # this is the first of them
        # One export that alone is refused, time and again, must not keep the others from it.
        by_turns = min(candidates, key=lambda each: self._put_off[each.key], default=None)
        return by_turns, wake

    def _first_app(self) -> str | None:
        """The first app with anything to be done."""
        apps = {export.key.app for export in self._exports if export.phase in TO_BE_DONE}
        return min(apps, key=self._apps.__getitem__, default=None)

    def _may_mix(self, data_type: str, at_work: set[str]) -> bool:
        """Whether a task of it could be mixed up with one of those that are at work."""
        near = BY_NAME[data_type].alike & at_work
        return bool(near if data_type in self.one_at_a_time else near & self.one_at_a_time)

    # What came of it.

    @property
    def to_resume(self) -> list[PendingExport]:
        """Exports whose task is of an earlier run and not polled yet."""
        return [e for e in self._exports if e.phase is Phase.DUE and e.task is not None]

    def resume(
        self, export: PendingExport, now: datetime, *, retry_after: float | None = None
    ) -> None:
        """Begin to poll a task: a new one after the first pause, an older one at once."""
        assert export.task is not None  # noqa: S101  (there is one to resume)
        if export.task.empty:  # it has ended; what it may have written late is looked for
            export.phase, export.written_at = Phase.WRITTEN, now - LOOK_AGAIN_FOR
            return
        export.phase = Phase.RUNNING
        pause = timedelta(seconds=self.schedule.pause(0, retry_after=retry_after))
        # The clock of the machine that created it may have been ahead: never wait longer then.
        export.due_at = min(max(now, later(export.task.created, pause)), later(now, pause))

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
        self._intake = self._intake.taken()
        self._put_off.clear()

    def refused(
        self, export: PendingExport, refusal: TaskRefusedError, now: datetime
    ) -> timedelta | None:
        """The service takes no further task for now: fewer at a time, and a pause.

        Returns:
            How long no task is created; None if the service is given up. Then all that has no
            task yet has failed.
        """
        export.phase = Phase.DUE
        running = sum(e.phase is Phase.RUNNING for e in self._exports)
        self._intake = intake = self._intake.refused(
            now, running=running, schedule=self.schedule, retry_after=refusal.retry_after
        )
        if not running:
            self._put_off[export.key] += 1
        if intake.is_hopeless:
            self._create_no_more(failures.service_given_up(refusal))
            return None
        assert intake.closed_until is not None  # noqa: S101  (it has just refused one)
        return intake.closed_until - now

    def polled(
        self, export: PendingExport, answer: ExportTask | None, now: datetime
    ) -> Verdict:
        """A task was asked about (None: a 404): judge it, and set the time of the next poll."""
        assert export.task is not None  # noqa: S101  (it was asked about)
        deadline = later(export.task.created, self.timeout)
        export.polls += 1
        export.misses = export.misses + 1 if answer is None else 0
        export.state = answer.state if answer else export.state
        pause = self.schedule.pause(
            export.polls, retry_after=answer.retry_after if answer else None
        )
        export.due_at = later(now, timedelta(seconds=pause))
        if now < deadline < export.due_at:
            # A poll at the deadline itself: a task that just made it is not given up.
            export.due_at = deadline
        verdict = judge(
            answer,
            now=now,
            deadline=deadline,
            visible_by=later(export.task.created, VISIBLE_WITHIN),
            misses=export.misses,
        )
        if verdict is Verdict.READY:
            export.phase, export.due_at, export.written_at = Phase.WRITTEN, None, now
            if export.asked_at is not None:
                self._done += 1
                self._time_of_done += now - export.asked_at
        return verdict

    def searched(self, export: PendingExport, parts: Sequence[Any], now: datetime) -> bool:
        """Blobs were looked for; with none, look again for a while, then take it as empty.

        Returns:
            Whether the search is over.
        """
        if not parts and self.looks_again(export, now):
            pause = timedelta(seconds=_BLOB_PAUSES.pause(export.searches))
            export.searches += 1
            export.due_at = min(now + pause, _looked_for_until(export))
            return False
        if self._is_written_over(export, parts):
            return True
        if parts or not (export.task and export.task.empty):
            export.phase, export.parts = Phase.READY, parts
        else:
            self._forget_task(export)
            self._remove(export)
        return True

    def _is_written_over(self, export: PendingExport, parts: Sequence[Any]) -> bool:
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
        """A task failed, or could not be had: try again, halve, or give up."""
        is_second_look = export.task is not None and export.task.empty
        if error.code in TASK_IS_OVER:
            self._forget_task(export)
            if is_second_look:
                self._remove(export)
        if export not in self._exports:
            return
        export.failures += 1
        follow = after_failure(
            error.code, export.window, export.failures, schedule=self.schedule
        )
        match follow:
            case TryAgain(pause):
                export.phase = Phase.DUE
                export.due_at = now + timedelta(seconds=pause)
            case Halve(first, second):
                at = self._exports.index(export)
                self._exports[at : at + 1] = [
                    PendingExport(export.key, half, export.campaign_type)
                    for half in (first, second)
                ]
            case GiveUp():
                self._give_up(export, error)
        if error.code is Code.AMBIGUOUS_BLOBS:
            self._create_no_more(error)

    def _forget_task(self, export: PendingExport) -> None:
        if export.task is not None:
            self.notes.append(Note(export.key, export.task, is_over=True))
        export.drop_task()

    def _create_no_more(self, error: TapError) -> None:
        """All that has no task yet fails for that reason."""
        due = [export for export in self._exports if export.phase is Phase.DUE]
        first_of_each = {export.key: export for export in reversed(due)}
        for export in first_of_each.values():
            failure = type(error)(error.code, error.what, next_step=error.next_step)
            self._give_up(export, failure.at(**export.where))

    def _give_up(self, export: PendingExport, error: TapError) -> None:
        """Let it fail; nothing behind it is created any more, because it could not be read."""
        export.phase, export.error = Phase.FAILED, error
        self._exports = [
            e for e in self._exports if e.key != export.key or e.phase is not Phase.DUE
        ]

    # What the reader takes.

    def head(self, key: Key) -> PendingExport | None:
        """The export to be read next of that data type and app; None if none is left."""
        return next((export for export in self._exports if export.key == key), None)

    def take(self, export: PendingExport) -> None:
        """The reader has it."""
        self._remove(export)
        self._reading = [export]

    def done_reading(self) -> None:
        """The reader has done with what it took, and wants more."""
        self._reading = []

    def _remove(self, export: PendingExport) -> None:
        if export in self._exports:
            self._exports.remove(export)

    def abandon(self, key: Key) -> None:
        """The stream has ended: nothing more of it is created, polled or read.

        Its tasks stay in the state, so that the next run takes them up.
        """
        self._exports = [export for export in self._exports if export.key != key]
        self._reading = []


def _looked_for_until(export: PendingExport) -> datetime:
    assert export.written_at is not None  # noqa: S101  (its phase is WRITTEN)
    return export.written_at + LOOK_AGAIN_FOR


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return min(one, other)
