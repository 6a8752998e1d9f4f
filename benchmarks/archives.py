"""The tap as it is measured: installed by itself, with a folder as its container."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.environments import ROOT, python_with

if TYPE_CHECKING:
    from pathlib import Path


def installed_tap() -> Path:
    """The command of this tap, in an environment with nothing but what it needs."""
    return python_with("tap", "-e", str(ROOT)).with_name("tap-mobile-engagement")


def archive(tap: Path, file: Path, **settings: Any) -> list[str | Path]:
    """The command that reads the folder of a file; its configuration is put beside that.

    Args:
        tap: The tap's command.
        file: A file in the folder.
        settings: More settings.
    """
    folder = file.parent
    name = "-".join([folder.name, *map(str, settings.values())])
    config = folder.with_name(f"{name}.config.json")
    source = {"source": "archive", "container_url": folder.as_uri()}
    config.write_text(json.dumps(source | settings))
    return [tap, "--config", config]
