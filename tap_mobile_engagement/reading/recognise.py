"""Recognise what a file holds, by the code that reads it later, on its first blocks.

Nothing is taken from a name, because names are not documented.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.errors import DataError, corrupt
from tap_mobile_engagement.reading.content import (
    Compression,
    Content,
    contents,
    open_content,
)
from tap_mobile_engagement.reading.cutting import COMMA, OPENING, QUOTE, WHITE, Block, tokens
from tap_mobile_engagement.reading.decoding import LARGE
from tap_mobile_engagement.reading.elements import decode_element
from tap_mobile_engagement.reading.groups import split_group
from tap_mobile_engagement.reading.layouts import Format, cut, layout_of
from tap_mobile_engagement.reading.names import ALL_LIST_NAMES
from tap_mobile_engagement.reading.signatures import SAMPLE, Known, data_type_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_mobile_engagement.datatypes import DataType

_MOST_BYTES = 1 << 20
"""Bytes of content that are read for it; mostly the first block is enough."""

# What files that are no export begin with, for a reason that a person can use.
_KINDS = (
    (rb"\x89PNG\r\n", "a PNG image"),
    (rb"\xff\xd8\xff", "a JPEG image"),
    (rb"GIF8", "a GIF image"),
    (rb"%PDF", "a PDF document"),
    (rb"PAR1", "a Parquet file"),
    (rb"Obj\x01", "an Avro file"),
    (rb"ORC", "an ORC file"),
    (rb"BZh[1-9]", "compressed by bzip2, which is not read: unpack it"),
    (rb"\x28\xb5\x2f\xfd", "compressed by Zstandard, which is not read: unpack it"),
    (rb"\xfd7zXZ\x00", "compressed by xz, which is not read: unpack it"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive, which is not read: unpack it"),
    (rb"Rar!", "a RAR archive, which is not read: unpack it"),
    (rb"\x1f\x8b", "packed by gzip more than three times: unpack it"),
    (rb"PK\x03\x04", "a zip file within a compressed one: unpack it"),
    (rb"(?s:.{257})ustar", "a tar archive, which is not read: unpack it"),
    (rb"SQLite format 3", "an SQLite database"),
    (rb"(?i:<(?:!doctype html|html|head|body))", "an HTML page"),
    (rb"<", "XML or HTML"),
)
_CLOSING = bytes.maketrans(b"{[", b"}]")
_KIND_OF = [(re.compile(pattern), kind) for pattern, kind in _KINDS]


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a content holds, and how it is compressed, encoded and laid out.

    Attributes:
        data_type: None without any element, or where it can't be told.
        reason: Why it can't be told, for messages; empty where it can, or the file is empty.
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

    ``encoding`` is that of text which is neither UTF-8 nor UTF-16. A known ``data_type`` is
    taken; the layout is still found. Damage is part of the result; what taking the chunks
    raises is raised.
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
        elements, problem = _first_elements(content)
        if layout.header is not None:
            elements = [dict.fromkeys(layout.header.names, "")]
        if elements:
            known = data_type_of(elements, layout.array_name)
        else:
            known = Known(None, problem.what if problem else "")
    said = data_type if layout.format is not Format.EMPTY else None
    found = said or known.data_type
    return Recognition(
        content.compression,
        content.encoding,
        layout.format,
        found,
        "" if found else known.reason,
        problem,
        known.candidates,
    )


def _first_elements(content: Content) -> tuple[list[Any], DataError | None]:
    """Some elements, of the last one maybe a part; and the damage that was met."""
    first = _First(content)
    found: list[Any] = []
    problem = None
    broken = b""
    try:
        for block in cut(replace(content, rest=first.rest())):
            is_enough = len(found) >= SAMPLE or (found and len(first.taken) > LARGE)
            if not isinstance(block, Block) or is_enough:
                break
            for text in block.elements() if block.sound else [block.data]:
                found += _decoded(bytes(text))
            broken = broken if block.sound else block.data
    except DataError as error:
        problem = None if first.is_cut else error
    if not found and (first.is_cut or problem):
        found = _part_of_first(first.taken[layout_of(content.head).array_at :])
    if not found and broken and problem is None:
        problem = corrupt("an element of it is no JSON", offset=0)
    return [element for element in found if isinstance(element, dict)] or found, problem


class _First:
    """The first bytes of a content, as many as are needed."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self.taken = content.head
        self.is_cut = False  # whether there is more of the content than was taken

    def rest(self) -> Iterator[bytes]:
        for chunk in self._content.rest:
            if len(self.taken) >= _MOST_BYTES:
                self.is_cut = True
                return
            self.taken += chunk
            yield chunk


def _decoded(element: bytes) -> list[Any]:
    """An element, also one with odd characters or broken items; none if it tells nothing."""
    try:
        return [decode_element(element).value]
    except (ValueError, RecursionError):
        group = split_group(element, ALL_LIST_NAMES)
    if group is None or group.shell == element:
        return []
    shell = _decoded(group.shell)
    for block in islice(group.items(), 1) if shell else ():
        texts = block.elements() if block.sound else [block.data]
        shell[0][group.lists[0][0]] = [
            item for text in texts[:SAMPLE] for item in _decoded(bytes(text))
        ]
    return shell


def _part_of_first(text: bytes) -> list[Any]:
    """A first element that is cut off, closed behind its last whole part."""
    end = 0
    inside = bytearray()  # the brackets that are open
    for token, byte, depth in tokens(text):
        if byte == QUOTE:
            continue
        if byte in OPENING:
            inside.append(byte)
        del inside[max(depth, 0) :]
        end = token.start() if byte == COMMA else token.end()
        if depth <= 0:
            break
    closing = bytes(reversed(inside)).translate(_CLOSING)
    try:
        value = decode_element(text[:end].strip(WHITE) + closing).value
    except (ValueError, RecursionError):
        return []
    return value if isinstance(value, list) else [value]


def _kind_of(head: bytes) -> str:
    kinds = (f"it is {kind}" for pattern, kind in _KIND_OF if pattern.match(head))
    return next(kinds, "it is neither JSON nor CSV with a header of known fields")
