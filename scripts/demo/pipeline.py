"""From the simulator through Meltano into PostgreSQL, and held against the truth."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from scripts.demo import report, warehouse
from scripts.demo.compare import Row, compare
from tap_mobile_engagement.datatypes import DATA_TYPES
from tap_mobile_engagement.simulator import Options, Simulator
from tests.support.meltano import TAP, MeltanoProject, settings
from tests.support.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

    from tap_mobile_engagement.datatypes import DataType
    from tests.support.postgres import Database

TARGET = "target-postgres"


class Pipeline:
    """A running simulator, a PostgreSQL, and a Meltano project between them.

    Args:
        simulator: Where the data comes from.
        database: Where it goes.
        project: The Meltano project.
        container: The folder that is the container.
    """

    def __init__(
        self,
        simulator: Simulator,
        database: Database,
        project: MeltanoProject,
        container: Path,
    ) -> None:
        self._simulator = simulator
        self._database = database
        self._project = project
        self._container = container

    def run(self, end: date, *, tap: Mapping[str, object] | None = None) -> None:
        """Export everything before that day into the warehouse.

        Args:
            end: The first day that is not exported.
            tap: More settings of the tap; they come before the pipeline's own.

        Raises:
            RuntimeError: If the pipeline fails; the message is its log.
        """
        env = settings(TAP, **self._tap_settings(end) | dict(tap or {}))
        env |= settings(TARGET, **self._target_settings())
        self._project.run("run", TAP, TARGET, env=env).checked()

    def _tap_settings(self, end: date) -> dict[str, object]:
        options = self._simulator.options
        return {
            "container_url": self._container.as_uri(),
            "subscription_id": options.subscription_id,
            "resource_group": options.resource_group,
            "app_collection": options.app_collection,
            "app_names": options.apps,
            "tenant_id": options.tenant_id,
            "client_id": options.client_id,
            "client_secret": options.client_secret,
            "api_url": self._simulator.url,
            "authority_url": self._simulator.url,
            "start_date": options.first_day.isoformat(),
            "end_date": end.isoformat(),
            "poll_interval_seconds": 1,
            # A device's token changes; the snapshot that holds the new one retires the old.
            "emit_activate_version_messages": True,
        }

    def _target_settings(self) -> dict[str, object]:
        return {"sqlalchemy_url": self._database.sqlalchemy_url, "hard_delete": True}

    def stage(self, title: str, *, late: Mapping[str, int] | None = None) -> report.Stage:
        """Hold the warehouse against the truth as it is now.

        Args:
            title: What to call the run that just ended.
            late: What came late, see :meth:`late`.
        """
        comparisons = [
            compare(kind, self._truth(kind), warehouse.rows(self._database, kind))
            for kind in DATA_TYPES
        ]
        return report.Stage(title, comparisons, late or {})

    def late(self, before: report.Stage, end: date) -> dict[str, int]:
        """Count what has arrived, since that stage, for the days before its end."""
        known = {comparison.stream: comparison.truth for comparison in before.comparisons}
        return {
            data_type.name: len(self._truth(data_type, end)) - known[data_type.name]
            for data_type in DATA_TYPES
            if data_type.historical
        }

    def _truth(self, data_type: DataType, end: date | None = None) -> list[Row]:
        names = [field.name for field in data_type.fields]
        return [
            (app, *(record[name] for name in names))
            for app in self._simulator.options.apps
            for record in self._simulator.truth(app, data_type.name, end=end)
        ]


_Kind = TypeVar("_Kind", bound=Pipeline)


@contextmanager
def started(
    kind: type[_Kind], options: Options, *, keep: bool
) -> Iterator[tuple[Simulator, _Kind]]:
    """A simulator and a pipeline behind it, for as long as the context lasts.

    Args:
        kind: The pipeline's class.
        options: The simulator's options.
        keep: Whether the database runs on; what to do with it is printed at the end.
    """
    with (
        tempfile.TemporaryDirectory(prefix="demo-") as folder,
        Postgres(keep=keep) as postgres,
        Simulator(options) as simulator,
    ):
        container = Path(folder) / "container"
        container.mkdir()
        database = postgres.new_database()
        project = MeltanoProject(Path(folder) / "project")
        yield simulator, kind(simulator, database, project, container)
        if keep:
            print(warehouse.how_to_use(database, postgres))
