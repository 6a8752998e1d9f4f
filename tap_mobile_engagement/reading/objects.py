"""Cut JSON objects that follow one another, with or without white space, into blocks.

As with arrays, where to cut is guessed fast and judged exactly: a brace that closes before
one that opens is taken for a boundary, and the guess is right if a strict parser, given commas
in those places, finds the very same objects. Where it is wrong (a text may hold ``}{``), a
scanner that follows strings and brackets finds the objects one by one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.arrays import (
    BLOCK_SIZE,
    MAX_ELEMENT_SIZE,
    Block,
)
from tap_mobile_engagement.reading.chunks import WHITE, grown, rechunk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BOUNDARY = re.compile(rb"\}\s*\{")
# Strings, the quote of a string that the buffer cuts off, and brackets. The quantifiers are
# possessive, so that a quote without its partner costs one pass.
_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{}]', re.DOTALL)
_QUOTE = ord('"')
_OPENING = frozenset(b"[{")

_raw_values = msgspec.json.Decoder(list[msgspec.Raw])

Span = tuple[int, int]
"""Where an object begins and where it ends, as positions in the buffer."""


def read_objects(chunks: Iterable[bytes], *, block_size: int = BLOCK_SIZE) -> Iterator[Block]:
    """Cut objects out of the bytes of a file that holds nothing else.

    Args:
        chunks: The content as UTF-8, in pieces of any size.
        block_size: Bytes to take at a time.

    Yields:
        All objects in order, each in exactly one block. White space between two of them is
        kept but for its first byte, in whose place the comma stands; so offsets within a block
        are exact, save where objects follow each other without any.

    Raises:
        DataError: ``BLOB_TRUNCATED`` where the content ends within an object; ``BLOB_CORRUPT``
            where something else than an object follows one.
    """
    yield from _ObjectsReader(rechunk(chunks, block_size)).blocks()


class _ObjectsReader:
    """One pass over objects: the bytes that are not yet handed out."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = b""
        self._offset = 0  # of the buffer's first byte in the content

    def blocks(self) -> Iterator[Block]:
        wanted = 1
        while True:
            ended = not self._fill(wanted)
            spans = _guess_spans(self._buffer)
            block = self._block_of(spans)
            if block.sound:
                yield block
            else:
                spans = _scan(self._buffer)
                self._check_between(spans)
                yield from self._judge(spans)
            if spans:
                self._drop(spans[-1][1])
                wanted = len(self._buffer) + 1
            elif ended:
                self._expect_nothing()
                return
            else:
                # An object larger than the buffer: doubling keeps the cost linear.
                wanted = len(self._buffer) * 2
            if wanted > MAX_ELEMENT_SIZE:
                what = f"a single object has more than {MAX_ELEMENT_SIZE} bytes"
                raise DataError(Code.BLOB_CORRUPT, what, offset=self._offset)

    def _fill(self, wanted: int) -> bool:
        """Let the buffer grow to some bytes; False where the content has no more to give."""
        self._buffer = grown(self._buffer, self._chunks, wanted)
        return len(self._buffer) >= wanted

    def _drop(self, end: int) -> None:
        self._buffer = self._buffer[end:]
        self._offset += end

    def _check_between(self, spans: list[Span]) -> None:
        """Raise if anything but white space stands before the objects or between them.

        Where the buffer holds no whole object, what it begins with still has to be one.
        """
        end = 0
        for start, following in spans or [(len(self._buffer), 0)]:
            between = self._buffer[end:start].lstrip(WHITE)
            if between and not (not spans and between.startswith(b"{")):
                raise DataError(
                    Code.BLOB_CORRUPT,
                    "something else than an object follows an object",
                    offset=self._offset + start - len(between),
                )
            end = following

    def _judge(self, spans: list[Span]) -> Iterator[Block]:
        """Hand out scanned objects: together where all are sound, else one by one."""
        block = self._block_of(spans)
        if block.sound:
            yield block
        else:
            yield from (self._block_of([span]) for span in spans)

    def _block_of(self, spans: list[Span]) -> Block:
        """The objects as an array; sound if it holds exactly them, by strict syntax."""
        if not spans:
            return Block(b"[]", self._offset, sound=False)
        objects = [self._buffer[start:end] for start, end in spans]
        data = self._joined(objects, spans)
        return Block(data, self._offset + spans[0][0] - 1, sound=_holds(data, objects))

    def _joined(self, objects: list[bytes], spans: list[Span]) -> bytes:
        """The objects as an array; a comma takes the place of the first byte between two."""
        length = spans[-1][1] - spans[0][0]
        if sum(map(len, objects)) + len(objects) > length:  # at most one byte between them
            return b"[" + b",".join(objects) + b"]"
        parts = [objects[0]]
        for (_, end), (start, _), each in zip(spans, spans[1:], objects[1:], strict=False):
            parts += [b",", self._buffer[end + 1 : start], each]
        return b"[" + b"".join(parts) + b"]"

    def _expect_nothing(self) -> None:
        if self._buffer.strip(WHITE):
            raise DataError(
                Code.BLOB_TRUNCATED,
                "the content ends within an object",
                next_step="Copy or export the file again",
                offset=self._offset + len(self._buffer),
            )


def _guess_spans(buffer: bytes) -> list[Span]:
    """The objects before the last boundary, if every boundary is one."""
    bounds = [(match.start() + 1, match.end() - 1) for match in _BOUNDARY.finditer(buffer)]
    if not bounds:
        return []
    starts = [len(buffer) - len(buffer.lstrip(WHITE)), *(start for _, start in bounds)]
    return [(start, end) for start, (end, _) in zip(starts, bounds, strict=False)]


def _holds(array: bytes, objects: list[bytes]) -> bool:
    """Whether an array holds exactly these objects.

    A wrong guess puts a comma into a text. Then the array has fewer values, or one with a
    comma more.
    """
    try:
        values = _raw_values.decode(array)
    except (msgspec.DecodeError, RecursionError):
        return False
    return len(values) == len(objects) and b"".join(values) == b"".join(objects)


def _scan(buffer: bytes) -> list[Span]:
    """Find the whole objects by their strings and brackets alone."""
    spans = []
    depth = start = 0
    for token in _TOKENS.finditer(buffer):
        at = token.start()
        byte = buffer[at]
        if byte == _QUOTE:
            if token.end() == at + 1:
                break  # the rest of this string is still to come
        elif byte in _OPENING:
            if depth == 0:
                start = at
            depth += 1
        elif depth == 0:
            break  # it closes nothing: whoever looks between the objects will find it
        else:
            depth -= 1
            if depth == 0:
                spans.append((start, at + 1))
    return spans
