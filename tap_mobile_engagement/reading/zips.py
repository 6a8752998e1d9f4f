"""Zip files: their members, proven whole.

The table of a zip file's members stands at its end, and only the table is the truth about
them. So the file is kept until it is there as a whole: in memory while it is small, else in a
temporary file.
"""

from __future__ import annotations

import struct
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NoReturn, Self, cast

from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.cutting import BLOCK_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip file begins; the second if it has no members."""

_IN_MEMORY = 16 << 20  # bytes
_END_OF_TABLE = b"PK\x05\x06"
_SHORTEST_END = 22  # bytes: the record behind the table
_LONGEST_END = _SHORTEST_END + (1 << 16)  # and its longest comment

# What the standard library raises for a broken file, depending on where it is broken.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,  # a compression that it does not know
    RuntimeError,  # an encrypted member
    ValueError,  # a member's name that is no text, a negative offset
    OSError,  # bzip2 data that is broken, a seek beyond the file
)


class ZipContent:
    """The members of one zip file. A context manager; what it keeps is gone at its end.

    Args:
        chunks: The file's bytes; all of them are taken when the context is entered.

    Attributes:
        members: The files in it, in the order of its table.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._size = 0
        self.members: tuple[zipfile.ZipInfo, ...] = ()

    def __enter__(self) -> Self:
        """Take the file.

        Raises:
            DataError: ``BLOB_TRUNCATED`` where the file's end is missing, ``BLOB_CORRUPT``
                where its table is broken or does not fit the file.
        """
        self._file = cast("IO[bytes]", tempfile.SpooledTemporaryFile(_IN_MEMORY))
        try:
            for chunk in self._chunks:
                self._file.write(chunk)
            self._size = self._file.tell()
            self._zip = self._open()
        except BaseException:
            self._file.close()
            raise
        self.members = tuple(member for member in self._zip.infolist() if not member.is_dir())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go of the file."""
        self._zip.close()
        self._file.close()

    def _open(self) -> zipfile.ZipFile:
        try:
            found = zipfile.ZipFile(self._file)
        except _BROKEN as error:
            self._explain(error)
        begins = [member.header_offset for member in found.infolist()]
        # The library would read the last of two files that were joined, and skip the first.
        if begins and min(begins) != 0:
            raise DataError(
                Code.BLOB_CORRUPT,
                f"its zip table leaves out the first {min(begins)} bytes of the file",
                offset=0,
            )
        return found

    def _explain(self, error: Exception) -> NoReturn:
        self._file.seek(max(self._size - _LONGEST_END, 0))
        tail = self._file.read()
        at = tail.rfind(_END_OF_TABLE)
        if at >= 0 and len(tail) - at >= _SHORTEST_END:
            what = f"its zip table is broken: {error or type(error).__name__}"
            raise DataError(Code.BLOB_CORRUPT, what, offset=self._size) from None
        raise DataError(
            Code.BLOB_TRUNCATED,
            "the end of the zip file is missing",
            next_step="Copy or export the file again",
            offset=self._size,
        ) from None

    @contextmanager
    def open(self, member: zipfile.ZipInfo) -> Iterator[Iterator[bytes]]:
        """The uncompressed content of a member.

        Raises:
            DataError: ``BLOB_CORRUPT`` where its data is broken, has not the checksum or the
                length that the table says, or is encrypted. The offset is in the zip file,
                ``member`` is its name.
        """
        with _told_of(member):
            content = self._zip.open(member)
        with content:
            yield _read(content, member)


def _read(content: IO[bytes], member: zipfile.ZipInfo) -> Iterator[bytes]:
    length = 0
    while True:
        with _told_of(member):
            chunk = content.read(BLOCK_SIZE)
        if not chunk:
            break
        length += len(chunk)
        yield chunk
    if length != member.file_size:
        what = f"a member has {length} bytes instead of {member.file_size}"
        raise DataError(
            Code.BLOB_CORRUPT, what, member=member.filename, offset=member.header_offset
        )


@contextmanager
def _told_of(member: zipfile.ZipInfo) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise DataError(
            Code.BLOB_CORRUPT,
            f"a member of the zip file can't be read: {error or type(error).__name__}",
            next_step="Copy or export the file again; an encrypted one has to be unpacked",
            member=member.filename,
            offset=member.header_offset,
        ) from None
