"""Cut a top-level JSON array, or the one in an object around it, into blocks of elements."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.cutting import (
    BLOCK_SIZE,
    COMMA,
    FIRST_LOOK,
    OPENING,
    QUOTE,
    STRING,
    TOKENS,
    WHITE,
    Block,
    Cutter,
    is_array,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_mobile_engagement.reading.cutting import Decode, Span

_BLANK = 64  # bytes; more white space than files have before an element
_GUESSES = 3  # per block, before the exact scan; each costs a parse of the block
_TAIL = 64 * 1024  # bytes that may stand behind the array of a wrapper
_END = ord("]")

# How an element ends and the next begins; both always match something.
_ENDING = re.compile(rb"(?:\]\s*)?[^\s]\s*\Z")
_BEGINNING = re.compile(rb'\s{0,64}(?:\{\s{0,64}"[^"\\]{0,64}"|.)', re.DOTALL)
# The end of a wrapper's array, members that hold no array, the ends of object and content.
_WRAPPER_ENDING = re.compile(
    rb"\](?:\s*,\s*%(s)s\s*:\s*(?:%(s)s|[-+.\w]++|\{[^{}\[\]]*+\}))*+\s*\}\s*\Z"
    % {b"s": STRING},
    re.DOTALL,
)


def cut_array(
    chunks: Iterable[bytes],
    *,
    decode: Decode | None = None,
    offset: int = 0,
    is_wrapped: bool = False,
    block_size: int = BLOCK_SIZE,
) -> Iterator[Block]:
    """Cut the elements of an array out of its bytes.

    Args:
        chunks: The content as UTF-8, in pieces of any size, from the array on. White space
            around it is legal.
        decode: How the blocks are going to be decoded; it then judges the cuts.
        offset: Where the first chunk stands in the content, in bytes.
        is_wrapped: Whether an object around the array ends behind it.
        block_size: Bytes to take at a time.

    Yields:
        All elements in order, each in exactly one block. What stands between two commas and is
        no element is an unsound block.

    Raises:
        DataError: ``BLOB_TRUNCATED`` where the content ends before array and object are closed;
            ``BLOB_CORRUPT`` where it is no array, or something follows it.
    """
    return _ArrayCutter(chunks, decode, offset, block_size, is_wrapped=is_wrapped).blocks()


class _ArrayCutter(Cutter):
    """One pass over an array, or over the one in a wrapper."""

    def __init__(
        self,
        chunks: Iterable[bytes],
        decode: Decode | None,
        offset: int,
        block_size: int,
        *,
        is_wrapped: bool,
    ) -> None:
        super().__init__(chunks, decode, offset, block_size)
        self._is_wrapped = is_wrapped

    def _begin(self) -> None:
        """Find the array."""
        while not self._buffer:
            if not self._fill(1):
                raise DataError(Code.BLOB_CORRUPT, "the content is empty", offset=0)
            stripped = self._buffer.lstrip(WHITE)
            self._offset += len(self._buffer) - len(stripped)
            self._buffer = stripped
        if not self._buffer.startswith(b"["):
            what = "the content is no JSON array"
            raise DataError(Code.BLOB_CORRUPT, what, offset=self._offset)

    def _guess(self) -> tuple[Block | None, int]:
        if not self._between and self._is_first:
            self._learn(_array_spans(self._buffer[:FIRST_LOOK])[0])
        if not self._between:
            return None, 0
        to_comma = self._between.index(b",")
        at = len(self._buffer)
        for _ in range(_GUESSES):
            at = self._buffer.rfind(self._between, 1, at)
            if at < 0:
                break
            # Through a view, for slicing and adding would copy the block twice.
            data = b"".join((memoryview(self._buffer)[: at + to_comma], b"]"))
            decoded = self._decode(data) if self._decode else None
            if decoded is not None or is_array(data):
                return Block(data, self._offset, decoded=decoded), len(data)
        return None, 0

    def _last(self) -> tuple[Block | None, int]:
        """The last elements with the array's end.

        What begins with much white space may be empty, and is looked at more closely.
        """
        if self._is_wrapped:
            start = max(len(self._buffer) - _TAIL, 0)
            ending = _WRAPPER_ENDING.search(self._buffer, start)
            data = self._buffer[: ending.start() + 1] if ending else b""
        else:
            data = self._buffer.rstrip(WHITE)
        is_blank = not data[1 : min(len(data) - 1, _BLANK)].strip(WHITE)
        if is_blank or not data.endswith(b"]"):
            return None, 0
        decoded = self._decode(data) if self._decode else None
        if decoded is None and not is_array(data):
            return None, 0
        return Block(data, self._offset, decoded=decoded), len(data)

    def _spans(self, *, has_more: bool) -> tuple[list[Span], int]:
        del has_more
        spans, closed = _array_spans(self._buffer)
        if closed and self._is_first and len(spans) == 1:
            start, end = spans[0]
            if not self._buffer[start:end].strip(WHITE):
                return [], closed  # an empty array
        self._learn(spans)
        return spans, closed

    def _joined(self, spans: list[Span]) -> Block | None:
        data = self._buffer[: spans[-1][1]] + b"]"
        has_blanks = any(not self._buffer[start:end].strip(WHITE) for start, end in spans)
        return None if has_blanks or not is_array(data) else Block(data, self._offset)

    def _behind(self, end: int) -> int:
        return end + 1  # a comma

    def _learn(self, spans: list[Span]) -> None:
        """Remember the text between the last element found and the one before it.

        It reaches from the last closing brackets of the one to the first key of the other:
        the more of it, the rarer it is inside of elements.
        """
        if len(spans) < 2:  # noqa: PLR2004
            return
        (start, end), (following, _) = spans[-2:]
        ending = _ENDING.search(self._buffer, max(start, end - 256), end)
        beginning = _BEGINNING.match(self._buffer, following)
        if ending and beginning:
            self._between = self._buffer[ending.start() : beginning.end()]

    def _finish(self, closed: int) -> None:
        """Check the bracket that closes the array, and what follows it."""
        if not closed:
            raise self._truncated("the content ends before its array is closed")
        if self._buffer[closed] != _END:
            what = "the brackets don't match: a brace closes the array"
            raise DataError(Code.BLOB_CORRUPT, what, offset=self._offset + closed)
        self._offset += closed + 1
        self._buffer = self._buffer[closed + 1 :]
        if self._is_wrapped:
            while self._fill(len(self._buffer) + 1) and len(self._buffer) <= _TAIL:
                pass
            if _WRAPPER_ENDING.fullmatch(b"]" + self._buffer):
                return
            if not self._buffer.rstrip(WHITE).endswith(b"}"):
                raise self._truncated("the content ends before its object is closed")
            what = "something else than plain members follows the array in its object"
            raise DataError(Code.BLOB_CORRUPT, what, offset=self._offset)
        while True:
            stripped = self._buffer.lstrip(WHITE)
            if stripped:
                offset = self._offset + len(self._buffer) - len(stripped)
                what = "something follows the end of the array"
                raise DataError(Code.BLOB_CORRUPT, what, offset=offset)
            self._offset += len(self._buffer)
            self._buffer = b""
            if not self._fill(1):
                return


def _array_spans(buffer: bytes) -> tuple[list[Span], int]:
    """Find the whole elements of an array by its strings and brackets alone.

    Returns:
        Where the elements begin and end that a comma or the array's end follows; and where
        the array is closed, 0 if that is not in the buffer.
    """
    spans = []
    depth = start = 0
    for token in TOKENS.finditer(buffer):
        at = token.start()
        byte = buffer[at]
        if byte == QUOTE:
            if token.end() == at + 1:
                break  # the rest of this string is still to come
        elif byte == COMMA:
            if depth == 1:
                spans.append((start, at))
                start = at + 1
        elif byte in OPENING:
            depth += 1
            if depth == 1:
                start = at + 1
        else:
            depth -= 1
            if depth == 0:
                spans.append((start, at))
                return spans, at
    return spans, 0
