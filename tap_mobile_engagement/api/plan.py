"""Which export task is next, and what follows from what was seen. No I/O, no clock.

A :class:`Plan` holds all exports that are due, in the order in which they will be read, and
keeps as many of them under way as it may. Whoever does the I/O asks for the next action, does
it, reports what came of it, and asks again. So the same rules run with real requests in
:mod:`tap_mobile_engagement.api.fleet` and with an invented service in the tests.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from tap_mobile_engagement.api import failures
from tap_mobile_engagement.api.policy import (
    TASK_IS_OVER,
    GiveUp,
    Halve,
    Intake,
    TryAgain,
    Watch,
    after_failure,
)
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.retry import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_mobile_engagement.api.failures import TaskRefusedError
    from tap_mobile_engagement.api.tasks import TaskRef
    from tap_mobile_engagement.errors import TapError
    from tap_mobile_engagement.state import Window

LOOK_AGAIN_FOR = timedelta(minutes=1)
"""How long after the success of a task its blobs are looked for, before it counts as empty."""

_BLOB_PAUSES = Schedule(first=1, largest=20, growth=2)

Found = TypeVar("Found")
"""What was found of a finished task; the plan only hands it on."""


class Key(NamedTuple):
    """One data type of one app: its exports are read in order."""

    data_type: str
    app: str


@dataclass(frozen=True, slots=True)
class Order:
    """One export that is due.

    Attributes:
        window: The days; None for a snapshot without dates.
        campaign_type: For push feedback.
        task: A task that is under way for it already, from an earlier run.
    """

    window: Window | None = None
    campaign_type: str | None = None
    task: TaskRef | None = None


class Phase(StrEnum):
    """How far an order has come."""

    DUE = "due"  # no task yet
    CREATING = "creating"  # its task is being asked for at this moment
    RUNNING = "running"  # its task is watched
    WRITTEN = "written"  # its task has succeeded, its blobs are looked for
    READY = "ready"  # its blobs are known
    FAILED = "failed"


_WRITING = frozenset({Phase.CREATING, Phase.RUNNING, Phase.WRITTEN})


@dataclass(eq=False, slots=True)
class Errand(Generic[Found]):
    """One order on its way.

    Attributes:
        key: Data type and app.
        order: What is due.
        phase: How far it has come.
        task: Its task, once there is one.
        watch: Its task under observation, while it runs.
        due_at: When the next action for it is due; None for at once.
        failures: How many of its tasks came to no good end.
        place: Where its task writes, as the caller made it.
        found: What its task wrote, once that is known.
        error: Why it failed.
        looks: How often its blobs were looked for.
        written_at: When its task was seen to have succeeded.
        asked_at: When its task was asked for in this run; None for one of an earlier run.
    """

    key: Key
    order: Order
    phase: Phase = Phase.DUE
    task: TaskRef | None = None
    watch: Watch | None = None
    due_at: datetime | None = None
    failures: int = 0
    place: Any = None
    found: Found | None = None
    error: TapError | None = None
    looks: int = 0
    written_at: datetime | None = None
    asked_at: datetime | None = None


class Create(NamedTuple):
    """Ask the service for a task; then report ``created``, ``refused`` or ``failed``."""

    errand: Errand[Any]


class Look(NamedTuple):
    """Ask the service about a task; then report ``looked`` or ``failed``."""

    errand: Errand[Any]


class Search(NamedTuple):
    """Look for the blobs of a task; then report ``searched`` or ``failed``."""

    errand: Errand[Any]


class Rest(NamedTuple):
    """Nothing to do before that time; before something is reported, if it is None."""

    until: datetime | None


Action = Create | Look | Search | Rest


class Remember(NamedTuple):
    """A task was created: the state has to know it."""

    key: Key
    task: TaskRef


class Forget(NamedTuple):
    """A task came to nothing: the state has to drop it."""

    key: Key
    task: TaskRef


@dataclass(slots=True)
class Plan(Generic[Found]):
    """All exports that are due, and how far each has come.

    Attributes:
        limit: How many tasks may run at once, over all data types and apps.
        schedule: The pace of polling, and of tries after a failure.
        one_at_a_time: Data types whose tasks could be mixed up, with each other or with those
            of a data type that looks alike, where they write: the next one is not created
            before the blobs of the last one are known.
        notes: What the state has to be told, in order; the caller takes them off.
    """

    limit: int
    schedule: Schedule
    one_at_a_time: frozenset[str] = frozenset()
    notes: deque[Remember | Forget] = field(default_factory=deque)
    _errands: list[Errand[Found]] = field(default_factory=list)
    _intake: Intake = field(default_factory=Intake)
    _put_off: Counter[Key] = field(default_factory=Counter)  # refused with nothing under way
    _done: int = 0  # how many tasks of this run have succeeded
    _time_of_done: timedelta = timedelta()  # how long they took, all together

    def add(self, key: Key, orders: Iterable[Order]) -> None:
        """Put exports at the end of the plan: what is added first is wanted first."""
        self._errands += [Errand(key, order, task=order.task) for order in orders]

    @property
    def phases(self) -> dict[Phase, int]:
        """How many errands are in each phase."""
        counts = dict.fromkeys(Phase, 0)
        for errand in self._errands:
            counts[errand.phase] += 1
        return counts

    @property
    def usual_time(self) -> timedelta | None:
        """How long tasks of this run took on average; None before the first has succeeded."""
        return self._time_of_done / self._done if self._done else None

    # What to do next.

    def next_action(self, now: datetime) -> Action:
        """The most urgent action.

        First what lets the reader go on, then what fills the room that there is. Looks come
        last, the one first that is due for longest: so with many tasks, or a service that
        answers slowly, neither a new task nor another look is put off for ever.
        """
        looks = []
        wake: datetime | None = None
        for errand in self._errands:
            if errand.phase not in {Phase.RUNNING, Phase.WRITTEN}:
                continue
            if errand.due_at and errand.due_at > now:
                wake = _earlier(wake, errand.due_at)
            elif errand.phase is Phase.WRITTEN:
                return Search(errand)
            else:
                looks.append(errand)
        candidate, opens_at = self._next_to_create(now)
        if candidate is not None:
            candidate.phase = Phase.CREATING
            return Create(candidate)
        if looks:
            return Look(min(looks, key=lambda each: each.due_at or now))
        return Rest(_earlier(wake, opens_at))

    def _next_to_create(self, now: datetime) -> tuple[Errand[Found] | None, datetime | None]:
        """The first errand that may have its task created now; or when one may."""
        running = sum(e.phase in {Phase.CREATING, Phase.RUNNING} for e in self._errands)
        if running >= self.limit:
            return None, None
        opens_at = self._intake.opens_at(running)
        if opens_at and now < opens_at:
            return None, opens_at
        candidates = []
        wake: datetime | None = None
        at_work = {e.key.data_type for e in self._errands if e.phase in _WRITING}
        for errand in self._errands:
            data_type = errand.key.data_type
            if errand.phase is not Phase.DUE or self._may_mix(data_type, at_work):
                continue
            if errand.due_at is None or errand.due_at <= now:
                candidates.append(errand)
            else:
                wake = _earlier(wake, errand.due_at)
            if data_type in self.one_at_a_time:
                at_work.add(data_type)  # the first of them it is
        # One export that alone is refused, time and again, must not keep the others from it.
        by_turns = min(candidates, key=lambda each: self._put_off[each.key], default=None)
        return by_turns, wake

    def _may_mix(self, data_type: str, at_work: set[str]) -> bool:
        """Whether a task of it could be mixed up with one of those that are at work."""
        near = BY_NAME[data_type].alike & at_work
        return bool(near if data_type in self.one_at_a_time else near & self.one_at_a_time)

    # What came of it.

    def resume(self, errand: Errand[Found], watch: Watch) -> None:
        """Watch a task of an earlier run."""
        errand.phase, errand.watch, errand.due_at = Phase.RUNNING, watch, watch.next_look

    @property
    def to_resume(self) -> list[Errand[Found]]:
        """Errands whose task is of an earlier run and not watched yet."""
        return [e for e in self._errands if e.phase is Phase.DUE and e.task is not None]

    def created(self, errand: Errand[Found], watch: Watch, now: datetime) -> None:
        """A task was created; it may start to be watched."""
        errand.task, errand.asked_at = watch.ref, now
        self.resume(errand, watch)
        self.notes.append(Remember(errand.key, watch.ref))
        self._intake = self._intake.taken()
        self._put_off.clear()

    def refused(
        self, errand: Errand[Found], refusal: TaskRefusedError, now: datetime
    ) -> timedelta | None:
        """The service takes no further task for now: fewer at a time, and a pause.

        Returns:
            How long no task is created; None if the service is given up. Then all that has no
            task yet has failed.
        """
        errand.phase = Phase.DUE
        running = sum(e.phase is Phase.RUNNING for e in self._errands)
        self._intake = intake = self._intake.refused(
            now, running=running, schedule=self.schedule, retry_after=refusal.retry_after
        )
        if not running:
            self._put_off[errand.key] += 1
        if intake.is_hopeless:
            self._give_up_creating(refusal)
            return None
        assert intake.closed_until is not None  # noqa: S101  (it has just refused one)
        return intake.closed_until - now

    def _give_up_creating(self, error: TapError) -> None:
        due = [errand for errand in self._errands if errand.phase is Phase.DUE]
        first_of_each = {errand.key: errand for errand in reversed(due)}
        for errand in first_of_each.values():
            where = {"app": errand.key.app, "stream": errand.key.data_type}
            failure = failures.service_given_up(error)
            self._give_up(errand, failure.at(**where, range=errand.order.window))

    def looked(self, errand: Errand[Found], watch: Watch, now: datetime, *, done: bool) -> None:
        """A task was asked about: it goes on, or has succeeded."""
        errand.watch, errand.due_at = watch, watch.next_look
        if done:
            errand.phase, errand.due_at, errand.written_at = Phase.WRITTEN, None, now
            if errand.asked_at is not None:
                self._done += 1
                self._time_of_done += now - errand.asked_at

    def searched(self, errand: Errand[Found], found: Found | None, now: datetime) -> bool:
        """Blobs were looked for; with none, look again for a while, then take it as empty.

        Returns:
            Whether the errand is ready.
        """
        if not found and self.looks_again(errand, now):
            pause = timedelta(seconds=_BLOB_PAUSES.pause(errand.looks))
            errand.looks += 1
            errand.due_at = min(now + pause, _looked_for_until(errand))
            return False
        errand.phase, errand.found = Phase.READY, found
        return True

    def looks_again(self, errand: Errand[Found], now: datetime) -> bool:
        """Whether the blobs of a task may still turn up, so that they are looked for again."""
        return now < _looked_for_until(errand)

    def failed(self, errand: Errand[Found], error: TapError, now: datetime) -> None:
        """A task came to no good end, or could not be had: try again, halve, or give up."""
        errand.failures += 1
        follow = after_failure(
            error.code, errand.order.window, errand.failures, schedule=self.schedule
        )
        match follow:
            case TryAgain(pause):
                self._drop_task(errand)
                errand.phase = Phase.DUE
                errand.due_at = now + timedelta(seconds=pause)
            case Halve(first, second):
                self._drop_task(errand)
                at = self._errands.index(errand)
                kind = errand.order.campaign_type
                self._errands[at : at + 1] = [
                    Errand(errand.key, Order(first, kind)),
                    Errand(errand.key, Order(second, kind)),
                ]
            case GiveUp():
                if error.code in TASK_IS_OVER:
                    self._drop_task(errand)
                self._give_up(errand, error)

    def _give_up(self, errand: Errand[Found], error: TapError) -> None:
        """Let it fail; nothing behind it is created any more, for it could not be read."""
        errand.phase, errand.error = Phase.FAILED, error
        self._errands = [
            e for e in self._errands if e.key != errand.key or e.phase is not Phase.DUE
        ]

    def _drop_task(self, errand: Errand[Found]) -> None:
        if errand.task is not None:
            self.notes.append(Forget(errand.key, errand.task))
        errand.task = errand.watch = errand.asked_at = errand.place = None
        errand.looks = 0

    # What the reader takes.

    def head(self, key: Key) -> Errand[Found] | None:
        """The export to be read next of that data type and app; None if none is left."""
        return next((errand for errand in self._errands if errand.key == key), None)

    def take(self, errand: Errand[Found]) -> None:
        """The reader has it: it is not the plan's any more."""
        self._errands.remove(errand)

    def abandon(self, key: Key) -> None:
        """The stream has failed: nothing more of it is created, watched or read.

        Its tasks stay in the state, so that the next run takes them up.
        """
        self._errands = [errand for errand in self._errands if errand.key != key]


def _looked_for_until(errand: Errand[Any]) -> datetime:
    assert errand.written_at is not None  # noqa: S101  (its phase is WRITTEN)
    return errand.written_at + LOOK_AGAIN_FOR


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return min(one, other)
