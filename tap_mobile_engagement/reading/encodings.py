"""Content in whatever Unicode encoding as UTF-8 without a byte order mark."""

from __future__ import annotations

import codecs
from enum import StrEnum
from typing import TYPE_CHECKING

from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.chunks import drop, peek

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Encoding(StrEnum):
    """How characters are written as bytes."""

    UTF_8 = "utf-8"
    UTF_16_LE = "utf-16-le"
    UTF_16_BE = "utf-16-be"


_MARKS = {
    codecs.BOM_UTF8: Encoding.UTF_8,
    codecs.BOM_UTF16_LE: Encoding.UTF_16_LE,
    codecs.BOM_UTF16_BE: Encoding.UTF_16_BE,
}
_LONGEST_MARK = max(map(len, _MARKS))


def encoding_of(head: bytes) -> tuple[Encoding, int]:
    """The encoding of a content, and the length of its byte order mark in bytes.

    Without a mark it is UTF-8, or UTF-16 if one of the first two bytes is zero: JSON and the
    names in a CSV header begin with an ASCII character, and never hold a NUL.

    Args:
        head: At least its first three bytes; fewer only if it has no more.
    """
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding, len(mark)
    match [byte == 0 for byte in head[:2]]:
        case [False, True]:
            return Encoding.UTF_16_LE, 0
        case [True, False]:
            return Encoding.UTF_16_BE, 0
        case _:
            return Encoding.UTF_8, 0


def to_utf8(chunks: Iterable[bytes]) -> tuple[Encoding, Iterator[bytes]]:
    """The content as UTF-8 without a byte order mark, and what encoding it has.

    UTF-8 is handed on as it is, valid or not. Half a surrogate pair in UTF-16 becomes what
    UTF-8 would make of it, which is not valid either: whoever decodes an element replaces it,
    and counts that.

    Raises:
        DataError: ``BLOB_TRUNCATED`` where UTF-16 ends within a character; the offset is in
            the content as it is encoded.
    """
    head, content = peek(chunks, _LONGEST_MARK)
    encoding, mark = encoding_of(head)
    content = drop(content, mark) if mark else content
    if encoding is Encoding.UTF_8:
        return encoding, content
    return encoding, _recoded(content, encoding, mark)


def _recoded(chunks: Iterable[bytes], encoding: Encoding, offset: int) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    for chunk in chunks:
        offset += len(chunk)
        text = decoder.decode(chunk)
        if text:
            yield text.encode("utf-8", "surrogatepass")
    rest, _ = decoder.getstate()
    if len(rest) % 2:
        raise DataError(
            Code.BLOB_TRUNCATED,
            f"the content ends within a character of {encoding}",
            next_step="Copy or export the file again",
            offset=offset,
        )
    if rest:  # half a pair
        yield rest.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
