"""Parts of a large JSON array: the elements that begin in a range of its bytes.

A part begins behind a comma before an element that has the first element's first key, and that
has records. The brace and the key tell that the comma stands in no string: the quote before the
key would end that string, and no key follows an end. Inside of an element the same may stand:
then a part ends there, is no array, and reading it raises an error.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.reading.batch import Origin
from tap_mobile_engagement.reading.cutting import MAX_ITEM_SIZE
from tap_mobile_engagement.reading.names import list_names, plain
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.reading.rejects import BadRecords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tap_mobile_engagement.datatypes import DataType

Part = tuple[int, int]
"""Where a part of a file begins and ends, in bytes."""

_FIRST = re.compile(rb'(?:\xef\xbb\xbf)?\s*+\[\s*+(?=\{\s*+("(?:[^"\\]|\\.){1,64}+")\s*+:)')
_LONGEST = 512  # bytes of a comma, brace, key and colon, with the blanks between them
_STEP = 1 << 20  # bytes of content to search at a time

_decode = json.JSONDecoder(strict=False).raw_decode


def read_part(
    open_at: Callable[[int], AbstractContextManager[Iterator[bytes]]],
    part: Part,
    data_type: DataType,
) -> Iterator[bytes]:
    """An array of the elements that begin in a part of a larger array's bytes.

    An array whose first element is no beginning of a part is not divided: the part from byte 0
    on is all of it, and the others are empty.
    """
    start, stop = part
    with open_at(0) as chunks:
        text = _Text(chunks, 0, data_type)
        text.fill(_STEP)
        first = _FIRST.match(text.data)
        if first is not None and not text.has_element_at(first.end()):
            first = None
    if first is None:
        if start == 0:
            with open_at(0) as chunks:
                yield from chunks
        return
    border = re.compile(rb",(?=\s{0,64}\{\s{0,64}%b\s{0,64}:)" % re.escape(first[1]))
    with open_at(start) as chunks:
        text = _Text(chunks, start, data_type)
        if start:
            for _ in text.before(border, stop):
                pass
            if not text.data or text.start >= stop:
                return
            yield b"[" + text.take(1)[1:]
        while text.start < stop and (text.data or text.fill(_STEP)):
            yield text.take(stop - text.start)
        yield from text.before(border)
        if text.data:
            yield b"]"


class _Text:
    """The bytes of a content from ``start`` on that were inspected, but not taken."""

    def __init__(self, chunks: Iterator[bytes], start: int, data_type: DataType) -> None:
        self._chunks = chunks
        self._data_type = data_type
        self.data = b""
        self.start = start

    def fill(self, size: int) -> bool:
        """Inspect at least that many bytes more; False if there are no more."""
        parts = []
        for chunk in self._chunks:
            parts.append(chunk)
            size -= len(chunk)
            if size <= 0:
                break
        self.data += b"".join(parts)
        return bool(parts)

    def take(self, size: int) -> bytes:
        taken, self.data = self.data[:size], self.data[size:]
        self.start += len(taken)
        return taken

    def before(self, border: re.Pattern[bytes], stop: int | None = None) -> Iterator[bytes]:
        """The bytes up to a border that begins before ``stop``; all if there is none."""
        at = 0
        while stop is None or self.start + at < stop:
            found = border.search(self.data, at)
            if found is None:
                yield self.take(max(len(self.data) - _LONGEST, at))
                at = 0
                if not self.fill(_STEP):
                    yield self.take(len(self.data))
                    return
            elif self.has_element_at(found.end()):
                yield self.take(found.start())
                return
            else:
                at = found.end()
        yield self.take(at)

    def has_element_at(self, at: int) -> bool:
        """Whether a part may begin with what begins there: an object that has records.

        Where ids number identical rows as they follow each other, it is a group as well.
        """
        value = self._value(at)
        if not isinstance(value, dict):
            return False
        lists = [plain(name) for name, items in value.items() if isinstance(items, list)]
        if self._data_type.has_record_id and list_names(self._data_type).isdisjoint(lists):
            return False
        reader = RecordReader(self._data_type, BadRecords("", skip=True, most=sys.maxsize))
        origin = Origin(self._data_type, "", None, "")
        return any(reader.batches_of_elements(origin, [value]))

    def _value(self, at: int) -> Any:
        """The JSON value that begins there; None if none does, or it is too large."""
        while True:
            text = self.data[at : at + MAX_ITEM_SIZE]
            try:
                return _decode(text.decode("utf-8", "replace").lstrip())[0]
            except RecursionError:
                return None
            except ValueError:
                if len(text) == MAX_ITEM_SIZE or not self.fill(max(len(text), _STEP)):
                    return None
