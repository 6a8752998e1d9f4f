"""Cut JSON text of any size into blocks of whole elements: what every layout shares.

The text between two elements (``]},{`` say) is learned from the file, and its last occurrence
is where to cut. What stands before it and parses was cut right, because a cut inside an element
leaves a bracket or a string open. Where no such cut is right, elements are found one by one; so
a broken element does not take others with it.
"""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tap_mobile_engagement.errors import DataError, corrupt, truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Decode = Callable[[bytes], Any]
    """Decodes the data of a block; None where it is not valid, or not of the kind wanted."""

BLOCK_SIZE = 64 * 1024
"""Bytes to take at a time: larger blocks cost page faults, smaller ones calls."""

MAX_ELEMENT_SIZE = 256 << 20
"""Bytes that a single element may have; the file of a larger one is taken to be broken."""

MAX_ITEM_SIZE = 64 << 20
"""Bytes that a single item or a row of CSV may have."""

WHITE = b" \t\r\n"
"""What may stand between the parts of a JSON text."""

FIRST_LOOK = 16 * 1024
"""Bytes that are scanned to learn from what stands between two elements."""

STRING = rb'"(?:[^"\\]++|\\.)*+"'
"""A string of JSON. The quantifiers are possessive, so that it costs one pass."""

QUOTE, COMMA, BRACE, BRACKET = b'",{['
OPENING = frozenset((BRACE, BRACKET))

TOKENS = re.compile(STRING + rb'|["\[\]{},]', re.DOTALL)
"""What shapes JSON text; a quote by itself begins a string that is cut off."""

_GUESSES = 3  # per block; each costs a parse of the block

decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_raw_lines = msgspec.json.Decoder(msgspec.Raw).decode_lines
_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode


def raising(error: DataError) -> Iterator[bytes]:
    """Chunks of which there are none because of some damage."""
    yield from ()
    raise error


class Span(NamedTuple):
    """Where an element stands in a buffer, and whether it is valid."""

    start: int
    end: int
    is_sound: bool


@dataclass(slots=True)
class Block:
    """Some whole elements, one after another, as they stand in the file.

    Attributes:
        data: A JSON array of just these elements, or objects without commas between them. Where
            the block is not sound: the text of one element, or what stands in its place.
        offset: Where ``data`` stands in the uncompressed content, in bytes.
        decoded: What the reader's ``decode`` made of ``data``, if it was called already.
    """

    data: bytes
    offset: int
    sound: bool = True
    decoded: Any = None

    @property
    def text(self) -> bytes:
        """The elements of an array without its brackets; or what stands in place of one."""
        return self.data[1:-1] if self.sound else self.data

    def elements(self) -> list[msgspec.Raw]:
        """The elements of a sound block, undecoded."""
        return _raws(self.data) if self.data.startswith(b"[") else _raw_lines(self.data)

    def pieces(self) -> list[Block]:
        """The elements of a sound block, each a block of its own."""
        elements = self.elements()
        is_array = self.data.startswith(b"[")
        if is_array and [len(memoryview(each)) + 2 for each in elements] == [len(self.data)]:
            return [self]  # a copy of a large one would take as much memory again
        blocks = []
        position = 0
        for raw in elements:
            element = bytes(raw)
            position = self.data.index(element, position or is_array)
            blocks.append(Block(b"[%b]" % element, self.offset + position - 1))
            position += len(element)
        return blocks

    @staticmethod
    def joined(pieces: list[Block]) -> Block:
        """One block of some pieces."""
        data = b"[%b]" % b",".join([piece.data[1:-1] for piece in pieces])
        return Block(data, pieces[0].offset)


def tokens(
    text: bytes, start: int = 0, end: int = sys.maxsize
) -> Iterator[tuple[re.Match[bytes], int, int]]:
    """Strings, brackets and commas, with their first byte and the depth behind it."""
    depth = 0
    for token in TOKENS.finditer(text, start, end):
        byte = text[token.start()]
        if byte == QUOTE:
            if token.end() == token.start() + 1:
                return  # it is cut off
        elif byte in OPENING:
            depth += 1
        elif byte != COMMA:
            depth -= 1
        yield token, byte, depth


def is_sound(data: bytes) -> bool:
    """Whether a text is a JSON array, or JSON objects one after another, by its syntax."""
    with suppress(msgspec.DecodeError, RecursionError):
        elements = Block(data, 0).elements()
        return data.startswith(b"[") or all(memoryview(each)[0] == BRACE for each in elements)
    return False


def is_value(text: bytes) -> bool:
    """Whether a text is one JSON value, by its syntax."""
    with suppress(msgspec.DecodeError, RecursionError):
        return bool(decode_raw(text))
    return False


class Buffered:
    """One pass over a content: the bytes that are not yet returned."""

    def __init__(self, chunks: Iterable[bytes], offset: int, block_size: int) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""  # the one that is taken from
        self._taken = 0  # bytes of it
        self._block_size = block_size
        self._buffer = b""
        self._offset = offset  # of the buffer's first byte in the content
        self._damaged_at = -1  # the offset when damage was met last

    def _fill(self, wanted: int) -> bool:
        """Let the buffer grow to some bytes; False where the content has no more.

        Damage is raised once nothing can be taken from the bytes before it.
        """
        parts = [self._buffer]
        length = len(self._buffer)
        while length < wanted:
            if self._taken >= len(self._chunk):
                try:
                    chunk = next(self._chunks, None)
                except DataError as error:
                    if self._damaged_at == self._offset:
                        raise
                    self._damaged_at = self._offset
                    self._chunks = raising(error)
                    wanted = length
                    break
                if chunk is None:
                    break
                self._chunk, self._taken = chunk, 0
            part = self._chunk[self._taken : self._taken + self._block_size]
            self._taken += len(part)
            parts.append(part)
            length += len(part)
        self._buffer = b"".join(parts)
        return length >= wanted

    def _forget(self, size: int) -> None:
        self._buffer = self._buffer[size:]
        self._offset += size

    def _truncated(self, what: str) -> DataError:
        return truncated(what, offset=self._offset + len(self._buffer))

    def _corrupt(self, what: str, at: int = 0) -> DataError:
        return corrupt(what, offset=self._offset + at)


class Cutter(Buffered):
    """One pass over JSON text; the buffer begins with a bracket or comma, if there is one."""

    _brackets = (b"", b"")  # that make valid JSON of elements and what is between them

    def __init__(
        self, chunks: Iterable[bytes], decode: Decode | None, offset: int, block_size: int
    ) -> None:
        super().__init__(chunks, offset, block_size)
        self._decode = decode
        self._between = b""  # the text between two elements, as it was last seen
        self._to_end = 0  # bytes of it that belong to the first one
        self._has_more = True  # content than the buffer
        self._is_first = True  # whether the buffer begins where the content does

    def blocks(self) -> Iterator[Block]:
        """All blocks, in order."""
        self._begin()
        wanted = len(self._buffer) + 1
        while True:
            has_more = self._has_more = self._fill(wanted)
            start = len(self._brackets[0])
            for end in self._guesses() if has_more else self._last():
                block = self._block(start, end)
                if block is not None:
                    self._buffer = self._buffer[end:]
                    self._offset += end
                    yield block
                    if not has_more:
                        return
                    break
            else:
                spans, closed = self._spans(self._buffer)
                self._learn(spans)
                yield from self._judged(spans)
                if closed or not (has_more or spans):
                    self._finish(closed)
                    return
                end = spans[-1].end if spans else 0
                self._forget(end)
            if end:
                self._is_first = False
                wanted = len(self._buffer) + 1
            elif not self._buffer[1:].strip(WHITE):
                self._offset += len(self._buffer[1:])
                self._buffer = self._buffer[:1]
                wanted = 2
            elif len(self._buffer) > MAX_ELEMENT_SIZE:
                what = f"a single element has more than {MAX_ELEMENT_SIZE} bytes"
                raise self._corrupt(what, start)
            else:
                # An element larger than the buffer: doubling keeps the cost linear.
                wanted = min(len(self._buffer) * 2, MAX_ELEMENT_SIZE + 1)

    def _guesses(self) -> Iterator[int]:
        """Where the last whole element may end."""
        if not self._between and self._is_first:
            self._learn(self._spans(self._buffer[:FIRST_LOOK])[0])
        at = len(self._buffer)
        for _ in range(_GUESSES if self._between else 0):
            at = self._buffer.rfind(self._between, 1, at)
            if at < 0:
                break
            yield at + self._to_end

    def _block(self, start: int, end: int) -> Block | None:
        """The elements of a part of the buffer; None if it is not valid."""
        opening, closing = self._brackets
        # Through a view, because slicing and adding would copy the block twice.
        data = b"".join((opening, memoryview(self._buffer)[start:end], closing))
        decoded = self._decode(data) if self._decode else None
        if decoded is None and not is_sound(data):
            return None
        return Block(data, self._offset + start - len(opening), decoded=decoded)

    def _judged(self, spans: list[Span]) -> Iterator[Block]:
        """Blocks of scanned elements: sound ones that follow each other together."""
        for sound, run in groupby(spans, key=lambda span: span.is_sound):
            some = [*run]
            together = self._block(some[0].start, some[-1].end) if sound else None
            for start, end, _ in () if together else some:
                text = self._buffer[start:end]
                block = self._block(start, end) if sound else None
                yield block or Block(text, self._offset + start, sound=False)
            if together:
                yield together

    def _begin(self) -> None:
        """Prepare the buffer, before anything else."""

    def _last(self) -> Iterator[int]:
        """Where the last element ends, if all that is left ends as it should."""
        raise NotImplementedError

    def _spans(self, buffer: bytes) -> tuple[list[Span], int]:
        """The whole elements of a buffer, and where they are closed: 0 if they are not."""
        raise NotImplementedError

    def _learn(self, spans: list[Span]) -> None:
        raise NotImplementedError

    def _finish(self, closed: int) -> None:
        """Make sure that the content ends as it should."""
        raise NotImplementedError
