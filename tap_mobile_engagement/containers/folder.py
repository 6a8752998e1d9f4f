"""A folder of this machine as a container."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, NamedTuple, Self

from tap_mobile_engagement.containers.base import CHUNK_BYTES, Blob, Walk
from tap_mobile_engagement.containers.names import skipped_part
from tap_mobile_engagement.containers.urls import folder_path
from tap_mobile_engagement.errors import (
    Code,
    DataError,
    RetryLaterError,
    SettingsError,
    TapError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EARLIEST = (datetime(1, 1, 2, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LATEST = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // _MICROSECOND

log = logging.getLogger("tap-mobile-engagement")


class FolderContainer:
    """The files under a folder, in all its sub-folders; a file is a blob.

    Names are paths relative to the folder, with `/`. Links to files and folders are followed;
    a link that leads back to a folder above it is named in a warning and skipped. Some names
    are skipped, see :mod:`tap_mobile_engagement.containers.names`. A program that writes under
    the final name from the start is not noticed here; its file changes, so that it is read
    again.

    What can't be listed (a link that leads nowhere, a folder without permission) is a blob
    with a problem, and the listing goes on.

    Args:
        folder: The folder.

    Attributes:
        label: The folder as a URL.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.label = folder.absolute().as_uri()

    @classmethod
    def from_url(cls, url: str, *, setting: str = "container_url") -> Self:
        """The folder that a URL names, ``file:///data/export``, or a path.

        Raises:
            SettingsError: CONTAINER_URL_INVALID if it names none.
        """
        return cls(Path(folder_path(url, setting)))

    def list(self, prefix: str = "", *, walk: Walk | None = None) -> Iterator[Blob]:
        """Its blobs whose names begin with the prefix, sorted by name as Azure sorts them.

        Raises:
            SettingsError: The folder does not exist, or can't be read at all.
        """
        walk = walk or Walk()
        # A stack rather than recursion: folders may be deeper than Python can call.
        folders = [self._walk("", prefix, walk, frozenset())]
        while folders:
            found = next(folders[-1], None)
            if found is None:
                folders.pop()
            elif isinstance(found, Blob):
                yield found
            else:
                folders.append(self._walk(found.name, prefix, walk, found.above))

    @contextmanager
    def open(self, blob: Blob, start: int = 0) -> Iterator[Iterator[bytes]]:
        """The content of exactly that version of the file, from that byte on.

        A version is known by the file's identity, length and times, looked at before the first
        byte and after the last.

        Raises:
            RetryLaterError: BLOB_CHANGED, BLOB_MISSING or STORAGE_UNAVAILABLE.
            DataError: BLOB_TRUNCATED or BLOB_UNREADABLE.
        """
        if blob.problem:
            raise copy(blob.problem).at(container=self.label)
        try:
            file = self._path(blob).open("rb", buffering=0)
        except OSError as error:
            raise self._explain(error, blob.name) from None
        with file:
            file.seek(start)
            yield self._read(file, blob, start)

    def delete(self, blob: Blob) -> None:
        """Delete exactly that version of the file; if it is gone already, that is fine.

        Raises:
            RetryLaterError: BLOB_CHANGED if another version took its place; that one stays.
            DataError: BLOB_UNREADABLE if this user may not delete it.
        """
        path = self._path(blob)
        try:
            self._expect(path.stat(), blob)
            path.unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._explain(error, blob.name) from None

    def check(self) -> None:
        """Make sure that the folder is there and can be read.

        Raises:
            SettingsError: CONTAINER_NOT_FOUND or CONTAINER_ACCESS_DENIED.
        """
        try:
            os.scandir(self._folder).close()
        except OSError as error:
            raise self._explain(error) from None

    def _walk(
        self, folder: str, prefix: str, walk: Walk, above: frozenset[tuple[int, int]]
    ) -> Iterator[Blob | _Folder]:
        """The files and folders in a folder, whose own name is empty or ends with a slash.

        Args:
            folder: Its name.
            prefix: What the names of files begin with.
            walk: What is entered, and what was skipped.
            above: The folders that lead here, by device and number.
        """
        try:
            status = (self._folder / folder).stat()
            this = (status.st_dev, status.st_ino)
            if this in above:
                log.warning(
                    "Skipped the link %s: it leads back to a folder above it", folder[:-1]
                )
                return
            names = self._names(folder, walk)
        except OSError as error:
            if not folder:
                raise self._explain(error) from None
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                yield _without_content(folder, self._explain(error, folder))
            return  # otherwise deleted while the listing ran
        for name in names:
            if name.endswith("/"):
                if (name.startswith(prefix) or prefix.startswith(name)) and walk.enters(name):
                    yield _Folder(name, above | {this})
            elif name.startswith(prefix) or prefix.startswith(f"{name}/"):
                blob = self._look_at(name)
                if blob is not None and (name.startswith(prefix) or blob.problem):
                    yield blob

    def _names(self, folder: str, walk: Walk) -> Sequence[str]:
        """What a folder holds, sorted; the names of its own folders end with a slash.

        That slash makes the order the one of whole names: `a.json` comes before `a/b.json`.
        """
        names = []
        with os.scandir(self._folder / folder) as entries:
            for entry in entries:
                name = f"{folder}{entry.name}{'/' if _is_folder(entry) else ''}"
                if skipped_part(name):
                    walk.skipped.add(name)
                else:
                    names.append(name)
        return sorted(names)

    def _look_at(self, name: str) -> Blob | None:
        """The file of that name; None if it is none, or is gone by now."""
        path = self._folder / name
        try:
            status = path.stat()
        except OSError as error:
            return self._broken_link(name) or (
                None
                if isinstance(error, FileNotFoundError)
                else _without_content(name, self._explain(error, name))
            )
        if not S_ISREG(status.st_mode):
            return None
        problem = None
        if not _is_utf8(name):
            name = os.fsencode(name).decode("utf-8", "backslashreplace")
            problem = _unreadable(
                name, "its name is not UTF-8 text", "Rename the file, then run again"
            )
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

    def _broken_link(self, name: str) -> Blob | None:
        """A link that can't be followed; None where the name is no link."""
        try:
            target = (self._folder / name).readlink()
        except OSError:
            return None
        return _without_content(
            name,
            _unreadable(
                name,
                f"the link leads to {target}, which can't be reached",
                "Make its target reachable, or remove the link, then run again",
            ),
        )

    def _read(self, file: IO[bytes], blob: Blob, delivered: int) -> Iterator[bytes]:
        try:
            self._expect(os.fstat(file.fileno()), blob)
            while chunk := file.read(CHUNK_BYTES):
                delivered += len(chunk)
                yield chunk
            self._expect(os.fstat(file.fileno()), blob)
            self._expect(self._path(blob).stat(), blob)
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

    def _path(self, blob: Blob) -> Path:
        return self._folder / blob.name

    def _expect(self, status: os.stat_result, blob: Blob) -> None:
        if _etag(status) != blob.etag:
            raise RetryLaterError(
                Code.BLOB_CHANGED,
                "the file is not the one that was listed: it was written or replaced since",
                next_step="Run again; it is then read as it is by then",
                container=self.label,
                blob=blob.name,
            )

    def _explain(self, error: OSError, blob: str | None = None) -> TapError:
        """Say what a failed system call means."""
        where = {"container": self.label, "blob": blob}
        match error:
            case FileNotFoundError() | NotADirectoryError() if blob is None:
                return SettingsError(
                    Code.CONTAINER_NOT_FOUND,
                    "there is no such folder",
                    next_step="Make it, or correct its path in the settings",
                    **where,
                )
            case PermissionError() if blob is None:
                return SettingsError(
                    Code.CONTAINER_ACCESS_DENIED,
                    "this user has no right to the folder",
                    next_step="Grant it, or run the tap as a user who has it",
                    **where,
                )
            case FileNotFoundError():
                return RetryLaterError(
                    Code.BLOB_MISSING,
                    "the file was listed, but is gone",
                    next_step="Run again; if it was removed by mistake, put it back first",
                    **where,
                )
            case PermissionError():
                return _unreadable(
                    blob or "",
                    f"this user has no right to the {_kind(blob)}",
                    "Grant it, or run the tap as a user who has it",
                    container=self.label,
                )
            case OSError(errno=errno.EIO | errno.ELOOP | errno.ENAMETOOLONG):
                return _unreadable(
                    blob or "",
                    f"the {_kind(blob)} can't be read: {error.strerror}",
                    "Make sure that its disk is sound, then run again",
                    container=self.label,
                )
            case _:
                return RetryLaterError(
                    Code.STORAGE_UNAVAILABLE,
                    f"the {_kind(blob)} can't be read: {error.strerror or error}",
                    next_step="Make sure that its disk or share is there, then run again",
                    **where,
                )


class _Folder(NamedTuple):
    """A folder in a folder: its name, and the folders that lead to it."""

    name: str
    above: frozenset[tuple[int, int]]


def _kind(blob: str | None) -> str:
    return "folder" if not blob or blob.endswith("/") else "file"


def _unreadable(blob: str, what: str, next_step: str, **where: object) -> DataError:
    return DataError(Code.BLOB_UNREADABLE, what, next_step=next_step, blob=blob, **where)


def _without_content(name: str, problem: TapError) -> Blob:
    """What stands for files that can't be listed: as early as can be, to hold the bookmark."""
    return Blob(name, 0, "", _EPOCH, problem=problem)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _moment(nanoseconds: int) -> datetime:
    """A time of a file; a file system may hold times that are no date, which become one."""
    microseconds = min(max(nanoseconds // 1000, _EARLIEST), _LATEST)
    return _EPOCH + timedelta(microseconds=microseconds)


def _etag(status: os.stat_result) -> str:
    times = f"{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"
    return f"{status.st_ino:x}-{status.st_size:x}-{times}"


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
