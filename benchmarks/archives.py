"""The tap as it is measured: installed by itself, with a folder as its container."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.environments import ROOT, python_with

if TYPE_CHECKING:
    from pathlib import Path


def installed_tap() -> Path:
    """The command of this tap, in an environment with nothing but what it needs."""
    return python_with("tap", "-e", str(ROOT)).with_name("tap-mobile-engagement")


def archive(tap: Path, file: Path) -> list[str | Path]:
    """The command that reads the folder of a file; its configuration is put beside that."""
    config = file.parent.with_suffix(".config.json")
    config.write_text(json.dumps({"source": "archive", "container_url": file.parent.as_uri()}))
    return [tap, "--config", config]
