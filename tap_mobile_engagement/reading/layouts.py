"""How the elements of a content are laid out, told by its head; and how to cut each layout."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.arrays import cut_array, cut_objects
from tap_mobile_engagement.reading.cutting import BLOCK_SIZE, QUOTE, tokens
from tap_mobile_engagement.reading.names import SIGNATURES, fitting, plain
from tap_mobile_engagement.reading.tables import Header, cut_rows, header_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_mobile_engagement.reading.content import Content
    from tap_mobile_engagement.reading.cutting import Block, Decode
    from tap_mobile_engagement.reading.tables import Rows


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
    """Cut a content into blocks, whatever its layout; ``decode`` also checks the cuts of JSON.

    Offsets count bytes of content: uncompressed, as UTF-8, without a byte order mark. Raises
    DataError BLOB_TRUNCATED, BLOB_CORRUPT or BLOB_UNRECOGNISED, with the offset.
    """
    layout = layout_of(content.head)
    at = layout.array_at
    chunks, offset = content.chunks(at), content.offset + at
    if layout.header is not None:
        return cut_rows(chunks, layout.header, offset=offset, block_size=block_size)
    if layout.format in {Format.ARRAY, Format.WRAPPER}:
        return cut_array(chunks, decode, offset, block_size, content.head[:at])
    if layout.format in {Format.OBJECTS, Format.EMPTY}:
        return cut_objects(chunks, decode, offset, block_size)
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
    header = header_of(head)
    if header is not None:
        return Layout(Format.CSV, header=header)
    if _OBJECT_IN_A_LINE.search(head):
        return Layout(Format.OBJECTS)  # with a line before them that is none
    return Layout(Format.UNKNOWN)


_OBJECT_IN_A_LINE = re.compile(rb'[\r\n]\{\s{0,64}"')
_EMPTY_ARRAY = re.compile(rb"\[\s*\]")
_ARRAY_OF_OBJECTS = re.compile(rb"\[\s*(?=\{)")
_COLON = re.compile(rb"\s*:\s*")

# Names that only an element has. An object with one of them before its array wraps nothing.
_ELEMENT_KEYS = frozenset({"deviceid", "sessionid", "jobid"})


def _wrapper(head: bytes) -> Layout | None:
    """The layout if the first object wraps an array of elements; None if it is an element.

    It wraps the first array of objects, or the only array if that is empty. It is an element
    if it has the id of one, if the array's objects lack what it would say for them as a group,
    or if it has the fields of an item and they have not.
    """
    members = [*_members(head, 0)]
    names = {plain(name) for name, _ in members}
    arrays = [(name, at) for name, at in members if head.startswith(b"[", at)]
    if not arrays or _ELEMENT_KEYS & names:
        return None
    of_objects = (each for each in arrays if _ARRAY_OF_OBJECTS.match(head, each[1]))
    name, at = next(of_objects, arrays[0])
    wrapper = Layout(Format.WRAPPER, array_at=at, array_name=name)
    first = _ARRAY_OF_OBJECTS.match(head, at)
    if not first:
        is_empty = len(arrays) == 1 and _EMPTY_ARRAY.match(head, at)
        return wrapper if is_empty and not fitting(names) else None
    inner = {plain(name) for name, _ in _members(head, first.end())}
    has_lists = any(inner & each.lists for each in SIGNATURES)
    if has_lists or not fitting(names) or fitting(inner):
        are_items = any(
            plain(name) in each.lists and inner.isdisjoint({each.group_key, *each.lists})
            for each in SIGNATURES
        )
        return None if are_items else wrapper
    return None


def outline(text: bytes, start: int, levels: int = 2) -> dict[str, Any]:
    """The names in an object that may be broken; of lists the first object."""
    found: dict[str, Any] = {}
    for name, at in _members(text, start):
        first = _ARRAY_OF_OBJECTS.match(text, at)
        inner = first.end() if first else at
        found[name] = [] if text.startswith(b"[", at) else None
        if levels and text.startswith(b"{", inner):
            value = outline(text, inner, levels - 1)
            found[name] = [value] if first else value
    return found


def _members(head: bytes, start: int) -> Iterator[tuple[str, int]]:
    """The names in an object, each with the place of its value, as far as the head reaches."""
    for token, byte, depth in tokens(head, start):
        if depth == 0:
            return
        colon = depth == 1 and byte == QUOTE and _COLON.match(head, token.end())
        if colon:
            yield token[0][1:-1].decode("utf-8", "replace"), colon.end()
