"""A folder of this machine as a container."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tap_mobile_engagement.containers.base import CHUNK_BYTES, Blob
from tap_mobile_engagement.containers.urls import check_folder_url
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
_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", "~")


class FolderContainer:
    """The files under a folder, in all its sub-folders; a file is a blob.

    Names are paths relative to the folder, with `/`. Links to files are followed, links to
    folders are not (they could lead in circles). Left out are files that a writer has not
    finished, which it shows by their names: those of a file or folder that begin with a dot
    (rsync, azcopy and most editors), and those of a file that end with ``.tmp``, ``.part``,
    ``.partial``, ``.crdownload`` or ``~``. A program that writes under the final name from the
    start is not noticed here; its file changes, so that it is read again.

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
        """The folder that a URL names, ``file:///data/export``.

        Raises:
            SettingsError: CONTAINER_URL_INVALID if it names none.
        """
        check_folder_url(url, setting)
        return cls(Path(url2pathname(urlsplit(url.strip()).path)))

    def list(self, prefix: str = "") -> Iterator[Blob]:
        """Its blobs whose names begin with the prefix, sorted by name as Azure sorts them.

        Raises:
            SettingsError: It is not there or can't be read, in whole or in part; or a file's
                name is no UTF-8 text.
        """
        yield from self._walk("", prefix)

    @contextmanager
    def open(self, blob: Blob) -> Iterator[Iterator[bytes]]:
        """The content of exactly that version of the file.

        A version is told by the file's identity, length and modification time, looked at
        before the first byte and after the last.

        Raises:
            RetryLaterError: BLOB_CHANGED, BLOB_MISSING or STORAGE_UNAVAILABLE.
            SettingsError: CONTAINER_ACCESS_DENIED.
        """
        try:
            file = self._path(blob).open("rb", buffering=0)
        except OSError as error:
            raise self._explain(error, blob.name) from None
        with file:
            yield self._read(file, blob)

    def delete(self, blob: Blob) -> None:
        """Delete exactly that version of the file; if it is gone already, that is fine.

        Raises:
            RetryLaterError: BLOB_CHANGED if another version took its place; that one stays.
            SettingsError: CONTAINER_ACCESS_DENIED.
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

    def _walk(self, folder: str, prefix: str) -> Iterator[Blob]:
        """The files under a folder, whose own name is empty or ends with a slash."""
        for name in self._names(folder):
            if name.endswith("/"):
                if name.startswith(prefix) or prefix.startswith(name):
                    yield from self._walk(name, prefix)
            elif name.startswith(prefix):
                blob = self._look_at(name)
                if blob is not None:
                    yield blob

    def _names(self, folder: str) -> Sequence[str]:
        """What a folder holds, sorted; the names of its own folders end with a slash.

        That slash makes the order the one of whole names: `a.json` comes before `a/b.json`.
        """
        try:
            with os.scandir(self._folder / folder) as entries:
                return sorted(folder + name for name in map(_name_of, entries) if name)
        except FileNotFoundError as error:
            if folder:
                return ()  # deleted while the listing ran
            raise self._explain(error) from None
        except OSError as error:
            raise self._explain(error, folder or None) from None

    def _look_at(self, name: str) -> Blob | None:
        """The file of that name; None if it is none, or is gone by now."""
        try:
            status = (self._folder / name).stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._explain(error, name) from None
        if not S_ISREG(status.st_mode):
            return None
        if not _is_utf8(name):
            raise SettingsError(
                Code.BAD_SETTING,
                "the folder holds a file whose name is not UTF-8 text",
                next_step="Rename the file, or leave it out of the folder",
                container=self.label,
                blob=repr(name),
            )
        # A file that is moved or unpacked into the folder keeps its modification time, but
        # its change time is the moment of that.
        arrived = max(status.st_ctime_ns, status.st_mtime_ns)
        return Blob(
            name=name,
            size=status.st_size,
            etag=_etag(status),
            arrived=_EPOCH + timedelta(microseconds=arrived // 1000),
        )

    def _read(self, file: IO[bytes], blob: Blob) -> Iterator[bytes]:
        try:
            self._expect(os.fstat(file.fileno()), blob)
            delivered = 0
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
        what = "the folder" if blob is None else "a file of the folder"
        where = {"container": self.label, "blob": blob}
        match error:
            case FileNotFoundError() | NotADirectoryError() if blob is None:
                return SettingsError(
                    Code.CONTAINER_NOT_FOUND,
                    "there is no such folder",
                    next_step="Make it, or mend its path in the settings",
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
                return SettingsError(
                    Code.CONTAINER_ACCESS_DENIED,
                    f"this user has no right to {what}",
                    next_step="Grant it, or run the tap as a user who has it",
                    **where,
                )
            case _:
                return RetryLaterError(
                    Code.STORAGE_UNAVAILABLE,
                    f"{what} can't be read: {error.strerror or error}",
                    next_step="Make sure that its disk or share is there, then run again",
                    **where,
                )


def _name_of(entry: os.DirEntry[str]) -> str:
    """An entry's name, with a slash for a folder; empty for what is left out."""
    if entry.name.startswith("."):
        return ""
    if entry.is_dir(follow_symlinks=False):
        return f"{entry.name}/"
    return "" if entry.name.endswith(_UNFINISHED) else entry.name


def _etag(status: os.stat_result) -> str:
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
