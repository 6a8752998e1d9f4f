"""The records of files as batches: whole blocks by types, odd items one by one."""

from __future__ import annotations

from contextlib import suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.errors import DataError
from tap_mobile_engagement.reading.arrays import ArrayCutter
from tap_mobile_engagement.reading.batch import Batch, Columns, RecordIds
from tap_mobile_engagement.reading.content import contents
from tap_mobile_engagement.reading.cutting import (
    BLOCK_SIZE,
    BRACKET,
    MAX_ITEM_SIZE,
    QUOTE,
    Block,
    tokens,
)
from tap_mobile_engagement.reading.decoding import LARGE, ShapedReader
from tap_mobile_engagement.reading.names import field_names, lists_in, plain
from tap_mobile_engagement.reading.recognise import cut
from tap_mobile_engagement.reading.tables import Rows
from tap_mobile_engagement.reading.values import (
    READERS,
    TOO_DEEP,
    BadValue,
    check_nested,
    decode_element,
    decode_lenient,
    holds_objects,
    repaired,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.batch import Origin
    from tap_mobile_engagement.reading.rejects import BadRecords

    Object = dict[str, Any]
    # The values of an item, by field; its unknown fields, and those of the group around it.
    Item = tuple[list[Any], Object | None, Object | None]
    # Its text with its lists empty, where the first list's items belong, the lists by name.
    _Group = tuple[bytes, int, list[tuple[str, bytes]]]

_MOST_VALUES = 200_000  # in objects and lists of an item beyond 512 KiB: each takes 100 bytes
_IN_LIST = 2  # levels, in the list of a group
_MOST_SHARED = 8 << 20  # bytes that the items of a batch repeat of their groups
_FEW = 4  # elements that are read by themselves, because to try them together costs more
_AT_ONCE = 500  # elements that were decoded elsewhere, per batch


class ItemReader:
    """Reads elements one by one: this defines what the record of an item is."""

    def __init__(self, data_type: DataType, reject: Callable[[str, Any], None]) -> None:
        self._data_type = data_type
        self._names = field_names(data_type)
        self._readers = [READERS[field.kind] for field in data_type.fields]
        self._reject = reject

    def columns(self, elements: Iterable[Any]) -> Columns:
        """The values of the items of decoded elements."""
        items: list[Item] = []
        starts = []
        for element in elements:
            if isinstance(element, dict) and lists_in(element, self._data_type):
                starts.append(len(items))
            try:
                items += self._items(element)
            except BadValue as bad:
                self._reject(str(bad), element)
        rows = [values for values, _, _ in items]
        unknown = [own for _, own, _ in items]
        group_unknown = [theirs for _, _, theirs in items]
        return Columns(
            [[row[place] for row in rows] for place in range(len(self._readers))],
            unknown if any(unknown) else None,
            group_unknown if any(group_unknown) else None,
            starts or None,
            has_decimals=True,
        )

    def _items(self, element: Any) -> Iterator[Item]:
        """The items of an element; BadValue, before any of them, if all are bad."""
        if not isinstance(element, dict):
            raise BadValue("an element has to be an object")
        lists = lists_in(element, self._data_type)
        if not lists:
            yield from self._item(element, {}, None)
            return
        group = {key: value for key, value in element.items() if key not in lists}
        items: list[Any] = []
        for name in lists:
            if not isinstance(element[name], list | None):
                raise BadValue(f"{self._data_type.group_list} has to be a list")
            items += element[name] or []
        has_items = any(isinstance(item, dict) for item in items)
        for name, value in group.items():
            is_field = self._names.index(name) is not None
            is_used = not isinstance(value, list) if is_field else has_items
            if not is_used and holds_objects(value):
                raise BadValue(f"objects stand in {name!r} instead of the list of items")
        shared = None
        with suppress(BadValue):  # each item tells whether it needs the bad value
            shared = self._read(group)
        for item in items:
            yield from self._item(item, group, shared)

    def _item(
        self, item: Any, group: Object, shared: tuple[list[Any], Object | None] | None
    ) -> Iterator[Item]:
        """The item as a record has it, unless it is none."""
        if not isinstance(item, dict):
            self._reject("an item has to be an object", item)
            return
        try:
            values, unknown = self._read(item)
            if shared is None:
                places = [(key, self._names.index(key)) for key in group]
                lacking = [k for k, at in places if at is None or values[at] is None]
                shared = self._read({key: group[key] for key in lacking})
            # What the group says once for all of its items; an item's own word wins.
            pairs = zip(values, shared[0], strict=True)
            values = [theirs if own is None else own for own, theirs in pairs]
            for field, value in zip(self._data_type.fields, values, strict=True):
                if value is None and not field.nullable:
                    raise BadValue(f"{field.name} is missing")  # noqa: TRY301
        except BadValue as bad:
            self._reject(str(bad), {**group, **item})
        else:
            yield values, unknown, shared[1]

    def _read(self, item: Object) -> tuple[list[Any], Object | None]:
        """The values of all fields, None where the item has none; and what is not a field."""
        values: list[Any] = [None] * len(self._readers)
        unknown = self._read_into(values, item, "")
        check_nested(unknown)
        return values, unknown or None

    def _read_into(self, values: list[Any], item: Object, parent: str) -> Object:
        unknown: Object = {}
        for key, value in item.items():
            place = self._names.index(key, parent)
            is_parent = not parent and plain(key) in self._names.parents and key not in unknown
            if place is not None and values[place] is None:
                try:
                    values[place] = None if value is None else self._readers[place](value)
                except BadValue as bad:
                    raise BadValue(f"{self._data_type.fields[place].name}: {bad}") from None
            elif not (is_parent and isinstance(value, dict | None)):
                unknown[key] = value
            elif rest := self._read_into(values, value or {}, plain(key)):
                unknown[key] = rest
        return unknown


def _split_group(element: bytes, list_names: Collection[str]) -> _Group | None:
    """A group of items, by its strings and brackets alone; None if the element is none."""
    begin = taken = place = 0
    string = shell = b""
    name = ""
    lists: list[tuple[str, bytes]] = []
    for token, byte, depth in tokens(element):
        if depth == 1:
            if byte == QUOTE:
                string = token[0]
            elif begin and token[0] == b"]":
                at = token.start()
                lists.append((name, element[begin - 1 : at + 1]))
                shell += element[taken:begin]
                place = place or len(shell)
                taken, begin = at, 0
        elif depth == _IN_LIST and byte == BRACKET:
            name = ""
            with suppress(ValueError):
                name = str(decode_lenient(string))
            begin = token.end() if plain(name) in list_names else 0
    return None if begin or not lists else (shell + element[taken:], place, lists)


class RecordReader:
    """Reads the files of one stream; ``bad_records`` gets every item that is no record."""

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
        self._origin: Origin
        self._offset = 0  # of the element that is read by itself
        self.elements = 0  # so far: groups, or items without groups
        self.repaired = 0  # elements in which characters had to be replaced

    def batches(self, origin: Origin, chunks: Iterable[bytes]) -> Iterator[Batch]:
        """The records of a file, block by block; errors come after all records before them."""
        for content in contents(chunks, self._encoding):
            self._begin(origin)
            try:
                for block in cut(content, self._shaped.decode, self._block_size):
                    columns = self._shaped.columns(block)
                    for some in self._in_pieces(block) if columns is None else (columns,):
                        self.elements += some.elements
                        self.repaired += some.repaired
                        is_large = some.shared * len(some.values[0]) > _MOST_SHARED
                        for part in some.parts(_MOST_SHARED) if is_large else (some,):
                            if part.values[0]:
                                yield Batch(origin, part, self._ids)
            except DataError as error:
                raise error.at(member=content.member or None) from error.__cause__

    def batches_of_elements(self, origin: Origin, elements: Iterable[Any]) -> Iterator[Batch]:
        """The records of elements that were decoded elsewhere."""
        self._begin(origin)
        rest = iter(elements)
        while some := [*islice(rest, _AT_ONCE)]:
            for at, element in enumerate(some):
                with suppress(RecursionError):  # nested too deep: its item is a bad record
                    some[at], is_repaired = repaired(element)
                    self.repaired += is_repaired
            columns = self._items.columns(some)
            if columns.values[0]:
                yield Batch(origin, columns, self._ids)

    def _begin(self, origin: Origin) -> None:
        self._origin = origin
        self._offset = 0
        self._shaped.lessons = 0
        if self._data_type.has_record_id:
            self._ids = RecordIds(origin.app_name, self._data_type)

    def _in_pieces(self, block: Block | Rows) -> Iterator[Columns]:
        """The columns of a block that has none as it is."""
        if not block.sound:
            yield from self._by_itself(block)
        elif columns := self._learned(block):
            yield columns
        else:
            yield from self._in_halves(block.pieces())

    def _learned(self, block: Block | Rows) -> Columns | None:
        """The columns of a block of which the shape learns."""
        return self._shaped.columns(block) if self._shaped.learns(block) else None

    def _in_halves(self, pieces: Sequence[Any]) -> Iterator[Columns]:
        """The columns of elements, of as many at once as have some."""
        if len(pieces) <= _FEW:
            for piece in pieces:
                yield from self._by_itself(piece)
            return
        middle = len(pieces) // 2
        for half in (pieces[:middle], pieces[middle:]):
            columns = self._shaped.columns(half[0].joined(half))
            if columns is None:
                yield from self._in_halves(half)
            else:
                yield columns

    def _by_itself(self, piece: Block | Rows) -> Iterator[Columns]:
        """The columns of one element; of a large group in parts."""
        self.elements += 1
        self._offset = piece.offset
        if isinstance(piece, Rows):
            self.repaired += piece.repaired
            if piece.sound:
                yield self._items.columns([piece.element(self._data_type)])
            else:
                reason = "the row does not fit the header, or its quotes are broken"
                self._reject(reason, piece.rows[0][0])
            return
        self._offset += piece.sound
        text = piece.text
        group = _split_group(text, field_names(self._data_type).lists)
        if group is not None:
            yield from self._of_group(group, is_large=len(text) > LARGE)
            return
        element, is_repaired, fault = _decoded(text)
        self.repaired += is_repaired
        if fault:
            self._reject(fault, text.decode(errors="replace"))
        else:
            yield self._items.columns([element])

    def _of_group(self, group: _Group, *, is_large: bool) -> Iterator[Columns]:
        text, place, lists = group
        shell, has_repairs, fault = _decoded(text)
        names = [name for name, _ in lists]
        names += [] if fault else lists_in(shell, self._data_type)
        if not (fault or all(isinstance(shell.get(name), list | None) for name in names)):
            self._items.columns([shell])  # for the reason
            return
        is_first, has_items = True, False
        blocks = (ArrayCutter([each]).blocks() for _, each in lists)
        for block in chain.from_iterable(blocks):
            columns = None
            if block.sound and is_large:
                part = Block(b"[%b%b%b]" % (text[:place], block.text, text[place:]), 0)
                columns = self._shaped.columns(part) or self._learned(part)
            if columns is None:
                items = []
                for piece in block.pieces() if block.sound else [block]:
                    item, is_repaired, reason = _decoded(piece.text)
                    if fault or reason:
                        self._reject(fault or reason, piece.text.decode(errors="replace"))
                    else:
                        items.append(item)
                        has_repairs |= is_repaired
                if items:
                    has_items = True
                    rest = {name: shell[name] for name in shell if name not in names}
                    columns = self._items.columns([rest | {names[0]: items}])
            if columns is not None and columns.values[0]:
                starts = [0] if is_first else []
                size = max(columns.shared, len(text))
                yield columns._replace(starts=starts, is_part=True, elements=0, shared=size)
                is_first = False
        if is_first and not (has_items or fault):
            self._items.columns([shell])  # what it holds beside may be items
        self.repaired += has_repairs

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
    if len(text) > MAX_ITEM_SIZE:
        raise BadValue(f"it has more than {MAX_ITEM_SIZE} bytes")
    if len(text) > LARGE and sum(map(text.count, (b",", b"{", b"["))) > _MOST_VALUES:
        marks = (True for _, byte, _ in tokens(text) if byte in b",{[")
        if any(islice(marks, _MOST_VALUES, None)):
            raise BadValue(f"it has more than {_MOST_VALUES} values")
