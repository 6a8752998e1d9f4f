"""docs/library.md: each example runs as it stands, in an environment with its library."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import Block, blocks
from tests.support.packaging import run
from tests.support.tools import installed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.targets

SHOWN = "file:///data/mobile-engagement"
EVENTS = [
    {"deviceId": "d", "events": [{"name": name, "timestamp": "2016-05-01"} for name in "abb"]},
    {"deviceId": "e", "events": [{"name": "a", "timestamp": "2016-05-02", "extras": {"x": 1}}]},
]
# What to ask of what each example makes; every answer is the number of events.
COUNTS = {
    "pandas": "len(events)",
    "polars": "events.height",
    "duckdb": "sum(count for _, count in events)",
    "dask": "len(events)",
    "dlt": "sum(table.num_rows for table in events())",
}
LIBRARIES = {"to_pandas()": "pandas", "import polars": "polars", "import duckdb": "duckdb"} | {
    f"import {name}": name for name in ("dask", "dlt", "ray")
}


def library_of(block: Block) -> str:
    found = [name for sign, name in LIBRARIES.items() if sign in block.text]
    return found[-1] if found else "plain"


EXAMPLES = {library_of(block): block for block in blocks("python", page="docs/library.md")}


def test_every_library_has_an_example() -> None:
    assert {*EXAMPLES} == {"plain", "ray", *COUNTS}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.json").write_text(json.dumps(EVENTS[:1]))
    (tmp_path / "b.json").write_text(json.dumps(EVENTS[1:]))
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")
    return tmp_path


def output_of(code: str, folder: Path) -> str:
    python = installed("library/bin/python")
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return run(python, "-c", code.replace(SHOWN, folder.as_uri()), cwd=folder, env=env)


def test_the_plain_example_prints_the_records(folder: Path) -> None:
    lines = output_of(EXAMPLES["plain"].text, folder).splitlines()
    assert len(lines) == 4
    assert lines[-1] == "2016-05-02T00:00:00Z a {'x': 1}"


@pytest.mark.parametrize("library", COUNTS)
def test_an_example_finds_all_events(folder: Path, library: str) -> None:
    code = f"{EXAMPLES[library].text}\nprint({COUNTS[library]})"
    assert output_of(code, folder).split()[-1:] == ["4"]  # DuckDB may show its progress
