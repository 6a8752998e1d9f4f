"""A local HTTP server in a thread, for WSGI applications; and how to break its connections."""

from __future__ import annotations

import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

from werkzeug.http import http_date
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger(__name__)

_STOP_WITHIN = 0.05  # seconds between two looks at whether it is to stop


class LocalServer:
    """Serves one application until it is stopped; good for one start.

    Args:
        application: What it serves, in a thread per connection.
        host: Address to listen on.
        port: Port to listen on; 0 for a free one.
        now: What its ``Date`` headers say; the real time if None.
    """

    def __init__(
        self,
        application: WSGIApplication,
        *,
        host: str,
        port: int,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._server = _Server(host, port, application, _handler(now))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_STOP_WITHIN,), name="http-server"
        )

    @property
    def url(self) -> str:
        """Base URL, without a slash at its end."""
        return f"http://{self._server.host}:{self._server.port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering, close every connection, and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.close_connections()
        self._server.server_close()


def close_connection(environ: WSGIEnvironment) -> None:
    """Close the connection of a request; whatever is sent on it from now on is lost."""
    try:
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the client was faster


def no_answer(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answer a request by closing its connection."""
    close_connection(environ)
    start_response("500 Closed", [])  # the server insists on an answer that no client gets
    return []


def _handler(now: Callable[[], datetime] | None) -> type[WSGIRequestHandler]:
    """A request handler with the given notion of time."""

    class Handler(WSGIRequestHandler):
        server_version = "MobileEngagementSimulator"
        sys_version = ""
        disable_nagle_algorithm = True  # headers and body go out apart: 40 ms each otherwise

        def date_time_string(self, timestamp: float | None = None) -> str:
            return http_date(now() if now is not None and timestamp is None else timestamp)

        def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002, ARG002
            _log.debug(message, *args)

    return Handler


class _Server(ThreadedWSGIServer):
    """Knows its open connections, so that none outlives it."""

    def __init__(self, *args: Any) -> None:
        self._connections: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(*args)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._guard:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        with self._guard:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client was faster
