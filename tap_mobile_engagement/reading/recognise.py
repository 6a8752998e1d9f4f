"""Recognise what a file holds, by the code that reads it later, on its first blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.errors import DataError, corrupt
from tap_mobile_engagement.reading.content import (
    Compression,
    Content,
    contents,
    open_content,
)
from tap_mobile_engagement.reading.cutting import WHITE, Block
from tap_mobile_engagement.reading.decoding import LARGE
from tap_mobile_engagement.reading.elements import decode_element
from tap_mobile_engagement.reading.layouts import Format, Layout, cut, layout_of, outline
from tap_mobile_engagement.reading.names import SAMPLE, Known, data_type_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_mobile_engagement.datatypes import DataType

_MOST_BYTES = 1 << 20
"""Bytes of content that are read for it; mostly the first block is enough."""

# Compressions that are not read, for a reason that a person can use.
_PACKED = (
    (rb"BZh[1-9]", "bzip2"),
    (rb"\x1f\x8b", "gzip more than three times"),
    (rb"PK\x03\x04", "zip and gzip"),
    (rb"(?s:.{257})ustar", "tar"),
)


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a content holds, and how it is compressed, encoded and laid out.

    Attributes:
        data_type: None without any element, or where it can't be told.
        reason: Why it can't be told; empty where it can, or the file is empty.
        problem: Its damage, as far as it was met; the data type may still be known.
        candidates: The data types that fit equally, where more than one does.
    """

    compression: Compression
    encoding: str
    format: Format
    data_type: DataType | None
    reason: str = ""
    problem: DataError | None = None
    candidates: tuple[DataType, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it is an export file without any element, of whatever data type."""
        return self.data_type is None and not self.reason and self.problem is None


def recognise(
    chunks: Iterable[bytes],
    *,
    encoding: str | None = None,
    data_type: DataType | None = None,
) -> Recognition:
    """Tell what a file holds that is no zip file, by its first chunks.

    A known ``data_type`` is taken; the layout is still found. Damage is part of the result.
    """
    return _recognised(open_content(chunks, encoding), data_type)


def recognise_all(
    chunks: Iterable[bytes], encoding: str | None = None
) -> Iterator[Recognition]:
    """The same of each content of a file; DataError for a zip file that can't be read."""
    for content in contents(chunks, encoding):
        yield _recognised(content, None)


def _recognised(content: Content, data_type: DataType | None) -> Recognition:
    layout = layout_of(content.head)
    problem = None
    if layout.format is Format.UNKNOWN:
        known = Known(None, _kind_of(content.head))
    else:
        elements, problem = _first_elements(content, layout)
        known = Known(None, problem.what if problem else "")
        if elements:
            known = data_type_of(elements, layout.array_name)
    found = (data_type if layout.format is not Format.EMPTY else None) or known.data_type
    reason = "" if found else known.reason
    told = found, reason, problem, known.candidates
    return Recognition(content.compression, content.encoding, layout.format, *told)


def _first_elements(content: Content, layout: Layout) -> tuple[list[Any], DataError | None]:
    """Some elements, of the last one maybe a part; and the damage that was met."""
    taken = [content.head]
    size = len(content.head)
    is_cut = False  # whether there is more of the content than was taken

    def rest() -> Iterator[bytes]:
        nonlocal size, is_cut
        for chunk in content.rest:
            if size >= _MOST_BYTES:
                is_cut = True
                return
            taken.append(chunk.strip(WHITE))
            size += len(taken[-1])
            yield chunk

    found = [dict.fromkeys(layout.header.names, "")] if layout.header else []
    problem = None
    has_elements = False
    try:
        for block in cut(replace(content, rest=rest())):
            is_enough = len(found) >= SAMPLE or (found and size > LARGE)
            if not isinstance(block, Block) or is_enough:
                break
            for text in block.elements() if block.sound else [block.data]:
                found += _decoded(bytes(text))
            has_elements = True
    except DataError as error:
        problem = None if is_cut else error
    if not found and (is_cut or problem):
        found = _outlined(b"".join(taken), layout.array_at)
    if not found and problem is None and (has_elements or is_cut):
        problem = corrupt("an element of it is no JSON", offset=0)
    return [element for element in found if isinstance(element, dict)] or found, problem


def _decoded(element: bytes) -> list[Any]:
    """An element, or its names if it is broken; none if it tells nothing."""
    try:
        return [decode_element(element).value]
    except (ValueError, RecursionError):
        return _outlined(element, 0)


def _outlined(text: bytes, start: int) -> list[Any]:
    """The names of the first object, if it has any."""
    at = text.find(b"{", start)
    return [*filter(None, [outline(text, at)])] if at >= 0 else []


def _kind_of(head: bytes) -> str:
    for pattern, kind in _PACKED:
        if re.match(pattern, head):
            return f"it is packed by {kind}, which is not read: unpack it"
    return "it is neither JSON nor CSV with a header of known fields"
