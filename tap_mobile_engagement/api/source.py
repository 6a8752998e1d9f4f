"""Exports out of the service's REST API: plan windows, run export tasks, find the blobs."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from tap_mobile_engagement.api.client import CAMPAIGN_KINDS
from tap_mobile_engagement.api.fleet import Fleet, Parts
from tap_mobile_engagement.api.plan import Errand, Forget, Key, Order, Plan, Remember
from tap_mobile_engagement.api.progress import new_progress
from tap_mobile_engagement.api.sas_expiry import Lifetimes
from tap_mobile_engagement.api.tasks import PUSH_FEEDBACK, TaskRef
from tap_mobile_engagement.api.timeline import Timeline
from tap_mobile_engagement.sources.base import Check, Export, Part
from tap_mobile_engagement.state import Window, first_day, tile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import date, datetime

    from tap_mobile_engagement.api.client import ServiceClient
    from tap_mobile_engagement.api.destinations import TaskStorage
    from tap_mobile_engagement.api.runner import TaskRunner
    from tap_mobile_engagement.clock import Clock
    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.settings import Settings
    from tap_mobile_engagement.state import PartitionState

log = logging.getLogger(__name__)

DETAIL_REQUESTS = 8
"""Requests for device details that may be under way at once."""


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
        runner: Creates tasks and asks about them.
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
        timing: Clock,
    ) -> None:
        self._settings = settings
        self._client = client
        self._storage = storage
        self._timing = timing
        self._states: dict[Key, PartitionState] = {}
        self._plan: Plan[Parts] = Plan(
            limit=settings.max_concurrent_tasks,
            schedule=runner.schedule,
            one_at_a_time=storage.may_mix,
        )
        self._lifetimes = Lifetimes(storage.sas_ends)
        self._timeline = Timeline(timing.now)
        self._progress = new_progress()
        self._fleet = Fleet(
            self._plan,
            runner=runner,
            storage=storage,
            export_format=settings.export_format,
            timing=timing,
            timeline=self._timeline,
            task_timeout=timedelta(minutes=settings.task_timeout_minutes),
            progress=self._progress,
        )

    @property
    def partitions(self) -> tuple[str, ...]:
        """The apps."""
        return self._settings.app_names

    def checks(self) -> Sequence[Check]:
        """Container, credentials and apps; none of them makes a task."""
        apps = self._settings.app_names
        return (
            *self._storage.checks,
            Check("the credentials", self._client.check_credentials),
            *(Check(f"app {app}", partial(self._client.check_app, app)) for app in apps),
        )

    def prepare(self, data_type: DataType, app_name: str, state: PartitionState) -> None:
        """Plan the exports of a data type and app; what is prepared first is wanted first."""
        key = Key(data_type.name, app_name)
        if data_type.task_path is not None and key not in self._states:
            orders = self._orders(data_type, state)
            self._states[key] = state
            self._plan.add(key, orders)
            self._forget_outdated(state, orders)

    def exports(
        self,
        data_type: DataType,
        app_name: str,
        state: PartitionState,
        save: Callable[[], None],
    ) -> Iterator[Export]:
        """Yield the exports that are due as soon as their tasks are done, in commit order."""
        if data_type.task_path is None:
            self._fleet.start()  # a list may take long, and tasks need not wait for it
            yield self._listing(data_type, app_name)
            return
        self.prepare(data_type, app_name, state)
        key = Key(data_type.name, app_name)

        def take_notes() -> None:
            self.keep_state(save)

        try:
            while ready := self._fleet.next_export(key, take_notes):
                # It may have been created and become ready since notes were taken: the commit
                # has to find its task in the state, or the task would be noted after it.
                take_notes()
                errand, waited = ready
                if errand.task is not None:
                    self._timeline.reading(errand.task.id)
                yield self._export(data_type, errand, state, waited)
        finally:
            self._fleet.abandon(key)
            take_notes()

    def keep_state(self, save: Callable[[], None]) -> None:
        """Note in the state what became of tasks meanwhile, and save it if there is news.

        It is called all the time, so what else has to be told in time is told here.
        """
        self._warn_of_sas_ends()
        notes = self._fleet.notes()
        for note in notes:
            state = self._states[note.key]
            match note:
                case Remember():
                    state.remember_task(note.task.to_state())
                case Forget():
                    state.forget_task(note.task.id)
        if notes:
            save()

    def close(self) -> None:
        """Create and watch no more tasks; draw the timeline of the run, if asked for."""
        self._fleet.close()
        self._progress.close()
        path = self._settings.timeline_path
        if path:
            try:
                self._timeline.write(path)
            except OSError as error:  # no picture is worth a failed run
                log.warning("The timeline could not be written to %s: %s", path, error)

    def sample(self, data_type: DataType, app_name: str) -> Iterator[Export]:
        """What can be had without an export task: devices, or a file that is there already."""
        if data_type.task_path is None:
            yield self._listing(data_type, app_name)
            return
        yield Export(
            data_type=data_type,
            app_name=app_name,
            exported_until=_rfc3339(self._timing.now()),
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

    def _forget_outdated(self, state: PartitionState, orders: Iterable[Order]) -> None:
        """Drop tasks from the state that nobody will wait for: their time has passed."""
        wanted = {order.task.id for order in orders if order.task is not None}
        for task in map(TaskRef.from_state, state.tasks):
            is_ahead = task.start is not None and task.start >= self._settings.end_date
            if task.id not in wanted and not is_ahead:
                state.forget_task(task.id)

    def _warn_of_sas_ends(self) -> None:
        now = self._timing.now()
        if self._lifetimes.is_due(now):
            for warning in self._lifetimes.warnings(self._fleet.work(), now):
                log.warning(warning)

    def _export(
        self, data_type: DataType, errand: Errand[Parts], state: PartitionState, waited: float
    ) -> Export:
        task = errand.task
        assert task is not None  # noqa: S101  (a task wrote what is ready)
        window = task.window if data_type.historical else None
        parts = errand.found or ()

        def relist() -> Parts:
            nonlocal parts
            parts = self._storage.find_again(task, parts)
            return parts

        def commit() -> None:
            self._timeline.read(task.id)
            self._fleet.note_read(sum(part.size for part in parts))
            state.forget_task(task.id)
            if window is not None:
                state.advance(window)

        return Export(
            data_type=data_type,
            app_name=errand.key.app,
            exported_until=window.exported_until if window else _rfc3339(task.created),
            parts=parts,
            commit=commit,
            relist=relist,
            discard=lambda: state.forget_task(task.id),
            window=window,
            task_id=task.id,
            waited=waited,
        )

    def _listing(self, data_type: DataType, app_name: str) -> Export:
        """What the API lists itself, as an export: no task writes it."""
        listings = {
            "devices": self._devices,
            "campaigns": self._campaigns,
            "export_tasks": self._tasks,
        }

        @contextmanager
        def open_listing() -> Iterator[Iterator[bytes]]:
            yield _as_array(listings[data_type.name](app_name))

        return Export(
            data_type=data_type,
            app_name=app_name,
            exported_until=_rfc3339(self._timing.now()),
            parts=(Part(None, 0, open_listing),),
        )

    def _devices(self, app_name: str) -> Iterator[dict[str, Any]]:
        return self._client.list_devices_with_details(
            app_name, details=self._settings.device_details, workers=DETAIL_REQUESTS
        )

    def _campaigns(self, app_name: str) -> Iterator[dict[str, Any]]:
        for campaign_type in self._settings.campaign_types:
            for campaign in self._client.list_campaigns(
                app_name, CAMPAIGN_KINDS[campaign_type]
            ):
                yield {"campaignType": campaign_type, **campaign}

    def _tasks(self, app_name: str) -> Iterator[dict[str, Any]]:
        for task in self._client.list_tasks(app_name):
            listed: dict[str, Any] = msgspec.to_builtins(task)
            # What the tap adds to an answer for its own use.
            yield {k: v for k, v in listed.items() if k not in {"location", "retry_after"}}


def _as_array(values: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """A JSON array, element by element."""
    separator = b"["
    for value in values:
        yield separator + msgspec.json.encode(value)
        separator = b","
    yield b"]" if separator == b"," else b"[]"


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
