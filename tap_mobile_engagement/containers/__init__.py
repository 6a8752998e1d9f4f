"""Containers of blobs: in Azure Blob Storage, or a folder of this machine.

The Azure SDK is imported at its first use, because that takes 0.15 to 0.5 seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_mobile_engagement.containers.base import CHUNK_BYTES, Blob, Container
from tap_mobile_engagement.containers.folder import FolderContainer
from tap_mobile_engagement.containers.urls import folder_of

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from tap_mobile_engagement.clock import Clock

__all__ = ["CHUNK_BYTES", "Blob", "Container", "FolderContainer", "open_container"]


def open_container(
    url: str, clock: Clock | None = None, *, credential: TokenCredential | None = None
) -> Container:
    """The container that a URL or path names; raises CONTAINER_URL_INVALID.

    No request is sent yet. Without a SAS, the credential reads it, or that of the environment.
    """
    if folder := folder_of(url):
        return FolderContainer(folder)
    from tap_mobile_engagement.containers.azure import AzureContainer  # noqa: PLC0415

    return AzureContainer.from_url(url, credential=credential, clock=clock)
