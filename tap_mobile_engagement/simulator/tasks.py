"""Export tasks: their lives, and the threads that carry them out."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.simulator.chance import chance
from tap_mobile_engagement.simulator.clock import nanoseconds
from tap_mobile_engagement.simulator.containers import WriteError, target_for
from tap_mobile_engagement.simulator.data import day_of
from tap_mobile_engagement.simulator.exports import ExportRequest, content_of
from tap_mobile_engagement.simulator.files import extension, render
from tap_mobile_engagement.simulator.options import bounds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tap_mobile_engagement.simulator.apps import App
    from tap_mobile_engagement.simulator.clock import SimulatorClock
    from tap_mobile_engagement.simulator.options import Options

_PATIENCE = 5.0  # seconds that a question about a task waits for files that are being written


class TooManyTasksError(Exception):
    """The limit of unfinished tasks is reached."""


@dataclass
class ExportTask:
    """One export task.

    Attributes:
        id: A GUID.
        app: App resource name.
        request: What it was asked for.
        created: By the calendar.
        starts_at: Timer at which it leaves the queue, in seconds.
        ends_at: Timer at which it writes its files, in seconds.
        completed: By the calendar; None while it is not.
        completed_at: Timer of that.
        error_details: Why it failed; None if it did not.
        blobs: Names of the blobs that it wrote.
    """

    id: str
    app: str
    request: ExportRequest
    created: datetime
    starts_at: float
    ends_at: float
    completed: datetime | None = None
    completed_at: float = 0.0
    error_details: str | None = None
    blobs: list[str] = field(default_factory=list)

    def state(self, timer: float) -> str:
        """Its state when the timers stand there: Queued, Started, Succeeded or Failed."""
        if self.completed is not None:
            return "Succeeded" if self.error_details is None else "Failed"
        return "Started" if timer >= self.starts_at else "Queued"

    def answer(self, timer: float) -> dict[str, Any]:
        """The task as the API answers it (documented)."""
        answer: dict[str, Any] = {
            "id": self.id,
            "state": self.state(timer),
            "exportType": BY_NAME[self.request.data_type].export_type,
            "dateCreated": rfc3339(self.created),
        }
        if self.request.description is not None:
            answer["description"] = self.request.description
        if self.completed is not None:
            answer["dateCompleted"] = rfc3339(self.completed)
        if self.error_details is not None:
            answer["errorDetails"] = self.error_details
        return answer


class TaskBoard:
    """All export tasks of a simulator, each with a thread that waits, writes and completes it.

    Args:
        options: Durations and limits.
        clock: Calendar and timers.
        apps: The data, by app resource name.
    """

    def __init__(
        self, options: Options, clock: SimulatorClock, apps: Mapping[str, App]
    ) -> None:
        self._options = options
        self._clock = clock
        self._apps = apps
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
            running = sum(
                task.app == app and task.completed is None for task in self._tasks.values()
            )
            if self._options.max_tasks and running >= self._options.max_tasks:
                raise TooManyTasksError
            starts_at = self._clock.elapsed() + self._draw(self._options.queue_seconds)
            task = ExportTask(
                id=str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
                app=app,
                request=request,
                created=self._clock.now(),
                starts_at=starts_at,
                ends_at=starts_at + self._draw(self._options.run_seconds),
            )
            self._tasks[task.id] = task
        thread = threading.Thread(target=self._carry_out, args=(task,), name=f"task-{task.id}")
        self._threads.append(thread)
        thread.start()
        return task

    def _draw(self, seconds: float | tuple[float, float]) -> float:
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
        listed = self._options.listed_seconds
        finished = task.completed is not None
        return not (listed and finished and self._clock.elapsed() > task.completed_at + listed)

    def _settle(self, task: ExportTask) -> None:
        """Wait for a task that is due: its files are being written at this moment."""
        with self._clock.changed:
            if self._clock.elapsed() >= task.ends_at:
                self._clock.changed.wait_for(lambda: task.completed is not None, _PATIENCE)

    def _carry_out(self, task: ExportTask) -> None:
        if not self._wait_until(task.ends_at):
            return
        moment = nanoseconds(self._clock.now())
        error_details: str | None = "an internal error"  # unless one of the following happens
        try:
            app = self._apps[task.app]
            task.blobs = write_export(self._options, app, task.request, moment, task.id)
            error_details = None
        except WriteError as error:
            error_details = str(error)
        finally:
            with self._clock.changed:
                task.error_details = error_details
                task.completed, task.completed_at = self._clock.now(), self._clock.elapsed()
                self._clock.changed.notify_all()

    def _wait_until(self, timer: float) -> bool:
        """Wait for a timer; False if the board was stopped first."""
        with self._clock.changed:
            while not self._stopped:
                left = timer - self._clock.elapsed()
                if left <= 0:
                    return True
                self._clock.changed.wait(left)
        return False


def write_export(
    options: Options, app: App, request: ExportRequest, moment: int, task_id: str
) -> list[str]:
    """Write the files of an export that runs at ``moment`` (nanoseconds since 1970).

    Returns:
        The names of the blobs.

    Raises:
        WriteError: If a blob could not be written.
    """
    target = target_for(request.container_url)
    content = content_of(options, app, request, moment)
    random = chance(options.seed, task_id)
    names = []
    for number, file in enumerate(
        render(options, request.data_type, request.export_format, content)
    ):
        name = options.blob_pattern.format(
            app=app.name,
            type=BY_NAME[request.data_type].export_type or "Device",
            data_type=request.data_type,
            task_id=task_id,
            task_hex=task_id.replace("-", ""),
            n=number,
            start=request.start or "all",
            end=request.end or "all",
            date=day_of(moment),
            random=f"{random.getrandbits(64):016x}",
            ext=extension(options, request.export_format),
        )
        target.write(name, file.body)
        names.append(name)
    return names


def rfc3339(moment: datetime) -> str:
    """A date-time as the API answers it: UTC, whole milliseconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
