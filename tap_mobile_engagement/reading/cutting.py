"""Cut JSON text of any size into blocks of whole elements: what every layout shares.

An export file is one array, maybe gigabytes on one line (:mod:`.arrays`); other writers put
objects one after another (:mod:`.objects`). Either is taken in blocks of bytes; a block is cut
behind its last whole element, and what follows the cut begins the next block. So memory is
bounded by the block size and the largest single element.

Where to cut is guessed fast and judged exactly. The text between two elements (``]},{`` say)
is learned from the file itself; its last occurrence in the block is the guess. A prefix that,
closed with ``]``, parses as an array was cut right, for a cut inside an element leaves a
bracket or a string open. What is going to decode the blocks anyway may be that judge, so that
each is parsed once. When no guess is right, a scanner that follows only strings and brackets
finds the elements one by one; so one element with bad syntax inside is handed on as such, and
does not take the rest of the file with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.names import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    Decode = Callable[[bytes], tuple[list[Any], list[Any]] | None]
    """Decodes a JSON array: its elements, and more that is the decoder's own affair.

    None where it is none, or not of the kind that is wanted.
    """

    Span = tuple[int, int]
    """Where an element begins and ends, as positions in a buffer."""

BLOCK_SIZE = 64 * 1024
"""Bytes to take at a time: larger blocks cost page faults, smaller ones calls."""

MAX_ELEMENT_SIZE = 256 * 1024 * 1024
"""Bytes that a single element may have; the file of a larger one is taken to be broken."""

WHITE = b" \t\r\n"
"""What may stand between the parts of a JSON text."""

FIRST_LOOK = 16 * 1024
"""Bytes that are scanned to learn from what stands between two elements."""

STRING = rb'"(?:[^"\\]++|\\.)*+"'
"""A string of JSON. The quantifiers are possessive, so that it costs one pass."""

TOKENS = re.compile(STRING + rb'|["\[\]{},]', re.DOTALL)
"""What shapes JSON text: strings, the quote of one that is cut off, brackets and commas."""

QUOTE = ord('"')
COMMA = ord(",")
LIST = ord("[")
OPENING = frozenset(b"[{")

_IN_LIST = 2  # levels, in the list of a group

_raw_values = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(slots=True)
class Block:
    """Some whole elements, one after another, as they stand in the file.

    Attributes:
        data: A JSON array of just these elements.
        offset: Where ``data`` stands in the uncompressed content, in bytes.
        sound: Whether it is valid JSON. An unsound block holds exactly one element, or what
            stands in the place of one.
        decoded: What the reader's ``decode`` made of ``data``, if it was asked already.
    """

    data: bytes
    offset: int
    sound: bool = True
    decoded: Any = None

    def elements(self) -> list[msgspec.Raw]:
        """The elements of a sound block, undecoded."""
        return _raw_values.decode(self.data)

    def pieces(self) -> list[Block]:
        """The elements of a sound block, each a block of its own."""
        blocks = []
        position = 1
        for raw in self.elements():
            element = bytes(raw)
            position = self.data.index(element, position)
            blocks.append(Block(b"[%b]" % element, self.offset + position - 1))
            position += len(element)
        return blocks

    @classmethod
    def joined(cls, blocks: list[Block]) -> Block:
        """One block of some sound ones."""
        data = b"[%b]" % b",".join([block.data[1:-1] for block in blocks])
        return cls(data, blocks[0].offset)


class Buffered:
    """One pass over a content: the bytes that are not yet handed out.

    Args:
        chunks: The content, in pieces of any size.
        offset: Where the first chunk stands in the content, in bytes.
        block_size: Bytes to take at a time.
    """

    def __init__(self, chunks: Iterable[bytes], offset: int, block_size: int) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""  # the one that is taken from
        self._taken = 0  # bytes of it
        self._block_size = block_size
        self._buffer = b""
        self._offset = offset  # of the buffer's first byte in the content

    def _fill(self, wanted: int) -> bool:
        """Let the buffer grow to some bytes; False where the content has no more to give."""
        parts = [self._buffer]
        length = len(self._buffer)
        while length < wanted:
            if self._taken >= len(self._chunk):
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                self._chunk, self._taken = chunk, 0
            part = self._chunk[self._taken : self._taken + self._block_size]
            self._taken += len(part)
            parts.append(part)
            length += len(part)
        self._buffer = b"".join(parts)
        return length >= wanted


class Cutter(Buffered):
    """One pass over JSON text, and what was learned of it so far.

    The buffer always begins with a ``[``: the array's own at first, later one that stands
    before the next element.
    """

    def __init__(
        self, chunks: Iterable[bytes], decode: Decode | None, offset: int, block_size: int
    ) -> None:
        super().__init__(chunks, offset, block_size)
        self._decode = decode
        self._between = b""  # the text between two elements, as it was last seen
        self._is_first = True  # whether the buffer begins where the content does

    def blocks(self) -> Iterator[Block]:
        """All blocks, in order."""
        self._begin()
        wanted = len(self._buffer) + 1
        while True:
            has_more = self._fill(wanted)
            block, end = self._guess() if has_more else self._last()
            if block is None:
                spans, closed = self._spans(has_more=has_more)
                yield from self._judged(spans)
                end = self._behind(spans[-1][1]) if spans else 0
                if closed or not (has_more or spans):
                    self._finish(closed)
                    return
            else:
                yield block
                if not has_more:
                    return
            if end:  # forget the elements before it
                self._buffer = b"[" + self._buffer[end:]
                self._offset += end - 1
                self._is_first = False
                wanted = len(self._buffer) + 1
            elif len(self._buffer) > MAX_ELEMENT_SIZE:
                what = f"a single element has more than {MAX_ELEMENT_SIZE} bytes"
                raise DataError(Code.BLOB_CORRUPT, what, offset=self._offset + 1)
            else:
                # An element larger than the buffer: doubling keeps the cost linear.
                wanted = min(len(self._buffer) * 2, MAX_ELEMENT_SIZE + 1)

    def _judged(self, spans: list[Span]) -> Iterator[Block]:
        """Hand out scanned elements: together where all are sound, else one by one."""
        if not spans:
            return
        block = self._joined(spans)
        if block is not None:
            yield block
            return
        for start, end in spans:
            data = b"[%b]" % self._buffer[start:end]
            is_sound = holds(data, 1)
            yield Block(data, self._offset + start - 1, sound=is_sound)

    def _truncated(self, what: str) -> DataError:
        return DataError(
            Code.BLOB_TRUNCATED,
            what,
            next_step="Copy or export the file again",
            offset=self._offset + len(self._buffer),
        )

    # What arrays and objects one after another do each in their own way.

    def _begin(self) -> None:
        """Prepare the buffer, before anything else."""

    def _guess(self) -> tuple[Block | None, int]:
        """All whole elements of the buffer, and where they end; None if no guess is right."""
        raise NotImplementedError

    def _last(self) -> tuple[Block | None, int]:
        """The same of the last elements of the content, with its end."""
        raise NotImplementedError

    def _spans(self, *, has_more: bool) -> tuple[list[Span], int]:
        """The whole elements of the buffer, one by one, and where they end: 0 if not there."""
        raise NotImplementedError

    def _joined(self, spans: list[Span]) -> Block | None:
        """Scanned elements as one block; None if they are not all sound."""
        raise NotImplementedError

    def _behind(self, end: int) -> int:
        """Where the next element begins, behind one that ends there."""
        raise NotImplementedError

    def _finish(self, closed: int) -> None:
        """Make sure that the content ends as it should."""
        raise NotImplementedError


def is_array(data: bytes) -> bool:
    """Whether a text is a JSON array, by its syntax."""
    try:
        _raw_values.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def holds(array: bytes, count: int) -> bool:
    """Whether it is an array with that count of values."""
    try:
        return len(_raw_values.decode(array)) == count
    except (msgspec.DecodeError, RecursionError):
        return False


def split_group(
    element: bytes, list_names: Collection[str]
) -> tuple[bytes, list[bytes]] | None:
    """The items of a group that can't be decoded as a whole.

    Args:
        element: The group, as text.
        list_names: Plain names of lists that hold a group's items.

    Returns:
        The group with empty lists, and its items, as texts; None if it is no such group.
    """
    depth = start = begin = taken = 0
    name = group = b""
    items: list[bytes] = []
    for token in TOKENS.finditer(element):
        at = token.start()
        byte = element[at]
        if byte == QUOTE:
            name = token[0] if depth == 1 else name
        elif byte == COMMA:
            if begin and depth == _IN_LIST:
                items.append(element[start:at])
                start = at + 1
        elif byte in OPENING:
            depth += 1
            text = name[1:-1].decode("utf-8", "replace")
            if depth == _IN_LIST and byte == LIST and plain(text) in list_names:
                begin = start = at + 1
        else:
            depth -= 1
            if begin and depth == 1:
                items.append(element[start:at])
                group += element[taken:begin]
                taken, begin = at, 0
    if begin or not taken:
        return None
    return group + element[taken:], [item for item in items if item.strip(WHITE)]
