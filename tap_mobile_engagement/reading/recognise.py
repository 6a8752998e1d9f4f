"""How a content is laid out, and what it holds: told by the code that reads it later."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_mobile_engagement.errors import Code, DataError, corrupt
from tap_mobile_engagement.reading.arrays import ArrayCutter, ObjectsCutter
from tap_mobile_engagement.reading.cutting import BLOCK_SIZE, QUOTE, WHITE, Block, tokens
from tap_mobile_engagement.reading.decoding import LARGE
from tap_mobile_engagement.reading.names import (
    SAMPLE,
    SIGNATURES,
    Known,
    data_type_of,
    fitting,
    plain,
)
from tap_mobile_engagement.reading.tables import Header, TableCutter, header_of
from tap_mobile_engagement.reading.values import decode_element

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.content import Compression, Content
    from tap_mobile_engagement.reading.cutting import Decode
    from tap_mobile_engagement.reading.tables import Rows

_MOST_BYTES = 1 << 20  # of content, to recognise it; mostly the first block is enough

# Compressions that are not read, for a reason that a person can use.
_PACKED = (
    (rb"BZh[1-9]", "packed by bzip2, which is not read: unpack it"),
    (rb"\x1f\x8b", "packed by gzip more than three times, which is not read: unpack it"),
    (rb"PK\x03\x04", "packed by zip and gzip, which is not read: unpack it"),
    (rb"(?s:.{257})ustar", "packed by tar, which is not read: unpack it"),
)
_OBJECT_IN_A_LINE = re.compile(rb'[\r\n]\{\s{0,64}"')
_EMPTY_ARRAY = re.compile(rb"\[\s*\]")
_ARRAY_OF_OBJECTS = re.compile(rb"\[\s*(?=\{)")
_COLON = re.compile(rb"\s*:\s*")

# Names that only an element has. An object with one of them before its array wraps nothing.
_ELEMENT_KEYS = frozenset({"deviceid", "sessionid", "jobid"})


class Format(StrEnum):
    """How elements are laid out in a content."""

    EMPTY = "empty"  # no byte at all, or white space
    ARRAY = "array"  # one JSON array: the documented form
    OBJECTS = "objects"  # JSON objects one after another
    WRAPPER = "wrapper"  # one JSON object with one array
    CSV = "csv"
    UNKNOWN = "unknown"


class Layout(NamedTuple):
    """The layout of one content; ``array_at`` is the byte where a wrapper's array begins."""

    format: Format
    array_at: int = 0
    array_name: str = ""
    header: Header | None = None


def cut(
    content: Content, decode: Decode | None = None, block_size: int = BLOCK_SIZE
) -> Iterator[Block] | Iterator[Rows]:
    """Cut a content into blocks, whatever its layout; ``decode`` checks the cuts of JSON."""
    layout = layout_of(content.head)
    at = layout.array_at
    chunks, offset = chain([content.head[at:]], content.rest), content.offset + at
    if layout.header is not None:
        return TableCutter(chunks, layout.header, offset, block_size).blocks()
    if layout.format in {Format.ARRAY, Format.WRAPPER}:
        return ArrayCutter(chunks, decode, offset, block_size, content.head[:at]).blocks()
    if layout.format in {Format.OBJECTS, Format.EMPTY}:
        return ObjectsCutter(chunks, decode, offset, block_size).blocks()
    raise DataError(
        Code.BLOB_UNRECOGNISED,
        "the file is neither JSON nor CSV with a header of known fields",
        next_step="Look at the file: is it an export of Mobile Engagement?",
        offset=0,
    )


def layout_of(head: bytes) -> Layout:
    """Tell the layout of a content by its head, without white space before it."""
    if not head:
        return Layout(Format.EMPTY)
    if head.startswith(b"["):
        return Layout(Format.ARRAY)
    if head.startswith(b"{"):
        return _wrapper(head) or Layout(Format.OBJECTS)
    if header := header_of(head):
        return Layout(Format.CSV, header=header)
    # Objects may have a line before them that is none.
    return Layout(Format.OBJECTS if _OBJECT_IN_A_LINE.search(head) else Format.UNKNOWN)


def _wrapper(head: bytes) -> Layout | None:
    """The layout if the first object wraps an array of elements; None if it is an element.

    It wraps the first array of objects, or the only, empty one. It is an element if it has the
    id of one, or the fields of an item and they have not, or if they lack what a group says.
    """
    members = [*_members(head, 0)]
    names = {plain(name) for name, _ in members}
    arrays = [(name, at) for name, at in members if head.startswith(b"[", at)]
    if not arrays or _ELEMENT_KEYS & names:
        return None
    of_objects = [each for each in arrays if _ARRAY_OF_OBJECTS.match(head, each[1])]
    name, at = (of_objects or arrays)[0]
    if of_objects:
        inner = {plain(name) for name, _ in _members(head, head.index(b"{", at))}
        has_lists = any(inner & each.lists for each in SIGNATURES)
        is_element = any(
            plain(name) in each.lists and inner.isdisjoint({each.group_key, *each.lists})
            for each in SIGNATURES
        ) or (fitting(names) and not (has_lists or fitting(inner)))
    else:
        is_element = len(arrays) > 1 or not _EMPTY_ARRAY.match(head, at) or fitting(names)
    return None if is_element else Layout(Format.WRAPPER, array_at=at, array_name=name)


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a content holds, and how it is compressed, encoded and laid out."""

    compression: Compression
    encoding: str
    format: Format
    data_type: DataType | None  # None without any element, or where it can't be told
    reason: str = ""  # why it can't be told
    problem: DataError | None = None  # its damage, as far as it was met
    candidates: tuple[DataType, ...] = ()  # that fit equally, where more than one does

    @property
    def is_empty(self) -> bool:
        """Whether it is an export file without any element, of whatever data type."""
        return self.data_type is None and not self.reason and self.problem is None


def recognise(content: Content, data_type: DataType | None = None) -> Recognition:
    """Tell what a content holds, by its first blocks; a known ``data_type`` is taken."""
    layout = layout_of(content.head)
    if layout.format is Format.UNKNOWN:
        packed = (kind for pattern, kind in _PACKED if re.match(pattern, content.head))
        why = next(packed, "neither JSON nor CSV with a header of known fields")
        problem, known = None, Known(None, f"it is {why}")
    else:
        elements, problem = _first_elements(content, layout)
        nothing = Known(None, problem.what if problem else "")
        known = data_type_of(elements, layout.array_name) if elements else nothing
    found = (data_type if layout.format is not Format.EMPTY else None) or known.data_type
    told = found, "" if found else known.reason, problem, known.candidates
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
    with suppress(ValueError, RecursionError):
        return [decode_element(element)[0]]
    return _outlined(element, 0)


def _outlined(text: bytes, start: int) -> list[Any]:
    """The names of the next object, if it has any."""
    return [*filter(None, [_outline(text, start)])]


def _outline(text: bytes, start: int, levels: int = 2) -> dict[str, Any]:
    """The names in the next object, which may be broken; of lists the first object."""
    found: dict[str, Any] = {}
    for name, at in _members(text, text.find(b"{", start)):
        first = _ARRAY_OF_OBJECTS.match(text, at)
        inner = first.end() if first else at
        found[name] = [] if text.startswith(b"[", at) else None
        if levels and text.startswith(b"{", inner):
            value = _outline(text, inner, levels - 1)
            found[name] = [value] if first else value
    return found


def _members(head: bytes, start: int) -> Iterator[tuple[str, int]]:
    """The names in an object, each with the place of its value, as far as the head reaches."""
    for token, byte, depth in tokens(head, start) if start >= 0 else ():
        if depth == 0:
            return
        if depth == 1 and byte == QUOTE and (colon := _COLON.match(head, token.end())):
            yield token[0][1:-1].decode("utf-8", "replace"), colon.end()
