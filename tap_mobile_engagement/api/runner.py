"""Runs export tasks: a thread does what the plan says, the main thread takes what is ready."""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING
from uuid import uuid4

from tap_mobile_engagement.api.client import TaskRefusedError
from tap_mobile_engagement.api.http import creation_uncertain
from tap_mobile_engagement.api.observer import Observer, What
from tap_mobile_engagement.api.plan import Plan
from tap_mobile_engagement.api.tasks import Key, PendingExport, Phase, find_orphan, known_state
from tap_mobile_engagement.clock import RunStopped, Schedule
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, RetryLaterError, TapError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_mobile_engagement.api.client import ServiceClient
    from tap_mobile_engagement.api.destinations import TaskStorage
    from tap_mobile_engagement.api.tasks import ExportTask, Note
    from tap_mobile_engagement.clock import Clock
    from tap_mobile_engagement.settings import Settings

ORPHAN_GRACE = timedelta(minutes=1)  # until a task is listed whose answer was lost (assumed)
LOST_ANSWERS = 3  # in a row, to creations, after which no more is tried
_THREAD_NAP = 0.5  # seconds; how long the thread may not notice that it was closed
_READER_NAP = 0.2  # seconds; how long the reader may not notice a signal
_FAREWELL = 2.0  # seconds; how long the end of a run waits for a request that is under way

_EMPTY = "it counts as empty, retires no row, and the next run looks once more"

log = logging.getLogger(__name__)


class TaskRunner:
    """Keeps the export tasks of a plan under way; notes tell the main thread what happened."""

    def __init__(
        self, settings: Settings, *, client: ServiceClient, storage: TaskStorage, clock: Clock
    ) -> None:
        pauses = settings.poll_interval_seconds, settings.poll_max_interval_seconds
        timeout = timedelta(minutes=settings.task_timeout_minutes)
        self.plan = Plan(settings.max_concurrent_tasks, Schedule(*pauses), timeout)
        self.observer = Observer(clock.now, timeline_path=settings.timeline_path)
        self._export_format = settings.export_format
        self._client = client
        self._storage = storage
        self._clock = clock
        self._run_id = uuid4().hex
        self._numbers = count(1)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._crash: BaseException | None = None

    def next_export(
        self, key: Key, take_notes: Callable[[], None]
    ) -> tuple[PendingExport, float] | None:
        """Wait for the next export, in order, and tell how long; None after the last."""
        started = time.monotonic()
        while True:
            take_notes()
            with self._changed:
                if self._crash is not None:
                    raise self._crash
                self.plan.take(None)
                export = self.plan.head(key)
                if export is None:
                    return None
                if export.phase is Phase.READY:
                    self.plan.take(export)
                    return export, time.monotonic() - started
                if export.error is not None:
                    self.plan.abandon(key)
                    raise export.error
                self.start()
                self._changed.wait(_READER_NAP)
            self._clock.check()

    def notes(self) -> list[Note]:
        """What the state has to be told since this was asked last."""
        with self._changed:
            notes = [*self.plan.notes]
            self.plan.notes.clear()
        return notes

    def abandon(self, key: Key) -> None:
        """The stream has failed: leave its tasks to the next run."""
        with self._changed:
            self.plan.abandon(key)

    def start(self) -> None:
        """Begin with what is planned by now, unless that is under way already."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="export-tasks", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Do nothing more, but wait once for a moment: a request may be creating a task."""
        was_closed, self._closed = self._closed, True
        if self._thread is not None and not was_closed:
            self._thread.join(_FAREWELL)
        self.observer.close()

    def _run(self) -> None:
        try:
            for export in self.plan.to_resume:
                self.observer.happened(What.RESUMED, export)
                with self._changed:
                    self.plan.resume(export, self._clock.now())
            while not self._closed:
                with self._changed:
                    self._changed.notify_all()  # of what was done
                    self.plan.one_at_a_time = self._storage.one_at_a_time
                    self.plan.one_app = self._storage.one_app
                    action = self.plan.next_action(self._clock.now())
                    running, unread = self.plan.counts()
                self.observer.progressed(running=running, unread=unread)
                if action is None:
                    return
                if isinstance(action, PendingExport):
                    self._do(action)
                else:
                    left = (action - self._clock.now()).total_seconds()
                    self._clock.pause(max(0.0, min(left, _THREAD_NAP)))
        except RunStopped:
            pass  # the main thread stops by the same flag
        except BaseException as error:  # noqa: BLE001  (raised again in the main thread)
            self._crash = error

    def _do(self, export: PendingExport) -> None:
        try:
            if export.phase is Phase.CREATING:
                self._storage.choose(export)
                self.submit(export)
            elif export.phase is Phase.RUNNING:
                self.poll(export)
            else:
                self._find_blobs(export)
        except TaskRefusedError as refusal:
            with self._changed:
                pause = self.plan.refused(export, refusal, self._clock.now())
            if pause is not None:
                log.info("%s; none for %s, or until one has ended", refusal.what, pause)
        except TapError as error:
            error.at(**export.where)
            with self._changed:
                self.plan.failed(export, error, self._clock.now())
            detail = "" if export.phase is Phase.FAILED else error
            self.observer.happened(What.FAILED, export, detail)

    def submit(self, export: PendingExport) -> None:
        """Create the task of an export, or find it where the answer was lost."""
        # The words that follow keep "…/1" from being found in the description of request 12.
        description = f"tap-mobile-engagement {self._run_id}/{next(self._numbers)} {export}"
        body = export.body(self._export_format, description)
        # A task that shows up late may stem from the first request that got no answer.
        since = self._clock.now()
        for tries_left in reversed(range(LOST_ANSWERS)):
            task: ExportTask | None
            try:
                task = self._client.create_task(export, body)
                if self.plan.has_task(task.id):
                    raise creation_uncertain(f"the answer names another task, {task.id}")
            except RetryLaterError as error:
                if error.code is not Code.TASK_CREATION_UNCERTAIN:
                    raise
                log.warning("app %s: %s; looking for it", export.key.app, error.what)
                task = self._find_orphan(export, description)
                if task is None and not tries_left:
                    raise
            if task is not None:
                entry = export.entry(task, since)
                with self._changed:
                    self.plan.created(
                        export, entry, self._clock.now(), retry_after=task.retry_after
                    )
                self.observer.happened(What.CREATED, export, description)
                return

    def _find_orphan(self, export: PendingExport, description: str) -> ExportTask | None:
        """Look for the task of a request whose answer was lost, for as long as it may take."""
        app = export.key.app
        export_type = BY_NAME[export.key.data_type].export_type
        until = self._clock.now() + ORPHAN_GRACE
        step = 0
        while True:
            now = self._clock.now()
            orphan = find_orphan(self._client.list_tasks(app), description, export_type)
            if orphan is not None or now >= until:
                found = orphan.id if orphan else "not listed"
                log.info("app %s: the task whose answer was lost is %s", app, found)
                return orphan
            self._clock.pause(self.plan.schedule.pause(step))
            step += 1

    def poll(self, export: PendingExport) -> None:
        """Ask once for an export's task; errors as in :func:`.tasks.has_succeeded`."""
        assert export.task is not None  # noqa: S101  (its phase is RUNNING)
        answer = self._client.get_task(export.key.app, export.task.id)
        if answer is not None and answer.state != export.state:
            self.observer.happened(
                What.STATE, export, known_state(answer.state) or answer.state
            )
        with self._changed:
            self.plan.polled(export, answer, self._clock.now())

    def _find_blobs(self, export: PendingExport) -> None:
        parts = self._storage.find(export)
        # A blob without a byte may be one that is still being written.
        found = parts if any(part.size for part in parts) else ()
        is_second_look = export.is_second_look
        with self._changed:
            self.plan.one_at_a_time = self._storage.one_at_a_time
            self.plan.read_first |= self._storage.read_first
            is_over = self.plan.searched(export, found, self._clock.now())
        if is_over and not found and not is_second_look:
            self.observer.happened(What.EMPTY, export, _EMPTY)
