"""A Blob Storage that answers by a script, for answers that the emulator never gives."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType


@dataclass(frozen=True)
class Answer:
    """What is sent back to one request; the length is told unless the headers say otherwise."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class ScriptedStorage:
    """Gives the answers in order, then the last one for ever.

    Attributes:
        requests: The headers of every request so far.
        url: A container URL with a SAS that allows everything for a long time.
    """

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[Mapping[str, str]] = []
        self._script = list(answers)
        storage = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                storage.requests.append(dict(self.headers))
                answer = storage.answer(self.path, dict(self.headers))
                self.send_response(answer.status)
                headers = {
                    "Content-Length": str(len(answer.body)),
                    # An answer shorter than it claims can only end with the connection.
                    "Connection": "close",
                    **answer.headers,
                }
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: object) -> None:
                """Tests print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = (
            f"http://127.0.0.1:{self._server.server_port}/account/container"
            "?sv=2020-02-10&sr=c&sp=rwdl&se=2100-01-01&sig=c2VjcmV0"
        )

    def answer(self, path: str, headers: Mapping[str, str]) -> Answer:
        """The answer to the next request."""
        del path, headers
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
