"""Opens the source that runs export tasks, with all that it talks to."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from tap_mobile_engagement.api.auth import TokenProvider
from tap_mobile_engagement.api.client import ServiceClient
from tap_mobile_engagement.api.destinations import AccountStorage, SharedStorage, TaskStorage
from tap_mobile_engagement.api.runner import TaskRunner
from tap_mobile_engagement.api.source import ApiSource
from tap_mobile_engagement.api.transport import Transport
from tap_mobile_engagement.containers import (
    StorageAccount,
    check_container_url,
    open_container,
    sas_expiry,
)
from tap_mobile_engagement.containers.urls import (
    READ_AND_LIST,
    WRITE_AND_LIST,
    service_url,
)
from tap_mobile_engagement.retry import Schedule
from tap_mobile_engagement.sources.base import Check

if TYPE_CHECKING:
    from tap_mobile_engagement.clock import Clock
    from tap_mobile_engagement.settings import Settings


def open_api(settings: Settings, timing: Clock) -> ApiSource:
    """The source that runs export tasks; nothing is requested yet.

    Raises:
        SettingsError: As :func:`.sources.opening.open_archive`.
    """
    schedule = Schedule(settings.poll_interval_seconds, settings.poll_max_interval_seconds)
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
    return ApiSource(
        settings,
        client=client,
        runner=runner,
        storage=_open_task_storage(settings, timeout, timing),
        timing=timing,
    )


def _open_task_storage(settings: Settings, timeout: timedelta, timing: Clock) -> TaskStorage:
    if settings.storage_connection_string:
        account = StorageAccount(settings.storage_connection_string, clock=timing)
        return AccountStorage(account, timeout)
    reading_url = settings.container_url
    assert reading_url is not None  # noqa: S101  (the settings require one of the two)

    def check_rights(setting: str, url: str, needs: frozenset[str]) -> None:
        check_container_url(url, needs=needs, now=timing.now(), setting=setting)

    checks = [
        Check(f"the SAS in {setting}", partial(check_rights, setting, url, needs))
        for setting, (url, needs) in _needed_rights(settings, reading_url).items()
    ]
    ends = {
        setting: end
        for setting, (url, _) in _needed_rights(settings, reading_url).items()
        if (end := sas_expiry(url)) is not None
    }
    task_url = service_url(settings.task_container_url or reading_url)
    return SharedStorage(
        open_container(reading_url, timing), task_url, checks=checks, sas_ends=ends
    )


def _needed_rights(
    settings: Settings, reading_url: str
) -> dict[str, tuple[str, frozenset[str]]]:
    """The container URLs by setting, each with the permissions that its SAS needs."""
    task_url = settings.task_container_url
    if task_url is None:
        return {"container_url": (reading_url, READ_AND_LIST | WRITE_AND_LIST)}
    return {
        "container_url": (reading_url, READ_AND_LIST),
        "task_container_url": (task_url, WRITE_AND_LIST),
    }
