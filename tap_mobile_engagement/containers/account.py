"""A storage account: containers of their own for export tasks."""

from __future__ import annotations

import base64
from contextlib import suppress
from datetime import timedelta

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContainerClient, generate_container_sas

from tap_mobile_engagement.clock import Clock
from tap_mobile_engagement.containers.azure import AzureContainer
from tap_mobile_engagement.containers.storage import Storage, client_options, new_transport
from tap_mobile_engagement.containers.urls import CONTAINER_NAME, ContainerUrl
from tap_mobile_engagement.errors import Code, SettingsError
from tap_mobile_engagement.redaction import register_secret, warn_of_plain_http

_SETTING = "storage_connection_string"
_RIGHT_FORM = (
    "DefaultEndpointsProtocol=https;AccountName=…;AccountKey=…;EndpointSuffix=core.windows.net"
)
_READ_FOR = timedelta(days=7)  # beyond the time that a run takes


class StorageAccount:
    """An Azure Storage account in which the tap makes containers; raises BAD_SETTING."""

    def __init__(self, connection_string: str, *, clock: Clock | None = None) -> None:
        self._transport = new_transport()
        try:
            self._service = BlobServiceClient.from_connection_string(
                connection_string.strip(), **client_options(self._transport)
            )
            self._key: str = self._service.credential.account_key
            base64.b64decode(self._key, validate=True)
        except (AttributeError, KeyError, ValueError):
            # Without its cause, which may quote the connection string.
            raise SettingsError(
                Code.BAD_SETTING,
                f"the setting {_SETTING} is no connection string with the key of an account",
                next_step=f"Copy it from the account's access keys: {_RIGHT_FORM}",
            ) from None
        register_secret(self._key)
        self.label = self._service.url.rstrip("/")
        warn_of_plain_http(self.label)
        self._storage = Storage(self.label, None, clock or Clock())

    def container(self, name: str) -> AzureContainer:
        """The container of that name, which need not exist; BAD_SETTING for an invalid name."""
        url = self._url(name, "rl", _READ_FOR)
        client = ContainerClient.from_container_url(url.text, **client_options(self._transport))
        storage = Storage(url.label, None, self._storage.clock)
        return AzureContainer(client, self._transport, storage)

    def new_task_container(self, name: str, *, lifetime: timedelta) -> str:
        """Make a container for one export task; its URL, a secret, lets it write and list."""
        url = self._url(name, "wl", lifetime)
        register_secret(url.signature)

        def create() -> None:
            # It may exist because of a try whose answer was lost.
            with suppress(ResourceExistsError):
                self._service.create_container(name)

        self._storage.call(create, f"the container {name} could not be made", "c")
        return url.text

    def _url(self, name: str, permission: str, lifetime: timedelta) -> ContainerUrl:
        if not CONTAINER_NAME.fullmatch(name):
            raise SettingsError(
                Code.BAD_SETTING,
                f"{name!r} can't be the name of a container",
                next_step="Use 3 to 63 lower-case letters, digits and single hyphens",
                account=self.label,
            )
        sas = generate_container_sas(
            str(self._service.account_name),
            name,
            self._key,
            permission=permission,
            expiry=self._storage.clock.now() + lifetime,
        )
        return ContainerUrl.parse(f"{self.label}/{name}?{sas}", setting=_SETTING)

    def check(self, prefix: str) -> None:
        """Make sure that containers with that prefix can be listed."""
        listing = self._service.list_containers(prefix, results_per_page=1)
        failed = "the account's containers could not be listed"
        self._storage.call(lambda: next(iter(listing), None), failed, "l")

    def delete_container(self, name: str) -> None:
        """Delete a container with all that it holds, if it exists."""

        def delete() -> None:
            # It may be gone because of a try whose answer was lost.
            with suppress(ResourceNotFoundError):
                self._service.delete_container(name)

        self._storage.call(delete, f"the container {name} could not be deleted", "d")
