"""An environment of its own for each contender, with the versions in requirements/."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(os.environ.get("TAP_TOOLS_DIR") or ROOT / ".tools").resolve()
_UV = TOOLS / "uv" / "bin" / "uv"  # `make bench` has put it there


def python_with(name: str, *packages: str) -> Path:
    """The Python of an environment, which is made where it is missing or out of date.

    Args:
        name: Which one.
        packages: What to install, in the versions that the tests run with; unless given,
            everything in ``requirements/bench-NAME.txt``.
    """
    pins = ROOT / "requirements" / ("constraints.txt" if packages else f"bench-{name}.txt")
    what = ["--constraint", str(pins), *packages] if packages else ["-r", str(pins)]
    folder = TOOLS / "bench" / name
    python, stamp = folder / "bin" / "python", folder / ".installed"
    wanted = f"{sys.version}\n{packages}\n{pins.read_text()}"
    if not stamp.exists() or stamp.read_text() != wanted:
        _run(_UV, "venv", "--quiet", "--clear", "--python", sys.executable, folder)
        _run(_UV, "pip", "install", "--quiet", "--python", python, *what)
        stamp.write_text(wanted)
    return python


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)
