"""Cut JSON objects that follow one another into blocks, whatever stands between them."""

from __future__ import annotations

import re
from itertools import chain, islice
from typing import TYPE_CHECKING

from tap_mobile_engagement.reading.cutting import (
    BLOCK_SIZE,
    COMMA,
    FIRST_LOOK,
    OPENING,
    QUOTE,
    TOKENS,
    WHITE,
    Block,
    Cutter,
    holds,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_mobile_engagement.reading.cutting import Decode, Span

_MARK = b"\xef\xbb\xbf"  # a byte order mark, as joined files have it between their parts
_LINES = 16  # that are looked at for one that tells where a broken object ends
_LONG_OBJECT = 1 << 20  # bytes; that many may be needed to tell

# Between objects, where files were joined there is a byte order mark.
_BETWEEN_OBJECTS = re.compile(rb"(?:[ \t\r\n]|%b)*+" % _MARK)
_LINE_OF_AN_OBJECT = re.compile(rb"[\r\n](?:%b)?\{" % _MARK)
_LINE_BREAK = re.compile(rb"[\r\n]")


def cut_objects(
    chunks: Iterable[bytes],
    *,
    decode: Decode | None = None,
    offset: int = 0,
    block_size: int = BLOCK_SIZE,
) -> Iterator[Block]:
    """Cut objects that follow one another, with or without white space between them.

    Args:
        chunks: The content as UTF-8, in pieces of any size.
        decode: How the blocks are going to be decoded; it then judges the cuts.
        offset: Where the first chunk stands in the content, in bytes.
        block_size: Bytes to take at a time.

    Yields:
        All objects in order, each in exactly one block. What stands between them and is no
        object (a line of a log, a comma, half an object) is an unsound block, up to where a
        line or a brace tells that the next object begins. A comma takes the place of the first
        byte of white space between two objects; so offsets within a block are exact, save where
        objects follow each other without any.

    Raises:
        DataError: ``BLOB_TRUNCATED`` where the content ends within an object.
    """
    return _ObjectsCutter(chunks, decode, offset - 1, block_size).blocks()


class _ObjectsCutter(Cutter):
    """One pass over objects that follow one another."""

    def __init__(
        self, chunks: Iterable[bytes], decode: Decode | None, offset: int, block_size: int
    ) -> None:
        super().__init__(chunks, decode, offset, block_size)
        self._buffer = b"["

    def _guess(self) -> tuple[Block | None, int]:
        if not self._between:
            self._learn(self._object_spans(self._buffer[:FIRST_LOOK], has_more=True))
        end = self._buffer.rfind(self._between) + 1 if self._between else 0
        return self._up_to(end), end

    def _last(self) -> tuple[Block | None, int]:
        end = len(self._buffer.rstrip(WHITE))
        return self._up_to(end), end

    def _up_to(self, end: int) -> Block | None:
        """The objects up to there, if what was learned stands between all of them, and only it.

        Where it stands in a text as well, or a comma between two objects, the count tells.
        """
        data = self._buffer[:end]
        if not data.endswith(b"}"):
            return None
        count = 1
        if self._between:
            # A comma for the first byte of white space; where there is none, one more byte.
            with_comma = b"},%b" % (self._between[2:] or b"{")
            objects = data.split(self._between)
            data = with_comma.join(objects)
            count = len(objects)
            # A line break can't stand in a text; anything else can, next to a stray comma.
            is_line = _LINE_BREAK.search(self._between)
            if not is_line and not holds(b"[%b]]" % b"}],[{".join(objects), count):
                return None
        data += b"]"
        decoded = self._decode(data) if self._decode else None
        if (len(decoded[0]) != count) if decoded else not holds(data, count):
            return None
        return Block(data, self._offset, decoded=decoded)

    def _spans(self, *, has_more: bool) -> tuple[list[Span], int]:
        spans = self._object_spans(self._buffer, has_more=has_more)
        self._learn(spans)
        return spans, 0

    def _joined(self, spans: list[Span]) -> Block | None:
        objects = [self._buffer[start:end] for start, end in spans]
        length = spans[-1][1] - spans[0][0]
        if sum(map(len, objects)) + len(objects) > length:  # at most one byte between them
            data = b"[%b]" % b",".join(objects)
        else:
            parts = [b"[", objects[0]]
            for (_, end), (start, _), each in zip(spans, spans[1:], objects[1:], strict=False):
                parts += [b",", self._buffer[end + 1 : start], each]
            data = b"".join([*parts, b"]"])
        if not holds(data, len(objects)):
            return None
        return Block(data, self._offset + spans[0][0] - 1)

    def _behind(self, end: int) -> int:
        return end

    def _learn(self, spans: list[Span]) -> None:
        """Remember the white space between the last two objects, with their braces."""
        for (start, end), (following, _) in zip(spans[-2:], spans[-1:], strict=False):
            between = self._buffer[end:following]
            if self._buffer[start : start + 1] == b"{" and not between.strip(WHITE):
                self._between = b"}%b{" % between

    def _finish(self, closed: int) -> None:
        del closed
        if self._buffer[1:].strip(WHITE + _MARK):
            raise self._truncated("the content ends within an object")

    def _object_spans(self, buffer: bytes, *, has_more: bool) -> list[Span]:
        """The whole objects, and what stands in the place of one."""
        spans: list[Span] = []
        at = 1
        while True:
            between = _BETWEEN_OBJECTS.match(buffer, at)
            assert between  # noqa: S101  (it matches everywhere)
            at = between.end()
            if at == len(buffer):
                return spans
            if buffer[at : at + 1] == b"{":
                end = _object_or_line_end(buffer, at, has_more=has_more)
            else:
                is_line = _LINE_BREAK.search(between[0]) or (self._is_first and not spans)
                end = _noise_end(buffer, at, is_line=bool(is_line), has_more=has_more)
            if not end:
                return spans
            spans.append((at, end))
            at = end


def _object_end(buffer: bytes, at: int) -> int:
    """Behind the object that begins there, by its strings and brackets; 0 if it is cut off."""
    depth = 0
    for token in TOKENS.finditer(buffer, at):
        byte = buffer[token.start()]
        if byte == QUOTE:
            if token.end() == token.start() + 1:
                break  # the rest of this string is still to come
        elif byte in OPENING:
            depth += 1
        elif byte != COMMA:
            depth -= 1
            if depth == 0:
                return token.end()
    return 0


def _object_or_line_end(buffer: bytes, at: int, *, has_more: bool) -> int:
    """Behind the object that begins there, or behind its line where only that much is of it.

    An object that lost its end has strings and brackets that reach into the lines behind it.
    What tells is a line that begins with a brace, and with a whole object.
    """
    end = _object_end(buffer, at)
    lines = _LINE_OF_AN_OBJECT.finditer(buffer, at + 1, end or len(buffer))
    first = next(lines, None)
    if first is None or (end and holds(b"[%b]" % buffer[at:end], 1)):
        return end
    may_wait = has_more and len(buffer) < _LONG_OBJECT
    for line in islice(chain([first], lines), _LINES):
        begin = line.end() - 1
        following = _object_end(buffer, begin)
        if following and holds(b"[%b]" % buffer[begin:following], 1):
            return len(buffer[: first.start()].rstrip(WHITE))
        if not following and may_wait:
            return 0  # what is missing may tell
    return end


def _noise_end(buffer: bytes, at: int, *, is_line: bool, has_more: bool) -> int:
    """Behind what is no object: a whole line, or what stands before the next brace in one."""
    line = _LINE_BREAK.search(buffer, at)
    ends = [line.start()] if line else []
    brace = -1 if is_line else buffer.find(b"{", at)
    if brace >= 0:
        ends.append(brace)
    return min(ends, default=0 if has_more else len(buffer))
