"""Programs that ``make setup`` installed beside the environment of the tests."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def installed(program: str) -> Path:
    """The path of a program, as ``target-jsonl/bin/target-jsonl``.

    Raises:
        RuntimeError: If it is not there.
    """
    path = Path(os.environ.get("TAP_TOOLS_DIR") or ROOT / ".tools") / program
    if not path.exists():
        message = f"{program} is not installed: run `make setup`"
        raise RuntimeError(message)
    return path
