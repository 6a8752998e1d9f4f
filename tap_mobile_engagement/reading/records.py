"""The records of files as batches: whole blocks by types, odd items one by one."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from tap_mobile_engagement.datatypes import Kind
from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.arrays import cut_array
from tap_mobile_engagement.reading.batch import Batch, RecordIds
from tap_mobile_engagement.reading.columns import (
    Columns,
    column_of_cells,
    normalised,
    pairs,
)
from tap_mobile_engagement.reading.content import contents
from tap_mobile_engagement.reading.cutting import BLOCK_SIZE, Block, split_group
from tap_mobile_engagement.reading.decoding import ShapedReader, unknown_column
from tap_mobile_engagement.reading.elements import decode_element, decode_repeating
from tap_mobile_engagement.reading.items import ItemReader
from tap_mobile_engagement.reading.layouts import Format, layout_of
from tap_mobile_engagement.reading.names import field_names, list_names
from tap_mobile_engagement.reading.objects import cut_objects
from tap_mobile_engagement.reading.tables import Rows, cut_rows
from tap_mobile_engagement.reading.values import TOO_DEEP, BadValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.batch import Origin
    from tap_mobile_engagement.reading.columns import Column
    from tap_mobile_engagement.reading.content import Content
    from tap_mobile_engagement.reading.cutting import Decode
    from tap_mobile_engagement.reading.items import Leaf
    from tap_mobile_engagement.reading.rejects import BadRecords

_MOST_LESSONS = 16  # per content; each decodes a block once more
_AT_ONCE = 500  # elements that were decoded elsewhere, per batch

_decode = msgspec.json.Decoder().decode


def cut(
    content: Content, decode: Decode | None = None, block_size: int = BLOCK_SIZE
) -> Iterator[Block] | Iterator[Rows]:
    """Cut a content into blocks, whatever its layout.

    Offsets count bytes of content: uncompressed, as UTF-8, without a byte order mark.

    Args:
        content: The content.
        decode: How blocks of JSON are going to be decoded; it then judges the cuts.
        block_size: Bytes to take at a time.

    Raises:
        DataError: ``BLOB_TRUNCATED``, ``BLOB_CORRUPT`` or ``BLOB_UNRECOGNISED``, with the
            offset, where the damage is.
    """
    layout = layout_of(content.head)
    chunks, offset = content.chunks(), content.offset
    match layout.format:
        case Format.ARRAY:
            return cut_array(chunks, decode=decode, offset=offset, block_size=block_size)
        case Format.OBJECTS | Format.EMPTY:
            return cut_objects(chunks, decode=decode, offset=offset, block_size=block_size)
        case Format.WRAPPER:
            at = layout.array_at
            return cut_array(
                content.chunks(at),
                decode=decode,
                offset=offset + at,
                is_wrapped=True,
                block_size=block_size,
            )
        case Format.CSV:
            assert layout.header is not None  # noqa: S101  (for the type checker)
            return cut_rows(chunks, layout.header, offset=offset, block_size=block_size)
        case Format.UNKNOWN:
            raise DataError(
                Code.BLOB_UNRECOGNISED,
                "the file is neither JSON nor CSV with a header of known fields",
                next_step="Look at the file: is it an export of Mobile Engagement?",
                offset=0,
            )


class RecordReader:
    """Reads the files of one stream.

    Args:
        data_type: What the elements are.
        bad_records: Gets every item that is no record.
        encoding: What texts are encoded in that are neither UTF-8 nor UTF-16.
        block_size: Bytes of content to take at a time.

    Attributes:
        elements: Elements so far: groups, or items without groups around them.
        repaired: Elements so far in which characters had to be replaced.
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
        self._offset = 0
        self._lessons = 0
        self.elements = 0
        self.repaired = 0

    def batches(self, origin: Origin, chunks: Iterable[bytes]) -> Iterator[Batch]:
        """The records of a file, block by block.

        Args:
            origin: What all its records have in common.
            chunks: The file as it is stored, in pieces of any size.

        Raises:
            TapError: What taking the chunks raises; DataError as for :func:`cut`, or what a bad
                record means, behind all records of the blocks before it.
        """
        for content in contents(chunks, self._encoding):
            self._begin(origin)
            try:
                for block in cut(content, self._shaped.decode, self._block_size):
                    columns = self._columns(block)
                    if columns is None:
                        yield from self._in_pieces(block)
                    elif columns.values[0]:
                        yield Batch(origin, columns, self._ids)
            except DataError as error:
                raise error.at(member=content.member or None) from error.__cause__

    def batches_of_elements(self, origin: Origin, elements: Iterable[Any]) -> Iterator[Batch]:
        """The records of elements that were decoded elsewhere.

        Args:
            origin: What all records have in common.
            elements: JSON values, as :func:`~.elements.decode_element` makes them.
        """
        self._begin(origin)
        rest = iter(elements)
        while some := [*islice(rest, _AT_ONCE)]:
            yield from self._batches(self._columns_of(some))

    def _begin(self, origin: Origin) -> None:
        """Begin with another content."""
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

    def _columns(self, block: Block | Rows) -> Columns | None:
        """The values of all items of a block; None if one of them has to be read by itself."""
        if not block.sound:
            return None
        try:
            if isinstance(block, Rows):
                return self._columns_of_cells(block)
            decoded = block.decoded or self._shaped.decode(block.data)
            if decoded is None:
                return None
            columns = self._shaped.columns(decoded)
            self.elements += len(decoded[0])
        except BadValue:
            return None
        return columns

    def _columns_of_cells(self, block: Rows) -> Columns:
        names = field_names(self._data_type)
        values: list[Column | None] = [None] * len(self._data_type.fields)
        unknown: dict[str, Column] = {}
        for name, cells in zip(block.names, zip(*block.rows, strict=True), strict=False):
            place = names.index(name)
            if place is None:
                unknown[name] = [cell or UNSET for cell in cells]
            elif values[place] is None:
                values[place] = column_of_cells(self._data_type.fields[place], cells)
            else:
                raise BadValue("two columns are one field")
        certain = {*range(len(values))}
        columns = normalised(self._data_type, values, certain, len(block.rows))
        self.repaired += block.repaired
        self.elements += len(block.rows)
        return Columns(columns, unknown_column(unknown) if unknown else None)

    def _in_pieces(self, block: Block | Rows) -> Iterator[Batch]:
        """The records of a block that has no columns as it is."""
        if not block.sound:
            yield from self._by_itself(block)
            return
        columns = self._columns(block) if self._learns(block) else None
        if columns is None:
            yield from self._in_halves(block.pieces())
        else:
            yield from self._batches(columns)

    def _learns(self, block: Block | Rows) -> bool:
        """Whether a block teaches something about the shape of the elements."""
        if isinstance(block, Rows) or self._lessons >= _MOST_LESSONS:
            return False
        block.decoded = None  # by types that may change now
        try:
            elements = _decode(block.data)
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
                yield from self._batches(columns)

    def _by_itself(self, piece: Block | Rows) -> Iterator[Batch]:
        """The records of one element."""
        self.elements += 1
        self._offset = piece.offset + (1 if isinstance(piece, Block) else 0)
        if isinstance(piece, Rows):
            self.repaired += piece.repaired
            if not piece.sound:
                self._reject(
                    "the row does not fit the header, or its quotes are broken",
                    piece.rows[0][0],
                )
                return
            element = self._row(piece)
        else:
            element = self._element(piece.data[1:-1])
            if element is _NOTHING:
                return
        yield from self._batches(self._columns_of([element]))

    def _row(self, piece: Rows) -> dict[str, Any]:
        """A row as an object: an empty cell is a field that is not there, if it need not be."""
        item: dict[str, Any] = {}
        for name, cell in zip(piece.names, piece.rows[0], strict=True):
            place = field_names(self._data_type).index(name)
            field = None if place is None else self._data_type.fields[place]
            if cell or (field and not field.nullable):
                is_object = field is not None and field.kind is Kind.OBJECT
                item[name] = pairs(cell) if is_object else cell
        return item

    def _element(self, text: bytes) -> Any:
        """A decoded element; of a group that can't be decoded, the items that can."""
        wanted = list_names(self._data_type)
        try:
            decoded = decode_element(text)
            if isinstance(decoded.value, dict):
                lists = self._items.lists_of(decoded.value)
                if lists and (b"\\u" in text or _repeats(text, lists)):
                    decoded = decode_repeating(text, {*lists})
        except (ValueError, RecursionError) as error:
            group = split_group(text, wanted)
            if group is None:
                self._refuse(error, text)
                return _NOTHING
            return self._group(*group)
        self.repaired += decoded.repaired
        return decoded.value

    def _group(self, text: bytes, items: list[bytes]) -> Any:
        try:
            group, repaired = decode_element(text)
        except (ValueError, RecursionError) as error:
            for item in items:
                self._refuse(error, item)
            return _NOTHING
        decoded = []
        for item in items:
            try:
                value, is_repaired = decode_element(item)
            except (ValueError, RecursionError) as error:
                self._refuse(error, item)
            else:
                decoded.append(value)
                repaired = repaired or is_repaired
        lists = self._items.lists_of(group)
        group[next(iter(lists), self._data_type.name)] = decoded  # the others are empty
        self.repaired += repaired
        return group

    def _columns_of(self, elements: Iterable[Any]) -> Columns | None:
        """The values of the items of elements, one by one; None where they have none."""
        leaves: list[Leaf] = []
        sizes = []
        for element in elements:
            before = len(leaves)
            leaves += self._items.leaves(element)
            if self._items.is_group(element):
                sizes.append(len(leaves) - before)
        if not leaves:
            return None
        return Columns(
            [*map(list, zip(*(leaf.values for leaf in leaves), strict=True))],
            _present([leaf.unknown for leaf in leaves]),
            _present([leaf.group_unknown for leaf in leaves]),
            sizes=sizes or None,
            has_decimals=True,
        )

    def _refuse(self, error: Exception, text: bytes) -> None:
        reason = TOO_DEEP if isinstance(error, RecursionError) else f"it is no JSON: {error}"
        self._reject(reason, text.decode(errors="replace"))

    def _reject(self, reason: str, item: Any) -> None:
        blob = self._origin.blob_name
        self._bad_records.reject(reason, item, blob=blob, offset=self._offset)


_NOTHING = object()  # instead of an element


def _repeats(text: bytes, names: Iterable[str]) -> bool:
    """Whether a name stands in a text more than once, maybe not as a name."""
    return any(text.count(b'"%b"' % name.encode("utf-8", "replace")) > 1 for name in names)


def _present(column: list[dict[str, Any] | None]) -> Column | None:
    return column if any(column) else None
