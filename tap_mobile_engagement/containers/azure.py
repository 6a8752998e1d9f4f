"""A container in Azure Blob Storage, and the content of its blobs.

The SDK's ``download_blob`` collects a whole range before it returns a byte, and drops it when
the connection breaks. Here a broken range continues behind the last byte.
"""

from __future__ import annotations

import re
import textwrap
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from azure.core import PipelineClient
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceResponseError,
)
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, HeadersPolicy
from azure.core.rest import HttpRequest
from azure.storage.blob import ContainerClient

from tap_mobile_engagement.clock import RETRY, RETRY_ONCE, Clock, Retry, fetched_ahead
from tap_mobile_engagement.containers.base import Blob, blob_changed
from tap_mobile_engagement.containers.storage import (
    Storage,
    blob_archived,
    client_options,
    new_transport,
)
from tap_mobile_engagement.containers.urls import RIGHT_FORM, ContainerUrl
from tap_mobile_engagement.errors import Code, DataError, SettingsError, TapError
from tap_mobile_engagement.redaction import register_secret, warn_of_plain_http

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from azure.core.credentials import AccessToken, TokenCredential
    from azure.core.pipeline.transport import RequestsTransport
    from azure.core.rest import HttpResponse
    from azure.storage.blob import BlobProperties

_FAILED = "the blob could not be read"
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18})")
_LENGTH = re.compile(r"[0-9]{1,18}")
_SCOPE = "https://storage.azure.com/.default"  # of a token: any account of Azure Storage
_REASON_CHARACTERS = 300


class AzureContainer:
    """A container in Azure Blob Storage, or in an emulator of it; threads may share it."""

    # That one request asks for. Measured with Azurite and 200 MB: 155 MB/s in requests of
    # 4 MiB, 350 MB/s in those of 16 MiB, hardly more in larger ones.
    request_bytes = 16 * 1024 * 1024

    def __init__(
        self, client: ContainerClient, transport: RequestsTransport, storage: Storage
    ) -> None:
        self.client = client
        self.storage = storage
        self.label = storage.label
        # Azure takes tokens of requests that name a version only.
        policies: list[Any] = [HeadersPolicy({"x-ms-version": client.api_version})]
        if isinstance(client.credential, _Identity):
            policies.append(BearerTokenCredentialPolicy(client.credential, _SCOPE))
        self.downloads: PipelineClient[HttpRequest, HttpResponse] = PipelineClient(
            client.url, transport=transport, policies=policies
        )

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        credential: TokenCredential | None = None,
        clock: Clock | None = None,
        transport: RequestsTransport | None = None,
    ) -> Self:
        """As :func:`open_container`; CONTAINER_URL_INVALID also without ``azure-identity``."""
        parsed = ContainerUrl.parse(url)
        identity = None
        if parsed.sas:
            register_secret(parsed.sas.signature)
            warn_of_plain_http(parsed.text)
        else:
            identity = _Identity(credential or _of_environment(parsed.label), parsed.label)
        transport = transport or new_transport()
        options = client_options(transport)
        return cls(
            ContainerClient.from_container_url(parsed.text, credential=identity, **options),
            transport,
            Storage(parsed.label, parsed.sas, clock or Clock()),
        )

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
        with fetched_ahead(_Download(self, blob, start).chunks, self.storage.clock) as chunks:
            yield chunks

    def check(self) -> None:
        """As :meth:`Container.check`."""
        next(self._listing("", RETRY_ONCE, results_per_page=1), None)

    def _listing(self, prefix: str, retry: Retry = RETRY, **options: Any) -> Iterator[Blob]:
        listing = self.client.list_blobs(name_starts_with=prefix or None, **options)
        token: str | None = None
        known: set[str] = set()

        def ask() -> tuple[list[Blob], str | None]:
            # Each try begins a new listing at the page's token: an iterator of the SDK that
            # stumbled over an answer may take itself for finished.
            pages: Any = listing.by_page(token)
            page = [*map(_blob_of, next(pages))]
            if pages.continuation_token in known:
                raise ServiceResponseError("the listing leads back to one of its own pages")
            return page, pages.continuation_token

        while True:
            page, token = self.storage.call(
                ask, "the container could not be listed", "l", retry
            )
            yield from page
            if not token:
                return
            known.add(token)


@dataclass(slots=True)
class _Download:
    """Iterates over one version of one blob, in chunks as they arrive.

    It ends after exactly ``blob.size`` bytes; every other end is an error.
    """

    container: AzureContainer
    blob: Blob
    delivered: int  # also in earlier requests
    answer: Generator[bytes] = field(init=False)

    def chunks(self) -> Generator[bytes]:
        """The chunks; each has all tries, so that short-lived connections make progress too."""
        self.answer = self._next_answer()
        tried = self.container.storage.tried
        ask = partial(tried, self._next_chunk, _FAILED, "r", blob=self.blob.name)
        try:
            while chunk := ask():
                self.delivered += len(chunk)
                if self.delivered > self.blob.size:
                    raise self._wrong_length(self.delivered)
                yield chunk
        except TapError as error:
            raise error.at(offset=self.delivered) from None
        finally:
            self.answer.close()  # an abandoned answer occupies a connection

    def _next_chunk(self) -> bytes:
        try:
            chunk = next(self.answer, b"")
        except BaseException:
            self.answer = self._next_answer()
            raise
        if chunk or self.delivered == self.blob.size:
            return chunk
        self.answer = self._next_answer()
        return self._next_chunk()

    def _next_answer(self) -> Generator[bytes]:
        """What one request brings from the next byte on; AzureError, HTTPError if it fails."""
        start = self.delivered
        end = min(start + self.container.request_bytes, self.blob.size)
        headers = {"If-Match": f'"{self.blob.etag}"'}
        if end > start:  # an empty blob has no range, but it still may be gone or changed
            headers["Range"] = f"bytes={start}-{end - 1}"
        url = self.container.client.get_blob_client(self.blob.name).url
        request = HttpRequest("GET", url, headers=headers)
        with self.container.downloads.send_request(request, stream=True) as response:
            if response.status_code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                raise HttpResponseError(response=response)
            self._check(response, start)
            yield from filter(None, response.iter_raw())
        if self.delivered < end:
            raise ServiceResponseError(f"the answer ended at byte {self.delivered}")

    def _check(self, response: HttpResponse, start: int) -> None:
        headers = response.headers
        if "ETag" not in headers:  # they were cut off, yet parsed as if that were all
            raise ServiceResponseError("the answer broke off within its headers")
        if headers["ETag"].strip('"') != self.blob.etag:
            raise blob_changed(_FAILED, container=self.container.label, blob=self.blob.name)
        first, length = 0, headers.get("Content-Length", "")
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
            if found is None:
                raise ServiceResponseError("the answer does not tell which range it is")
            first, length = int(found[1]), found[2]
        if _LENGTH.fullmatch(length) and int(length) != self.blob.size:
            raise self._wrong_length(int(length))
        if first != start:
            raise ServiceResponseError(f"the answer begins at byte {first}, not at {start}")

    def _wrong_length(self, length: int) -> DataError:
        return DataError(
            Code.BLOB_TRUNCATED,
            f"the blob was listed with {self.blob.size} bytes, but the storage gives {length}",
            next_step="Run again; if it stays, look for a proxy or gateway that alters answers",
            container=self.container.label,
            blob=self.blob.name,
        )


class _Identity:
    """A credential whose tokens are kept secret and whose failure is one line."""

    def __init__(self, credential: TokenCredential, container: str) -> None:
        self._credential, self._container = credential, container

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """A token, as Azure's credentials give it; raises SettingsError AUTH_FAILED."""
        try:
            token = self._credential.get_token(*scopes, **options)
        except ClientAuthenticationError as error:
            # Without its cause: a traceback would show what the authority answered.
            reason = textwrap.shorten(error.message, _REASON_CHARACTERS, placeholder=" …")
            raise SettingsError(
                Code.AUTH_FAILED,
                f"the identity of the environment gives no token for the storage: {reason}",
                next_step="Sign in (az login) or set the variables of an identity "
                "(AZURE_CLIENT_ID and its companions), or use the container's URL with a SAS",
                container=self._container,
            ) from None
        register_secret(token.token)
        return token


def _of_environment(container: str) -> TokenCredential:
    try:
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415  (an extra)
    except ImportError:
        raise SettingsError(
            Code.CONTAINER_URL_INVALID,
            "the container URL carries no SAS, and azure-identity is not installed",
            next_step=f"Use the URL with its SAS, {RIGHT_FORM}, or install the extra, "
            "pip install 'tap-mobile-engagement[identity]', to read as the identity of the "
            "environment",
            container=container,
        ) from None
    return DefaultAzureCredential()


def _blob_of(found: BlobProperties) -> Blob:
    # A listing gives ETags as the service does, without quotation marks; headers have them.
    return Blob(
        name=found.name,
        size=int(found.size),
        etag=found.etag.strip('"'),
        arrived=found.last_modified.astimezone(UTC),
        problem=blob_archived(blob=found.name) if found.blob_tier == "Archive" else None,
    )
