"""The simulator as a whole: its data, its clock, its export tasks, and its HTTP server."""

from __future__ import annotations

import threading
import uuid
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.simulator.apps import App
from tap_mobile_engagement.simulator.chance import chance
from tap_mobile_engagement.simulator.clock import SimulatorClock, nanoseconds
from tap_mobile_engagement.simulator.control import make_control
from tap_mobile_engagement.simulator.delivery import Deliverer
from tap_mobile_engagement.simulator.exports import ExportRequest
from tap_mobile_engagement.simulator.faults import Faults
from tap_mobile_engagement.simulator.faulty_requests import FaultyService
from tap_mobile_engagement.simulator.http_server import LocalServer
from tap_mobile_engagement.simulator.options import Options
from tap_mobile_engagement.simulator.service import Parts, make_service
from tap_mobile_engagement.simulator.tasks import ExportTask, TaskBoard
from tap_mobile_engagement.simulator.tokens import TokenOffice
from tap_mobile_engagement.simulator.truth import Record, Truth

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self


class Simulator:
    """A Mobile Engagement on this machine.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`. It is good for one
    start.

    Args:
        options: What it simulates.
        host: Address to listen on.
        port: Port to listen on; 0 for a free one.
        faults: A plan of faults, see :mod:`~tap_mobile_engagement.simulator.faults`.
        deliverer: What writes the files of exports, where they shall be others than usual.

    Attributes:
        options: As given.
        faults: The plan; ``faults.plan([…])`` adds to it.
        clock: Its clock; ``clock.advance(days=3)`` makes three more days of data arrive.
    """

    def __init__(
        self,
        options: Options | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Sequence[Any] = (),
        deliverer: type[Deliverer] = Deliverer,
    ) -> None:
        self.options = options or Options()
        self.clock = SimulatorClock(self.options.clock_start, frozen=self.options.frozen)
        self.faults = Faults(faults)
        self._apps = {name: App(self.options, name) for name in self.options.apps}
        self._deliverer = deliverer(self.options, self.faults)
        self._board = TaskBoard(
            self.options, self.clock, self._apps, deliverer=self._deliverer, faults=self.faults
        )
        tokens = TokenOffice(self.options, self.clock)
        flask = make_service(Parts(self.options, self.clock, self._apps, tokens, self._board))
        flask.register_blueprint(make_control(self))
        self._random = chance(self.options.seed, "exports")
        self._stopped = threading.Event()
        faulty = FaultyService(flask, self.faults, self.clock, self._stopped)
        self._server = LocalServer(faulty, host=host, port=port, now=self.clock.now)

    @property
    def url(self) -> str:
        """Base URL of everything: ``api_url`` and ``authority_url`` of a tap."""
        return self._server.url

    @property
    def tasks(self) -> list[ExportTask]:
        """Every export task that was ever created, in order."""
        return self._board.created

    def start(self) -> Self:
        """Begin to answer requests, in threads of its own."""
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop answering, end all export tasks, and free the port."""
        self._stopped.set()
        self._server.stop()
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
        id_ = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        delivery = self._deliverer.deliver(self._apps[app], request, nanoseconds(now), id_)
        for write in delivery.late:
            write.write()
        return delivery.blobs
