"""The content of one version of one blob: every byte, in order, exactly once.

It asks for ranges itself instead of using the SDK's ``download_blob``. That one collects a
whole range before it hands over the first byte, drops what it has of a range when the
connection breaks, and sleeps on its own between a fixed number of tries. Here bytes are handed
over as they arrive and a broken range goes on behind the last one, so that even a connection
that never lives long gets a blob through, and memory does not depend on the size of a range.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from azure.core.exceptions import HttpResponseError, ServiceResponseError
from azure.core.rest import HttpRequest

from tap_mobile_engagement.containers.faults import Action, blob_changed
from tap_mobile_engagement.errors import Code, DataError, TapError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from azure.core import PipelineClient
    from azure.core.rest import HttpResponse

    from tap_mobile_engagement.containers.base import Blob
    from tap_mobile_engagement.containers.storage import Storage

REQUEST_BYTES = 16 * 1024 * 1024
"""How much one request asks for, in bytes.

Between two requests nothing flows for a moment: against Azurite, 200 MB came at 155 MB/s in
requests of 4 MiB, at 350 MB/s in those of 16 MiB, and hardly faster in larger ones, which would
only keep an answer open longer while a slow target is served.
"""

_FAILED = "the blob could not be read"
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class Download:
    """Iterates over the content of one version of one blob, in chunks as they arrive.

    Each request names the version (``If-Match``), each answer is held against it. The iterator
    ends when exactly ``blob.size`` bytes are out; every other end is an error.

    Args:
        blob: The version to read.
        storage: How its requests are tried again and explained.
        client: Sends requests, without retries of its own.
        url: Gives the blob's URL with the right to read it; asked for each request anew, for
            a right may be a short one.
        request_bytes: How much one request asks for, in bytes.
        start: The byte to begin with.

    Attributes:
        delivered: Up to which byte all from the start on are out.
    """

    def __init__(
        self,
        blob: Blob,
        *,
        storage: Storage,
        client: PipelineClient[HttpRequest, HttpResponse],
        url: Callable[[], str],
        request_bytes: int = REQUEST_BYTES,
        start: int = 0,
    ) -> None:
        self._blob = blob
        self._storage = storage
        self._client = client
        self._url = url
        self._request_bytes = request_bytes
        self._range: Generator[bytes] | None = None  # what the request under way brings
        self._is_done = False
        self.delivered = start

    def __iter__(self) -> Generator[bytes]:
        """The chunks, none of them empty.

        Raises:
            TapError: As :meth:`Container.open` tells.
        """
        action = Action(_FAILED, "r", self._storage.label, self._blob.name)
        try:
            # Each chunk has all tries: a connection that never lives long makes progress too.
            while chunk := self._storage.tried(self._next_chunk, action):
                self.delivered += len(chunk)
                if self.delivered > self._blob.size:
                    raise self._wrong_length(self.delivered)
                yield chunk
        except TapError as error:
            raise error.at(offset=self.delivered) from None
        finally:
            self._close_range()

    def _next_chunk(self) -> bytes:
        """The next bytes; none behind the last."""
        while not self._is_done:
            self._range = self._range or self._next_range()
            try:
                chunk = next(self._range, b"")
            except BaseException:
                self._close_range()  # an abandoned answer occupies a connection
                raise
            if chunk:
                return chunk
            self._range = None
            self._is_done = self.delivered == self._blob.size
        return b""

    def _close_range(self) -> None:
        if self._range is not None:
            self._range.close()
            self._range = None

    def _next_range(self) -> Generator[bytes]:
        """What one request brings, beginning behind the last byte that is out.

        Raises:
            AzureError, HTTPError: The request failed or its answer broke off.
        """
        start = self.delivered
        end = min(start + self._request_bytes, self._blob.size)
        headers = {
            "If-Match": f'"{self._blob.etag}"',
            # A blob's bytes as they are stored; nothing on the way may compress them.
            "Accept-Encoding": "identity",
        }
        if end > start:  # an empty blob has no range, but it still may be gone or changed
            headers["Range"] = f"bytes={start}-{end - 1}"
        request = HttpRequest("GET", self._url(), headers=headers)
        with self._client.send_request(request, stream=True) as response:
            if response.status_code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                raise HttpResponseError(response=response)
            self._check(response, start)
            yield from response.iter_raw()
        if self.delivered < end:
            raise ServiceResponseError(f"the answer ended at byte {self.delivered}")

    def _check(self, response: HttpResponse, start: int) -> None:
        """Hold an answer's headers against what was asked for.

        A server may send all of a blob instead of a range (200, no ``Content-Range``); that
        is as good, as long as it begins where this download stands.
        """
        blob, headers = self._blob, response.headers
        if "ETag" not in headers:  # they were cut off, yet parsed as if that were all
            raise ServiceResponseError("the answer broke off within its headers")
        if headers["ETag"].strip('"') != blob.etag:
            raise blob_changed(_FAILED, self._where)
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
            if found is None:
                raise ServiceResponseError("the answer does not tell which range it is")
            first, length = int(found[1]), int(found[2])
        else:
            first, length = 0, int(headers.get("Content-Length", blob.size))
        if length != blob.size:
            raise self._wrong_length(length)
        if first != start:
            raise ServiceResponseError(f"the answer begins at byte {first}, not at {start}")

    def _wrong_length(self, length: int) -> DataError:
        return DataError(
            Code.BLOB_TRUNCATED,
            f"the blob was listed with {self._blob.size} bytes, but the storage gives {length}",
            next_step="Run again; if it stays, look for a proxy or gateway that alters answers",
            **self._where,
        )

    @property
    def _where(self) -> dict[str, object]:
        return {
            "container": self._storage.label,
            "blob": self._blob.name,
            "offset": self.delivered,
        }
