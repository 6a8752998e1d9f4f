"""Exports out of the service's REST API: plan windows, run export tasks, find the blobs."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from tap_mobile_engagement.api.client import ServiceClient
from tap_mobile_engagement.api.destinations import (
    OWN_CONTAINER,
    AccountStorage,
    SharedStorage,
    TaskStorage,
)
from tap_mobile_engagement.api.http import Transport
from tap_mobile_engagement.api.observer import What
from tap_mobile_engagement.api.runner import TaskRunner
from tap_mobile_engagement.api.tasks import Key, PendingExport
from tap_mobile_engagement.containers import open_container
from tap_mobile_engagement.containers.urls import check_container_url, folder_of
from tap_mobile_engagement.errors import TapError
from tap_mobile_engagement.redaction import warn_of_plain_http
from tap_mobile_engagement.sources.base import Export, Part
from tap_mobile_engagement.state import Window, apps_with_tasks, first_day, tile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import date, datetime

    from tap_mobile_engagement.clock import Clock
    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.settings import Settings
    from tap_mobile_engagement.state import PartitionState, TaskEntry

log = logging.getLogger(__name__)


def open_api(settings: Settings, clock: Clock, state: Mapping[str, Any]) -> ApiSource:
    """The source that runs export tasks; ``state`` is that of all streams and apps."""
    for url in (settings.api_url, settings.authority_url, settings.task_container_url or ""):
        warn_of_plain_http(url)
    client = ServiceClient(settings, Transport(timing=clock))
    timeout = timedelta(minutes=settings.task_timeout_minutes)
    storage: TaskStorage
    if settings.storage_connection_string:
        storage = AccountStorage(settings.storage_connection_string, timeout, clock=clock)
    else:
        url = settings.container_url or ""
        task_url = settings.task_container_url or url
        if folder := folder_of(task_url):
            task_url = folder.absolute().as_uri()
        # An app that is in the settings no more may have a task that still writes.
        apps = {*settings.app_names, *apps_with_tasks(state, since=clock.now() - timeout)}
        storage = SharedStorage(open_container(url, clock), task_url, apps=len(apps))
    return ApiSource(settings, client=client, storage=storage, clock=clock)


def plan_windows(
    key: Key, start: date, end: date, days: int, tasks: Iterable[TaskEntry]
) -> list[PendingExport]:
    """The exports for ``[start, end)``: tasks under way keep their ranges, the rest is cut."""
    exports = []
    for task in sorted(tasks, key=lambda task: (task.start is not None, task.start)):
        window = task.window
        if window is None or window.end <= start or window.start >= end:
            continue
        exports += [PendingExport(key, gap) for gap in tile(start, window.start, days)]
        exports.append(PendingExport(key, window, task=task))
        start = window.end
    return exports + [PendingExport(key, rest) for rest in tile(start, end, days)]


class ApiSource:
    """Creates export tasks, waits for them, and yields what they wrote."""

    def __init__(
        self, settings: Settings, *, client: ServiceClient, storage: TaskStorage, clock: Clock
    ) -> None:
        self._settings = settings
        self.partitions = settings.app_names
        self._client = client
        self._storage = storage
        self._clock = clock
        self._states: dict[Key, PartitionState] = {}
        self._runner = TaskRunner(settings, client=client, storage=storage, clock=clock)

    def check(self) -> None:
        """Container, credentials and apps; none of them makes a task."""
        url = self._settings.container_url or ""
        # (for a task, as the author of Microsoft's own example asks)
        needs = [("container_url", url, "rwl")]
        if self._settings.storage_connection_string:
            needs = []  # each task gets a SAS of its own
        elif task_url := self._settings.task_container_url:
            needs = [("container_url", url, "rl"), ("task_container_url", task_url, "wl")]
        now, minutes = self._clock.now(), self._settings.task_timeout_minutes
        ends = [
            (setting, check_container_url(url, needs=letters, now=now, setting=setting))
            for setting, url, letters in needs
        ]
        self._storage.check()
        self._client.auth.token()
        for app in self._settings.app_names:
            self._client.check_app(app)
        for setting, end in ends:
            if end is not None and end - now < timedelta(minutes=minutes):
                words = "The SAS in %s ends at %s, but an export task may take %d minutes"
                log.warning(words, setting, _rfc3339(end), minutes)

    def prepare(self, data_type: DataType, app_name: str, state: PartitionState) -> None:
        """Plan the exports of a data type and app; what is prepared first is wanted first."""
        key = Key(data_type.name, app_name)
        if data_type.task_path is None or key in self._states:
            return
        exports = self._due(key, data_type, state)
        self._states[key] = state
        self._runner.plan.add(exports)
        wanted = {export.task.id for export in exports if export.task is not None}
        for task in state.tasks:
            is_ahead = task.start is not None and task.start >= self._settings.end_date
            if task.id not in wanted and not is_ahead:
                state.forget_task(task.id)  # nothing waits for it: its time has passed

    def _due(self, key: Key, data_type: DataType, state: PartitionState) -> list[PendingExport]:
        settings, tasks = self._settings, state.tasks
        if data_type.historical:
            first, lookback = settings.start_date, settings.lookback_days
            start = first_day(state.bookmark, start_date=first, lookback_days=lookback)
            under_way = {task.window: task for task in tasks if not task.empty}
            again = [PendingExport(key, each.window, task=each) for each in tasks if each.empty]
            if (empty := state.empty_range) is not None:
                again.insert(0, PendingExport(key, empty, task=under_way.pop(empty, None)))
            return again + plan_windows(
                key, start, settings.end_date, settings.window_days, under_way.values()
            )
        # A snapshot that an earlier run asked for is still one, if it is not too old.
        recent = self._clock.now() - timedelta(minutes=settings.task_timeout_minutes)
        by_type = {task.campaign_type: task for task in tasks if task.created >= recent}
        if data_type.name != "push_feedback":
            return [PendingExport(key, task=by_type.get(None))]
        if settings.start_date >= settings.end_date:
            return []
        window = Window(settings.start_date, settings.end_date)
        return [
            PendingExport(key, window, kind, by_type.get(kind))
            for kind in settings.campaign_types
        ]

    def exports(
        self,
        data_type: DataType,
        app_name: str,
        state: PartitionState,
        save: Callable[[], None],
    ) -> Iterator[Export]:
        """Yield the exports that are due as soon as their tasks are done, in commit order."""
        if data_type.task_path is None:
            self._runner.start()  # a list may take long, and tasks need not wait for it
            yield from self.sample(data_type, app_name)
            return
        self.prepare(data_type, app_name, state)
        self._delete_containers(state, save)
        key = Key(data_type.name, app_name)
        take_notes = partial(self.keep_state, save)
        try:
            while ready := self._runner.next_export(key, take_notes):
                # It may have been created and become ready since notes were taken: the commit
                # has to find its task in the state, or the task would be noted after it.
                take_notes()
                export, waited = ready
                self._runner.observer.happened(What.READING, export)
                yield self._export(data_type, export, state, waited)
        finally:
            self._runner.abandon(key)
            take_notes()

    def keep_state(self, save: Callable[[], None]) -> None:
        """Note in the state what became of tasks meanwhile, and save it if there is news."""
        notes = self._runner.notes()
        for key, task, is_over in notes:
            state = self._states[key]
            if not is_over:
                state.remember_task(task)
                continue
            state.forget_task(task.id)
            if task.empty:  # its blobs were looked for once more
                self._note_container(state, task)
        if notes:
            save()

    def close(self) -> None:
        """Create and poll no more tasks."""
        self._runner.close()

    def sample(self, data_type: DataType, app_name: str) -> Iterator[Export]:
        """What can be had without an export task: a list, or a file that exists already."""
        if data_type.task_path is not None:
            parts = self._storage.sample(data_type)
        else:
            elements = partial(self._listed, data_type.name, app_name)
            parts = (Part(None, 0, lambda: nullcontext(iter(())), elements=elements),)
        until = _rfc3339(self._clock.now())
        yield Export(data_type=data_type, app_name=app_name, exported_until=until, parts=parts)

    def _delete_containers(self, state: PartitionState, save: Callable[[], None]) -> None:
        """Delete the containers that an earlier run has read: its records are stored."""
        if not self._settings.delete_task_containers:
            return
        names = [name for name in state.take_containers() if OWN_CONTAINER.fullmatch(name)]
        for name in names:
            try:
                self._storage.delete_container(name)
            except TapError as error:
                log.warning("The container %s could not be deleted: %s", name, error)
                state.note_container(name)
        if names:
            log.info("Deleted containers of %d tasks whose records are stored", len(names))
            save()

    def _note_container(self, state: PartitionState, task: TaskEntry) -> None:
        container = task.container or ""
        if self._settings.delete_task_containers and OWN_CONTAINER.fullmatch(container):
            state.note_container(container)

    def _export(
        self, data_type: DataType, pending: PendingExport, state: PartitionState, waited: float
    ) -> Export:
        task = pending.task
        assert task is not None  # noqa: S101  (a task wrote what is ready)
        window = task.window if data_type.historical else None
        # The storage keeps the pending export for its ids, as long as the run lasts.
        parts: tuple[Part, ...] = tuple(pending.parts)
        pending.parts = ()

        def relist() -> tuple[Part, ...]:
            nonlocal parts
            parts = self._storage.find_again(task, parts)
            return parts

        def commit() -> None:
            is_again = window is not None and state.settle_empty(window)
            if parts or window is None or is_again:
                state.forget_task(task.id)
                self._note_container(state, task)
            else:  # the next run looks once more
                state.remember_task(msgspec.structs.replace(task, empty=True))
            begin, start = state.bookmark, self._settings.start_date
            # What is looked at once more may lie beyond a bookmark that was set back by hand.
            if window and window.start <= first_day(begin, start_date=start, lookback_days=0):
                state.advance(window)
            self._runner.observer.happened(What.READ, pending)

        return Export(
            data_type=data_type,
            app_name=pending.key.app,
            exported_until=window.exported_until if window else _rfc3339(task.created),
            parts=parts,
            commit=commit,
            relist=relist,
            discard=lambda: state.forget_task(task.id),
            window=window,
            task_id=task.id,
            waited=waited,
        )

    def _listed(self, name: str, app: str) -> Iterator[Any]:
        client, settings = self._client, self._settings
        if name == "campaigns":
            lists = (client.list_campaigns(app, kind) for kind in settings.campaign_types)
            return chain.from_iterable(lists)
        if name == "devices" and settings.device_details:
            return client.list_devices_with_details(app)
        return client.list_devices(app) if name == "devices" else client.list_tasks(app)


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
