"""Containers of blobs: in Azure Blob Storage, or a folder of this machine.

What talks to Azure is loaded at its first use: importing the Azure SDK takes 0.15 to 0.5
seconds, which ``--about``, ``--discover`` and a tap that reads a folder need not spend.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from tap_mobile_engagement.containers.base import CHUNK_BYTES, Blob, Container
from tap_mobile_engagement.containers.folder import FolderContainer
from tap_mobile_engagement.containers.urls import (
    RIGHT_FORM,
    check_container_url,
    is_folder_url,
    sas_expiry,
)

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from tap_mobile_engagement.clock import Clock
    from tap_mobile_engagement.containers.account import StorageAccount, TaskContainer
    from tap_mobile_engagement.containers.azure import AzureContainer

__all__ = [
    "CHUNK_BYTES",
    "RIGHT_FORM",
    "AzureContainer",
    "Blob",
    "Container",
    "FolderContainer",
    "StorageAccount",
    "TaskContainer",
    "check_container_url",
    "open_container",
    "sas_expiry",
]

_LOADED_AT_FIRST_USE = {
    "AzureContainer": "azure",
    "StorageAccount": "account",
    "TaskContainer": "account",
}


def open_container(
    url: str, clock: Clock | None = None, *, credential: TokenCredential | None = None
) -> Container:
    """The container that a URL names: a folder (``file:///…``) or an Azure container.

    Nothing is asked of it yet; that it is there is what :meth:`Container.check` finds out.

    Args:
        url: The URL.
        clock: Tells the time, and of a stop.
        credential: The identity that reads an Azure container whose URL carries no SAS; that
            of the environment if None.

    Raises:
        SettingsError: CONTAINER_URL_INVALID.
    """
    if is_folder_url(url):
        return FolderContainer.from_url(url)
    from tap_mobile_engagement.containers.azure import AzureContainer  # noqa: PLC0415

    return AzureContainer.from_url(url, credential=credential, clock=clock)


def __getattr__(name: str) -> object:
    if name not in _LOADED_AT_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_LOADED_AT_FIRST_USE[name]}")
    return getattr(module, name)
