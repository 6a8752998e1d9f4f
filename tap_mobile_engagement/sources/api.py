"""Exports out of the service's REST API: plan windows, run export tasks, find the blobs."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from tap_mobile_engagement.errors import TapError
from tap_mobile_engagement.sources.base import Export, Part
from tap_mobile_engagement.tasks.model import PUSH_FEEDBACK, TaskRef, TaskRequest
from tap_mobile_engagement.tasks.policy import GiveUp, Halve, TryAgain, after_failure
from tap_mobile_engagement.windows import Window, first_day, tile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import date, datetime

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.settings import Settings
    from tap_mobile_engagement.sources.storage import Place, TaskStorage
    from tap_mobile_engagement.tasks.client import ServiceClient
    from tap_mobile_engagement.tasks.runner import TaskRunner
    from tap_mobile_engagement.tasks.timing import Timing
    from tap_mobile_engagement.windows import PartitionState

DETAIL_REQUESTS = 8
"""Requests for device details that may be under way at once."""


@dataclass(frozen=True, slots=True)
class Order:
    """One export that is due.

    Attributes:
        window: The days; None for a snapshot without dates.
        campaign_type: For push feedback.
        task: A task that is already under way for it, from an earlier run.
    """

    window: Window | None = None
    campaign_type: str | None = None
    task: TaskRef | None = None


def plan_windows(start: date, end: date, days: int, tasks: Iterable[TaskRef]) -> list[Order]:
    """The orders for ``[start, end)``: tasks under way keep their ranges, the rest is tiled.

    Args:
        start: First day.
        end: First day that is not exported.
        days: Days per export task.
        tasks: Tasks of an earlier run. One whose range begins at or after ``end`` is left for
            a later run; one whose range ends before ``start`` is not needed any more.
    """
    orders = []
    for task in sorted(tasks, key=lambda task: (task.start is not None, task.start)):
        window = task.window
        if window is None or window.end <= start or window.start >= end:
            continue
        orders += [Order(window=gap) for gap in tile(start, window.start, days)]
        orders.append(Order(window=window, task=task))
        start = window.end
    return orders + [Order(window=rest) for rest in tile(start, end, days)]


class ApiSource:
    """Creates export tasks, waits for them, and yields what they wrote.

    Args:
        settings: The checked configuration.
        client: The REST API.
        runner: Creates tasks and waits for them.
        storage: Where tasks write.
        timing: The clock and the stop flag.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        client: ServiceClient,
        runner: TaskRunner,
        storage: TaskStorage,
        timing: Timing,
    ) -> None:
        self._settings = settings
        self._client = client
        self._runner = runner
        self._storage = storage
        self._timing = timing

    @property
    def partitions(self) -> tuple[str, ...]:
        """The apps."""
        return self._settings.app_names

    def check(self) -> None:
        """Check container, credentials and apps before any task is created."""
        self._storage.check()
        for app in self._settings.app_names:
            self._client.check_app(app)

    def exports(
        self,
        data_type: DataType,
        app_name: str,
        state: PartitionState,
        save: Callable[[], None],
    ) -> Iterator[Export]:
        """Run the export tasks that are due, one after another."""
        if data_type.task_path is None:
            yield self._device_listing(data_type, app_name)
            return
        orders = self._orders(data_type, state)
        failures = 0
        while orders:
            order = orders.pop(0)
            progress = _Progress(data_type, app_name, order, state, save)
            try:
                export = self._run(progress)
            except TapError as error:
                progress.forget()
                failures += 1
                follow = after_failure(
                    error.code, order.window, failures, schedule=self._runner.schedule
                )
                match follow:
                    case TryAgain(pause):
                        self._timing.pause(pause)
                        orders.insert(0, Order(order.window, order.campaign_type))
                    case Halve(first, second):
                        failures = 0
                        parts = (first, second)
                        orders[:0] = [Order(part, order.campaign_type) for part in parts]
                    case GiveUp():
                        raise
            else:
                failures = 0
                yield export

    def sample(self, data_type: DataType, app_name: str) -> Iterator[Export]:
        """What can be had without an export task: devices, or a file that is there already."""
        now = self._timing.now()
        if data_type.task_path is None:
            yield self._device_listing(data_type, app_name)
            return
        yield Export(
            data_type=data_type,
            app_name=app_name,
            exported_until=_rfc3339(now),
            parts=tuple(self._storage.existing(data_type)),
        )

    def _orders(self, data_type: DataType, state: PartitionState) -> list[Order]:
        settings = self._settings
        tasks = [TaskRef.from_state(entry) for entry in state.tasks]
        if data_type.historical:
            start = first_day(
                state.bookmark,
                start_date=settings.start_date,
                lookback_days=settings.lookback_days,
            )
            return plan_windows(start, settings.end_date, settings.window_days, tasks)
        # A snapshot that an earlier run asked for is still one, if it is not too old.
        recent = self._timing.now() - timedelta(minutes=settings.task_timeout_minutes)
        under_way = {task.campaign_type: task for task in tasks if task.created >= recent}
        if data_type.name != PUSH_FEEDBACK:
            return [Order(task=under_way.get(None))]
        if settings.start_date >= settings.end_date:
            return []
        window = Window(settings.start_date, settings.end_date)
        return [Order(window, kind, under_way.get(kind)) for kind in settings.campaign_types]

    def _run(self, progress: _Progress) -> Export:
        """Have one order exported: create its task if need be, wait, find the blobs."""
        started = time.monotonic()
        before = None
        if progress.task is None:
            place = self._storage.new_place()
            before = place.before
            progress.remember(self._submit(progress, place))
        task = progress.task
        assert task is not None  # noqa: S101  (remembered just now)
        self._runner.wait(progress.app_name, progress.data_type.name, task)
        parts = self._storage.parts_of(task, progress.data_type, before)
        window = task.window if progress.data_type.historical else None
        return Export(
            data_type=progress.data_type,
            app_name=progress.app_name,
            exported_until=window.exported_until if window else _rfc3339(task.created),
            parts=parts,
            commit=progress.commit,
            discard=progress.forget,
            window=window,
            task_id=task.id,
            waited=time.monotonic() - started,
        )

    def _submit(self, progress: _Progress, place: Place) -> TaskRef:
        request = TaskRequest(
            data_type=progress.data_type.name,
            container_url=place.url,
            export_format=self._settings.export_format,
            window=progress.order.window,
            campaign_type=progress.order.campaign_type,
        )
        return self._runner.submit(progress.app_name, request, container=place.container)

    def _device_listing(self, data_type: DataType, app_name: str) -> Export:
        """The devices as an export: the API gives them, no task does."""

        @contextmanager
        def open_listing() -> Iterator[Iterator[bytes]]:
            devices = self._client.list_devices_with_details(
                app_name, details=self._settings.device_details, workers=DETAIL_REQUESTS
            )
            yield _as_array(devices)

        return Export(
            data_type=data_type,
            app_name=app_name,
            exported_until=_rfc3339(self._timing.now()),
            parts=(Part(None, 0, open_listing),),
        )


class _Progress:
    """One order on its way: keeps the state true to what is known of its task."""

    def __init__(
        self,
        data_type: DataType,
        app_name: str,
        order: Order,
        state: PartitionState,
        save: Callable[[], None],
    ) -> None:
        self.data_type = data_type
        self.app_name = app_name
        self.order = order
        self.task = order.task
        self._state = state
        self._save = save

    def remember(self, task: TaskRef) -> None:
        """Put a new task into the state before anyone waits for it."""
        self.task = task
        self._state.remember_task(task.to_state())
        self._save()

    def forget(self) -> None:
        """Drop the task: its range has to be exported again."""
        if self.task is not None:
            self._state.forget_task(self.task.id)
            self._save()

    def commit(self) -> None:
        """All records are out: drop the task and move the bookmark behind its range."""
        assert self.task is not None  # noqa: S101  (an export has one)
        self._state.forget_task(self.task.id)
        if self.data_type.historical and self.task.window:
            self._state.advance(self.task.window)


def _as_array(values: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """A JSON array, element by element."""
    separator = b"["
    for value in values:
        yield separator + msgspec.json.encode(value)
        separator = b","
    yield b"]" if separator == b"," else b"[]"


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
