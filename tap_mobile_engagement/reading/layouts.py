"""How the elements of a file are laid out: told by the first bytes of its content."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from tap_mobile_engagement.datatypes import DATA_TYPES
from tap_mobile_engagement.reading.chunks import WHITE
from tap_mobile_engagement.reading.names import list_names, plain
from tap_mobile_engagement.reading.tables import header_of

HEAD_SIZE = 64 * 1024
"""Bytes of content that tell its layout."""


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
        delimiter: What stands between the cells of CSV.
        names: The header of CSV.
    """

    format: Format
    array_at: int = 0
    array_name: str = ""
    delimiter: str = ""
    names: tuple[str, ...] = ()


def layout_of(head: bytes) -> Layout:
    """Tell the layout.

    Args:
        head: The content's first :data:`HEAD_SIZE` bytes as UTF-8, white space before them
            left out; fewer only if it has no more.
    """
    if not head:
        return Layout(Format.EMPTY)
    if head.startswith(b"["):
        return Layout(Format.ARRAY)
    if head.startswith(b"{"):
        return _wrapper(head) or Layout(Format.OBJECTS)
    header = header_of(head)
    if header is None:
        return Layout(Format.UNKNOWN)
    delimiter, names = header
    return Layout(Format.CSV, delimiter=delimiter, names=tuple(names))


# Strings, brackets, and what separates: all that has to be followed in JSON text.
_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{},:]', re.DOTALL)

# Names that only an element has. An object that begins with one of them wraps nothing.
_ELEMENT_KEYS = frozenset({"deviceid", "sessionid", "jobid"})
_USUAL_GROUP_KEY = "device_id"  # by which items may be grouped that are documented as flat


def _wrapper(head: bytes) -> Layout | None:
    """The layout if the first object wraps an array of elements; None if it is an element.

    It wraps one if the first array that it holds consists of objects, unless the object looks
    like a group of items: with the id of a group before the list, or with items that lack it.
    """
    found = _first_array(head)
    if found is None:
        return None
    at, name, before = found
    wrapper = Layout(Format.WRAPPER, array_at=at, array_name=name)
    values = partial_json(head[at:])
    if values == [] and re.match(rb"\[\s*\]\s*\}\s*\Z", head[at:]):
        return wrapper
    if _ELEMENT_KEYS & {plain(key) for key in before}:
        return None
    if not isinstance(values, list) or not values or not isinstance(values[0], dict):
        return None
    names = {plain(key) for key in values[0]}
    is_items = any(
        plain(name) in list_names(data_type)
        and plain(data_type.group_key or _USUAL_GROUP_KEY) not in names
        and not names & list_names(data_type)
        for data_type in DATA_TYPES
    )
    return None if is_items else wrapper


def _first_array(head: bytes) -> tuple[int, str, list[str]] | None:
    """The first array that is a member of the first object.

    Returns:
        Where it begins, its name, and the names of the members before it; None if there is
        none.
    """
    depth = 0
    text = name = ""
    before: list[str] = []
    for token in _TOKENS.finditer(head):
        match token[0]:
            case b"[" if depth == 1:
                return token.start(), name, before[:-1]
            case b"{" | b"[":
                depth += 1
            case b"}" | b"]":
                depth -= 1
                if depth == 0:
                    return None
            case b":" if depth == 1:
                name = text
                before.append(name)
            case string if depth == 1 and len(string) > 1:
                text = string[1:-1].decode("utf-8", "replace")
    return None


def partial_json(head: bytes) -> Any:
    """Decode the beginning of a JSON text: cut behind its last whole part, and closed.

    Returns:
        What it holds so far; None if it is no JSON.
    """
    open_brackets: list[bytes] = []
    end = depth = 0
    for token in _TOKENS.finditer(head):
        byte = token[0]
        match byte:
            case b"{" | b"[":
                open_brackets.append(b"}" if byte == b"{" else b"]")
                end, depth = token.end(), len(open_brackets)
            case b"}" | b"]":
                if not open_brackets:
                    break
                open_brackets.pop()
                end, depth = token.end(), len(open_brackets)
                if not open_brackets:
                    break
            case b",":
                end, depth = token.start(), len(open_brackets)
            case b'"':
                break  # the rest of this string is missing
    closing = b"".join(reversed(open_brackets[:depth]))
    try:
        return msgspec.json.decode(head[:end].strip(WHITE) + closing)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
