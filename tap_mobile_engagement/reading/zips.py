"""Zip files: their members, proven whole; a broken one does not concern the others.

Only the table at the end tells the members, so all of a file is kept.
"""

from __future__ import annotations

import struct
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import IO, TYPE_CHECKING, Any, Self, cast

from tap_mobile_engagement.containers.base import skipped_part
from tap_mobile_engagement.errors import Code, DataError, RetryLaterError, corrupt, truncated
from tap_mobile_engagement.reading.cutting import BLOCK_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")  # the second if it has no members
_IN_MEMORY = 8 << 20  # bytes
_TABLE_SIZE = 5  # its place in what the library tells of the end
_SHORTEST_HEADER = 30  # bytes before the name of a member

_MAX_TABLE_SIZE = 2 << 20  # bytes: some 20,000 members, which take 20 MB of memory

# The library gives only these a limit on what they unpack at a time.
_READABLE = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz", 98: "PPMd"}
_ENCRYPTED = 0x1 | 0x40  # flags

# Extra fields with times in UTC, and where the time of modification stands in them.
_UNIX_TIME, _NTFS_TIME = 0x5455, 0x000A
_NTFS_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_HEADER = struct.Struct("<HH")  # kind and size
_NO_YEAR = 1980  # the first that a zip file can name; programs that know no time write it

# What the standard library raises for a broken file, depending on where it is broken.
_OF_THE_FILE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError)
_BROKEN = (*_OF_THE_FILE, RuntimeError, ValueError)  # an odd compression, name or offset


class ZipContent:
    """The members of one zip file, kept until the context ends, and the names ``skipped``."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._file = cast("IO[bytes]", tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115
        try:
            for chunk in chunks:
                try:
                    self._file.write(chunk)
                except OSError as error:
                    raise RetryLaterError(
                        Code.NO_TEMPORARY_SPACE,
                        f"a zip file needs a temporary file: {error.strerror}",
                        next_step=f"Make room in {tempfile.gettempdir()}, or set TMPDIR to "
                        "another folder, then run again",
                    ) from None
            self._zip = self._open(self._file.tell())
        except BaseException:
            self._file.close()
            raise
        files = [file for file in self._zip.infolist() if not file.is_dir()]
        self.members = [file for file in files if not skipped_part(file.filename)]
        self.skipped = {skipped_part(file.filename) for file in files} - {""}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._zip.close()
        self._file.close()

    def _open(self, size: int) -> zipfile.ZipFile:
        try:
            end: Any = zipfile._EndRecData(self._file)  # type: ignore[attr-defined] # noqa: SLF001
            if end is None:
                raise truncated("the end of the zip file is missing", offset=size)
            if end[_TABLE_SIZE] > _MAX_TABLE_SIZE:
                raise corrupt(f"its zip table has more than {_MAX_TABLE_SIZE} bytes", offset=0)
            found = zipfile.ZipFile(self._file)
        except _BROKEN as error:
            what = f"its zip table is broken: {error or type(error).__name__}"
            raise corrupt(what, offset=size) from None
        members = sorted(found.infolist(), key=lambda member: member.header_offset)
        # The library would read the last of two files that were joined, and skip the first.
        if members and (first := members[0].header_offset):
            raise corrupt(f"its zip table skips the first {first} bytes of the file", offset=0)
        for member, following in pairwise(members):
            behind = member.header_offset + _SHORTEST_HEADER + member.compress_size
            if behind > following.header_offset:
                raise corrupt("its members overlap", member=member.filename, offset=0)
        return found

    @contextmanager
    def open(self, member: zipfile.ZipInfo) -> Iterator[Iterator[bytes]]:
        """The uncompressed content of a member; BLOB_CORRUPT with the offset in the zip."""
        if member.flag_bits & _ENCRYPTED:
            raise _broken(member, "is encrypted", "Unpack the zip file with its password")
        if member.compress_type not in _READABLE:
            method = _METHODS.get(member.compress_type, f"method {member.compress_type}")
            what = f"is compressed by {method}, which can't be read"
            raise _broken(member, what, "Unpack the zip file, or pack it by another program")
        with _explained(member):
            content = self._zip.open(member)
        with content:
            yield _read(content, member)


def _read(content: IO[bytes], member: zipfile.ZipInfo) -> Iterator[bytes]:
    chunk = b" "
    while chunk:
        with _explained(member):
            chunk = content.read(BLOCK_SIZE)
        yield chunk


@contextmanager
def _explained(member: zipfile.ZipInfo) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise _broken(member, f"can't be read: {error or type(error).__name__}") from None


def _broken(member: zipfile.ZipInfo, what: str, next_step: str = "") -> DataError:
    where = {"member": member.filename, "offset": member.header_offset}
    error = corrupt(f"a member of the zip file {what}", **where)
    error.next_step = next_step or error.next_step
    return error


def modified(member: zipfile.ZipInfo) -> datetime | None:
    """When a member was last written, in UTC; None where the zip file does not say."""
    time = member.date_time
    try:
        exact = _exact_time(member.extra)
        return exact or (None if time[0] <= _NO_YEAR else datetime(*time, tzinfo=UTC))
    except (struct.error, ValueError, OverflowError):
        return None


def _exact_time(extra: bytes) -> datetime | None:
    while len(extra) > _HEADER.size:
        kind, size = _HEADER.unpack_from(extra)
        data, extra = extra[_HEADER.size :][:size], extra[_HEADER.size + size :]
        if kind == _UNIX_TIME and data and data[0] & 1:
            return datetime.fromtimestamp(struct.unpack_from("<i", data, 1)[0], UTC)
        if kind == _NTFS_TIME and struct.unpack_from("<HH", data, 4) == (1, 24):
            (ticks,) = struct.unpack_from("<Q", data, 8)  # of 100 nanoseconds
            return _NTFS_EPOCH + timedelta(microseconds=ticks // 10)
    return None
