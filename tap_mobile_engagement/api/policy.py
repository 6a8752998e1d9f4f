"""The rules of an export task's life: states, deadlines, pauses, splitting. No I/O, no clock.

Every function here decides from its arguments alone. Whoever does the I/O (:mod:`.runner`, for
one task or for many) asks what to do, does it, and asks again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

from tap_mobile_engagement.errors import Code

if TYPE_CHECKING:
    from tap_mobile_engagement.api.tasks import ExportTask, TaskRef
    from tap_mobile_engagement.retry import Schedule
    from tap_mobile_engagement.state import Window

VISIBLE_WITHIN = timedelta(minutes=2)
"""How long after its creation a task may still be unknown to the service (an assumption)."""

MISSES_UNTIL_LOST = 3
"""So many 404 answers in a row, and a task that should be visible is taken for lost."""

TRIES_PER_WINDOW = 3
"""So many failed tasks for one window, and it is halved."""

TASK_IS_OVER = frozenset(
    {Code.TASK_FAILED, Code.TASK_TIMEOUT, Code.TASK_LOST, Code.UNKNOWN_TASK_STATE}
)
"""Failures that end a task: it is dropped from the state, and its range exported again.

After any other failure (the service is down, say) the task may go on well, and the state keeps
it for the next run.
"""

REFUSAL_LIMIT = timedelta(hours=1)
"""How long a service is asked that takes no task though none of ours is under way."""

_ENDLESS = datetime.max.replace(tzinfo=UTC)


class TaskState(StrEnum):
    """The documented states of an export task (``exportState`` of the REST description)."""

    QUEUED = "Queued"
    STARTED = "Started"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


_STATES = {state.value.casefold(): state for state in TaskState}


def known_state(text: str) -> TaskState | None:
    """Read a state as the service wrote it, whatever its case; None where it is unknown."""
    return _STATES.get(text.strip().casefold())


class Verdict(StrEnum):
    """What a look at an export task means."""

    WAIT = "wait"
    WAIT_UNKNOWN = "wait, though its state is unknown"
    READY = "its files are written"
    FAILED = "it failed"
    TIMED_OUT = "its time is up"
    UNKNOWN_TOO_LONG = "its time is up in an unknown state"
    LOST = "the service does not know it any more"


def judge(
    task: ExportTask | None,
    *,
    now: datetime,
    deadline: datetime,
    visible_by: datetime,
    misses: int,
) -> Verdict:
    """Decide what a look at a task means.

    An end state counts however late it is seen: a task that finished while no run was there
    to watch has finished.

    Args:
        task: What the service answered; None where it answered 404.
        now: When it did.
        deadline: When the task's time is up.
        visible_by: Until then a 404 may mean that the task is too new to be seen.
        misses: How many 404 answers came in a row, this one included.
    """
    if task is None:
        lost = misses >= MISSES_UNTIL_LOST and now >= visible_by
        return Verdict.LOST if lost else Verdict.WAIT
    late = now >= deadline
    match known_state(task.state):
        case TaskState.QUEUED | TaskState.STARTED:
            return Verdict.TIMED_OUT if late else Verdict.WAIT
        case TaskState.SUCCEEDED:
            return Verdict.READY
        case TaskState.FAILED:
            return Verdict.FAILED
        case None:
            return Verdict.UNKNOWN_TOO_LONG if late else Verdict.WAIT_UNKNOWN
        case state:
            assert_never(state)


@dataclass(frozen=True, slots=True)
class Watch:
    """An export task under observation: what is known, and when to look at it next.

    One task or a hundred: a scheduler takes the watch with the earliest :attr:`next_look`,
    asks the service, and replaces it by what :func:`observe` returns.

    Attributes:
        app: App resource name.
        data_type: Name of the data type.
        ref: The task.
        deadline: When its time is up.
        next_look: When to ask the service about it next.
        looks: How often that was done.
        misses: How many 404 answers came in a row.
        state: The state last seen; None before the first look.
        warned: Whether an unknown state of it has been reported.
    """

    app: str
    data_type: str
    ref: TaskRef
    deadline: datetime
    next_look: datetime
    looks: int = 0
    misses: int = 0
    state: str | None = None
    warned: bool = False

    @property
    def where(self) -> dict[str, object]:
        """The places to name in an error about it."""
        return {
            "app": self.app,
            "stream": self.data_type,
            "range": self.ref.window,
            "campaign_type": self.ref.campaign_type,
            "task": self.ref.id,
        }


def begin_watch(
    app: str,
    data_type: str,
    ref: TaskRef,
    *,
    now: datetime,
    timeout: timedelta,
    schedule: Schedule,
    retry_after: float | None = None,
) -> Watch:
    """Begin to watch a task: a new one after the first pause, an older one at once.

    Args:
        app: App resource name.
        data_type: Name of the data type.
        ref: The task.
        now: The time.
        timeout: How long a task may take, from its creation.
        schedule: The pace.
        retry_after: Seconds that the answer to its creation asked for.
    """
    pause = timedelta(seconds=schedule.pause(0, retry_after=retry_after))
    # The clock of the machine that created it may have been ahead: never wait longer for that.
    next_look = min(max(now, _later(ref.created, pause)), _later(now, pause))
    return Watch(app, data_type, ref, _later(ref.created, timeout), next_look)


def observe(
    watch: Watch, task: ExportTask | None, *, now: datetime, schedule: Schedule
) -> tuple[Watch, Verdict]:
    """Take in what the service answered: judge it, and set the time of the next look.

    Args:
        watch: The task as known until now.
        task: The answer; None where it was a 404.
        now: When it came.
        schedule: The pace.
    """
    misses = watch.misses + 1 if task is None else 0
    verdict = judge(
        task,
        now=now,
        deadline=watch.deadline,
        visible_by=_later(watch.ref.created, VISIBLE_WITHIN),
        misses=misses,
    )
    asked = task.retry_after if task else None
    pause = schedule.pause(watch.looks + 1, retry_after=asked)
    next_look = _later(now, timedelta(seconds=pause))
    if now < watch.deadline < next_look:
        # A look at the deadline itself: a task that just made it is not given up.
        next_look = watch.deadline
    seen = replace(
        watch,
        next_look=next_look,
        looks=watch.looks + 1,
        misses=misses,
        state=task.state if task else watch.state,
        warned=watch.warned or verdict is Verdict.WAIT_UNKNOWN,
    )
    return seen, verdict


@dataclass(frozen=True, slots=True)
class Intake:
    """Whether the service takes new tasks, by what it answered to those asked for so far.

    Attributes:
        room: How many tasks it seems to allow at once; 0 where no bound is known.
        refusals: How often in a row it refused one though none of ours was under way.
        closed_until: Until then it is asked for none; None if it may be asked at any time.
        full_until: Until then it is asked for none beyond ``room``.
        idle_since: Since when it refuses though no task of ours is under way; None if there
            is one, which may well be why.
    """

    room: int = 0
    refusals: int = 0
    closed_until: datetime | None = None
    full_until: datetime | None = None
    idle_since: datetime | None = None

    @property
    def is_hopeless(self) -> bool:
        """Whether it has had its time: it is not asked again."""
        if self.closed_until is None or self.idle_since is None:
            return False
        return self.closed_until - self.idle_since > REFUSAL_LIMIT

    def opens_at(self, running: int) -> datetime | None:
        """When it may be asked for a task beside so many that run; None for at any time."""
        return self.full_until if running >= self.room else self.closed_until

    def taken(self) -> Intake:
        """After it took a task: the way up is felt, one more at a time."""
        return Intake(room=self.room + 1 if self.room else 0)

    def refused(
        self,
        now: datetime,
        *,
        running: int,
        schedule: Schedule,
        retry_after: float | None = None,
    ) -> Intake:
        """After it refused one: none for a moment, and for a while not more than now run.

        Args:
            now: When it did.
            running: How many tasks of ours are under way. When one of them ends, another may
                be taken, so pauses only grow while there is none.
            schedule: The pace of asking.
            retry_after: Seconds that it asked for.
        """
        refusals = 0 if running else self.refusals
        pause = schedule.pause(refusals, retry_after=retry_after)
        longest = max(pause, schedule.largest) if running else pause
        return Intake(
            room=running,
            refusals=refusals + 1,
            closed_until=_later(now, timedelta(seconds=pause)),
            full_until=_later(now, timedelta(seconds=longest)),
            idle_since=None if running else self.idle_since or now,
        )


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Make another task for the same range, after a pause of so many seconds."""

    pause: float


@dataclass(frozen=True, slots=True)
class Halve:
    """Export the range in two parts, the first one first; failures count from zero again."""

    first: Window
    second: Window


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Let the stream fail; what it committed before stays."""


def after_failure(
    code: Code,
    window: Window | None,
    failures: int,
    *,
    schedule: Schedule,
    tries: int = TRIES_PER_WINDOW,
) -> TryAgain | Halve | GiveUp:
    """Decide what follows when a range could not be exported.

    A task that failed or got lost is tried again, a few times, and then in halves. One that
    ran out of time, or was refused as too large, would do so again: it is halved at once. An
    unknown state says nothing about the range, and any other failure is none of the task's.

    Args:
        code: What failed.
        window: The range; None for a snapshot, which can't be halved.
        failures: How many tasks failed for this very range, the last one included.
        schedule: The pace of the tries.
        tries: How many there are.
    """
    halves = window.halves() if window else None
    match code:
        case Code.TASK_FAILED | Code.TASK_LOST if failures < tries:
            return TryAgain(schedule.pause(failures - 1))
        case Code.TASK_FAILED | Code.TASK_LOST | Code.TASK_TIMEOUT | Code.TASK_TOO_LARGE if (
            halves
        ):
            return Halve(*halves)
        case _:
            return GiveUp()


def _later(time: datetime, by: timedelta) -> datetime:
    """Add, or end at the end of time where the sum is beyond it."""
    return time + by if by < _ENDLESS - time else _ENDLESS
