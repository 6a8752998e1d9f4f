"""Folders that a user may not read, also where tests run as root."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack, contextmanager
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
    if os.geteuid() != 0:
        yield
        return
    with ExitStack() as stack:
        # The parents are those of other tests, too, which run at the same time.
        lock = os.open("/", os.O_RDONLY)
        stack.callback(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        for each in (folder, *folder.parents):
            mode = each.stat().st_mode
            if not mode & 0o5:
                each.chmod(0o755)
                stack.callback(each.chmod, mode)
        os.seteuid(65534)
        stack.callback(os.seteuid, 0)
        yield
