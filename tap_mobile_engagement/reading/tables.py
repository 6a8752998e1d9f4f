"""Rows of CSV as blocks of JSON objects, keyed by the names in the header.

All values are texts; an empty cell is a field that is not there. What a text means is for the
field's kind to say, as for any other form. The layout of CSV exports is not documented: it is
an assumption that there is a header, and that ``extras`` and ``tags`` are JSON text or
``key=value`` pairs.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, NoReturn

import msgspec

from tap_mobile_engagement.datatypes import DATA_TYPES, Kind
from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.arrays import Block
from tap_mobile_engagement.reading.names import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DELIMITERS = (",", ";", "\t")
"""What may stand between two cells."""

MAX_ROW_SIZE = 128 << 20
"""Bytes that a row, or characters that a cell may have; a larger one is taken as broken."""

_ROWS = 64  # per block: errors are located by the block's offset and what it holds before
_PAIR_SEPARATORS = (";", "|", "&", ",")

FIELD_NAMES = frozenset(
    plain(name)
    for data_type in DATA_TYPES
    for field in data_type.fields
    for name in (field.name, *field.sources)
)
"""The plain names of all fields of all data types."""

_OBJECT_NAMES = frozenset(
    plain(name)
    for data_type in DATA_TYPES
    for field in data_type.fields
    if field.kind is Kind.OBJECT
    for name in (field.name, *field.sources)
)


def header_of(head: bytes) -> tuple[str, list[str]] | None:
    """The delimiter and the names in the header of a table.

    Args:
        head: The beginning of a content, as UTF-8.

    Returns:
        Those of the delimiter that finds the most names of known fields, of which there have
        to be two; None where the content has no such header.
    """
    line = head.lstrip(b"\r\n").partition(b"\n")[0].decode("utf-8", "replace")
    found = []
    for delimiter in DELIMITERS:
        try:
            names = next(csv.reader([line], delimiter=delimiter, strict=True), [])
        except csv.Error:
            continue
        names = [name.strip() for name in names]
        known = len({plain(name) for name in names} & FIELD_NAMES)
        found.append((known, delimiter, names))
    if not found:
        return None
    known, delimiter, names = max(found, key=lambda each: each[0])
    return (delimiter, names) if known > 1 else None


def read_table(chunks: Iterable[bytes], delimiter: str) -> Iterator[Block]:
    """Blocks of the rows below the header.

    Args:
        chunks: The content as UTF-8, in pieces of any size.
        delimiter: What stands between cells.

    Yields:
        All rows in order. A row with more or fewer cells than the header is an unsound block
        of its own. Offsets are those of the first row of a block.

    Raises:
        DataError: ``BLOB_TRUNCATED`` where the content ends within a quoted cell, or within
            its last row; ``BLOB_CORRUPT`` where the quotes are broken, a name stands twice in
            the header, or a row has no end.
    """
    # The limit is the process's own; 128 KiB by default would be too little for a stack trace.
    csv.field_size_limit(MAX_ROW_SIZE)
    yield from _TableReader(chunks, delimiter).blocks()


class _TableReader:
    """One pass over a table.

    Args:
        chunks: The content.
        delimiter: What stands between cells.
    """

    def __init__(self, chunks: Iterable[bytes], delimiter: str) -> None:
        self._chunks = chunks
        self._delimiter = delimiter
        self._offset = 0  # behind the last line that was taken
        self._ends_with_newline = True
        self._names: list[str] = []
        self._objects: list[str] = []  # names of columns that hold objects

    def blocks(self) -> Iterator[Block]:
        rows: list[dict[str, object]] = []
        begin = 0
        for offset, row in self._rows():
            if not self._names:
                self._take_header(row)
                continue
            if not rows:
                begin = offset
            if len(row) > len(self._names) and not any(row[len(self._names) :]):
                del row[len(self._names) :]  # a delimiter at the end of each row
            if len(row) == len(self._names):
                rows.append(self._fields(row))
                if len(rows) < _ROWS:
                    continue
            if rows:
                yield Block(_encoded(rows), begin)
                rows = []
            if len(row) != len(self._names):
                yield self._unsound(row, offset)
        if rows:
            yield Block(_encoded(rows), begin)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Rows that hold anything, each with where it begins in the content."""
        reader = csv.reader(self._lines(), delimiter=self._delimiter, strict=True)
        while True:
            offset = self._offset
            try:
                row = next(reader, None)
            except csv.Error as error:
                self._fail(str(error))
            if row is None:
                return
            if row:
                yield offset, row

    def _lines(self) -> Iterator[str]:
        """Lines with their ends; bytes that are no UTF-8 become lone surrogates."""
        rest = b""
        for chunk in self._chunks:
            lines = io.BytesIO(chunk).readlines()
            lines[0] = rest + lines[0]
            rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
            for line in lines:
                yield self._take(line)
            if len(rest) > MAX_ROW_SIZE:
                self._fail("a line has no end")
        if rest:
            self._ends_with_newline = False
            yield self._take(rest)

    def _take(self, line: bytes) -> str:
        self._offset += len(line)
        return line.decode("utf-8", "surrogateescape")

    def _take_header(self, row: list[str]) -> None:
        names = [name.strip() for name in row]
        while names and not names[-1]:
            names.pop()
        if len(set(names)) != len(names) or not all(names):
            self._fail("a name is missing in the header, or stands there twice")
        self._names = names
        self._objects = [name for name in names if plain(name) in _OBJECT_NAMES]

    def _fields(self, row: list[str]) -> dict[str, object]:
        cells = zip(self._names, row, strict=True)
        fields: dict[str, object] = {name: cell for name, cell in cells if cell}
        for name in self._objects:
            if name in fields:
                fields[name] = _pairs(str(fields[name]))
        return fields

    def _unsound(self, row: list[str], offset: int) -> Block:
        """A row of the wrong width, as its text; it is cut off if the content ends in it."""
        if len(row) < len(self._names) and not self._ends_with_newline:
            self._fail("unexpected end of data")
        text = io.StringIO()
        csv.writer(text, delimiter=self._delimiter, lineterminator="").writerow(row)
        data = text.getvalue().encode("utf-8", "replace")
        return Block(b"[" + data + b"]", offset - 1, sound=False)

    def _fail(self, reason: str) -> NoReturn:
        if "unexpected end" in reason:
            raise DataError(
                Code.BLOB_TRUNCATED,
                "the content ends within a row",
                next_step="Copy or export the file again",
                offset=self._offset,
            )
        what = f"the content is no sound CSV: {reason}"
        raise DataError(Code.BLOB_CORRUPT, what, offset=self._offset)


def _pairs(cell: str) -> object:
    """An object given as ``key=value`` pairs; any other text as it is."""
    if "=" not in cell or cell.lstrip().startswith("{"):
        return cell
    present = [separator for separator in _PAIR_SEPARATORS if separator in cell]
    for separator in present or _PAIR_SEPARATORS[:1]:
        pairs = [piece.partition("=") for piece in cell.split(separator) if piece.strip()]
        if all(equals for _, equals, _ in pairs):
            return {key.strip(): value.strip() for key, _, value in pairs}
    return cell


def _encoded(rows: list[dict[str, object]]) -> bytes:
    try:
        return msgspec.json.encode(rows)
    except UnicodeEncodeError:
        # Bytes that are no UTF-8 stay what they are: whoever decodes the element repairs it.
        return json.dumps(rows, ensure_ascii=False).encode("utf-8", "surrogateescape")
