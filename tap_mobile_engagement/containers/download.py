"""The content of one version of one blob: every byte, in order, exactly once.

The SDK's ``download_blob`` collects a whole range before it returns a byte, and drops it when
the connection breaks. Here a broken range continues behind the last byte.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from azure.core.exceptions import HttpResponseError, ServiceResponseError
from azure.core.rest import HttpRequest

from tap_mobile_engagement.containers.base import blob_changed
from tap_mobile_engagement.errors import Code, DataError, TapError

if TYPE_CHECKING:
    from collections.abc import Generator

    from azure.core import PipelineClient
    from azure.core.rest import HttpResponse

    from tap_mobile_engagement.containers.base import Blob
    from tap_mobile_engagement.containers.storage import Storage

REQUEST_BYTES = 16 * 1024 * 1024
"""Bytes that one request asks for.

Measured with Azurite and 200 MB: 155 MB/s in requests of 4 MiB, 350 MB/s in those of 16 MiB,
hardly more in larger ones.
"""

_FAILED = "the blob could not be read"
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18})")
_LENGTH = re.compile(r"[0-9]{1,18}")


class Download:
    """Iterates over one version of one blob, in chunks as they arrive.

    Each request names the version (``If-Match``), and each answer is checked against it. The
    iterator ends after exactly ``blob.size`` bytes; every other end is an error. The client
    sends requests without retries of its own.
    """

    def __init__(
        self,
        blob: Blob,
        *,
        storage: Storage,
        client: PipelineClient[HttpRequest, HttpResponse],
        url: str,
        request_bytes: int = REQUEST_BYTES,
        start: int = 0,
    ) -> None:
        self._blob = blob
        self._storage = storage
        self._client = client
        self._url = url
        self._request_bytes = request_bytes
        self._delivered = start
        self._answer = self._next_answer()

    def __iter__(self) -> Generator[bytes]:
        try:
            # Each chunk has all tries: a connection that never lives long makes progress too.
            while chunk := self._storage.tried(
                self._next_chunk, _FAILED, "r", blob=self._blob.name
            ):
                self._delivered += len(chunk)
                if self._delivered > self._blob.size:
                    raise self._wrong_length(self._delivered)
                yield chunk
        except TapError as error:
            raise error.at(offset=self._delivered) from None
        finally:
            self._answer.close()  # an abandoned answer occupies a connection

    def _next_chunk(self) -> bytes:
        try:
            chunk = next(self._answer, b"")
        except BaseException:
            self._answer = self._next_answer()
            raise
        if chunk or self._delivered == self._blob.size:
            return chunk
        self._answer = self._next_answer()
        return self._next_chunk()

    def _next_answer(self) -> Generator[bytes]:
        """What one request brings from the next byte on; AzureError, HTTPError if it fails."""
        start = self._delivered
        end = min(start + self._request_bytes, self._blob.size)
        headers = {"If-Match": f'"{self._blob.etag}"'}
        if end > start:  # an empty blob has no range, but it still may be gone or changed
            headers["Range"] = f"bytes={start}-{end - 1}"
        request = HttpRequest("GET", self._url, headers=headers)
        with self._client.send_request(request, stream=True) as response:
            if response.status_code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                raise HttpResponseError(response=response)
            self._check(response, start)
            yield from filter(None, response.iter_raw())
        if self._delivered < end:
            raise ServiceResponseError(f"the answer ended at byte {self._delivered}")

    def _check(self, response: HttpResponse, start: int) -> None:
        """Check an answer's headers against the request.

        A server may send a whole blob instead of a range (200, no ``Content-Range``). That is
        valid at the start of the blob.
        """
        headers = response.headers
        if "ETag" not in headers:  # they were cut off, yet parsed as if that were all
            raise ServiceResponseError("the answer broke off within its headers")
        if headers["ETag"].strip('"') != self._blob.etag:
            raise blob_changed(_FAILED, container=self._storage.label, blob=self._blob.name)
        first, length = 0, headers.get("Content-Length", "")
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
            if found is None:
                raise ServiceResponseError("the answer does not tell which range it is")
            first, length = int(found[1]), found[2]
        if _LENGTH.fullmatch(length) and int(length) != self._blob.size:
            raise self._wrong_length(int(length))
        if first != start:
            raise ServiceResponseError(f"the answer begins at byte {first}, not at {start}")

    def _wrong_length(self, length: int) -> DataError:
        return DataError(
            Code.BLOB_TRUNCATED,
            f"the blob was listed with {self._blob.size} bytes, but the storage gives {length}",
            next_step="Run again; if it stays, look for a proxy or gateway that alters answers",
            container=self._storage.label,
            blob=self._blob.name,
        )
