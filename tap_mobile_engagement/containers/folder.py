"""A folder of this machine as a container."""

from __future__ import annotations

import errno
import logging
import os
import stat
from contextlib import contextmanager, suppress
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tap_mobile_engagement.containers.base import (
    CHUNK_BYTES,
    Blob,
    blob_changed,
    blob_missing,
    skipped_part,
)
from tap_mobile_engagement.errors import (
    Code,
    DataError,
    RetryLaterError,
    SettingsError,
    TapError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import IO

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EARLIEST = (datetime(1, 1, 2, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LATEST = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // _MICROSECOND

_FAILED = "the file could not be read"
_DISK_FAULTS = {errno.EIO, errno.ELOOP, errno.ENAMETOOLONG}

log = logging.getLogger("tap-mobile-engagement")


class FolderContainer:
    """The files under a folder, in all its sub-folders; a file is a blob.

    Links are followed; one that leads back to a folder above it is skipped with a warning. What
    can't be read (a broken link, a named pipe, a folder without permission) is a blob with a
    problem.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.label = folder.absolute().as_uri()

    def list(
        self, prefix: str = "", *, takes: Callable[[str], bool] | None = None
    ) -> Iterator[Blob]:
        """As :meth:`Container.list`; by default without what :func:`skipped_part` names."""
        takes = takes or (lambda name: not skipped_part(name))
        # What is still to be listed, the next one last; a folder with those that lead to it.
        # No recursion: folders may be deeper than Python can call.
        waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
        while waiting:
            name, above = waiting.pop()
            if name and not name.endswith("/"):
                blob = self._look_at(name)
                if blob is not None and (name.startswith(prefix) or blob.problem):
                    yield blob
                continue
            try:
                status = (self._folder / name).stat()
                this = (status.st_dev, status.st_ino)
                if this in above:
                    link = name.rstrip("/")
                    log.warning("Skipped the link %s: it leads back to a folder above it", link)
                    continue
                found = filter(takes, self._names(name, prefix))
                below = above | {this}
                waiting += [(each, below) for each in sorted(found, reverse=True)]
            except OSError as error:
                if not name:
                    raise self._explain(error) from None
                if not isinstance(error, FileNotFoundError | NotADirectoryError):
                    yield _without_content(name, self._explain(error, name))

    @contextmanager
    def open(self, blob: Blob, start: int = 0) -> Iterator[Iterator[bytes]]:
        """As :meth:`Container.open`; a version is the file's identity, length and times."""
        if blob.problem:
            raise copy(blob.problem).at(container=self.label)
        try:
            file = open(self._folder / blob.name, "rb", 0, opener=open_private)  # noqa: SIM115
        except OSError as error:
            raise self._explain(error, blob.name) from None
        with file:
            yield self._read(file, blob, start)

    def check(self) -> None:
        """As :meth:`Container.check`."""
        try:
            os.scandir(self._folder).close()
        except OSError as error:
            raise self._explain(error) from None

    def _names(self, folder: str, prefix: str) -> Iterator[str]:
        """What a folder holds under the prefix; a folder's name ends with a slash."""
        with os.scandir(self._folder / folder) as entries:
            for entry in entries:
                name = f"{folder}{entry.name}"
                if name.startswith(prefix) or prefix.startswith(f"{name}/"):
                    is_link = entry.is_symlink()
                    is_folder = os.path.isdir(entry.path) if is_link else entry.is_dir()  # noqa: PTH112
                    yield f"{name}/" if is_folder else name

    def _look_at(self, name: str) -> Blob | None:
        path, problem = self._folder / name, None
        try:
            status = path.stat()
        except OSError as error:
            with suppress(OSError):  # of what is no link
                what = f"the link leads to {path.readlink()}, which can't be reached"
                step = "Make its target reachable, or remove the link, then run again"
                problem = DataError(Code.BLOB_UNREADABLE, what, next_step=step, blob=name)
                return _without_content(name, problem)
            if isinstance(error, FileNotFoundError):
                return None
            return _without_content(name, self._explain(error, name))
        if not stat.S_ISREG(status.st_mode):
            what = "it is no file, but a named pipe, a socket or a device"
            problem = DataError(Code.BLOB_UNRECOGNISED, what, blob=name)
        elif name != (name := os.fsencode(name).decode("utf-8", "backslashreplace")):
            what, step = "its name is not UTF-8 text", "Rename the file, then run again"
            problem = DataError(Code.BLOB_UNREADABLE, what, next_step=step, blob=name)
        # A file that is moved or unpacked into the folder keeps its modification time, but
        # its change time is the moment of that.
        return Blob(
            name=name,
            size=status.st_size,
            etag=_etag(status),
            arrived=_moment(max(status.st_ctime_ns, status.st_mtime_ns)),
            modified=_moment(status.st_mtime_ns),
            problem=problem,
        )

    def _read(self, file: IO[bytes], blob: Blob, delivered: int) -> Iterator[bytes]:
        try:
            self._expect(os.fstat(file.fileno()), blob)
            file.seek(delivered)
            while chunk := file.read(CHUNK_BYTES):
                delivered += len(chunk)
                yield chunk
            self._expect(os.fstat(file.fileno()), blob)
            self._expect((self._folder / blob.name).stat(), blob)
        except OSError as error:
            raise self._explain(error, blob.name) from None
        if delivered != blob.size:
            raise DataError(
                Code.BLOB_TRUNCATED,
                f"{delivered} bytes were read of a file of {blob.size} bytes",
                next_step="Make sure that the file system is sound, then run again",
                container=self.label,
                blob=blob.name,
            )

    def _expect(self, status: os.stat_result, blob: Blob) -> None:
        if _etag(status) != blob.etag:
            raise blob_changed(_FAILED, container=self.label, blob=blob.name)

    def _explain(self, error: OSError, blob: str | None = None) -> TapError:
        where = {"container": self.label, "blob": blob}
        is_gone = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
        if is_gone and blob is not None:
            return blob_missing(_FAILED, **where)
        name = "folder" if not blob or blob.endswith("/") else "file"
        what = f"the {name} can't be read: {error.strerror or error}"
        next_step = "Make sure that its disk or share is there and sound, then run again"
        kind: type[TapError] = DataError if blob else SettingsError
        code = Code.BLOB_UNREADABLE if blob else Code.CONTAINER_ACCESS_DENIED
        if is_gone:
            code, what = Code.CONTAINER_NOT_FOUND, "there is no such folder"
            next_step = "Make it, or correct its path in the settings"
        elif isinstance(error, PermissionError):
            what = f"this user has no right to the {name}"
            next_step = "Grant it, or run the tap as a user who has it"
        elif not blob or error.errno not in _DISK_FAULTS:
            kind, code = RetryLaterError, Code.STORAGE_UNAVAILABLE
        return kind(code, what, next_step=next_step, **where)


def _without_content(name: str, problem: TapError) -> Blob:
    """A blob for files that can't be listed; the earliest time makes it hold the bookmark."""
    return Blob(name, 0, "", _EPOCH, problem=problem)


def open_private(path: str, flags: int) -> int:
    """The opener of a file that its owner alone may read; it never waits for a named pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o600)


def _moment(nanoseconds: int) -> datetime:
    """A file's time; the nearest date if it is none."""
    microseconds = min(max(nanoseconds // 1000, _EARLIEST), _LATEST)
    return _EPOCH + timedelta(microseconds=microseconds)


def _etag(status: os.stat_result) -> str:
    times = f"{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"
    return f"{status.st_ino:x}-{status.st_size:x}-{times}"
