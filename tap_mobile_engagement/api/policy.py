"""The rules of an export task's life: what an answer or a refusal means. No I/O, no clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, assert_never

from tap_mobile_engagement.api.tasks import ExportTask, PendingExport, TaskState, known_state
from tap_mobile_engagement.errors import Code, DataError, RetryLaterError

if TYPE_CHECKING:
    from collections.abc import Iterable

VISIBLE_WITHIN = timedelta(minutes=2)
"""How long after its creation a task may still be unknown to the service (an assumption)."""

MISSES_UNTIL_LOST = 3
"""404 answers in a row after which a task that should be visible is taken for lost."""

CLOCK_SLACK = timedelta(minutes=15)
"""How much a service's creation times may be out of order among themselves (an assumption)."""

REFUSAL_LIMIT = timedelta(hours=1)
"""How long a service is asked that takes no task though none of ours is under way."""

_AGAIN = "Run again: its range is then exported by another task"


def has_succeeded(
    export: PendingExport, answer: ExportTask | None, now: datetime, timeout: timedelta
) -> bool:
    """Decide what an answer about an export's task means (None is a 404), however late it is.

    Raises TASK_FAILED, TASK_TIMEOUT, UNKNOWN_TASK_STATE (at the deadline) or TASK_LOST.
    """
    assert export.task is not None  # noqa: S101  (it was asked about)
    created = export.task.created
    if answer is None:
        if export.misses >= MISSES_UNTIL_LOST and now >= created + VISIBLE_WITHIN:
            raise task_lost("the service does not know the export task any more")
        return False
    state = known_state(answer.state)
    match state:
        case TaskState.SUCCEEDED:
            return True
        case TaskState.FAILED:
            what = f"the export task failed: {answer.error_details or 'it does not say why'}"
            raise RetryLaterError(Code.TASK_FAILED, what, next_step=_AGAIN)
        case TaskState.QUEUED | TaskState.STARTED | None:
            if now < created + timeout:
                return False
        case _:
            assert_never(state)
    minutes = f"{timeout / timedelta(minutes=1):.0f} minutes"
    if state is None:
        raise RetryLaterError(
            Code.UNKNOWN_TASK_STATE,
            f"the export task is in state {answer.state!r}, which is unknown, and "
            f"its {minutes} are up",
            next_step="Look up what the state means, then run again",
        )
    raise RetryLaterError(
        Code.TASK_TIMEOUT,
        f"the export task is still {state} after {minutes}",
        next_step="Run again with a smaller window_days, or a larger task_timeout_minutes",
    )


def task_lost(what: str) -> RetryLaterError:
    """The error for a task that is gone, or whose blobs are: its range is exported again."""
    return RetryLaterError(Code.TASK_LOST, what, next_step=_AGAIN)


def find_orphan(
    listed: Iterable[Any], description: str, export_type: str | None, *, age: timedelta
) -> ExportTask | None:
    """Find the task that a request with a lost answer created, among those listed newest first.

    Only the description decides, because any other task may be a stranger's. Creation times
    only tell when to stop, by the request's ``age``; they are compared among themselves,
    because the service's clock may be far from ours.
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
