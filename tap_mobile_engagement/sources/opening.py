"""Opens the archive that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tap_mobile_engagement.containers import open_container
from tap_mobile_engagement.containers.urls import READ_AND_LIST, check_container_url
from tap_mobile_engagement.sources.archive import ArchiveSource

if TYPE_CHECKING:
    from tap_mobile_engagement.clock import Clock
    from tap_mobile_engagement.containers import Container
    from tap_mobile_engagement.settings import Settings
    from tap_mobile_engagement.sources.base import ExportSource


def open_archive(settings: Settings, timing: Clock) -> ExportSource:
    """The source of files that are already there; nothing is requested yet.

    Raises:
        SettingsError: ``CONTAINER_URL_INVALID`` if a container URL is none; ``BAD_SETTING``
            likewise of the connection string. All else is found by the source's checks.
    """
    return ArchiveSource(settings, container=_open_archived(settings, timing), timing=timing)


def _open_archived(settings: Settings, timing: Clock) -> Container:
    """The container with export files that are already there."""
    url = settings.container_url
    assert url is not None  # noqa: S101  (the settings require it)
    if not settings.storage_connection_string:
        check_container_url(url, needs=READ_AND_LIST, now=timing.now(), setting="container_url")
        return open_container(url, timing)
    from tap_mobile_engagement.containers.account import StorageAccount  # noqa: PLC0415

    # The account's key opens the container; its URL, or just its name, says which.
    name = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    return StorageAccount(settings.storage_connection_string, clock=timing).container(name)
