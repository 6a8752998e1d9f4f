"""What cutting a content into blocks of whole elements takes, whatever its layout."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from tap_mobile_engagement.errors import DataError, corrupt, truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Decode = Callable[[bytes], Any]  # None for data that is not valid, or of another kind

BLOCK_SIZE = 64 * 1024  # bytes: larger blocks cost page faults, smaller ones calls
MAX_ITEM_SIZE = 64 << 20  # bytes that a single item or a row of CSV may have
WHITE = b" \t\r\n"  # between the parts of a JSON text
QUOTE, COMMA, BRACE, BRACKET = b'",{['
OPENING = frozenset((BRACE, BRACKET))

# Strings, and what else shapes JSON text; a quote by itself begins a string that is cut off.
# The quantifiers are possessive, so that a string costs one pass.
TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{},]', re.DOTALL)

_raw_lines = msgspec.json.Decoder(msgspec.Raw).decode_lines
_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode


def raising(error: DataError) -> Iterator[bytes]:
    """Chunks of which there are none because of some damage."""
    yield from ()
    raise error


def in_pieces(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Chunks cut into pieces of some bytes at most."""
    return (chunk[at : at + size] for chunk in chunks for at in range(0, len(chunk), size))


@dataclass(slots=True)
class Block:
    """Some whole elements, one after another: an array, or objects without commas between them.

    Where it is not ``sound``: the text of one element, or what stands in its place.
    """

    data: bytes
    offset: int  # of the data in the uncompressed content, in bytes
    sound: bool = True
    decoded: Any = None  # what ``decode`` made of the data

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


class Buffered:
    """One pass over a content: the bytes that are not yet returned."""

    def __init__(self, chunks: Iterable[bytes], offset: int, block_size: int) -> None:
        self._chunks = in_pieces(chunks, block_size)
        self._block_size = block_size
        self._buffer = b""
        self._offset = offset  # of the buffer's first byte in the content
        self._damaged_at = -1  # the offset when damage was met last

    def _fill(self, wanted: int) -> bool:
        """Let the buffer grow to some bytes; False at the end, or at damage that follows."""
        parts = [self._buffer]
        length = len(self._buffer)
        try:
            while length < wanted and (part := next(self._chunks, b"")):
                parts.append(part)
                length += len(part)
        except DataError as error:
            if self._damaged_at == self._offset:
                raise
            self._damaged_at = self._offset
            self._chunks = raising(error)
            wanted = length
        self._buffer = b"".join(parts)
        return length >= wanted

    def _forget(self, size: int) -> None:
        self._buffer = self._buffer[size:]
        self._offset += size

    def _truncated(self, what: str) -> DataError:
        return truncated(what, offset=self._offset + len(self._buffer))

    def _corrupt(self, what: str, at: int = 0) -> DataError:
        return corrupt(what, offset=self._offset + at)
