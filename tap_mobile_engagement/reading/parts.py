"""Parts of a large JSON array: the elements that begin in a range of its bytes.

A part begins behind a comma before an element with the first element's first key. The comma
stands in no string, because the quote before the key would end it. Where the same stands inside
of an element a part ends, is no array, and reading it is an error.
"""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from tap_mobile_engagement.reading.arrays import end_by_brackets
from tap_mobile_engagement.reading.cutting import MAX_ITEM_SIZE, Buffered
from tap_mobile_engagement.reading.names import lists_in
from tap_mobile_engagement.reading.records import ItemReader
from tap_mobile_engagement.reading.values import decode_element

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tap_mobile_engagement.datatypes import DataType

Part = tuple[int, int]  # where it begins and ends, in bytes

_FIRST = re.compile(rb'(?:\xef\xbb\xbf)?\s*+\[\s*+(?=\{\s*+("(?:[^"\\]|\\.){1,64}+")\s*+:)')
_LONGEST = 512  # bytes of a comma, brace, key and colon, with the blanks between them
_STEP = 1 << 20  # bytes of content to search at a time


def read_part(
    open_at: Callable[[int], AbstractContextManager[Iterator[bytes]]],
    part: Part,
    data_type: DataType,
) -> Iterator[bytes]:
    """An array of the elements that begin in a part; the first has all if none can be told."""
    start, stop = part
    with open_at(0) as chunks:
        key = _Text(chunks, 0, data_type).first_key()
    if key is None and start > 0:
        return
    with open_at(start) as chunks:
        if key is None:
            yield from chunks
        else:
            border = re.compile(rb",(?=\s{0,64}\{\s{0,64}%b\s{0,64}:)" % re.escape(key))
            yield from _Text(chunks, start, data_type).part(border, stop)


class _Text(Buffered):
    """The bytes of a content that were inspected, but not taken."""

    def __init__(self, chunks: Iterator[bytes], start: int, data_type: DataType) -> None:
        super().__init__(chunks, start, _STEP)
        self._data_type = data_type
        self._items = ItemReader(data_type, lambda *_: None)

    def part(self, border: re.Pattern[bytes], stop: int) -> Iterator[bytes]:
        if self._offset:
            for _ in self.before(border, stop):
                pass
            if self._offset >= stop or not self._fill(1):
                return
            yield b"[" + self.take(1)[1:]
        while self._offset < stop and self._fill(1):
            yield self.take(min(stop - self._offset, _STEP))
        yield from self.before(border)
        if self._fill(1):
            yield b"]"

    def take(self, size: int) -> bytes:
        taken = self._buffer[:size]
        self._forget(len(taken))
        return taken

    def first_key(self) -> bytes | None:
        """The first key of the first element, with its quotes; None if that begins no part."""
        self._fill(_STEP)
        first = _FIRST.match(self._buffer)
        return first[1] if first and self._has_element_at(first.end()) else None

    def before(self, border: re.Pattern[bytes], stop: int = sys.maxsize) -> Iterator[bytes]:
        """The bytes up to a border that begins before ``stop``; all if there is none."""
        at = 0
        while self._offset + at < stop:
            found = border.search(self._buffer, at)
            if found is None:
                yield self.take(max(len(self._buffer) - _LONGEST, at))
                at = 0
                if not self._has_more(_STEP):
                    at = len(self._buffer)
                    break
            elif self._has_element_at(found.end()):
                at = found.start()
                break
            else:
                at = found.end()
        yield self.take(at)

    def _has_more(self, size: int) -> bool:
        before = len(self._buffer)
        self._fill(before + size)
        return len(self._buffer) > before

    def _has_element_at(self, at: int) -> bool:
        """Whether an element with records begins there; where ids count rows, a group."""
        while not (end := end_by_brackets(self._buffer, at, at + MAX_ITEM_SIZE)):
            size = len(self._buffer) - at
            if size > MAX_ITEM_SIZE or not self._has_more(max(size, _STEP)):
                return False
        with suppress(ValueError, RecursionError):
            value, _ = decode_element(self._buffer[at:end])
            if lists_in(value, self._data_type) or not self._data_type.has_record_id:
                return bool(self._items.columns([value]).values[0])
        return False
