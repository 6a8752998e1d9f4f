"""A proxy in front of Blob Storage that breaks what goes through it, by a plan of faults."""

from __future__ import annotations

import threading
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from werkzeug.wrappers import Request, Response

from tap_mobile_engagement.simulator.faults import (
    Faults,
    StorageCut,
    StorageError,
    StorageFault,
    StorageSlow,
)
from tap_mobile_engagement.simulator.http_server import (
    LocalServer,
    close_connection,
    no_answer,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType
    from typing import Self
    from wsgiref.types import StartResponse, WSGIEnvironment

_CHUNK = 1 << 16  # bytes
_TIMEOUT = 60.0  # seconds without a byte from the storage
_NOT_FORWARDED = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
     "transfer-encoding", "upgrade", "date", "server")
)  # fmt: skip


class BlobProxy:
    """Forwards to Blob Storage, or an emulator of it, and injects the faults of its plan.

    Nothing is kept but a chunk at a time, so blobs of any size go through. URLs that a storage
    signed stay good, for signatures do not cover the host (of path-style URLs, as emulators
    have them).

    Args:
        upstream: Base URL of the storage, as ``http://127.0.0.1:10000``.
        faults: A plan of faults; only those of storage strike.
        host: Address to listen on.
        port: Port to listen on; 0 for a free one.

    Attributes:
        faults: The plan; ``faults.plan([…])`` adds to it.
    """

    def __init__(
        self,
        upstream: str,
        *,
        faults: Sequence[Any] = (),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._upstream = urlsplit(upstream)
        self.faults = Faults(faults)
        self._stopped = threading.Event()
        self._server = LocalServer(self._answer, host=host, port=port)

    @property
    def url(self) -> str:
        """Its base URL, that stands in for the storage's."""
        return self._server.url

    def through(self, url: str) -> str:
        """A URL of the storage (of a container, say, with its SAS) by way of the proxy."""
        own = urlsplit(self.url)
        return urlsplit(url)._replace(scheme=own.scheme, netloc=own.netloc).geturl()

    def start(self) -> Self:
        """Begin to forward."""
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop forwarding, and free the port."""
        self._stopped.set()
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _answer(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        request = Request(environ)
        fault = self.faults.strike(
            StorageFault, operation=_operation(request), blob=_subject(request)
        )
        match fault:
            case StorageError():
                return _refusal(fault)(environ, start_response)
            case StorageSlow(seconds=seconds):
                self._stopped.wait(seconds)
        return self._forward(request, start_response, fault)

    def _forward(
        self, request: Request, start_response: StartResponse, fault: StorageFault | None
    ) -> Iterable[bytes]:
        kind = HTTPSConnection if self._upstream.scheme == "https" else HTTPConnection
        connection = kind(self._upstream.netloc, timeout=_TIMEOUT)
        # The path as it came: decoding it could break its signature.
        target = request.environ["REQUEST_URI"]
        body = request.stream if request.content_length else None
        try:
            connection.request(
                request.method, target, body, _forwarded(request.headers.items())
            )
            response = connection.getresponse()
        except OSError:
            connection.close()
            return no_answer(request.environ, start_response)
        headers = list(_forwarded(response.getheaders()).items())
        start_response(f"{response.status} {response.reason}", headers)
        return _body(connection, response, request.environ, fault)


def _body(
    connection: HTTPConnection,
    response: HTTPResponse,
    environ: WSGIEnvironment,
    fault: StorageFault | None,
) -> Iterator[bytes]:
    """Pass the body on, as far as the fault lets it."""
    try:
        if isinstance(fault, StorageCut):
            yield response.read(fault.at)
            close_connection(environ)
            return
        while chunk := response.read(_CHUNK):
            yield chunk
    finally:
        connection.close()


def _operation(request: Request) -> str:
    """What a request is, in the words of the faults."""
    if request.method not in ("GET", "HEAD"):
        return "write"
    return "list" if request.args.get("comp") == "list" else "read"


def _subject(request: Request) -> str:
    """The blob's name, or the container's; paths begin with the account, as emulators' do."""
    parts = request.path.lstrip("/").split("/", 2)
    return parts[-1]


def _forwarded(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in _NOT_FORWARDED}


def _refusal(fault: StorageError) -> Response:
    """An error as Blob Storage answers it: XML, and its code in a header."""
    xml = (
        '<?xml version="1.0" encoding="utf-8"?>'
        f"<Error><Code>{fault.code}</Code><Message>An injected fault.</Message></Error>"
    )
    headers = {"x-ms-error-code": fault.code}
    return Response(xml, fault.status, headers, content_type="application/xml")
