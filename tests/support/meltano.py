"""Meltano projects for tests and for the demo: this checkout's own, with a state of their own.

A project is a temporary folder with a copy of the checkout's ``meltano.yml``, so that what is
tested is what users read. The plugins' environments are those that ``make setup`` installed
with the tools; a new project only links them, which makes it cheap.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
TAP = "tap-mobile-engagement"

_TIMEOUT_SECONDS = 900.0
# Settings of whoever runs the tests must not reach the pipelines under test. And Meltano takes
# four seconds longer to start where Python may not keep its byte code.
_FOREIGN_PREFIXES = ("MELTANO_", "TAP_", "TARGET_", "PYTHONDONTWRITEBYTECODE")


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one command.

    Attributes:
        exit_code: The exit code of the command.
        stdout: What it wrote to standard output.
        stderr: What it wrote to standard error, where Meltano logs.
    """

    exit_code: int
    stdout: str
    stderr: str

    def checked(self) -> Run:
        """The same run.

        Raises:
            RuntimeError: If the command failed; the message is all that it wrote.
        """
        if self.exit_code:
            message = f"exit code {self.exit_code}\n{self.stdout}\n{self.stderr}"
            raise RuntimeError(message)
        return self


class MeltanoProject:
    """A Meltano project in a folder of its own.

    Args:
        folder: An empty or new folder.

    Raises:
        RuntimeError: If Meltano or its plugins are not installed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._meltano = _tools() / "meltano" / "bin" / "meltano"
        plugins = _tools() / "meltano-plugins"
        installed = sorted(plugins.glob("*/*/venv"))
        if not self._meltano.exists() or not installed:
            raise RuntimeError("Meltano and its plugins are not installed: run `make setup`")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "meltano.yml", folder)
        for environment in installed:
            link = folder / ".meltano" / environment.relative_to(plugins)
            link.parent.mkdir(parents=True)
            link.symlink_to(environment)

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> Run:
        """Run one Meltano command in the project.

        Args:
            arguments: The command, as ``"run", "tap-mobile-engagement", "target-postgres"``.
            env: Environment variables for this command; see :func:`settings`.

        Returns:
            What became of it.

        Raises:
            subprocess.TimeoutExpired: If it takes longer than 15 minutes.
        """
        done = subprocess.run(
            [self._meltano, *arguments],
            cwd=self.folder,
            env=_environment() | dict(env or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr)

    def state(self, target: str, *, environment: str = "dev") -> dict[str, Any]:
        """The state that Meltano keeps for the tap and that target; empty before the first.

        Raises:
            RuntimeError: If Meltano can't tell.
        """
        run = self.run("state", "get", f"{environment}:{TAP}-to-{target}").checked()
        state: dict[str, Any] = json.loads(run.stdout).get("singer_state", {})
        return state


def settings(plugin: str, **values: object) -> dict[str, str]:
    """A plugin's settings as the environment variables in which Meltano looks for them.

    Args:
        plugin: Name of the plugin, as ``target-postgres``.
        values: The settings; what is no text goes as JSON.
    """
    prefix = plugin.replace("-", "_").upper()
    return {
        f"{prefix}_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }


def _tools() -> Path:
    return Path(os.environ.get("TAP_TOOLS_DIR", ROOT / ".tools"))


def _environment() -> dict[str, str]:
    """The environment of every command: no settings of others, no colours, no installs."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN_PREFIXES)
    }
    # An installation on the way would write through the links into the shared environments.
    return kept | {"NO_COLOR": "1", "MELTANO_AUTO_INSTALL": "false"}


@pytest.fixture
def meltano_project(tmp_path: Path) -> MeltanoProject:
    """A Meltano project without any state, for one test alone."""
    return MeltanoProject(tmp_path / "project")
