"""Cut the rows of CSV into blocks. That there is a header is an assumption."""

from __future__ import annotations

import csv
import io
import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import UNSET

from tap_mobile_engagement.reading.cutting import MAX_ITEM_SIZE, Buffered
from tap_mobile_engagement.reading.names import FIELD_NAMES, field_names, plain
from tap_mobile_engagement.reading.values import repaired_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.batch import Column

_DELIMITERS = ",;\t"  # unless a line ``sep=`` says another
_MAX_LINES_SIZE = (
    4 << 20
)  # bytes that a row of several lines may have, before its quote is broken
_AS_IT_IS = ("utf-8", "surrogateescape")
_LARGE = 1 << 20  # bytes of rows that are read one by one, to take less memory
_LINES = 16  # behind an open quote at the end of a table that may tell that it is broken
_LINE = re.compile(r"[^\r\n]*+(?:\r\n?|\n|\Z)")
_HEADER = re.compile(rb'(?:(?i:sep=)([^\r\n"])(?:\r\n?|\n))?([^\r\n]*+)(\r\n?|\n)?')
_LEAST_KNOWN = 2  # names of a header; a single one may stand in any file
_LONGEST_NAME = 30  # characters of a known name; an id has more
_MARK = "\ufeff"


class Header(NamedTuple):
    """Column names and form of a table; ``size`` is in bytes, up to the first row."""

    names: tuple[str, ...]
    delimiter: str
    newline: bytes
    size: int


def header_of(head: bytes) -> Header | None:
    """The header of a table, from its first bytes as UTF-8; None unless it names two fields."""
    parts = next(_HEADER.finditer(head))  # it matches everywhere
    text = parts[2].decode("utf-8", "replace")
    newline = b"\r" if parts[3] == b"\r" else b"\n"
    most, best = _LEAST_KNOWN - 1, None
    for delimiter in parts[1].decode("ascii", "replace") if parts[1] else _DELIMITERS:
        with suppress(csv.Error):
            cells = next(csv.reader([text], delimiter=delimiter, strict=True), [])
            names = _without_end([cell.strip() for cell in cells])
            known = len({*map(plain, names)} & FIELD_NAMES)
            if known > most:
                most, best = known, Header(names, delimiter, newline, parts.end())
    return best


def _without_end(cells: list[str], most: int = 0) -> tuple[str, ...]:
    """Cells without the empty ones at the end, which a delimiter behind each row makes."""
    while len(cells) > most and not cells[-1]:
        cells.pop()
    return tuple(cells)


@dataclass(slots=True)
class Rows:
    """Some rows of a table, one after another; where they are not ``sound``, what is no row."""

    names: tuple[str, ...]
    rows: list[list[str]]
    offset: int  # in the content, in bytes
    sound: bool = True
    repaired: int = 0  # such a row is by itself
    text: str = ""  # of the rows; empty where it has more than them

    def columns(self, data_type: DataType) -> Iterator[tuple[str, int | None, Column]]:
        """Names, places of fields, and columns; an empty cell is missing where it may be."""
        for name, cells in zip(self.names, zip(*self.rows, strict=True), strict=True):
            place = field_names(data_type).index(name)
            column: Column = cells
            if place is None or data_type.fields[place].nullable:
                missing = UNSET if place is None else None
                column = [cell or missing for cell in cells] if "" in cells else cells
            yield name, place, column

    def element(self, data_type: DataType) -> dict[str, Any]:
        """The only row as an element of JSON would be."""
        row = ((name, column[0]) for name, _, column in self.columns(data_type))
        return {name: value for name, value in row if value is not UNSET and value is not None}

    def pieces(self) -> list[Rows]:
        """The rows, each a block of its own."""
        if len(self.rows) == 1:
            return [self]
        sizes = [len(line.encode()) for line in io.StringIO(self.text, newline="")]
        if len(sizes) != len(self.rows):  # some have several lines
            sizes = [0] * len(self.rows)
        pairs = zip(self.rows, accumulate(sizes, initial=self.offset), strict=False)
        return [Rows(self.names, [row], at) for row, at in pairs]

    @staticmethod
    def joined(pieces: list[Rows]) -> Rows:
        """One block of some pieces."""
        return Rows(pieces[0].names, [piece.rows[0] for piece in pieces], pieces[0].offset)


class TableCutter(Buffered):
    """Cuts the rows below the header; one with other cells, or broken quotes, is not sound."""

    def __init__(
        self, chunks: Iterable[bytes], header: Header, offset: int, block_size: int
    ) -> None:
        super().__init__(chunks, offset, block_size)
        self._header = header
        # The limit is the process's own; its default would be too little for a stack trace.
        csv.field_size_limit(MAX_ITEM_SIZE)

    def blocks(self) -> Iterator[Rows]:
        """All blocks, in order."""
        self._fill(self._header.size)
        self._forget(self._header.size)
        self._begin_table(self._header.names)
        step, newline = self._block_size, self._header.newline
        has_more = True
        while has_more or self._buffer:
            has_more = self._fill(step)
            end = rest = 0 if has_more else len(self._buffer)
            if has_more or step < rest:  # behind the last line within the step, else the first
                at = self._buffer.rfind(newline, 0, step) + 1
                end = at or self._buffer.find(newline, step) + 1 or rest
            has_more = has_more or end < len(self._buffer)
            found = self._whole(self._buffer[:end])
            taken = 0
            rows = [(found, end)] if found else self._one_by_one(end, has_more=has_more)
            for block, size in rows:
                taken += size
                if block is not None and block.rows:
                    yield block
                del block
            self._forget(taken)
            step = self._block_size if taken else step + min(step, _LARGE)  # for a larger row
            if step > MAX_ITEM_SIZE:
                raise self._corrupt("the content is no sound CSV: a row has no end")

    def _begin_table(self, names: tuple[str, ...]) -> None:
        """Read what follows as the columns of a header."""
        if len({*names}) < len(names) or not all(names):
            what = "a name is missing in the header, or stands there twice"
            raise self._corrupt(f"the content is no sound CSV: {what}")
        self._header = self._header._replace(names=names)
        self._names = [*map(plain, names)]
        self._known = FIELD_NAMES.union(self._names)

    def _is_header(self, cells: list[str]) -> bool:
        """Whether it is the header again, or another one of known names."""
        if plain(cells[0].strip()) not in self._known:
            return False
        names = [plain(cell.strip()) for cell in cells if cell]
        is_known = len(names) >= _LEAST_KNOWN and self._known.issuperset(names)
        return is_known or names[: len(self._names)] == self._names

    def _whole(self, data: bytes) -> Rows | None:
        """All rows of whole lines; None if one of them is none, or has to be checked."""
        is_marked = not data.isascii() and _MARK.encode() in data
        # An odd number of quotes: a row goes on, or one is broken.
        if len(data) > _LARGE or data.count(b'"') % 2 or b"\0" in data or is_marked:
            return None
        try:
            text = data.decode()
            lines = io.StringIO(text, newline="")
            rows = [*csv.reader(lines, delimiter=self._header.delimiter, strict=True)]
        except (UnicodeDecodeError, csv.Error):
            return None
        blank = [""] * len(self._names)
        if [] in rows or blank in rows:
            rows, text = [row for row in rows if any(row)], ""
        if {*map(len, rows)} - {len(blank)}:
            return None
        longest = max(_LONGEST_NAME, len(self._header.names[0]))
        if any(len(row[0]) <= longest and self._is_header(row) for row in rows):
            return None
        return Rows(self._header.names, rows, self._offset, text=text)

    def _one_by_one(self, end: int, *, has_more: bool) -> Iterator[tuple[Rows | None, int]]:
        """Rows of lines of which some are none; a row without an end waits for more lines."""
        text = str(memoryview(self._buffer)[:end], *_AS_IT_IS)
        offset = self._offset
        start = 0
        while start < len(text):
            row, end = self._row(text, start)
            first_end = next(_LINE.finditer(text, start)).end()  # it matches everywhere
            if not end and has_more and len(text) - start < _MAX_LINES_SIZE - self._block_size:
                return
            is_misfit = end > first_end and row is not None and len(row) != len(self._names)
            is_odd = not end or is_misfit
            # Quotes without a partner: one line is bad, and what follows is read anew.
            if (not end and has_more) or (
                is_odd and self._has_row(text, first_end, end or len(text))
            ):
                text = text if end else text[:first_end]
                row, end = None, first_end
            part = text[start:end]
            is_cut_off = end == len(text) and not has_more and not part.endswith(("\n", "\r"))
            if not end or (is_cut_off and row is not None and len(row) < len(self._names)):
                raise self._truncated("the content ends within a row")
            size = len(part if part.isascii() else part.encode(*_AS_IT_IS))
            block = self._block(row, part, offset)
            del row, part  # they may be large
            yield block, size
            del block
            offset += size
            start = end

    def _row(self, text: str, start: int) -> tuple[list[str] | None, int]:
        """The row that begins there, None if it is none; and its end, 0 if that is missing."""
        end = first_end = next(_LINE.finditer(text, start)).end()
        if text.find('"', start, end) < 0:
            line = text[start:end].rstrip("\r\n")
            return line.split(self._header.delimiter) if line else [], end

        def lines() -> Iterator[str]:
            nonlocal end
            for line in _LINE.finditer(text, start, max(end, start + _MAX_LINES_SIZE)):
                end = line.end()
                yield line[0]

        reader = csv.reader(lines(), delimiter=self._header.delimiter, strict=True)
        try:
            return next(reader), end
        except csv.Error as error:
            return None, 0 if "unexpected end" in str(error) else first_end

    def _has_row(self, text: str, start: int, end: int) -> bool:
        """Whether a row begins with one of some lines."""
        lines = islice(_LINE.finditer(text, start, end), _LINES)
        found = (self._row(text, line.start()) for line in lines)
        return any(
            end and row is not None and len(row) == len(self._names) for row, end in found
        )

    def _block(self, row: list[str] | None, text: str, offset: int) -> Rows | None:
        """A block of one row; None for a blank row and a repeated header."""
        names = self._header.names
        if row is not None:
            cells = [*map(repaired_text, row)]
            repaired = int(cells != row)
            cells[:1] = [cell.removeprefix(_MARK) for cell in cells[:1]]
            if not any(cells) or (len(cells) == 1 and not cells[0].strip()):
                return None  # or of delimiters
            if self._is_header(cells):
                self._begin_table(_without_end([cell.strip() for cell in cells]))
                return None
            cells = [*_without_end(cells, len(names))]
            if len(cells) == len(names):
                return Rows(names, [cells], offset, repaired=repaired)
        return Rows(names, [[repaired_text(text.rstrip("\r\n"))]], offset, sound=False)
