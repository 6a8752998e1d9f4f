"""The rules of an export task's life: states, deadlines, refusals, splitting.

No I/O, no clock: every function decides from its arguments alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_never

from tap_mobile_engagement.api.tasks import ExportTask
from tap_mobile_engagement.errors import Code, DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_mobile_engagement.retry import Schedule
    from tap_mobile_engagement.state import Window

VISIBLE_WITHIN = timedelta(minutes=2)
"""How long after its creation a task may still be unknown to the service (an assumption)."""

MISSES_UNTIL_LOST = 3
"""So many 404 answers in a row, and a task that should be visible is taken for lost."""

TRIES_PER_WINDOW = 3
"""So many failed tasks for one window, and it is halved."""

TASK_IS_OVER = frozenset(
    {
        Code.TASK_FAILED,
        Code.TASK_TIMEOUT,
        Code.TASK_LOST,
        Code.UNKNOWN_TASK_STATE,
        Code.AMBIGUOUS_BLOBS,
    }
)
"""Failures that end a task: it is dropped from the state, and its range exported again.

After any other failure (the service is down, say) the task may go on well, and the state keeps
it for the next run.
"""

CLOCK_SLACK = timedelta(minutes=15)
"""How much a service's creation times may be out of order among themselves (an assumption)."""

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
    """Decide what an answer about a task means; None for a 404, one of so many in a row.

    An end state counts however late it is seen: a task that finished while no run was there
    to watch has finished. Until ``visible_by`` a task may be too new to be seen.
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

        When a task of ours ends, another may be taken, so pauses only grow while none runs.
        """
        refusals = 0 if running else self.refusals
        pause = schedule.pause(refusals, retry_after=retry_after)
        longest = max(pause, schedule.largest) if running else pause
        return Intake(
            room=running,
            refusals=refusals + 1,
            closed_until=later(now, timedelta(seconds=pause)),
            full_until=later(now, timedelta(seconds=longest)),
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
) -> TryAgain | Halve | GiveUp:
    """Decide what follows when a range could not be exported.

    A task that failed or got lost is tried again, a few times, and then in halves. One that
    ran out of time, or was refused as too large, would do so again: it is halved at once. An
    unknown state says nothing about the range, and any other failure is none of the task's. A
    snapshot (no window) can't be halved.
    """
    halves = window.halves() if window else None
    match code:
        case Code.TASK_FAILED | Code.TASK_LOST if failures < TRIES_PER_WINDOW:
            return TryAgain(schedule.pause(failures - 1))
        case Code.TASK_FAILED | Code.TASK_LOST | Code.TASK_TIMEOUT | Code.TASK_TOO_LARGE if (
            halves
        ):
            return Halve(*halves)
        case _:
            return GiveUp()


def find_orphan(
    listed: Iterable[Any], description: str, export_type: str | None, *, age: timedelta
) -> ExportTask | None:
    """Find the task that a request with a lost answer created.

    The description decides, and nothing else could: any other task may be a stranger's, and
    write to another container. Creation times only tell when to stop looking, and are compared
    among themselves, because the service's clock may be far from ours.

    Args:
        listed: What the service lists, newest first; read no further than needed.
        description: The request's description, which no other has.
        export_type: ``exportType`` of its data type.
        age: How long ago the request was sent.
    """
    newest: datetime | None = None
    for answer in listed:
        try:
            task = ExportTask.from_answer(answer)
        except DataError:
            continue  # a malformed task of a stranger
        if description in (task.description or "") and task.export_type in (export_type, None):
            return task
        if task.created is None:
            continue
        newest = max(newest or task.created, task.created)
        if newest - task.created > age + CLOCK_SLACK:
            return None
    return None


def later(time: datetime, by: timedelta) -> datetime:
    """Add, or end at the end of time where the sum is beyond it."""
    return time + by if by < _ENDLESS - time else _ENDLESS
