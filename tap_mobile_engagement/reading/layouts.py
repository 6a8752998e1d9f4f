"""How the elements of a content are laid out: told by its head."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tap_mobile_engagement.datatypes import DATA_TYPES
from tap_mobile_engagement.reading.cutting import STRING
from tap_mobile_engagement.reading.names import FIELD_NAMES, list_names, plain
from tap_mobile_engagement.reading.tables import Header, header_of

if TYPE_CHECKING:
    from collections.abc import Iterator


class Format(StrEnum):
    """How elements are laid out in a content."""

    EMPTY = "empty"  # no byte at all, or white space
    ARRAY = "array"  # one JSON array: the documented form
    OBJECTS = "objects"  # JSON objects one after another
    WRAPPER = "wrapper"  # one JSON object with one array
    CSV = "csv"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of one content.

    Attributes:
        format: How its elements are laid out.
        array_at: Where the array of a wrapper begins, in bytes.
        array_name: The name of that array.
        header: What the first lines of CSV say.
    """

    format: Format
    array_at: int = 0
    array_name: str = ""
    header: Header | None = None


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
# Strings, brackets, and what separates: all that has to be followed in JSON text.
_TOKENS = re.compile(STRING + rb'|["\[\]{},:]', re.DOTALL)
_EMPTY_ARRAY = re.compile(rb"\[\s*\]")
_ARRAY_OF_OBJECTS = re.compile(rb"\[\s*(?=\{)")

# Names that only an element has. An object with one of them before its array wraps nothing.
_ELEMENT_KEYS = frozenset({"deviceid", "sessionid", "jobid"})
_USUAL_GROUP_KEY = "device_id"  # by which items may be grouped that are documented as flat


def _wrapper(head: bytes) -> Layout | None:
    """The layout if the first object wraps an array of elements; None if it is an element.

    It wraps one if the first array that it holds consists of objects, unless the object looks
    like a group of items: with the id of a group before the list, or with items that lack it.
    An empty array is wrapped if neither its name nor one before it is that of a field.
    """
    arrays: list[tuple[list[str], str, int]] = []
    before: list[str] = []
    for name, at in _members(head, 0):
        before.append(plain(name))
        if head.startswith(b"[", at):
            arrays.append(([*before], name, at))
            if _ARRAY_OF_OBJECTS.match(head, at):
                break
    if not arrays:
        return None
    before, name, at = arrays[-1]
    wrapper = Layout(Format.WRAPPER, array_at=at, array_name=name)
    if _ELEMENT_KEYS & {*before}:
        return None
    first = _ARRAY_OF_OBJECTS.match(head, at)
    if not first:
        is_empty = len(arrays) == 1 and _EMPTY_ARRAY.match(head, at)
        return wrapper if is_empty and before[-1] not in FIELD_NAMES else None
    names = {plain(inner) for inner, _ in _members(head, first.end())}
    is_items = any(
        before[-1] in list_names(data_type)
        and plain(data_type.group_key or _USUAL_GROUP_KEY) not in names
        and not names & list_names(data_type)
        for data_type in DATA_TYPES
    )
    return None if is_items else wrapper


def _members(head: bytes, start: int) -> Iterator[tuple[str, int]]:
    """The names in an object that begins there, each with the place of its value.

    Only what is in the head; the object may continue behind it.
    """
    depth = 0
    text = ""
    for token in _TOKENS.finditer(head, start):
        match token[0]:
            case b"{" | b"[":
                depth += 1
            case b"}" | b"]":
                depth -= 1
                if depth == 0:
                    return
            case b":" if depth == 1:
                yield text, _VALUE.match(head, token.end()).end()  # type: ignore[union-attr]
            case string if depth == 1 and len(string) > 1:
                text = string[1:-1].decode("utf-8", "replace")


_VALUE = re.compile(rb"\s*")
