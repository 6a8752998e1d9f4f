"""docs/failures.md as data, so that tests can hold the tap against what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).resolve().parents[2] / "docs" / "failures.md"

DONE = "done"
IMPOSSIBLE = "-"


def sections() -> Iterator[tuple[str, list[list[str]]]]:
    """Each heading, with the rows of the table below it, code marks taken off."""
    for part in re.split(r"^##+ ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        rows = [
            [cell.strip().strip("`") for cell in line.strip("|\n").split("|")]
            for line in text.partition("|\n\n")[0].splitlines()
            if line.startswith("|")
        ]
        yield heading, rows[2:]


def outcomes() -> dict[tuple[str, str], str]:
    """What becomes of each fault, by fault and kind of stream."""
    (rows,) = (rows for heading, rows in sections() if heading == "Faults and outcomes")
    kinds = ("historical", "snapshot", "devices")
    return {
        (fault, kind): outcome
        for fault, *cells in rows
        for kind, outcome in zip(kinds, cells, strict=True)
    }


def bad_files() -> dict[tuple[str, str], str]:
    """The code of each bad file of an archive, by its kind and where it is."""
    (rows,) = (rows for heading, rows in sections() if heading == "Bad files of an archive")
    return {
        (kind, place): code
        for kind, *codes in rows
        for place, code in zip(("folder", "container"), codes, strict=True)
        if code != IMPOSSIBLE
    }
