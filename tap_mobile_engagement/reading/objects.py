"""Cut JSON objects that follow one another into blocks, whatever stands between them."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import msgspec

from tap_mobile_engagement.reading.cutting import (
    BLOCK_SIZE,
    WHITE,
    Cutter,
    Span,
    decode_raw,
    tokens,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_mobile_engagement.reading.cutting import Block, Decode

_MARK = b"\xef\xbb\xbf"  # a byte order mark, as joined files have it between their parts

_BETWEEN_OBJECTS = re.compile(rb"(?:[ \t\r\n]|%b)*+" % _MARK)
_LINE_OF_AN_OBJECT = re.compile(rb"[\r\n](?:%b)?(?=\{)" % _MARK)
_LINE_BREAK = re.compile(rb"[\r\n]")
_LINE_BREAK_OR_BRACE = re.compile(rb"[\r\n{]")
# How msgspec says where a text is broken; it says nothing where the text is cut off.
_PLACE = re.compile(r"(trailing characters )?\(byte (\d+)\)\Z")


def cut_objects(
    chunks: Iterable[bytes],
    *,
    decode: Decode | None = None,
    offset: int = 0,
    block_size: int = BLOCK_SIZE,
) -> Iterator[Block]:
    """Cut objects that follow one another, each into exactly one block, in order.

    What is no object is a block that is not sound, up to where a line or a brace tells that the
    next one begins. Raises DataError BLOB_TRUNCATED where the content ends within an object.
    """
    return _ObjectsCutter(chunks, decode, offset, block_size).blocks()


class _ObjectsCutter(Cutter):
    def _last(self) -> Iterator[int]:
        if self._buffer.lstrip(WHITE).startswith(b"{"):
            yield len(self._buffer)

    def _spans(self, buffer: bytes) -> tuple[list[Span], int]:
        spans: list[Span] = []
        end = 0
        while True:
            between = _BETWEEN_OBJECTS.match(buffer, end)
            assert between  # noqa: S101  (it matches everywhere)
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
            spans.append(Span(start, end, is_whole))
        return spans, 0

    def _learn(self, spans: list[Span]) -> None:
        if len(spans) > 1 and spans[-2].is_sound:
            between = self._buffer[spans[-2].end - 1 : spans[-1].start + 1]
            if between.endswith(b"{") and not between[1:-1].strip(WHITE):
                self._between, self._to_end = between, 1

    def _finish(self, closed: int) -> None:
        del closed
        if self._buffer.strip(WHITE + _MARK):
            raise self._truncated("the content ends within an object")


def _object_end(buffer: bytes, start: int, *, has_more: bool) -> tuple[int, bool]:
    """Where an object ends, 0 if it is cut off; and whether it is valid.

    A broken one ends where its brackets do, or before the next line that begins with a brace.
    """
    try:
        decode_raw(memoryview(buffer)[start:])
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
