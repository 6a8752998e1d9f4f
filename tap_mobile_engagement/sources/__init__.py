"""Where exports come from: the export API, or an archive of files."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tap_mobile_engagement.containers import (
    StorageAccount,
    check_container_url,
    open_container,
)
from tap_mobile_engagement.sources.api import ApiSource
from tap_mobile_engagement.sources.storage import AccountStorage, SharedStorage, TaskStorage
from tap_mobile_engagement.tasks.auth import TokenProvider
from tap_mobile_engagement.tasks.client import ServiceClient
from tap_mobile_engagement.tasks.policy import PollingSchedule
from tap_mobile_engagement.tasks.runner import TaskRunner
from tap_mobile_engagement.tasks.transport import Transport

if TYPE_CHECKING:
    from datetime import datetime

    from tap_mobile_engagement.settings import Settings
    from tap_mobile_engagement.sources.base import ExportSource
    from tap_mobile_engagement.tasks.timing import Timing

_READ = frozenset("rl")
_WRITE = frozenset("wl")  # as the author of Microsoft's own example asks for


def open_source(settings: Settings, timing: Timing) -> ExportSource:
    """The source that the settings ask for; nothing is requested yet.

    Raises:
        SettingsError: If a container URL can't work: ``CONTAINER_URL_INVALID``,
            ``SAS_EXPIRED`` or ``SAS_PERMISSION_MISSING``.
    """
    return _open_api(settings, timing)


def _open_api(settings: Settings, timing: Timing) -> ApiSource:
    schedule = PollingSchedule(
        settings.poll_interval_seconds, settings.poll_max_interval_seconds
    )
    timeout = timedelta(minutes=settings.task_timeout_minutes)
    transport = Transport(timing=timing)
    auth = TokenProvider(
        authority_url=settings.authority_url,
        tenant_id=settings.tenant_id,
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        transport=transport,
    )
    client = ServiceClient(
        api_url=settings.api_url,
        subscription_id=settings.subscription_id,
        resource_group=settings.resource_group,
        app_collection=settings.app_collection,
        auth=auth,
        transport=transport,
    )
    runner = TaskRunner(client=client, schedule=schedule, timeout=timeout, timing=timing)
    storage = _open_task_storage(settings, timeout, timing.now())
    return ApiSource(settings, client=client, runner=runner, storage=storage, timing=timing)


def _open_task_storage(settings: Settings, timeout: timedelta, now: datetime) -> TaskStorage:
    if settings.storage_connection_string:
        account = StorageAccount(settings.storage_connection_string)
        return AccountStorage(account, timeout)
    url = settings.container_url
    assert url is not None  # noqa: S101  (the settings require one of the two)
    task_url = settings.task_container_url
    needs = _READ if task_url else _READ | _WRITE
    check_container_url(url, needs=needs, now=now, setting="container_url")
    if task_url:
        check_container_url(task_url, needs=_WRITE, now=now, setting="task_container_url")
    return SharedStorage(open_container(url), task_url or url)
