"""The simulator as a whole: its data, its clock, its export tasks, and its HTTP server."""

from __future__ import annotations

import logging
import socket
import threading
import uuid
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from werkzeug.http import http_date
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from tap_mobile_engagement.simulator.apps import App
from tap_mobile_engagement.simulator.clock import SimulatorClock, nanoseconds
from tap_mobile_engagement.simulator.control import make_control
from tap_mobile_engagement.simulator.exports import ExportRequest
from tap_mobile_engagement.simulator.options import Options
from tap_mobile_engagement.simulator.service import Parts, make_service
from tap_mobile_engagement.simulator.tasks import ExportTask, TaskBoard, write_export
from tap_mobile_engagement.simulator.tokens import TokenOffice
from tap_mobile_engagement.simulator.truth import Record, Truth

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_log = logging.getLogger(__name__)


class Simulator:
    """A Mobile Engagement on this machine.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`. It is good for one
    start.

    Args:
        options: What it simulates.
        host: Address to listen on.
        port: Port to listen on; 0 for a free one.

    Attributes:
        options: As given.
        clock: Its clock; ``clock.advance(days=3)`` makes three more days of data arrive.
    """

    def __init__(
        self, options: Options | None = None, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.options = options or Options()
        self.clock = SimulatorClock(self.options.clock_start, frozen=self.options.frozen)
        self._apps = {name: App(self.options, name) for name in self.options.apps}
        self._board = TaskBoard(self.options, self.clock, self._apps)
        self._tokens = TokenOffice(self.options, self.clock)
        parts = Parts(self.options, self.clock, self._apps, self._tokens, self._board)
        flask = make_service(parts)
        flask.register_blueprint(make_control(self))
        self._server = _Server(host, port, flask, _handler_with(self.clock))
        self._thread = threading.Thread(target=self._server.serve_forever, name="simulator")

    @property
    def url(self) -> str:
        """Base URL of everything: ``api_url`` and ``authority_url`` of a tap."""
        return f"http://{self._server.host}:{self._server.port}"

    @property
    def tasks(self) -> list[ExportTask]:
        """Every export task that was ever created, in order."""
        return self._board.created

    def start(self) -> Self:
        """Begin to answer requests, in threads of its own."""
        self._thread.start()
        _log.info("simulator at %s", self.url)
        return self

    def stop(self) -> None:
        """Stop answering, end all export tasks, and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.close_connections()
        self._server.server_close()
        self._board.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def truth(
        self, app: str, data_type: str, start: date | None = None, end: date | None = None
    ) -> list[Record]:
        """What a perfect tap would emit now: exact records, without lineage and record id.

        Args:
            app: App resource name.
            data_type: Name of a data type, as in ``datatypes``.
            start: First day, UTC; the first day of data if None. Snapshots are told whole.
            end: First day beyond, UTC; the day after today by the simulator's clock if None.

        Raises:
            KeyError: If there is no such app or data type.
        """
        now = self.clock.now()
        truth = Truth(self.options, self._apps[app], nanoseconds(now))
        return list(
            truth.records(
                data_type,
                start or self.options.first_day,
                end or now.date() + timedelta(days=1),
            )
        )

    def write_export(
        self,
        app: str,
        data_type: str,
        container_url: str,
        start: date | None = None,
        end: date | None = None,
        *,
        export_format: str = "JsonBlob",
    ) -> list[str]:
        """Write an export file without a task, as left-over files of old: also of devices.

        Args:
            app: App resource name.
            data_type: Name of a data type, as in ``datatypes``.
            container_url: SAS URL of a container, or ``file:///folder``.
            start: First day, as a task's ``startDate``; the first day of data if None.
            end: As a task's ``endDate``; today by the simulator's clock if None.
            export_format: JsonBlob or CsvBlob.

        Returns:
            The names of the blobs.

        Raises:
            KeyError: If there is no such app or data type.
            WriteError: If a blob could not be written.
        """
        now = self.clock.now()
        request = ExportRequest(
            data_type=data_type,
            container_url=container_url,
            export_format=export_format,
            start=start or self.options.first_day,
            end=end or now.date(),
        )
        task_id = str(uuid.uuid4())
        return write_export(self.options, self._apps[app], request, nanoseconds(now), task_id)


def _handler_with(clock: SimulatorClock) -> type[WSGIRequestHandler]:
    """A request handler whose answers carry the simulator's date, as all else in them."""

    class Handler(_Handler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            return http_date(clock.now() if timestamp is None else timestamp)

    return Handler


class _Handler(WSGIRequestHandler):
    """Writes its access log for debugging only, and does not hold back small packets."""

    server_version = "MobileEngagementSimulator"
    sys_version = ""

    disable_nagle_algorithm = True  # headers and body go out apart: that would cost 40 ms each

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002, ARG002
        _log.debug(message, *args)


class _Server(ThreadedWSGIServer):
    """Knows its open connections, so that it can close those that clients keep alive."""

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
