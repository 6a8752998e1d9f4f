"""Export tasks: their lives, and the threads that carry them out."""

from __future__ import annotations

import math
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.simulator.chance import chance
from tap_mobile_engagement.simulator.clock import nanoseconds
from tap_mobile_engagement.simulator.containers import WriteError
from tap_mobile_engagement.simulator.faults import (
    Faults,
    TaskFails,
    TaskFault,
    TaskHangs,
    TaskHidden,
    TaskUnknownState,
    TaskVanishes,
)
from tap_mobile_engagement.simulator.options import Seconds, bounds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tap_mobile_engagement.simulator.apps import App
    from tap_mobile_engagement.simulator.clock import SimulatorClock
    from tap_mobile_engagement.simulator.delivery import Deliverer, LateWrite
    from tap_mobile_engagement.simulator.exports import ExportRequest
    from tap_mobile_engagement.simulator.options import Options

_PATIENCE = 5.0  # seconds that a question about a task waits for files that are being written


class TooManyTasksError(Exception):
    """The limit of unfinished tasks is reached."""


@dataclass
class ExportTask:
    """One export task. Times are seconds on the timers, unless they are of the calendar.

    Attributes:
        id: A GUID.
        app: App resource name.
        request: What it was asked for.
        created: By the calendar.
        created_at: The same on the timers.
        starts_at: When it leaves the queue.
        ends_at: When it writes its files.
        completed: By the calendar; None while it is not.
        completed_at: The same on the timers.
        error_details: Why it failed; None if it did not.
        blobs: Names of the blobs that it wrote.
        known_from: When the service begins to know it.
        known_until: When the service forgets it.
        odd_state: A state that it reports whatever its true one.
        odd_until: When it ceases to.
        fails: How it is to fail, if it is.
    """

    id: str
    app: str
    request: ExportRequest
    created: datetime
    created_at: float
    starts_at: float
    ends_at: float
    completed: datetime | None = None
    completed_at: float = math.inf
    error_details: str | None = None
    blobs: list[str] = field(default_factory=list)
    known_from: float = 0.0
    known_until: float = math.inf
    odd_state: str = ""
    odd_until: float = 0.0
    fails: TaskFails | None = None

    def state(self, timer: float) -> str:
        """Its state when the timers stand there: Queued, Started, Succeeded or Failed."""
        if timer < self.odd_until:
            return self.odd_state
        if self.completed is not None:
            return "Succeeded" if self.error_details is None else "Failed"
        return "Started" if timer >= self.starts_at else "Queued"

    def answer(self, timer: float) -> dict[str, Any]:
        """The task as the API answers it (documented)."""
        state = self.state(timer)
        answer: dict[str, Any] = {
            "id": self.id,
            "state": state,
            "exportType": BY_NAME[self.request.data_type].export_type,
            "dateCreated": rfc3339(self.created),
        }
        if self.request.description is not None:
            answer["description"] = self.request.description
        if self.completed is not None and state in ("Succeeded", "Failed"):
            answer["dateCompleted"] = rfc3339(self.completed)
            if self.error_details is not None:
                answer["errorDetails"] = self.error_details
        return answer

    def suffer(self, fault: TaskFault, timer: float) -> None:
        """Let a fault have its way with a task that was created at that timer."""
        match fault:
            case TaskFails():
                self.fails = fault
            case TaskHangs(state=state, seconds=seconds):
                self.ends_at += seconds or math.inf
                if state == "Queued":
                    self.starts_at += seconds or math.inf
            case TaskUnknownState(state=state, seconds=seconds):
                self.odd_state, self.odd_until = state, timer + (seconds or math.inf)
            case TaskVanishes(seconds=seconds):
                self.known_until = timer + seconds
            case TaskHidden(seconds=seconds):
                self.known_from = timer + seconds


class TaskBoard:
    """All export tasks of a simulator, each with a thread that waits, writes and completes it.

    Args:
        options: Durations and limits.
        clock: Calendar and timers.
        apps: The data, by app resource name.
        deliverer: Writes the files.
        faults: The plan of faults.
    """

    def __init__(
        self,
        options: Options,
        clock: SimulatorClock,
        apps: Mapping[str, App],
        *,
        deliverer: Deliverer,
        faults: Faults,
    ) -> None:
        self._options = options
        self._clock = clock
        self._apps = apps
        self._deliverer = deliverer
        self._faults = faults
        self._random = chance(options.seed, "tasks")
        self._tasks: dict[str, ExportTask] = {}
        self._threads: list[threading.Thread] = []
        self._stopped = False

    def create(self, app: str, request: ExportRequest) -> ExportTask:
        """Take on a task.

        Raises:
            TooManyTasksError: If the app has as many unfinished ones as the options allow.
        """
        with self._clock.changed:
            tasks = self._tasks.values()
            running = sum(task.app == app and task.completed is None for task in tasks)
            if self._options.max_tasks and running >= self._options.max_tasks:
                raise TooManyTasksError
            timer = self._clock.elapsed()
            starts_at = timer + self._draw(self._options.queue_seconds)
            task = ExportTask(
                id=str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
                app=app,
                request=request,
                created=self._clock.now(),
                created_at=timer,
                starts_at=starts_at,
                ends_at=starts_at + self._draw(self._options.run_seconds),
            )
            fault = self._faults.strike(TaskFault, app=app, data_type=request.data_type)
            if fault is not None:
                task.suffer(fault, timer)
            self._tasks[task.id] = task
            thread = threading.Thread(target=self._live, args=(task,), name=f"task-{task.id}")
            self._threads.append(thread)
            thread.start()
        return task

    def _draw(self, seconds: Seconds) -> float:
        return self._random.uniform(*bounds(seconds))

    def find(self, app: str, task_id: str) -> ExportTask | None:
        """The task of that id; None where the app has none, or it is no longer known."""
        task = self._tasks.get(task_id)
        if task is None or task.app != app:
            return None
        self._settle(task)
        return task if self._is_known(task) else None

    def all(self, app: str) -> list[ExportTask]:
        """All tasks of an app that are still known, in order of creation."""
        tasks = [task for task in list(self._tasks.values()) if task.app == app]
        for task in tasks:
            self._settle(task)
        return [task for task in tasks if self._is_known(task)]

    @property
    def created(self) -> list[ExportTask]:
        """Every task that was ever created, in order."""
        return list(self._tasks.values())

    def stop(self) -> None:
        """End all threads; tasks that wait stay unfinished."""
        with self._clock.changed:
            self._stopped = True
            self._clock.changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _is_known(self, task: ExportTask) -> bool:
        timer, listed = self._clock.elapsed(), self._options.listed_seconds
        forgotten = listed and timer > task.completed_at + listed
        return task.known_from <= timer < task.known_until and not forgotten

    def _settle(self, task: ExportTask) -> None:
        """Wait for a task that is due: its files are being written at this moment."""
        with self._clock.changed:
            if self._clock.elapsed() >= task.ends_at:
                self._clock.changed.wait_for(lambda: task.completed is not None, _PATIENCE)

    def _live(self, task: ExportTask) -> None:
        """The life of a task, in a thread of its own."""
        if not self._wait_until(task.ends_at):
            return
        late: list[LateWrite] = []
        error_details: str | None = "an internal error"  # unless one of these happens:
        try:
            late = self._carry_out(task)
            error_details = None if task.fails is None else task.fails.error_details
        except WriteError as error:
            error_details = str(error)
        finally:
            with self._clock.changed:
                task.error_details = error_details
                task.completed, task.completed_at = self._clock.now(), self._clock.elapsed()
                self._clock.changed.notify_all()
        for write in late:
            if self._wait_until(task.completed_at + write.seconds):
                with suppress(WriteError):  # nobody to tell: the task has long succeeded
                    write.write()

    def _carry_out(self, task: ExportTask) -> list[LateWrite]:
        if task.fails is not None and not task.fails.after_writing:
            return []
        moment = nanoseconds(self._clock.now())
        app = self._apps[task.app]
        delivery = self._deliverer.deliver(app, task.request, moment, task.id)
        task.blobs = delivery.blobs
        return delivery.late

    def _wait_until(self, timer: float) -> bool:
        """Wait for a timer; False if the board was stopped first."""
        with self._clock.changed:
            while not self._stopped:
                left = timer - self._clock.elapsed()
                if left <= 0:
                    return True
                self._clock.changed.wait(min(left, threading.TIMEOUT_MAX))
        return False


def rfc3339(moment: datetime) -> str:
    """A date-time as the API answers it: UTC, whole milliseconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
