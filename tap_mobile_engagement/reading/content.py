"""The content of a file: unzipped, uncompressed, as UTF-8, by its first bytes."""

from __future__ import annotations

import codecs
import struct
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import chain, pairwise
from typing import IO, TYPE_CHECKING, Any, Self, cast

from isal import isal_zlib

from tap_mobile_engagement.containers.base import skipped_part
from tap_mobile_engagement.errors import Code, DataError, RetryLaterError, corrupt, truncated
from tap_mobile_engagement.reading.cutting import BLOCK_SIZE, WHITE, in_pieces, raising

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HEAD_SIZE = 64 * 1024  # bytes of content that tell what it is

_GZIP_MAGIC = b"\x1f\x8b"
_WITH_HEADER = 31  # the window bits for a gzip member, whose checksum is then verified
_BROKEN = cast("type[Exception]", isal_zlib.error)
_MOST_LAYERS = 3  # of gzip within gzip
_MAGIC_SIZE = 4  # bytes; the longest magic number or byte order mark
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
_NO_YEAR = 1980  # the first that a zip file can name; programs that know no time write it

# What the standard library raises for a broken file, depending on where it is broken.
_OF_THE_FILE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError)
_BROKEN_ZIP = (*_OF_THE_FILE, RuntimeError, ValueError)  # an odd compression, name or offset


class Compression(StrEnum):
    """How a file is compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZIP = "zip"


_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


@dataclass(slots=True)
class Content:
    """A content of export data, as UTF-8; of a zip file, that of one ``member``."""

    compression: Compression
    encoding: str
    head: bytes  # without byte order mark and blanks; HEAD_SIZE unless it ends or breaks
    rest: Iterator[bytes]  # once; its damage is raised where it occurs
    offset: int  # of the head: bytes of white space
    member: str = ""


def compression_of(head: bytes) -> Compression:
    """The compression of a file, by its first four bytes."""
    if head.startswith(_GZIP_MAGIC):
        return Compression.GZIP
    return Compression.ZIP if head.startswith(ZIP_MAGICS) else Compression.NONE


def open_content(chunks: Iterable[bytes], encoding: str | None = None) -> Content:
    """The content of a file that is no zip file; ``encoding`` is of text in no Unicode."""
    head, rest, _ = _first(iter(chunks), _MAGIC_SIZE)
    compression = Compression.NONE
    for _ in range(_MOST_LAYERS):
        if head.startswith(_GZIP_MAGIC):
            compression = Compression.GZIP
            head, rest, _ = _first(_gunzip(chain([head], rest)), _MAGIC_SIZE)
    found, mark = _encoding_of(head)
    text: Iterator[bytes] = chain([head[mark:]], rest)
    if found and found != "utf-8":
        text = _from_utf16(text, found, mark)
    elif encoding and found is None:
        text = _read_as(text, encoding)
    name = found or encoding or "utf-8"
    return Content(compression, name, *_first(text, HEAD_SIZE, WHITE))


def contents(chunks: Iterable[bytes], encoding: str | None = None) -> Iterator[Content]:
    """The contents of a file or of its members; DataError for a zip file that can't be read."""
    head, stored = peek(iter(chunks), _MAGIC_SIZE)
    if compression_of(head) is not Compression.ZIP:
        yield open_content(stored, encoding)
        return
    with ZipContent(stored) as file:
        for member in file.members:
            with file.open(member) as unpacked:
                content = open_content(unpacked, encoding)
                content.member = member.filename
                yield content


def peek(chunks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """At least ``size`` first bytes, if there are as many, and the whole with them."""
    head, rest, _ = _first(chunks, size)
    return head, chain([head], rest) if head else rest


def _first(
    chunks: Iterator[bytes], size: int, blank: bytes = b""
) -> tuple[bytes, Iterator[bytes], int]:
    """The first bytes behind blank ones, what follows, and how many blank ones there are."""
    taken: list[bytes] = []
    length = offset = 0
    try:
        while length < size and (chunk := next(chunks, None)) is not None:
            taken.append(chunk if length else chunk.lstrip(blank))
            offset += len(chunk) - len(taken[-1])
            length += len(taken[-1])
    except DataError as error:
        chunks = raising(error)
    return b"".join(taken), chunks, offset


def _encoding_of(head: bytes) -> tuple[str | None, int]:
    """The encoding that first bytes tell, and the length of the byte order mark among them."""
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding, len(mark)
    zeros = [byte == 0 for byte in head[:2]]  # JSON and CSV begin with an ASCII character
    if zeros in ([False, True], [True, False]):
        return "utf-16-be" if zeros[0] else "utf-16-le", 0
    return None, 0


def _from_utf16(chunks: Iterator[bytes], encoding: str, offset: int) -> Iterator[bytes]:
    """UTF-16 as UTF-8; half a surrogate pair becomes invalid, for the decoder to replace."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    for chunk in chain(filter(None, chunks), [b""]):  # the empty one is the end
        offset += len(chunk)
        try:
            yield decoder.decode(chunk, not chunk).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            what = f"the content ends within a character of {encoding}"
            raise truncated(what, offset=offset) from None


def _read_as(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Text in some encoding as UTF-8, from the first chunk on that is no UTF-8."""
    decoder: Any = codecs.getincrementaldecoder("utf-8")()
    for chunk in chain(filter(None, chunks), [b""]):  # the empty one is the end
        pending, _ = decoder.getstate()
        try:
            text = decoder.decode(chunk, not chunk)
        except UnicodeDecodeError:
            decoder = codecs.getincrementaldecoder(encoding)("replace")
            text = decoder.decode(pending + chunk, not chunk)
        yield text.encode()


def _gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The uncompressed content in small pieces, by ISA-L in half the time of zlib."""
    offset = 0  # in the file, of the data that is yet to be decompressed
    member = None
    try:
        # In small pieces: ISA-L copies what it has not consumed of its input at every call.
        for piece in in_pieces(chunks, BLOCK_SIZE):
            data = piece
            while data:
                if member is None:
                    if not data.strip(b"\0"):
                        break  # zero padding behind the last member is legal
                    if not _GZIP_MAGIC.startswith(data[: len(_GZIP_MAGIC)]):
                        raise corrupt("something follows its gzip data", offset=offset)
                    member = isal_zlib.decompressobj(_WITH_HEADER)
                yield member.decompress(data, BLOCK_SIZE)
                rest = member.unused_data if member.eof else member.unconsumed_tail
                offset += len(data) - len(rest)
                data = rest
                member = None if member.eof else member
        while member is not None and (content := member.decompress(b"", BLOCK_SIZE)):
            yield content
    except _BROKEN as error:
        raise corrupt(f"its gzip data is broken: {error}", offset=offset) from None
    if member is not None and not member.eof:
        raise truncated("its gzip data ends too early", offset=offset)


class ZipContent:
    """The members of one zip file, kept as its table comes last, and the names ``skipped``."""

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
        except _BROKEN_ZIP as error:
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
    except _BROKEN_ZIP as error:
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
    while extra[4:]:  # behind kind and size
        kind, size = struct.unpack_from("<HH", extra)
        data, extra = extra[4:][:size], extra[4 + size :]
        if kind == _UNIX_TIME and data and data[0] & 1:
            return datetime.fromtimestamp(struct.unpack_from("<i", data, 1)[0], UTC)
        if kind == _NTFS_TIME and struct.unpack_from("<HH", data, 4) == (1, 24):
            (ticks,) = struct.unpack_from("<Q", data, 8)  # of 100 nanoseconds
            return _NTFS_EPOCH + timedelta(microseconds=ticks // 10)
    return None
