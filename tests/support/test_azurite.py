"""Azurite starts also where its port was taken meanwhile."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from tests.support import azurite

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.azurite


@pytest.fixture
def other_server() -> Iterator[HTTPServer]:
    """A server of somebody else, as another test may start one."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_where_another_server_answers_it_takes_another_port(
    other_server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = azurite._free_port
    ports = iter([other_server.server_port, free()])
    monkeypatch.setattr(azurite, "_free_port", lambda: next(ports))

    with azurite.Azurite() as server:
        assert server.port != other_server.server_port
        assert server.new_container().startswith("test-")
