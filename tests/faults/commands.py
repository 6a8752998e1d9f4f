"""The tap as a command, for tests that connect its outputs themselves."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support.simulated import COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def command_line(settings: dict[str, Any], folder: Path) -> list[str]:
    """The command with a configuration, which is written to a file in that folder."""
    config = folder / "configuration.json"
    config.write_text(json.dumps(settings))
    return [str(COMMAND), "--config", str(config)]


@contextmanager
def started(settings: dict[str, Any], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command at work, both outputs pipes; it is killed if it is still there at the end."""
    with subprocess.Popen(
        command_line(settings, folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()
