"""Export tasks side by side: a thread does what the plan says, the reader takes what is ready.

The thread only talks to the service and lists the container. Messages and state belong to the
main thread: what the state has to be told comes to it as notes.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from tap_mobile_engagement.api.failures import TaskRefusedError
from tap_mobile_engagement.api.plan import Create, Errand, Look, Phase, Plan, Rest, Search
from tap_mobile_engagement.api.policy import TaskState, known_state
from tap_mobile_engagement.api.progress import Standing, since
from tap_mobile_engagement.api.sas_expiry import Work
from tap_mobile_engagement.api.tasks import TaskRequest
from tap_mobile_engagement.clock import RunStopped
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, RetryLaterError, TapError
from tap_mobile_engagement.sources.base import Part

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from tap_mobile_engagement.api.destinations import TaskStorage
    from tap_mobile_engagement.api.plan import Forget, Key, Remember
    from tap_mobile_engagement.api.progress import Progress
    from tap_mobile_engagement.api.runner import TaskRunner
    from tap_mobile_engagement.api.timeline import Timeline
    from tap_mobile_engagement.clock import Clock

_NAP = 0.5  # seconds; the thread looks up this often, in case it was closed
_READER_NAP = 0.2  # seconds; the reader likewise, for a signal
_FAREWELL = 5.0  # seconds; how long the end of a run waits for a request that is under way
_TO_BE_DONE = (Phase.DUE, Phase.CREATING, Phase.RUNNING, Phase.WRITTEN)

log = logging.getLogger(__name__)

Parts = tuple[Part, ...]


class Fleet:
    """Keeps the export tasks of a plan under way.

    Args:
        plan: What is due, in the order in which it will be read.
        runner: Creates tasks and asks about them.
        storage: Where tasks write.
        export_format: What to ask for.
        timing: The clock and the stop flag.
        timeline: Is told what happens to each task.
        task_timeout: How long a task may take.
        progress: Is told how far the run has come.
    """

    def __init__(
        self,
        plan: Plan[Parts],
        *,
        runner: TaskRunner,
        storage: TaskStorage,
        export_format: str,
        timing: Clock,
        timeline: Timeline,
        task_timeout: timedelta,
        progress: Progress,
    ) -> None:
        self._progress = progress
        self._began_at = timing.now()
        self._read = 0
        self._bytes_read = 0
        self._plan = plan
        self._task_timeout = task_timeout
        self._timeline = timeline
        self._runner = runner
        self._storage = storage
        self._export_format = export_format
        self._timing = timing
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._crash: BaseException | None = None

    def next_export(
        self, key: Key, take_notes: Callable[[], None]
    ) -> tuple[Errand[Parts], float] | None:
        """Wait for the next export of a data type and app, in commit order.

        Args:
            key: Data type and app.
            take_notes: Called in between, to bring the state up to date.

        Returns:
            The errand, ready, and the seconds waited; None if nothing is left.

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
                errand = self._plan.head(key)
                if errand is None:
                    return None
                if errand.phase is Phase.READY:
                    self._plan.take(errand)
                    return errand, time.monotonic() - started
                if errand.phase is Phase.FAILED:
                    self._plan.abandon(key)
                    assert errand.error is not None  # noqa: S101  (its phase is FAILED)
                    raise errand.error
                self.start()
                self._changed.wait(_READER_NAP)
            self._timing.pause(0)

    def notes(self) -> list[Remember | Forget]:
        """What the state has to be told since this was asked last."""
        with self._changed:
            notes = [*self._plan.notes]
            self._plan.notes.clear()
        return notes

    def abandon(self, key: Key) -> None:
        """The stream has failed: leave its tasks to the next run."""
        with self._changed:
            self._plan.abandon(key)

    def work(self) -> Work:
        """The export tasks that are still to be done."""
        with self._changed:
            phases, usual = self._plan.phases, self._plan.usual_time
        return Work(
            tasks=sum(phases[phase] for phase in _TO_BE_DONE),
            at_once=self._plan.limit,
            longest=self._task_timeout,
            usual=usual,
        )

    def close(self) -> None:
        """Do nothing more. Tasks go on at the service; the state has to know them.

        So a request that is under way is waited for, though not for long: it may be one that
        creates a task. What comes of it is in :meth:`notes`.
        """
        self._closed = True
        if self._thread is not None:
            self._thread.join(_FAREWELL)

    def start(self) -> None:
        """Begin with what is planned by now, unless that is under way already."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="export-tasks", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        """Do what the plan says until nothing is left to do."""
        try:
            for errand in self._plan.to_resume:
                self._resume(errand)
            while not self._closed:
                with self._changed:
                    action = self._plan.next_action(self._timing.now())
                if isinstance(action, Rest):
                    if action.until is None:
                        return
                    left = (action.until - self._timing.now()).total_seconds()
                    self._timing.pause(max(0.0, min(left, _NAP)))
                else:
                    self._do(action)
                self._show_progress()
        except RunStopped:
            pass  # the main thread stops by the same flag
        except BaseException as error:  # noqa: BLE001  (raised again in the main thread)
            with self._changed:
                self._crash = error
                self._changed.notify_all()

    def _resume(self, errand: Errand[Parts]) -> None:
        assert errand.task is not None  # noqa: S101  (the plan says so)
        watch = self._runner.watch(errand.key.app, errand.key.data_type, errand.task)
        log.info(
            "app %s: taking up export task %s (%s)",
            errand.key.app,
            errand.task.id,
            errand.key.data_type,
        )
        self._timeline.created(_label(errand), errand.task.id)
        with self._changed:
            self._plan.resume(errand, watch)

    def _do(self, action: Create | Look | Search) -> None:
        errand = action.errand
        try:
            match action:
                case Create():
                    self._create(errand)
                case Look():
                    self._look(errand)
                case Search():
                    self._search(errand)
        except TapError as error:
            if errand.watch is not None:
                self._timeline.failed(errand.watch.ref.id)
            with self._changed:
                self._plan.failed(errand, error, self._timing.now())
                if errand.phase is not Phase.FAILED:
                    log.warning("%s", error)
                self._changed.notify_all()

    def _create(self, errand: Errand[Parts]) -> None:
        key, order = errand.key, errand.order
        place = errand.place  # a container of its own, from a try that was refused
        if place is None or place.container is None:
            place = self._storage.new_place(key.data_type)
        request = TaskRequest(
            data_type=key.data_type,
            container_url=place.url,
            export_format=self._export_format,
            window=order.window,
            campaign_type=order.campaign_type,
        )
        try:
            task = self._runner.submit(key.app, request, container=place.container)
        except TaskRefusedError as refusal:
            with self._changed:
                errand.place = place
                pause = self._plan.refused(errand, refusal, self._timing.now())
                self._changed.notify_all()
            if pause is not None:
                seconds = pause.total_seconds()
                log.info("%s; fewer at a time, and none for %.0f s", refusal.what, seconds)
            return
        self._timeline.created(_label(errand), task.id)
        watch = self._runner.watch(key.app, key.data_type, task)
        with self._changed:
            errand.place = place
            self._plan.created(errand, watch, self._timing.now())
            self._changed.notify_all()  # for the reader to note it in the state

    def _look(self, errand: Errand[Parts]) -> None:
        assert errand.watch is not None  # noqa: S101  (its phase is RUNNING)
        watch, task = self._runner.look(errand.watch)
        if task is not None:
            self._timeline.succeeded(task.id)
        elif known_state(watch.state or "") is TaskState.STARTED:
            self._timeline.started(watch.ref.id)
        with self._changed:
            self._plan.looked(errand, watch, self._timing.now(), done=task is not None)

    def _search(self, errand: Errand[Parts]) -> None:
        assert errand.task is not None  # noqa: S101  (its phase is WRITTEN)
        before = errand.place.before if errand.place else None
        parts = self._storage.find(errand.task, BY_NAME[errand.key.data_type], before)
        # A blob without a byte may be one that is still being written.
        found = parts if any(part.size for part in parts) else ()
        now = self._timing.now()
        if not found and errand.asked_at is None and not self._plan.looks_again(errand, now):
            # Its blobs may have been removed since it wrote them: never take that as empty.
            raise RetryLaterError(
                Code.TASK_LOST,
                "an export task of an earlier run succeeded, but none of its blobs is there",
                next_step="Its range is exported again",
                **errand.watch.where if errand.watch else {},
            )
        with self._changed:
            ready = self._plan.searched(errand, found, now)
            self._plan.one_at_a_time = self._storage.may_mix
            self._changed.notify_all()
        if ready and not found:
            log.warning(
                "app %s: export task %s (%s) succeeded, but there is no content of it: its "
                "range counts as empty",
                errand.key.app,
                errand.task.id,
                errand.key.data_type,
            )

    def note_read(self, size: int) -> None:
        """All records of an export are out, whose files had that many bytes."""
        self._read += 1
        self._bytes_read += size
        self._show_progress()

    def _show_progress(self) -> None:
        elapsed = since(self._began_at, self._timing.now())
        with self._changed:
            plan = self._plan
            self._progress.show(
                Standing(
                    read=self._read,
                    phases=plan.phases,
                    bytes_read=self._bytes_read,
                    elapsed=elapsed,
                    usual_time=plan.usual_time,
                    limit=plan.limit,
                )
            )


def _label(errand: Errand[Parts]) -> str:
    order = errand.order
    what = (*errand.key, order.campaign_type, order.window)
    return " ".join(str(part) for part in what if part is not None)
