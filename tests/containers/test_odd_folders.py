"""Folders as only some file systems and programs make them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tap_mobile_engagement.containers import FolderContainer
from tap_mobile_engagement.containers.folder import _moment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEVELS = 1200
"""Folders within folders: more than Python can call functions within functions."""


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(LEVELS):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    file = os.open("a.json", os.O_WRONLY | os.O_CREAT, dir_fd=here)
    os.write(file, b"[]")
    os.close(file)
    os.close(here)
    yield tmp_path
    # From the top, because what pytest removes folders with calls itself for each.
    top, aside = tmp_path / "d", tmp_path / "aside"
    for _ in range(LEVELS - 1):
        (top / "d").rename(aside)
        top.rmdir()
        aside.rename(top)


def test_folders_may_be_deeper_than_python_can_call(deep: Path) -> None:
    container = FolderContainer(deep)

    (blob,) = container.list()

    assert blob.name == "d/" * LEVELS + "a.json"
    with container.open(blob) as chunks:
        assert b"".join(chunks) == b"[]"


@pytest.mark.parametrize(
    ("seconds", "year"),
    [(-(1 << 62), 1), (-(10**11), 1), (0, 1970), (4 * 10**11, 9999), (1 << 62, 9999)],
)
def test_a_time_that_is_no_date_becomes_the_nearest_one(seconds: int, year: int) -> None:
    moment = _moment(seconds * 10**9)

    assert moment.year == year
    assert moment.tzinfo is UTC
    assert datetime.min.replace(tzinfo=UTC) < moment < datetime.max.replace(tzinfo=UTC)
