"""A container in Azure Blob Storage."""

from __future__ import annotations

from contextlib import contextmanager
from copy import copy
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Self

from azure.core import PipelineClient
from azure.core.pipeline.policies import (
    BearerTokenCredentialPolicy,
    HeadersPolicy,
    UserAgentPolicy,
)
from azure.storage.blob import BlobSasPermissions, ContainerClient, generate_blob_sas

from tap_mobile_engagement.background import fetched_ahead
from tap_mobile_engagement.clock import Clock
from tap_mobile_engagement.containers.base import Blob, blob_missing
from tap_mobile_engagement.containers.download import REQUEST_BYTES, Download
from tap_mobile_engagement.containers.faults import blob_archived
from tap_mobile_engagement.containers.identity import SCOPE, Identity
from tap_mobile_engagement.containers.storage import (
    USER_AGENT,
    Storage,
    client_options,
    new_transport,
)
from tap_mobile_engagement.containers.urls import ContainerUrl
from tap_mobile_engagement.errors import Code, RetryLaterError, TapError
from tap_mobile_engagement.redaction import register_secret, warn_of_plain_http
from tap_mobile_engagement.retry import RETRY, RETRY_ONCE, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from azure.core.credentials import TokenCredential
    from azure.core.pipeline.transport import RequestsTransport
    from azure.core.rest import HttpRequest, HttpResponse
    from azure.storage.blob import BlobClient, BlobProperties, BlobServiceClient

# Long enough for a request that is read slowly, and for clocks that differ.
_READ_RIGHT = timedelta(hours=1)


class AzureContainer:
    """A container in Azure Blob Storage, or in an emulator of it; threads may share it."""

    def __init__(
        self,
        client: ContainerClient,
        transport: RequestsTransport,
        storage: Storage,
        *,
        request_bytes: int = REQUEST_BYTES,
    ) -> None:
        self._client = client
        self._key = account_key(client)
        self._storage = storage
        self._request_bytes = request_bytes
        self._downloads: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(
            client.url, transport=transport, policies=_policies(client)
        )

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        credential: TokenCredential | None = None,
        clock: Clock | None = None,
        request_bytes: int = REQUEST_BYTES,
    ) -> Self:
        """As :func:`open_container`; CONTAINER_URL_INVALID also without ``azure-identity``."""
        parsed = ContainerUrl.parse(url)
        register_secret(parsed.signature)
        if parsed.sas:
            warn_of_plain_http(parsed.text)
        identity = None if parsed.sas else Identity(credential, parsed.label)
        transport = new_transport()
        options = client_options(transport)
        return cls(
            ContainerClient.from_container_url(parsed.text, credential=identity, **options),
            transport,
            Storage(parsed.label, parsed.sas, clock or Clock(), is_identity=bool(identity)),
            request_bytes=request_bytes,
        )

    @property
    def label(self) -> str:
        """Its URL without the SAS."""
        return self._storage.label

    def list(
        self, prefix: str = "", *, takes: Callable[[str], bool] | None = None
    ) -> Iterator[Blob]:
        """As :meth:`Container.list`; a page has up to 5,000 blobs."""
        del takes  # the storage lists all names
        return self._listing(prefix)

    @contextmanager
    def open(self, blob: Blob, start: int = 0) -> Iterator[Iterator[bytes]]:
        """As :meth:`Container.open`; a thread fetches what the reader asks for next."""
        if blob.problem:
            raise copy(blob.problem).at(container=self.label)
        with fetched_ahead(lambda: self._read(blob, start), self._storage.clock) as chunks:
            yield chunks

    def check(self) -> None:
        """As :meth:`Container.check`."""
        self._first("")

    def _listing(self, prefix: str, retry: Retry = RETRY, **options: Any) -> Iterator[Blob]:
        listing = self._client.list_blobs(name_starts_with=prefix or None, **options)
        return self._storage.listing(listing.by_page, _blob_of, retry=retry)

    def _first(self, prefix: str) -> Blob | None:
        return next(self._listing(prefix, RETRY_ONCE, results_per_page=1), None)

    def _read(self, blob: Blob, start: int) -> Generator[bytes]:
        client = self._client.get_blob_client(blob.name)
        try:
            yield from Download(
                blob,
                storage=self._storage,
                client=self._downloads,
                url=lambda: self._with_right_to_read(client),
                request_bytes=self._request_bytes,
                start=start,
            )
        except RetryLaterError as error:
            if error.code is Code.BLOB_CHANGED and self._is_gone(blob):
                raise blob_missing("the blob could not be read", **error.where) from None
            raise

    def _is_gone(self, blob: Blob) -> bool:
        """Whether the blob was deleted: Azurite 3.37 answers 412 for a version of it too."""
        try:
            # Of all names with this prefix, the name itself comes first.
            first = self._first(blob.name)
        except TapError:
            return False
        return first is None or first.name != blob.name

    def _with_right_to_read(self, client: BlobClient) -> str:
        """The blob's URL, with the container's SAS or one made with the account key."""
        if self._key is None:
            return client.url
        sas = generate_blob_sas(
            str(client.account_name),
            client.container_name,
            client.blob_name,
            account_key=self._key,
            permission=BlobSasPermissions(read=True),
            expiry=self._storage.clock.now() + _READ_RIGHT,
        )
        return f"{client.url}?{sas}"


def account_key(client: BlobServiceClient | ContainerClient) -> str | None:
    """The account key that a client of the SDK was given; None if it was a SAS."""
    return getattr(client.credential, "account_key", None)


def _policies(client: ContainerClient) -> list[Any]:
    policies: list[Any] = [UserAgentPolicy(USER_AGENT)]
    if isinstance(client.credential, Identity):
        # Azure takes tokens of requests that name a version only; a SAS has one in it.
        policies.append(HeadersPolicy({"x-ms-version": client.api_version}))
        policies.append(BearerTokenCredentialPolicy(client.credential, SCOPE))
    return policies


def _blob_of(found: BlobProperties) -> Blob:
    # A listing gives ETags as the service does, without quotation marks; headers have them.
    return Blob(
        name=found.name,
        size=int(found.size),
        etag=found.etag.strip('"'),
        arrived=found.last_modified.astimezone(UTC),
        problem=blob_archived(blob=found.name) if found.blob_tier == "Archive" else None,
    )
