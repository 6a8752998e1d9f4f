"""A storage account: containers of their own for export tasks."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import (
    BlobServiceClient,
    ContainerSasPermissions,
    generate_container_sas,
)

from tap_mobile_engagement.clock import Clock
from tap_mobile_engagement.containers.azure import AzureContainer, account_key
from tap_mobile_engagement.containers.storage import Storage, client_options, new_transport
from tap_mobile_engagement.containers.urls import CONTAINER_NAME, ContainerUrl
from tap_mobile_engagement.errors import Code, RetryLaterError, SettingsError
from tap_mobile_engagement.redaction import register_secret, warn_of_plain_http

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from azure.core.pipeline.transport import RequestsTransport

_SETTING = "storage_connection_string"
_RIGHT_FORM = (
    "DefaultEndpointsProtocol=https;AccountName=…;AccountKey=…;EndpointSuffix=core.windows.net"
)


class StorageAccount:
    """An Azure Storage account in which the tap makes containers; no request is sent yet.

    The Azure portal shows the connection string under "Access keys". Raises BAD_SETTING.
    """

    def __init__(self, connection_string: str, *, clock: Clock | None = None) -> None:
        self._transport = new_transport()
        try:
            self._service = _connect(connection_string.strip(), self._transport)
        except (ValueError, KeyError):
            # Without its cause, which may quote the connection string.
            raise SettingsError(
                Code.BAD_SETTING,
                f"the setting {_SETTING} is no connection string of a storage account",
                next_step=f"Copy it from the account's access keys: {_RIGHT_FORM}",
            ) from None
        self._key = account_key(self._service)
        register_secret(self._key)
        self.label = self._service.url.partition("?")[0].rstrip("/")
        warn_of_plain_http(self.label)
        self._storage = Storage(self.label, None, clock or Clock())

    def container(self, name: str) -> AzureContainer:
        """The container of that name, which need not exist; BAD_SETTING for an invalid name."""
        if not CONTAINER_NAME.fullmatch(name):
            raise SettingsError(
                Code.BAD_SETTING,
                f"{name!r} can't be the name of a container",
                next_step="Use 3 to 63 lower-case letters, digits and single hyphens",
                account=self.label,
            )
        client = self._service.get_container_client(name)
        sas = None
        if self._key is None:
            parsed = ContainerUrl.parse(client.url, setting=_SETTING)
            sas = parsed.sas
            register_secret(parsed.signature)
        storage = Storage(f"{self.label}/{name}", sas, self._storage.clock)
        return AzureContainer(client, self._transport, storage)

    def new_task_container(self, name: str, *, lifetime: timedelta) -> str:
        """Make an empty container for one export task and return its URL, a secret.

        The URL has a SAS to write and list, valid for the lifetime. Raises SettingsError
        BAD_SETTING without an account key, which a SAS takes; RetryLaterError
        STORAGE_UNAVAILABLE also if a container of that name has blobs.
        """
        if self._key is None:
            raise SettingsError(
                Code.BAD_SETTING,
                f"the setting {_SETTING} holds a SAS instead of an account key, so that no "
                "container can be made for an export task",
                next_step=f"Use one with the account key: {_RIGHT_FORM}",
            )
        container = self.container(name)

        def create() -> None:
            # It may exist because of a try whose answer was lost; then it is empty.
            with suppress(ResourceExistsError):
                self._service.create_container(name)

        self._storage.call(create, f"the container {name} could not be made", "c")
        if next(container.list(), None) is not None:
            raise RetryLaterError(
                Code.STORAGE_UNAVAILABLE,
                "a new container was to be made for an export task, but there is one of that "
                "name, with blobs in it",
                next_step="Run again; another name is taken then",
                container=container.label,
            )
        sas = generate_container_sas(
            str(self._service.account_name),
            name,
            self._key,
            permission=ContainerSasPermissions(write=True, list=True),
            expiry=self._storage.clock.now() + lifetime,
        )
        url = f"{container.label}?{sas}"
        register_secret(ContainerUrl.parse(url).signature)
        return url

    def list_containers(self, prefix: str = "") -> Iterator[str]:
        """The names of its containers that begin with the prefix, sorted."""
        listing = self._service.list_containers(name_starts_with=prefix or None)
        failed = "the account's containers could not be listed"
        return self._storage.listing(listing.by_page, lambda found: str(found.name), failed)

    def delete_container(self, name: str) -> None:
        """Delete a container with all that it holds, if it exists."""

        def delete() -> None:
            # It may be gone because of a try whose answer was lost.
            with suppress(ResourceNotFoundError):
                self._service.delete_container(name)

        self._storage.call(delete, f"the container {name} could not be deleted", "d")


def _connect(connection_string: str, transport: RequestsTransport) -> BlobServiceClient:
    """The SDK's client of an account; ValueError or KeyError if the string is malformed."""
    client = BlobServiceClient.from_connection_string(
        connection_string, **client_options(transport)
    )
    key = account_key(client)
    if key is not None:
        base64.b64decode(key, validate=True)
    elif not urlsplit(client.url).query:
        raise ValueError("neither an account key nor a SAS")
    return client
