"""Cut JSON into blocks: an array, also within an object, or objects one after another."""

from __future__ import annotations

import json
import re
import sys
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tap_mobile_engagement.errors import corrupt
from tap_mobile_engagement.reading.cutting import (
    BLOCK_SIZE,
    BRACE,
    BRACKET,
    COMMA,
    OPENING,
    QUOTE,
    TOKENS,
    WHITE,
    Block,
    Cutter,
    Span,
    decode_raw,
    is_value,
    tokens,
)
from tap_mobile_engagement.reading.names import plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from tap_mobile_engagement.reading.cutting import Decode

_IN_LIST = 2  # levels, in the list of a group
_BLANK = 64  # bytes; more white space than files have before an element
_TAIL = 64 * 1024  # bytes that may stand behind the array of a wrapper
_END = ord("]")

# How an element ends and the next begins; both always match something.
_ENDING = re.compile(rb"(?:\]\s*)?[^\s]\s*\Z")
_BEGINNING = re.compile(rb'\s{0,64}(?:\{\s{0,64}"[^"\\]{0,64}"|.)', re.DOTALL)


_MARK = b"\xef\xbb\xbf"  # a byte order mark, as joined files have it between their parts

_BETWEEN_OBJECTS = re.compile(rb"(?:[ \t\r\n]|%b)*+" % _MARK)
_LINE_OF_AN_OBJECT = re.compile(rb"[\r\n](?:%b)?(?=\{)" % _MARK)
_LINE_BREAK = re.compile(rb"[\r\n]")
_LINE_BREAK_OR_BRACE = re.compile(rb"[\r\n{]")
# How msgspec says where a text is broken; it says nothing where the text is cut off.
_PLACE = re.compile(r"(trailing characters )?\(byte (\d+)\)\Z")


def cut_array(
    chunks: Iterable[bytes],
    *,
    decode: Decode | None = None,
    offset: int = 0,
    wrapper: bytes = b"",
    block_size: int = BLOCK_SIZE,
) -> Iterator[Block]:
    """Cut the elements of an array out of its bytes, each into exactly one block, in order.

    ``wrapper`` is the text of an object around the array up to there. Raises DataError
    BLOB_TRUNCATED where the content ends before array and object are closed; BLOB_CORRUPT where
    something follows, or another array of the wrapper holds objects, too.
    """
    cutter = _ArrayCutter(chunks, decode, offset, block_size)
    cutter.wrapper = wrapper
    return cutter.blocks()


class _ArrayCutter(Cutter):
    _brackets = (b"[", b"]")
    wrapper = b""

    def _begin(self) -> None:
        if not self._skip_white():
            raise corrupt("the content is empty", offset=0)
        if not self._buffer.startswith(b"["):
            raise self._corrupt("the content is no JSON array")

    def _skip_white(self) -> bool:
        """Forget white space; False where nothing follows."""
        while self._buffer or self._fill(1):
            self._forget(len(self._buffer) - len(self._buffer.lstrip(WHITE)))
            if self._buffer:
                return True
        return False

    def _last(self) -> Iterator[int]:
        end = 0 if self.wrapper else len(self._buffer.rstrip(WHITE)) - 1
        if self._buffer.startswith(b"]", end) and self._buffer[1 : min(end, _BLANK)].strip(
            WHITE
        ):
            yield end

    def _spans(self, buffer: bytes) -> tuple[list[Span], int]:
        ends, closed = _element_ends(buffer)
        if closed and self._is_first and len(ends) == 1 and not buffer[1:closed].strip(WHITE):
            return [], closed  # an empty array
        pairs = zip([1, *(end + 1 for end in ends)], ends, strict=False)
        return [Span(a, b, is_value(buffer[a:b])) for a, b in pairs], closed

    def _learn(self, spans: list[Span]) -> None:
        """Learn the longest text between the last elements, because it is rarest inside."""
        if len(spans) < 2:  # noqa: PLR2004
            return
        start, end, _ = spans[-2]
        ending = _ENDING.search(self._buffer, max(start, end - 256), end)
        beginning = _BEGINNING.match(self._buffer, end + 1)
        if ending and beginning:
            self._between = self._buffer[ending.start() : beginning.end()]
            self._to_end = end - ending.start()

    def _finish(self, closed: int) -> None:
        if not closed:
            raise self._truncated("the content ends before its array is closed")
        is_brace = self._buffer[closed] != _END
        self._forget(closed)
        if is_brace:
            raise self._corrupt("the brackets don't match: a brace closes the array")
        self._forget(1)
        if self.wrapper:
            self._forget(self._end_of_wrapper())
        if self._skip_white():
            raise self._corrupt("something follows the end of the array")

    def _end_of_wrapper(self) -> int:
        """Behind the object around the array; its other arrays hold no object."""
        self._fill(_TAIL)
        before = self.wrapper + b"[]"
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
    ends = []
    depth = 1
    for token in TOKENS.finditer(buffer, 1):  # its own loop, because it may see all of a file
        at = token.start()
        byte = buffer[at]
        if byte == COMMA:
            if depth == 1:
                ends.append(at)
        elif byte in OPENING:
            depth += 1
        elif byte != QUOTE:
            depth -= 1
            if depth == 0:
                ends.append(at)
                return ends, at
        elif token.end() == at + 1:
            break  # the rest of this string is still to come
    return ends, 0


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


class Group(NamedTuple):
    """The text of a group: with its lists empty, and its lists by name."""

    shell: bytes
    place: int  # of the first list's items in the shell
    lists: list[tuple[str, bytes]]

    def with_items(self, items: bytes) -> bytes:
        """The text of the group with just these items."""
        return b"[%b%b%b]" % (self.shell[: self.place], items, self.shell[self.place :])

    def items(self) -> Iterator[Block]:
        """The items of all lists, in blocks."""
        return chain.from_iterable(cut_array([each]) for _, each in self.lists)


def split_group(element: bytes, list_names: Collection[str]) -> Group | None:
    """A group of items, by its strings and brackets alone; None if the element is none."""
    begin = taken = place = 0
    shell = b""
    string: re.Match[bytes] | None = None
    name = ""
    lists: list[tuple[str, bytes]] = []
    for token, byte, depth in tokens(element):
        if depth == 1:
            if byte == QUOTE:
                string = token
            elif begin and byte == _END:
                at = token.start()
                lists.append((name, element[begin - 1 : at + 1]))
                shell += element[taken:begin]
                place = place or len(shell)
                taken, begin = at, 0
        elif depth == _IN_LIST and byte == BRACKET:
            name = _text(string[0]) if string else ""
            begin = token.end() if plain(name) in list_names else 0
    return None if begin or not lists else Group(shell + element[taken:], place, lists)


def _text(name: bytes) -> str:
    try:
        return str(json.loads(name.decode("utf-8", "replace"), strict=False))
    except ValueError:
        return ""
