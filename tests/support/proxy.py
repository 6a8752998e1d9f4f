"""A TCP proxy that breaks connections, for tests of what a broken network does."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

_HOST = "127.0.0.1"
_PIECE_BYTES = 16 * 1024
_CRAWL = 0.3  # seconds between two bytes


class CuttingProxy:
    """Passes connections on to a server of this machine, and cuts them after so many bytes.

    Use it as a context manager: it listens on a free port inside the block.

    Args:
        upstream_port: Port of the server.
        cuts: How many bytes of answers each connection may carry, in the order in which they
            are made: 0 to refuse it, None for no limit. Connections after the last of them are
            passed on whole.
        then: What happens at the limit: the connection is cut, or it stalls until the end of
            the block, or it crawls on, byte by byte.

    Attributes:
        port: Where it listens.
        connections: How many connections were made so far.
        broken: How many of them reached their limit.
    """

    def __init__(
        self,
        upstream_port: int,
        cuts: Iterable[int | None] = (),
        *,
        then: Literal["cut", "stall", "crawl"] = "cut",
    ) -> None:
        self._upstream = (_HOST, upstream_port)
        self._cuts = iter(cuts)
        self._then = then
        self._ended = threading.Event()
        self._listener = socket.create_server((_HOST, 0))
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.broken = 0

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        _cut(self._listener)
        for connection in list(self._open):
            _cut(connection)
        for thread in self._threads:
            thread.join()

    def in_front_of(self, url: str) -> str:
        """The same URL, by way of this proxy; a SAS does not care about host and port."""
        return url.replace(f"{_HOST}:{self._upstream[1]}", f"{_HOST}:{self.port}")

    def _accept(self) -> None:
        # accept fails once the listener is cut
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                limit = next(self._cuts, None)
                server = socket.create_connection(self._upstream)
                self._open |= {client, server}
                self._start(self._pass_on, client, server, None)
                self._start(self._pass_on, server, client, limit)

    def _pass_on(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        """Copy bytes until either side ends or the limit is reached; then cut both."""
        with contextlib.suppress(OSError):
            while limit is None or limit > 0:
                piece = source.recv(_PIECE_BYTES)[:limit]
                if not piece:
                    break
                target.sendall(piece)
                limit = None if limit is None else limit - len(piece)
            self.broken += limit == 0
            while limit == 0 and self._then != "cut" and not self._ended.wait(_CRAWL):
                if self._then == "crawl":
                    target.sendall(source.recv(1))
        for connection in (source, target):
            _cut(connection)
            self._open.discard(connection)

    def _start(self, run: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()


def _cut(connection: socket.socket) -> None:
    """Close a socket, also under a thread that waits on it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
