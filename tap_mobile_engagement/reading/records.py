"""The records of files as batches: whole blocks by types, odd items one by one."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from tap_mobile_engagement.errors import DataError
from tap_mobile_engagement.reading.batch import Batch, RecordIds
from tap_mobile_engagement.reading.columns import Columns, column_of_cells, normalised
from tap_mobile_engagement.reading.content import contents
from tap_mobile_engagement.reading.cutting import BLOCK_SIZE, Block, tokens
from tap_mobile_engagement.reading.decoding import LARGE, ShapedReader, unknown_column
from tap_mobile_engagement.reading.elements import decode_element
from tap_mobile_engagement.reading.elements import repaired as clean
from tap_mobile_engagement.reading.groups import split_group
from tap_mobile_engagement.reading.items import ItemReader
from tap_mobile_engagement.reading.layouts import cut
from tap_mobile_engagement.reading.names import field_names, list_names
from tap_mobile_engagement.reading.tables import Rows
from tap_mobile_engagement.reading.values import TOO_DEEP, BadValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.batch import Origin
    from tap_mobile_engagement.reading.columns import Column
    from tap_mobile_engagement.reading.groups import Group
    from tap_mobile_engagement.reading.rejects import BadRecords

MAX_ITEM_SIZE = 64 << 20
"""Bytes that a single item may have."""

MAX_ITEM_VALUES = 200_000
"""Values in objects and lists that an item beyond 512 KiB may have: each takes 100 bytes."""

_MOST_LESSONS = 16  # per content; each decodes a block once more
_AT_ONCE = 500  # elements that were decoded elsewhere, per batch

_decoder = msgspec.json.Decoder()


class RecordReader:
    """Reads the files of one stream; ``bad_records`` gets every item that is no record.

    ``encoding`` is that of text which is neither UTF-8 nor UTF-16. ``elements`` so far are
    groups, or items without groups; in the ``repaired`` ones characters had to be replaced.
    """

    def __init__(
        self,
        data_type: DataType,
        bad_records: BadRecords,
        encoding: str | None = None,
        *,
        block_size: int = BLOCK_SIZE,
    ) -> None:
        self._data_type = data_type
        self._bad_records = bad_records
        self._encoding = encoding
        self._block_size = block_size
        self._shaped = ShapedReader(data_type)
        self._items = ItemReader(data_type, self._reject)
        self._ids: RecordIds | None = None
        self._app_name: str | None = None
        self._origin: Origin
        self._offset = 0  # of the element that is read by itself
        self._lessons = 0
        self.elements = 0
        self.repaired = 0

    def batches(self, origin: Origin, chunks: Iterable[bytes]) -> Iterator[Batch]:
        """The records of a file, block by block; errors come after all records before them."""
        for content in contents(chunks, self._encoding):
            self._begin(origin)
            try:
                for block in cut(content, self._shaped.decode, self._block_size):
                    if isinstance(block, Block):
                        columns = self._shaped.columns(block)
                    else:
                        columns = self._columns_of_rows(block)
                    if columns is None:
                        yield from self._in_pieces(block)
                        continue
                    self.elements += columns.elements
                    if columns.values[0]:
                        yield Batch(origin, columns, self._ids)
            except DataError as error:
                raise error.at(member=content.member or None) from error.__cause__

    def batches_of_elements(self, origin: Origin, elements: Iterable[Any]) -> Iterator[Batch]:
        """The records of elements that were decoded elsewhere."""
        self._begin(origin)
        rest = map(self._repaired, elements)
        while some := [*islice(rest, _AT_ONCE)]:
            yield from self._batches(self._items.columns(some))

    def _repaired(self, element: Any) -> Any:
        """An element that a target can take; counted where something had to be replaced."""
        with suppress(RecursionError):  # nested too deep: its item is a bad record
            element, is_repaired = clean(element)
            self.repaired += is_repaired
        return element

    def _begin(self, origin: Origin) -> None:
        self._origin = origin
        self._offset = self._lessons = 0
        if origin.app_name != self._app_name:
            self._app_name = origin.app_name
            if self._data_type.has_record_id:
                self._ids = RecordIds(origin.app_name, self._data_type)
        if self._ids is not None:
            self._ids.begin()

    def _batches(self, columns: Columns | None) -> Iterator[Batch]:
        if columns is not None and columns.values[0]:
            yield Batch(self._origin, columns, self._ids)

    def _of_elements(self, columns: Columns) -> Iterator[Batch]:
        self.elements += columns.elements
        yield from self._batches(columns)

    def _columns(self, block: Block | Rows) -> Columns | None:
        """The values of all items of a block; None if one of them has to be read by itself."""
        if isinstance(block, Rows):
            return self._columns_of_rows(block)
        return self._shaped.columns(block)

    def _source_columns(self, rows: Rows) -> Iterator[tuple[str, int | None, Column]]:
        """The columns of rows with their names, and the places of their fields."""
        names = field_names(self._data_type)
        for name, cells in zip(rows.names, zip(*rows.rows, strict=True), strict=True):
            place = names.index(name)
            field = None if place is None else self._data_type.fields[place]
            yield name, place, column_of_cells(field, cells)

    def _columns_of_rows(self, rows: Rows) -> Columns | None:
        values: list[Column | None] = [None] * len(self._data_type.fields)
        unknown: dict[str, Column] = {}
        for name, place, column in self._source_columns(rows) if rows.sound else ():
            if place is None:
                unknown[name] = column
            elif values[place] is None:
                values[place] = column
            else:
                return None  # two columns are one field
        certain = {*range(len(values))}
        count = len(rows.rows)
        try:
            columns = normalised(self._data_type, values, certain, count)
        except BadValue:
            return None
        self.repaired += rows.repaired
        return Columns(columns, unknown_column(unknown) if unknown else None, elements=count)

    def _in_pieces(self, block: Block | Rows) -> Iterator[Batch]:
        """The records of a block that has no columns as it is."""
        if not block.sound:
            yield from self._by_itself(block)
            return
        columns = self._columns(block) if self._learns(block) else None
        if columns is None:
            yield from self._in_halves(block.pieces())
        else:
            yield from self._of_elements(columns)

    def _learns(self, block: Block | Rows) -> bool:
        """Whether a block teaches something about the shape of the elements."""
        if isinstance(block, Rows) or self._lessons >= _MOST_LESSONS or len(block.data) > LARGE:
            return False
        block.decoded = None  # by types that may change now
        is_array = block.data.startswith(b"[")
        try:
            decode: Any = _decoder.decode if is_array else _decoder.decode_lines
            elements = decode(block.data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return False
        self._lessons += 1
        return self._shaped.learn(elements, is_new=self._lessons == 1)

    def _in_halves(self, pieces: Sequence[Any]) -> Iterator[Batch]:
        """The records of elements, as many at once as have columns."""
        if len(pieces) == 1:
            yield from self._by_itself(pieces[0])
            return
        middle = len(pieces) // 2
        for half in (pieces[:middle], pieces[middle:]):
            columns = self._columns(type(half[0]).joined(half))
            if columns is None:
                yield from self._in_halves(half)
            else:
                yield from self._of_elements(columns)

    def _by_itself(self, piece: Block | Rows) -> Iterator[Batch]:
        self.elements += 1
        self._offset = piece.offset
        if isinstance(piece, Rows):
            self.repaired += piece.repaired
            if not piece.sound:
                reason = "the row does not fit the header, or its quotes are broken"
                self._reject(reason, piece.rows[0][0])
                return
            row = {name: column[0] for name, _, column in self._source_columns(piece)}
            item = {k: v for k, v in row.items() if v is not UNSET and v is not None}
            yield from self._batches(self._items.columns([item]))
            return
        text = piece.data
        if piece.sound:
            text = text[1:-1]
            self._offset += 1
        group = split_group(text, list_names(self._data_type))
        if group is not None:
            yield from self._of_group(group, text)
            return
        element, repaired, fault = _decoded(text)
        if fault:
            self._reject(fault, text.decode(errors="replace"))
            return
        self.repaired += repaired
        yield from self._batches(self._items.columns([element]))

    def _of_group(self, group: Group, text: bytes) -> Iterator[Batch]:
        shell, repaired, fault = _decoded(group.shell)
        names = [name for name, _ in group.lists]
        names += [] if fault else self._items.lists_of(shell)
        if not (fault or all(isinstance(shell.get(name), list | None) for name in names)):
            self._items.columns([shell])  # for the reason
            return
        continues = has_items = False
        for block in group.items():
            columns = None
            if block.sound and len(text) > LARGE:
                columns = self._columns(Block(group.with_items(block.data[1:-1]), 0))
            if columns is None:
                items = []
                for piece in block.pieces() if block.sound else [block]:
                    data = piece.data[1:-1] if piece.sound else piece.data
                    item, is_repaired, reason = _decoded(data)
                    if fault or reason:
                        self._reject(fault or reason, data.decode(errors="replace"))
                    else:
                        items.append(item)
                        repaired = repaired or is_repaired
                has_items = has_items or bool(items)
                if items:
                    rest = {name: shell[name] for name in shell if name not in names}
                    whole = rest | {names[0]: items}
                    columns = self._items.columns([whole])
            if columns is not None:
                starts = [] if continues else [0]
                yield from self._batches(columns._replace(starts=starts, is_part=True))
                continues = has_items = True
        if not (has_items or fault):
            self._items.columns([shell])  # what it holds beside may be items
        self.repaired += repaired

    def _reject(self, reason: str, item: Any) -> None:
        blob = self._origin.blob_name
        self._bad_records.reject(reason, item, blob=blob, offset=self._offset)


def _decoded(text: bytes) -> tuple[Any, bool, str]:
    """A decoded element or item, whether it was repaired, and why it is none."""
    try:
        check_cost(text)
        return *decode_element(text), ""
    except RecursionError:
        return None, False, TOO_DEEP
    except BadValue as bad:
        return None, False, str(bad)
    except ValueError as error:
        return None, False, f"it is no JSON: {error}"


def check_cost(text: bytes) -> None:
    """Raise BadValue for JSON that would take too much memory when it is decoded."""
    if len(text) <= LARGE:
        return
    if len(text) > MAX_ITEM_SIZE:
        raise BadValue(f"it has more than {MAX_ITEM_SIZE} bytes")
    if sum(map(text.count, (b",", b"{", b"["))) > MAX_ITEM_VALUES:
        marks = (True for _, byte, _ in tokens(text) if byte in b",{[")
        if any(islice(marks, MAX_ITEM_VALUES, None)):
            raise BadValue(f"it has more than {MAX_ITEM_VALUES} values")
