"""Containers of blobs: in Azure Blob Storage, or a folder of this machine.

What talks to Azure is imported at its first use. That takes 0.15 to 0.5 seconds, which
``--about``, ``--discover`` and a tap that reads a folder need not spend.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_mobile_engagement.containers.base import CHUNK_BYTES, Blob, Container
from tap_mobile_engagement.containers.folder import FolderContainer
from tap_mobile_engagement.containers.urls import is_folder_url

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from tap_mobile_engagement.clock import Clock

__all__ = ["CHUNK_BYTES", "Blob", "Container", "FolderContainer", "open_container"]


def open_container(
    url: str, clock: Clock | None = None, *, credential: TokenCredential | None = None
) -> Container:
    """The container that a URL names: a folder or an Azure container. It is not asked yet.

    Args:
        url: ``file:///…``, a path, or the URL of an Azure container.
        clock: Tells the time, and of a stop.
        credential: Reads a container whose URL has no SAS; that of the environment if None.

    Raises:
        SettingsError: CONTAINER_URL_INVALID.
    """
    if is_folder_url(url):
        return FolderContainer.from_url(url)
    from tap_mobile_engagement.containers.azure import AzureContainer  # noqa: PLC0415

    return AzureContainer.from_url(url, credential=credential, clock=clock)
