"""Runs export tasks: creates each one once, and watches it until it ends."""

from __future__ import annotations

import logging
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from tap_mobile_engagement.api.answers import one_line
from tap_mobile_engagement.api.marks import RunMark, find_orphan
from tap_mobile_engagement.api.policy import Verdict, Watch, begin_watch, known_state, observe
from tap_mobile_engagement.api.tasks import TaskRef
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, RetryLaterError, TapError

if TYPE_CHECKING:
    from datetime import datetime

    from tap_mobile_engagement.api.client import ServiceClient
    from tap_mobile_engagement.api.tasks import ExportTask, TaskRequest
    from tap_mobile_engagement.clock import Clock
    from tap_mobile_engagement.retry import Schedule

ORPHAN_GRACE = timedelta(minutes=1)
"""How long after a lost answer its task may take to be listed (an assumption)."""

LOST_ANSWERS = 3
"""So many creations in a row without an answer or a task, and no more is tried."""

log = logging.getLogger(__name__)


class TaskRunner:
    """Creates export tasks and waits for them.

    Creating is exactly-once as far as the service allows: each request carries a mark, and
    when its answer is lost, the task is looked for by that mark before another is made.

    Waiting is a loop of *looks*, and the caller's. What a look means, and when the next one is
    due, is decided in :mod:`.policy` on a :class:`.policy.Watch`; so one loop keeps many
    watches, and looks at the one that is due first.

    Args:
        client: The REST API.
        schedule: The pace of looks.
        timeout: How long a task may take, from its creation.
        timing: The clock and the stop flag.
        run_id: Names this run in the marks; a random one unless given.
    """

    def __init__(
        self,
        *,
        client: ServiceClient,
        schedule: Schedule,
        timeout: timedelta,
        timing: Clock,
        run_id: str | None = None,
    ) -> None:
        self.schedule = schedule
        self._client = client
        self._timeout = timeout
        self._timing = timing
        self._run_id = run_id or uuid4().hex
        self._numbers = count(1)
        # Pauses that the answers to creations asked for, until someone waits for those tasks.
        self._asked_pauses: dict[str, float] = {}

    def submit(
        self, app: str, request: TaskRequest, *, container: str | None = None
    ) -> TaskRef:
        """Create an export task, and hand back what the state has to remember of it.

        Args:
            app: App resource name.
            request: What to export; its description is replaced by the run's mark.
            container: Name of the container that the task has for itself, if it has one.

        Raises:
            TaskRefusedError: If the service takes no further task now.
            RetryLaterError: ``TASK_CREATION_UNCERTAIN`` if answers were lost time and again,
                and no task showed up.
            SettingsError: As :meth:`.ServiceClient.create_task`.
            RunStopped: If the run is stopped meanwhile.
        """
        mark = RunMark.of(request, run_id=self._run_id, number=next(self._numbers))
        marked = msgspec.structs.replace(request, description=str(mark))
        since: datetime | None = None
        lost: list[RetryLaterError] = []
        while len(lost) < LOST_ANSWERS:
            asked_at = self._timing.now()
            # A task that shows up late may stem from the first request that got no answer.
            since = since or asked_at
            task: ExportTask | None
            try:
                task = self._client.create_task(app, marked)
            except RetryLaterError as error:
                if error.code is not Code.TASK_CREATION_UNCERTAIN:
                    raise
                log.warning("app %s: %s; looking for it", app, error.what)
                lost.append(error)
                task = self._find(app, mark, asked_at)
            if task is not None:
                log.info("app %s: export task %s created: %s", app, task.id, mark)
                if task.retry_after is not None:
                    self._asked_pauses[task.id] = task.retry_after
                return TaskRef.of(task, request, asked_at=since, container=container)
        raise lost[-1]

    def watch(self, app: str, data_type: str, ref: TaskRef) -> Watch:
        """Begin to watch a task; no request is sent yet."""
        return begin_watch(
            app,
            data_type,
            ref,
            now=self._timing.now(),
            timeout=self._timeout,
            schedule=self.schedule,
            retry_after=self._asked_pauses.pop(ref.id, None),
        )

    def look(self, watch: Watch) -> tuple[Watch, ExportTask | None]:
        """Ask once for a task.

        Returns:
            The watch as it stands now, and the task if it has succeeded.

        Raises:
            RetryLaterError: ``TASK_FAILED``, ``TASK_TIMEOUT``, ``UNKNOWN_TASK_STATE`` (at
                the deadline) or ``TASK_LOST``; also ``SERVICE_UNAVAILABLE``, after which the
                task is still worth waiting for.
            SettingsError: As every method of the client.
            RunStopped: If the run is stopped meanwhile.
        """
        task = self._ask(watch)
        seen, verdict = observe(watch, task, now=self._timing.now(), schedule=self.schedule)
        _report(watch, seen)
        match verdict:
            case Verdict.READY:
                return seen, task
            case Verdict.WAIT | Verdict.WAIT_UNKNOWN:
                return seen, None
            case Verdict.FAILED | Verdict.TIMED_OUT | Verdict.UNKNOWN_TOO_LONG | Verdict.LOST:
                raise _failure(seen, verdict, task, timeout=self._timeout)

    def _ask(self, watch: Watch) -> ExportTask | None:
        try:
            return self._client.get_task(watch.app, watch.ref.id)
        except TapError as error:
            if error.code is Code.TASK_LOST:
                return None
            error.at(**watch.where)
            raise

    def _find(self, app: str, mark: RunMark, asked_at: datetime) -> ExportTask | None:
        """Look for the task of a request whose answer was lost, for as long as it may take."""
        export_type = BY_NAME[mark.data_type].export_type
        for step in count():
            now = self._timing.now()
            tasks = self._client.list_tasks(app)
            orphan = find_orphan(tasks, mark, export_type, age=now - asked_at)
            if orphan is not None:
                log.info(
                    "app %s: export task %s is the one whose answer was lost", app, orphan.id
                )
                return orphan
            if now >= asked_at + ORPHAN_GRACE:
                break
            self._timing.pause(self.schedule.pause(step))
        log.info("app %s: no export task was created for %s", app, mark)
        return None


def _report(before: Watch, seen: Watch) -> None:
    """Tell of a change of state, and once of an unknown one."""
    if seen.warned and not before.warned:
        log.warning(
            "app %s: export task %s (%s) is in state %r, which is unknown; it is watched until"
            " its time is up",
            seen.app,
            seen.ref.id,
            seen.data_type,
            seen.state,
        )
    elif seen.state and seen.state != before.state and known_state(seen.state):
        log.info(
            "app %s: export task %s (%s) is %s",
            seen.app,
            seen.ref.id,
            seen.data_type,
            seen.state,
        )


def _failure(
    watch: Watch, verdict: Verdict, task: ExportTask | None, *, timeout: timedelta
) -> RetryLaterError:
    """The error for a task that has come to no good end."""
    minutes = timeout / timedelta(minutes=1)
    again = "Run again: its range is then exported by another task"
    match verdict:
        case Verdict.FAILED:
            said = task.error_details if task else None
            details = one_line(said) if said else "it does not say why"
            code, what = Code.TASK_FAILED, f"the export task failed: {details}"
        case Verdict.UNKNOWN_TOO_LONG:
            code = Code.UNKNOWN_TASK_STATE
            what = (
                f"the export task is in state {watch.state!r}, which is unknown, and its"
                f" {minutes:.0f} minutes are up"
            )
            again = "Look up what the state means, then run again"
        case Verdict.LOST:
            code, what = Code.TASK_LOST, "the service does not know the export task any more"
        case _:
            code = Code.TASK_TIMEOUT
            what = (
                f"the export task is still {watch.state or 'without a state'} after"
                f" {minutes:.0f} minutes"
            )
            again = "Run again with a smaller window_days, or a larger task_timeout_minutes"
    return RetryLaterError(code, what, next_step=again, **watch.where)
