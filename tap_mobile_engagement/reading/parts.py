"""Parts of a large JSON array: the elements that begin in a range of its bytes.

A part begins behind a comma before an element that has the first element's first key, and that
the caller takes for an element. The brace and the key tell that the comma stands in no string:
the quote before the key would end that string, and no key follows an end. Inside of an element
the same may stand: then a part ends there, is no array, and reading it raises an error.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

MOST_OF_ELEMENT = 64 << 20
"""Bytes of an element that a part may begin with."""

_FIRST = re.compile(rb'(?:\xef\xbb\xbf)?\s*+\[\s*+(?=\{\s*+("(?:[^"\\]|\\.){1,64}+")\s*+:)')
_LONGEST = 512  # bytes of a comma, brace, key and colon, with the blanks between them
_STEP = 1 << 20  # bytes of content to search at a time

_decode = json.JSONDecoder(strict=False).raw_decode


def read_part(
    open_at: Callable[[int], AbstractContextManager[Iterator[bytes]]],
    start: int,
    stop: int,
    is_element: Callable[[Any], bool],
) -> Iterator[bytes]:
    """An array of the elements that begin in ``[start, stop)`` of a larger array's bytes.

    ``is_element`` says whether a part may begin with a decoded value. An array whose first
    element it refuses is not divided: the part from byte 0 on is all of it, and the others are
    empty.
    """
    with open_at(0) as chunks:
        text = _Text(chunks, 0)
        text.fill(_STEP)
        first = _FIRST.match(text.data)
        divides = first is not None and is_element(text.value(first.end()))
    if start and not divides:
        return
    with open_at(start) as chunks:
        if first is None or not divides:
            yield from chunks
            return
        border = re.compile(rb",(?=\s{0,64}\{\s{0,64}%b\s{0,64}:)" % re.escape(first[1]))
        text = _Text(chunks, start)
        if start:
            for _ in text.before(border, is_element, stop):
                pass
            if not text.data or text.start >= stop:
                return
            yield b"[" + text.take(1)[1:]
        while text.start < stop and (text.data or text.fill(_STEP)):
            yield text.take(stop - text.start)
        yield from text.before(border, is_element)
        if text.data:
            yield b"]"


class _Text:
    """The bytes of a content from ``start`` on that were inspected, but not taken."""

    def __init__(self, chunks: Iterator[bytes], start: int) -> None:
        self._chunks = chunks
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

    def value(self, at: int) -> Any:
        """The JSON value that begins there; None if none does, or it is too large."""
        while True:
            text = self.data[at : at + MOST_OF_ELEMENT]
            try:
                return _decode(text.decode("utf-8", "replace").lstrip())[0]
            except RecursionError:
                return None
            except ValueError:
                if len(text) == MOST_OF_ELEMENT or not self.fill(max(len(text), _STEP)):
                    return None

    def before(
        self,
        border: re.Pattern[bytes],
        is_element: Callable[[Any], bool],
        stop: int | None = None,
    ) -> Iterator[bytes]:
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
            elif is_element(self.value(found.end())):
                yield self.take(found.start())
                return
            else:
                at = found.end()
        yield self.take(at)
