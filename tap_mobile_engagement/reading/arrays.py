"""Cut a top-level JSON array, or the one in an object around it, into blocks of elements."""

from __future__ import annotations

import json
import re
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

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
