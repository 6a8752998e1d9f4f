"""Folders that a user may not read, also where tests run as root."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A folder that nobody may read; root, who may read everything, is nobody meanwhile."""
    folder.chmod(0)
    try:
        with as_nobody(folder.parent):
            yield
    finally:
        folder.chmod(0o700)


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Be a user without rights of root, who may enter the folder."""
    user = os.geteuid()
    if user == 0:
        opened = [each for each in (folder, *folder.parents) if not each.stat().st_mode & 0o5]
        modes = [(each, each.stat().st_mode) for each in opened]
        for each in opened:
            each.chmod(0o755)
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(user)
            for each, mode in modes:
                each.chmod(mode)
