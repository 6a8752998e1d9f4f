"""meltanolabs-target-postgres as the target of runs that are killed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from scripts.demo import warehouse
from scripts.demo.compare import compare
from tap_mobile_engagement.datatypes import DATA_TYPES

if TYPE_CHECKING:
    from tap_mobile_engagement.simulator import Simulator
    from tests.support.postgres import Database

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 120.0  # seconds, on a busy machine
_STARTS_IN = 1.0  # seconds, about: a target that is killed earlier has done nothing yet
_LIVES_FOR = 4.0  # seconds


class PostgresTarget:
    """Rows in PostgreSQL, written by the real target, and the last state that it printed.

    Args:
        database: Where the rows go.
        folder: For its configuration.
        seed: Decides when it dies.
    """

    def __init__(self, database: Database, folder: Path, seed: int) -> None:
        self._database = database
        self._chance = Random(seed)  # noqa: S311  (no cryptography)
        self._config = folder / "target.json"
        settings = {
            "sqlalchemy_url": database.sqlalchemy_url,
            "default_target_schema": warehouse.SCHEMA,
            "batch_size_rows": 100,
        }
        self._config.write_text(json.dumps(settings))
        self.state: dict[str, Any] | None = None

    def take(self, output: bytes, *, dies: bool = False) -> None:
        """Feed the output of one run to the target; with ``dies`` kill it meanwhile."""
        patience = self._chance.uniform(_STARTS_IN, _LIVES_FOR) if dies else _PATIENCE
        with subprocess.Popen(
            [_command(), "--config", str(self._config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as target:
            try:
                states, _ = target.communicate(output, timeout=patience)
            except subprocess.TimeoutExpired:
                target.kill()
                states, _ = target.communicate()
                assert dies, "the target takes too long"
        whole = states.rpartition(b"\n")[0].splitlines()
        if whole:
            self.state = json.loads(whole[-1])

    def assert_holds_the_truth(self, simulator: Simulator) -> None:
        """Hold the tables against the truth, all streams of the app "shop"."""
        for data_type in DATA_TYPES:
            names = [field.name for field in data_type.fields]
            truth = [
                ("shop", *(record[name] for name in names))
                for record in simulator.truth("shop", data_type.name)
            ]
            found = compare(data_type, truth, warehouse.rows(self._database, data_type))
            assert found.is_equal, found


def _command() -> Path:
    tools = Path(os.environ.get("TAP_TOOLS_DIR", _ROOT / ".tools"))
    plugin = tools / "meltano-plugins" / "loaders" / "target-postgres"
    return plugin / "venv" / "bin" / "target-postgres"
