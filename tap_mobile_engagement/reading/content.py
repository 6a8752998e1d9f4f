"""The content of a file: uncompressed, as UTF-8, by its first bytes."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from isal import isal_zlib

from tap_mobile_engagement.errors import DataError, corrupt, truncated
from tap_mobile_engagement.reading.cutting import BLOCK_SIZE, WHITE, in_pieces, raising
from tap_mobile_engagement.reading.zips import ZIP_MAGICS, ZipContent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HEAD_SIZE = 64 * 1024  # bytes of content that tell what it is

_GZIP_MAGIC = b"\x1f\x8b"
_WITH_HEADER = 31  # the window bits for a gzip member, whose checksum is then verified
_BROKEN = cast("type[Exception]", isal_zlib.error)
_MOST_LAYERS = 3  # of gzip within gzip
_MAGIC_SIZE = 4  # bytes; the longest magic number or byte order mark


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
    """A content of export data; of a zip file, that of one ``member``.

    Attributes:
        head: Its first bytes as UTF-8, without byte order mark and white space before it; at
            least :data:`HEAD_SIZE`, unless it ends or is broken before.
        rest: What follows the head, once; its damage is raised where it occurs.
        offset: How much white space stood before the head, in bytes.
    """

    compression: Compression
    encoding: str
    head: bytes
    rest: Iterator[bytes]
    offset: int
    member: str = ""


def compression_of(head: bytes) -> Compression:
    """The compression of a file, by its first four bytes."""
    if head.startswith(_GZIP_MAGIC):
        return Compression.GZIP
    return Compression.ZIP if head.startswith(ZIP_MAGICS) else Compression.NONE


def open_content(chunks: Iterable[bytes], encoding: str | None = None) -> Content:
    """The content of a file that is no zip file; its damage is raised by ``rest``.

    ``encoding`` is a codec's name for text that is neither UTF-8 nor UTF-16.
    """
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
    """The encoding that first bytes tell, and the length of the byte order mark among them.

    JSON and CSV headers begin with an ASCII character, and never hold a NUL.
    """
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding, len(mark)
    zeros = [byte == 0 for byte in head[:2]]
    if zeros in ([False, True], [True, False]):
        return "utf-16-be" if zeros[0] else "utf-16-le", 0
    return None, 0


def _to_end(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Chunks of which only the last one is empty."""
    return chain(filter(None, chunks), [b""])


def _from_utf16(chunks: Iterator[bytes], encoding: str, offset: int) -> Iterator[bytes]:
    """UTF-16 as UTF-8; half a surrogate pair becomes invalid, for the decoder to replace."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    for chunk in _to_end(chunks):
        offset += len(chunk)
        try:
            yield decoder.decode(chunk, not chunk).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            what = f"the content ends within a character of {encoding}"
            raise truncated(what, offset=offset) from None


def _read_as(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Text in some encoding as UTF-8, from the first chunk on that is no UTF-8."""
    decoder: Any = codecs.getincrementaldecoder("utf-8")()
    for chunk in _to_end(chunks):
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
