"""Real targets at the end of a pipe, each from the environment that it is installed in."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PATIENCE_SECONDS = 120.0  # for one run, on a busy machine


@dataclass(frozen=True, slots=True)
class Target:
    """A Singer target with a configuration.

    Attributes:
        command: Its command line, without the configuration.
        folder: For the file of its configuration.
        settings: Its configuration.
    """

    command: tuple[str, ...]
    folder: Path
    settings: dict[str, Any]

    def load(self, output: bytes, **changes: Any) -> dict[str, Any]:
        """Feed it the output of a tap.

        Args:
            output: The tap's standard output.
            changes: More settings of the target, or other values.

        Returns:
            The last state that it printed: what it claims to have stored.

        Raises:
            AssertionError: If it fails, with what it wrote to standard error.
        """
        config = self.folder / "target.json"
        config.write_text(json.dumps(self.settings | changes))
        done = subprocess.run(
            [*self.command, "--config", str(config)],
            input=output,
            capture_output=True,
            check=False,
            timeout=_PATIENCE_SECONDS,
            cwd=self.folder,
        )
        assert done.returncode == 0, done.stderr.decode()[-4000:]
        states = done.stdout.splitlines()
        state: dict[str, Any] = json.loads(states[-1]) if states else {}
        return state


class Snowflake:
    """The real target-snowflake, and the stand-in for the service that it loads into.

    Args:
        python: The Python of the environment that holds both.
        folder: For the databases and the configuration.
    """

    def __init__(self, python: str, folder: Path) -> None:
        databases = folder / "snowflake"
        databases.mkdir()
        program = Path(__file__).with_name("snowflake_on_fakesnow.py")
        self._command = (python, str(program), str(databases))
        settings = {
            "account": "stand-in",
            "user": "loader",
            "password": "not-needed",
            "database": "WAREHOUSE",
            "default_target_schema": "SHOP",
        }
        self.target = Target((*self._command, "load"), folder, settings)

    def query(self, *queries: str) -> list[list[dict[str, Any]]]:
        """The rows of each query; the names of columns are upper case."""
        done = subprocess.run(
            [*self._command, "query", *queries],
            capture_output=True,
            check=False,
            timeout=_PATIENCE_SECONDS,
        )
        assert done.returncode == 0, done.stderr.decode()[-4000:]
        rows: list[list[dict[str, Any]]] = json.loads(done.stdout)
        return rows
