"""Cut JSON into blocks: an array, also within an object, or objects one after another."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING

import msgspec

from tap_mobile_engagement.reading.cutting import (
    BLOCK_SIZE,
    BRACE,
    COMMA,
    OPENING,
    QUOTE,
    TOKENS,
    WHITE,
    Block,
    Buffered,
    tokens,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_mobile_engagement.reading.cutting import Decode

    Span = tuple[int, int, bool]  # where an element stands in a buffer; whether it is valid

MAX_ELEMENT_SIZE = 256 << 20  # bytes; the file of a larger one is taken to be broken

_FIRST_LOOK = 16 * 1024  # bytes that are scanned to learn from what stands between elements
_GUESSES = 3  # per block; each costs a parse of the block
_BLANK = 64  # bytes; more white space than files have before an element
_TAIL = 64 * 1024  # bytes that may stand behind the array of a wrapper
_END = ord("]")
_MARK = b"\xef\xbb\xbf"  # a byte order mark, as joined files have it between their parts

# How an element ends and the next begins; both always match something.
_ENDING = re.compile(rb"(?:\]\s*)?[^\s]\s*\Z")
_BEGINNING = re.compile(rb'\s{0,64}(?:\{\s{0,64}"[^"\\]{0,64}"|.)', re.DOTALL)
_BETWEEN_OBJECTS = re.compile(rb"(?:[ \t\r\n]|%b)*+" % _MARK)
_LINE_OF_AN_OBJECT = re.compile(rb"[\r\n](?:%b)?(?=\{)" % _MARK)
_LINE_BREAK = re.compile(rb"[\r\n]")
_LINE_BREAK_OR_BRACE = re.compile(rb"[\r\n{]")
# How msgspec says where a text is broken; it says nothing where the text is cut off.
_PLACE = re.compile(r"(trailing characters )?\(byte (\d+)\)\Z")

_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode


class ArrayCutter(Buffered):
    """Cuts the elements of an array, each into exactly one block, in order.

    The text between two elements (``]},{`` say) is learned from the file, and its last
    occurrence is where to cut. What stands before it and parses was cut right, because a cut
    inside an element leaves a bracket or a string open. Where no such cut is right, elements
    are found one by one; so a broken element does not take others with it. ``wrapper`` is the
    text of an object around the array up to there.
    """

    _brackets = (b"[", b"]")  # that make valid JSON of elements and what is between them

    def __init__(
        self,
        chunks: Iterable[bytes],
        decode: Decode | None = None,
        offset: int = 0,
        block_size: int = BLOCK_SIZE,
        wrapper: bytes = b"",
    ) -> None:
        super().__init__(chunks, offset, block_size)
        self._decode = decode
        self._wrapper = wrapper
        self._between = b""  # the text between two elements, as it was last seen
        self._to_end = 0  # bytes of it that belong to the first one
        self._has_more = True  # content than the buffer
        self._is_first = True  # whether the buffer begins where the content does

    def blocks(self) -> Iterator[Block]:
        """All blocks, in order."""
        self._fill(1)
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
                end = spans[-1][1] if spans else 0
                self._forget(end)
            if end:
                self._is_first = False
                wanted = len(self._buffer) + 1
            elif not self._buffer[1:].strip(WHITE):
                self._offset += len(self._buffer[1:])
                self._buffer = self._buffer[:1]
                wanted = 2
            elif len(self._buffer) > MAX_ELEMENT_SIZE:
                raise self._corrupt(f"an element has more than {MAX_ELEMENT_SIZE} bytes", start)
            else:
                # An element larger than the buffer: doubling keeps the cost linear.
                wanted = min(len(self._buffer) * 2, MAX_ELEMENT_SIZE + 1)

    def _guesses(self) -> Iterator[int]:
        """Where the last whole element may end."""
        if not self._between and self._is_first:
            self._learn(self._spans(self._buffer[:_FIRST_LOOK])[0])
        at, left = len(self._buffer), _GUESSES if self._between else 0
        while left and (at := self._buffer.rfind(self._between, 1, at)) >= 0:
            yield at + self._to_end
            left -= 1

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
        for sound, run in groupby(spans, key=lambda span: span[2]):
            some = [*run]
            together = self._block(some[0][0], some[-1][1]) if sound else None
            for start, end, _ in () if together else some:
                text = self._buffer[start:end]
                block = self._block(start, end) if sound else None
                yield block or Block(text, self._offset + start, sound=False)
            if together:
                yield together

    def _last(self) -> Iterator[int]:
        end = 0 if self._wrapper else len(self._buffer.rstrip(WHITE)) - 1
        has_elements = self._buffer[1 : min(end, _BLANK)].strip(WHITE)
        if has_elements and self._buffer.startswith(b"]", end):
            yield end

    def _spans(self, buffer: bytes) -> tuple[list[Span], int]:
        ends, closed = _element_ends(buffer)
        if closed and self._is_first and len(ends) == 1 and not buffer[1:closed].strip(WHITE):
            return [], closed  # an empty array
        pairs = zip([1, *(end + 1 for end in ends)], ends, strict=False)
        return [(a, b, is_value(buffer[a:b])) for a, b in pairs], closed

    def _learn(self, spans: list[Span]) -> None:
        """Learn the longest text between the last elements, because it is rarest inside."""
        start, end, is_sound = spans[-2] if len(spans) > 1 else (0, 0, False)
        if not is_sound:
            return
        ending = _ENDING.search(self._buffer, max(start, end - 256), end)
        beginning = _BEGINNING.match(self._buffer, end + len(self._brackets[0]))
        if ending and beginning:
            self._between = self._buffer[ending.start() : beginning.end()]
            self._to_end = end - ending.start()

    def _finish(self, closed: int) -> None:
        """Make sure that the content ends as it should."""
        if not closed:
            raise self._truncated("the content ends before its array is closed")
        if self._buffer[closed] != _END:
            raise self._corrupt("the brackets don't match: a brace closes the array", closed)
        self._forget(closed + 1)
        if self._wrapper:
            self._forget(self._end_of_wrapper())
        while self._fill(1):
            if rest := self._buffer.lstrip(WHITE):
                at = len(self._buffer) - len(rest)
                raise self._corrupt("something follows the end of the array", at)
            self._forget(len(self._buffer))

    def _end_of_wrapper(self) -> int:
        """Behind the object around the array; its other arrays hold no object."""
        self._fill(_TAIL)
        before = self._wrapper + b"[]"
        inside = bytearray()  # the brackets that are open
        for token, byte, depth in tokens(before + self._buffer):
            if byte in OPENING:
                if byte == BRACE and inside.endswith(b"["):
                    raise self._corrupt("more than one array of it holds objects")
                inside.append(byte)
            elif depth <= 0:
                return max(token.end() - len(before), 0)
            del inside[depth:]
        if self._fill(len(self._buffer) + 1):
            raise self._corrupt(f"more than {_TAIL} bytes follow its array")
        raise self._truncated("the content ends before its object is closed")


def _element_ends(buffer: bytes) -> tuple[list[int], int]:
    """Where whole elements end, and where the array is closed: 0 if it is not."""
    ends: list[int] = []
    depth = 1
    for token in TOKENS.finditer(buffer, 1):  # its own loop, because it may see all of a file
        at = token.start()
        byte = buffer[at]
        if byte in OPENING:
            depth += 1
        elif byte == QUOTE:
            if token.end() == at + 1:
                break  # the rest of this string is still to come
        elif byte != COMMA:
            depth -= 1
            if depth == 0:
                return [*ends, at], at
        elif depth == 1:
            ends.append(at)
    return ends, 0


def is_sound(data: bytes) -> bool:
    """Whether a text is a JSON array, or JSON objects one after another, by its syntax."""
    with suppress(msgspec.DecodeError, RecursionError):
        elements = Block(data, 0).elements()
        return data.startswith(b"[") or all(memoryview(each)[0] == BRACE for each in elements)
    return False


def is_value(text: bytes) -> bool:
    """Whether a text is one JSON value, by its syntax."""
    with suppress(msgspec.DecodeError, RecursionError):
        return bool(_decode_raw(text))
    return False


class ObjectsCutter(ArrayCutter):
    """Cuts objects that follow one another; behind noise the next one begins a line."""

    _brackets = (b"", b"")

    def _last(self) -> Iterator[int]:
        if self._buffer.lstrip(WHITE).startswith(b"{"):
            yield len(self._buffer)

    def _spans(self, buffer: bytes) -> tuple[list[Span], int]:
        spans: list[Span] = []
        end = 0
        while True:
            between = next(_BETWEEN_OBJECTS.finditer(buffer, end))  # it matches everywhere
            start = between.end()
            if start == len(buffer):
                break
            is_whole = False
            if buffer.startswith(b"{", start):
                end, is_whole = _object_end(buffer, start, has_more=self._has_more)
            else:  # a whole line, or what stands before the next brace in one
                is_line = _LINE_BREAK.search(between[0]) or (self._is_first and not spans)
                behind = (_LINE_BREAK if is_line else _LINE_BREAK_OR_BRACE).search(
                    buffer, start
                )
                end = behind.start() if behind else 0 if self._has_more else len(buffer)
            if not end:
                break
            spans.append((start, end, is_whole))
        return spans, 0

    def _finish(self, closed: int) -> None:
        del closed
        if self._buffer.strip(WHITE + _MARK):
            raise self._truncated("the content ends within an object")


def _object_end(buffer: bytes, start: int, *, has_more: bool) -> tuple[int, bool]:
    """Where an object ends by brackets or a line, 0 if it is cut off; and if it is valid."""
    try:
        _decode_raw(memoryview(buffer)[start:])
    except RecursionError:
        broken = start
    except msgspec.DecodeError as error:
        place = _PLACE.search(str(error))
        if place and place[1]:
            return end_by_brackets(buffer, start), True
        broken = start + int(place[2]) if place else len(buffer)
    else:
        return len(buffer.rstrip(WHITE)), True
    if has_more and broken >= len(buffer):
        return 0, False
    lines = _LINE_OF_AN_OBJECT.finditer(buffer, max(start, broken - len(_MARK) - 1))
    line = next((line.start() for line in lines if line.end() >= max(broken, start + 1)), 0)
    return end_by_brackets(buffer, start, line or len(buffer)) or line, False


def end_by_brackets(buffer: bytes, start: int, limit: int = sys.maxsize) -> int:
    """Where the object ends by its strings and brackets; 0 if it is cut off."""
    ends = (token.end() for token, _, depth in tokens(buffer, start, limit) if depth == 0)
    return next(ends, 0)
