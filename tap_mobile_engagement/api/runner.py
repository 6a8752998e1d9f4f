"""Runs export tasks: a thread does what the plan says, the reader takes what is ready.

The thread only talks to the service and lists the container. Messages and state belong to the
main thread: what the state has to be told comes to it as notes.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING
from uuid import uuid4

from tap_mobile_engagement.api import failures
from tap_mobile_engagement.api.failures import TaskRefusedError
from tap_mobile_engagement.api.observer import What
from tap_mobile_engagement.api.policy import TaskState, Verdict, find_orphan, known_state
from tap_mobile_engagement.api.tasks import (
    Create,
    FindBlobs,
    Key,
    PendingExport,
    Phase,
    Poll,
    Wait,
)
from tap_mobile_engagement.clock import RunStopped
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, RetryLaterError, TapError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tap_mobile_engagement.api.client import ServiceClient
    from tap_mobile_engagement.api.destinations import TaskStorage
    from tap_mobile_engagement.api.observer import Observers
    from tap_mobile_engagement.api.plan import Plan
    from tap_mobile_engagement.api.tasks import ExportTask, Note
    from tap_mobile_engagement.clock import Clock

ORPHAN_GRACE = timedelta(minutes=1)
"""How long after a lost answer its task may take to be listed (an assumption)."""

LOST_ANSWERS = 3
"""So many creations in a row without an answer or a task, and no more is tried."""

_THREAD_NAP = 0.5  # seconds; the thread looks up this often, in case it was closed
_READER_NAP = 0.2  # seconds; the reader likewise, for a signal
_FAREWELL = 2.0  # seconds; how long the end of a run waits for a request that is under way

log = logging.getLogger(__name__)


class TaskRunner:
    """Keeps the export tasks of a plan under way.

    Creating is exactly-once as far as the service allows: each request has a description of
    its own, and when its answer is lost, the task is looked for by that before another is made.

    Args:
        plan: What is due, in the order in which it will be read.
        client: The REST API.
        storage: Where tasks write.
        export_format: What to ask for.
        clock: The clock and the stop flag.
        observers: Are told what happens to each task.
        run_id: Names this run in the descriptions of tasks; a random one unless given.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        client: ServiceClient,
        storage: TaskStorage,
        export_format: str,
        clock: Clock,
        observers: Observers,
        run_id: str | None = None,
    ) -> None:
        self._plan = plan
        self._client = client
        self._storage = storage
        self._export_format = export_format
        self._clock = clock
        self._observers = observers
        self._run_id = run_id or uuid4().hex
        self._numbers = count(1)
        self._began_at = clock.now()
        self._read = 0
        self._bytes_read = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._crash: BaseException | None = None

    # For the reader.

    def next_export(
        self, key: Key, take_notes: Callable[[], None]
    ) -> tuple[PendingExport, float] | None:
        """Wait for the next export of a data type and app, in commit order.

        Args:
            key: Data type and app.
            take_notes: Called in between, to bring the state up to date.

        Returns:
            The export, ready, and the seconds waited; None if nothing is left.

        Raises:
            TapError: Why the export could not be had.
            RunStopped: If the run is stopped meanwhile.
        """
        started = time.monotonic()
        while True:
            take_notes()
            with self._changed:
                if self._crash is not None:
                    raise self._crash
                self._plan.done_reading()
                export = self._plan.head(key)
                if export is None:
                    return None
                if export.phase is Phase.READY:
                    self._plan.take(export)
                    return export, time.monotonic() - started
                if export.phase is Phase.FAILED:
                    self._plan.abandon(key)
                    assert export.error is not None  # noqa: S101  (its phase is FAILED)
                    raise export.error
                self.start()
                self._changed.wait(_READER_NAP)
            self._clock.check()

    def notes(self) -> list[Note]:
        """What the state has to be told since this was asked last."""
        with self._changed:
            notes = [*self._plan.notes]
            self._plan.notes.clear()
        return notes

    def note_read(self, size: int) -> None:
        """All records of an export are out, whose files had that many bytes."""
        self._read += 1
        self._bytes_read += size
        self._report_progress()

    def abandon(self, key: Key) -> None:
        """The stream has failed: leave its tasks to the next run."""
        with self._changed:
            self._plan.abandon(key)

    def start(self) -> None:
        """Begin with what is planned by now, unless that is under way already."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="export-tasks", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Do nothing more. Tasks continue at the service; the state has to know them.

        So a request that is under way is waited for, though not for long: it may be one that
        creates a task. What comes of it is in :meth:`notes`.
        """
        self._closed = True
        if self._thread is not None:
            self._thread.join(_FAREWELL)

    # The thread.

    def _run(self) -> None:
        """Do what the plan says until nothing is left to do."""
        try:
            for export in self._plan.to_resume:
                self._observers.happened(What.RESUMED, export)
                with self._changed:
                    self._plan.resume(export, self._clock.now())
            while not self._closed:
                with self._changed:
                    self._plan.one_at_a_time = self._storage.one_at_a_time
                    self._plan.one_app = self._storage.one_app
                    action = self._plan.next_action(self._clock.now())
                self._report_progress()
                if isinstance(action, Wait):
                    if action.until is None:
                        return
                    left = (action.until - self._clock.now()).total_seconds()
                    self._clock.pause(max(0.0, min(left, _THREAD_NAP)))
                else:
                    self._do(action)
        except RunStopped:
            pass  # the main thread stops by the same flag
        except BaseException as error:  # noqa: BLE001  (raised again in the main thread)
            with self._changed:
                self._crash = error
                self._changed.notify_all()

    def _do(self, action: Create | Poll | FindBlobs) -> None:
        export = action.export
        task_id: str | None = None
        try:
            match action:
                case Create():
                    self._create(export)
                case Poll():
                    self.poll(export)
                case FindBlobs():
                    self._find_blobs(export)
        except TapError as error:
            error.at(**export.where)
            task_id = export.task.id if export.task else None
            with self._changed:
                self._plan.failed(export, error, self._clock.now())
                is_final = export.phase is Phase.FAILED
                self._changed.notify_all()
            detail = "" if is_final else error
            self._observers.happened(What.FAILED, export, task_id=task_id, detail=detail)

    def _create(self, export: PendingExport) -> None:
        self._storage.choose(export)
        try:
            self.submit(export)
        except TaskRefusedError as refusal:
            with self._changed:
                pause = self._plan.refused(export, refusal, self._clock.now())
                self._changed.notify_all()
            if pause is not None:
                seconds = pause.total_seconds()
                detail = f"{refusal.what}; fewer at a time, and none for {seconds:.0f} s"
                self._observers.happened(What.REFUSED, export, detail=detail)

    def submit(self, export: PendingExport) -> None:
        """Create the task of an export.

        Raises:
            TaskRefusedError: If the service takes no further task now.
            RetryLaterError: ``TASK_CREATION_UNCERTAIN`` if answers were lost time and again,
                and no task showed up.
            SettingsError: As :meth:`.ServiceClient.create_task`.
            RunStopped: If the run is stopped meanwhile.
        """
        # The words that follow keep "…/1" from being found in the description of request 12.
        description = f"tap-mobile-engagement {self._run_id}/{next(self._numbers)} {export}"
        body = export.body(self._export_format, description)
        since: datetime | None = None
        lost: list[RetryLaterError] = []
        while len(lost) < LOST_ANSWERS:
            asked_at = self._clock.now()
            # A task that shows up late may stem from the first request that got no answer.
            since = since or asked_at
            task: ExportTask | None
            try:
                task = self._client.create_task(export, body)
            except RetryLaterError as error:
                if error.code is not Code.TASK_CREATION_UNCERTAIN:
                    raise
                log.warning("app %s: %s; looking for it", export.key.app, error.what)
                lost.append(error)
                task = self._find_orphan(export, description, asked_at)
            if task is not None:
                entry = export.entry(task, since)
                with self._changed:
                    self._plan.created(
                        export, entry, self._clock.now(), retry_after=task.retry_after
                    )
                    self._changed.notify_all()  # for the reader to note it in the state
                self._observers.happened(What.CREATED, export, detail=description)
                return
        raise lost[-1]

    def _find_orphan(
        self, export: PendingExport, description: str, asked_at: datetime
    ) -> ExportTask | None:
        """Look for the task of a request whose answer was lost, for as long as it may take."""
        app = export.key.app
        export_type = BY_NAME[export.key.data_type].export_type
        for step in count():
            now = self._clock.now()
            orphan = find_orphan(
                self._client.list_tasks(app), description, export_type, age=now - asked_at
            )
            if orphan is not None:
                log.info(
                    "app %s: export task %s is the one whose answer was lost", app, orphan.id
                )
                return orphan
            if now >= asked_at + ORPHAN_GRACE:
                break
            self._clock.pause(self._plan.schedule.pause(step))
        log.info("app %s: no export task was created for %s", app, description)
        return None

    def poll(self, export: PendingExport) -> Verdict:
        """Ask once for the task of an export.

        Raises:
            RetryLaterError: ``TASK_FAILED``, ``TASK_TIMEOUT``, ``UNKNOWN_TASK_STATE`` (at
                the deadline) or ``TASK_LOST``; also ``SERVICE_UNAVAILABLE``, after which the
                task is still worth waiting for.
            SettingsError: As every method of the client.
            RunStopped: If the run is stopped meanwhile.
        """
        assert export.task is not None  # noqa: S101  (its phase is RUNNING)
        before = export.state
        try:
            answer = self._client.get_task(export.key.app, export.task.id)
        except TapError as error:
            if error.code is not Code.TASK_LOST:
                raise error.at(**export.where) from error.__cause__
            answer = None
        with self._changed:
            verdict = self._plan.polled(export, answer, self._clock.now())
        self._report_state(export, before, verdict)
        if verdict in {Verdict.WAIT, Verdict.WAIT_UNKNOWN, Verdict.READY}:
            return verdict
        raise failures.task_ended(export, verdict, answer, timeout=self._plan.timeout)

    def _report_state(self, export: PendingExport, before: str, verdict: Verdict) -> None:
        if export.state == before:
            return
        state = known_state(export.state)
        if state is not None:
            self._observers.happened(What.STATE, export, detail=export.state)
        elif not before or known_state(before) is not None:
            self._observers.happened(What.UNKNOWN_STATE, export, detail=export.state)
        if state is TaskState.STARTED:
            self._observers.happened(What.STARTED, export)
        if verdict is Verdict.READY:
            self._observers.happened(What.SUCCEEDED, export)

    def _find_blobs(self, export: PendingExport) -> None:
        parts = self._storage.find(export)
        self._plan.one_at_a_time = self._storage.one_at_a_time
        # A blob without a byte may be one that is still being written.
        found = parts if any(part.size for part in parts) else ()
        is_second_look = export.task is not None and export.task.empty
        now = self._clock.now()
        is_earlier = export.asked_at is None and not is_second_look
        if not found and is_earlier and not self._plan.looks_again(export, now):
            # Its blobs may have been removed since it wrote them: never take that as empty.
            raise failures.task_lost(
                "an export task of an earlier run succeeded, but none of its blobs is there"
            )
        with self._changed:
            is_over = self._plan.searched(export, found, now)
            self._changed.notify_all()
        if is_over and not found and not is_second_look:
            self._observers.happened(What.EMPTY, export)

    def _report_progress(self) -> None:
        with self._changed:
            summary = self._plan.summary(
                read=self._read,
                bytes_read=self._bytes_read,
                elapsed=max(self._clock.now() - self._began_at, timedelta()),
            )
        self._observers.progressed(summary)
