"""Elements of an export file to records: un-nesting, field names, kinds, record ids.

This is the tolerant way, which takes every form that a file may have; what it makes of an item
defines what the item's record is.
"""

from __future__ import annotations

from binascii import hexlify
from dataclasses import dataclass
from io import BytesIO
from itertools import chain, repeat
from operator import itemgetter
from struct import Struct as Layout
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import xxhash

from tap_mobile_engagement.reading.names import list_names, plain
from tap_mobile_engagement.reading.values import READERS, BadValue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_mobile_engagement.datatypes import DataType


_MAX_RUN = 65_536
"""Flat rows of one group that are compared with each other, to number identical ones."""

_canonical = msgspec.json.Encoder(order="deterministic")
_hexadecimal_ids = Layout("32s").iter_unpack
_between_brace_and_newline = itemgetter(slice(1, -1))


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: no spaces, keys of objects sorted, Structs in order."""
    return _canonical.encode(value)


def canonical_tails(records: Iterable[msgspec.Struct]) -> list[bytes]:
    """The canonical JSON of each record Struct, without its opening brace."""
    return [*map(_between_brace_and_newline, encoded_lines([*records], _canonical))]


def encoded_lines(values: list[Any], encoder: msgspec.json.Encoder) -> list[bytes]:
    """The JSON text of each value, with a newline behind it.

    All are encoded at once, and the lines taken apart by what reads lines: it looks for the
    ends with ``memchr``, where ``bytes.split`` goes byte by byte.
    """
    return BytesIO(encoder.encode_lines(values)).readlines()


class Leaf(NamedTuple):
    """One leaf item.

    Attributes:
        record: Its own fields, a record Struct.
        record_id: 32 hex digits; None where the data type has ids of its own.
        unknown: Source fields that the Struct does not name; None where there are none.
    """

    record: msgspec.Struct
    record_id: str | None
    unknown: dict[str, Any] | None


class RecordIds:
    """Makes record ids: a hash over app, data type, content and occurrence number.

    The content is the canonical JSON of the item's record Struct, group key included, without
    its opening brace, and of the unknown fields of the item itself. So an id depends on what
    an item says, and not on the window, the blob, the order of keys or the spacing in which it
    came.

    The hash is XXH3 with 128 bits: nobody gains by a collision here, and a cryptographic hash
    would cost more than all other work on a record.
    """

    def __init__(self, app_name: str, data_type: DataType) -> None:
        scope = canonical([app_name, data_type.name])
        self._seed = xxhash.xxh3_64_intdigest(scope)

    def of(self, content: bytes, occurrence: int = 0) -> str:
        """The id of an item.

        Args:
            content: Its content, as the class describes it.
            occurrence: How many identical items of its group came before it.
        """
        if occurrence:
            content = b"%b#%d" % (content, occurrence)
        return xxhash.xxh3_128_hexdigest(content, self._seed)

    def of_distinct(self, contents: list[bytes]) -> list[bytes] | None:
        """The ids of items as text to put into JSON; None if two of them are identical."""
        digests = [*map(xxhash.xxh3_128_digest, contents, repeat(self._seed))]
        if len(set(digests)) < len(digests):
            return None
        return [*chain.from_iterable(_hexadecimal_ids(hexlify(b"".join(digests))))]


@dataclass(slots=True)
class _Run:
    """The group that is being read: how often each content occurred in it."""

    key: object
    seen: dict[bytes, int]

    def occurrence(self, content: bytes) -> int:
        if len(self.seen) >= _MAX_RUN:
            self.seen.clear()
        count = self.seen.get(content, 0)
        self.seen[content] = count + 1
        return count


class RecordReader:
    """Reads the elements of one data type and one app.

    Args:
        data_type: What the elements are.
        app_name: The app they belong to, part of every record id.
        reject: Called with the reason and the item for each that is no record; it raises, or
            returns to go on without it.
    """

    def __init__(
        self, data_type: DataType, app_name: str, reject: Callable[[str, Any], None]
    ) -> None:
        self._data_type = data_type
        self._names = _FieldNames(data_type)
        self._group_list = plain(data_type.group_list or "")
        self._list_names = list_names(data_type)
        self._group_field = next(
            (i for i, f in enumerate(data_type.fields) if f.name == data_type.group_key), 0
        )
        self._ids = RecordIds(app_name, data_type) if data_type.has_record_id else None
        self._reject = reject
        self._end_run()

    def _end_run(self) -> None:
        """Let the next flat row be the first of its group."""
        self._run = _Run(object(), {})

    def leaves(self, element: Any) -> Iterator[Leaf]:
        """The leaf items of one decoded element: a group of items, or a single one."""
        if not isinstance(element, dict):
            self._reject("an element has to be an object", element)
            return
        items = self._group_items(element)
        if items is None:
            yield from self._leaf(element, {}, flat=True)
            return
        if not isinstance(items, list):
            self._reject(f"{self._data_type.group_list} has to be a list", element)
            return
        group = {k: v for k, v in element.items() if v is not items}
        self._end_run()
        for item in items:
            yield from self._leaf(item, group, flat=False)

    def _group_items(self, element: dict[str, Any]) -> Any:
        """What the group's list holds; None where the element is a single item."""
        for key, value in element.items():
            name = plain(key)
            if name == self._group_list:
                return [] if value is None else value
            if isinstance(value, list) and name in self._list_names:
                return value
        return None

    def _leaf(self, item: Any, group: dict[str, Any], *, flat: bool) -> Iterator[Leaf]:
        if not isinstance(item, dict):
            self._reject("an item has to be an object", item)
            return
        try:
            values, unknown = self._names.read(item)
            group_unknown = self._add_group(values, group) if group else None
            self._names.check_required(values)
            record = self._data_type.record(*values)
            record_id = self._record_id(record, values, unknown, flat=flat)
        except BadValue as bad:
            self._reject(str(bad), {**group, **item})
            return
        except RecursionError:
            self._reject("it is nested too deep", {**group, **item})
            return
        if group_unknown:
            unknown = {**group_unknown, **(unknown or {})}
        yield Leaf(record, record_id, unknown)

    def _add_group(self, values: list[Any], group: dict[str, Any]) -> dict[str, Any] | None:
        """Fill in what the group says once for all of its items; an item's own word wins."""
        shared, unknown = self._names.read(group)
        for index, value in enumerate(shared):
            if values[index] is None:
                values[index] = value
        return unknown

    def _record_id(
        self, record: msgspec.Struct, values: list[Any], unknown: Any, *, flat: bool
    ) -> str | None:
        try:
            content = canonical(record)[1:] + (canonical(unknown) if unknown else b"")
        except (TypeError, UnicodeEncodeError, RecursionError) as error:
            raise BadValue(f"it can't be written as JSON: {error}") from None
        if self._ids is None:
            return None
        if flat:
            # Rows of one group follow each other where a file does not nest them.
            key = values[self._group_field]
            if key != self._run.key:
                self._run = _Run(key, {})
        return self._ids.of(content, self._run.occurrence(content))


class _FieldNames:
    """Finds the fields of a data type under the names that a file may give them."""

    def __init__(self, data_type: DataType) -> None:
        self._fields = data_type.fields
        self._readers = [READERS[field.kind] for field in self._fields]
        self._indexes = {
            plain(source): index
            for index, field in reversed([*enumerate(self._fields)])
            for source in reversed((*field.sources, field.name))
        }
        paths = [source for field in self._fields for source in field.sources]
        self._parents = {plain(path.split(".")[0]) for path in paths if "." in path}
        self._required = [
            (index, field.name)
            for index, field in enumerate(self._fields)
            if not field.nullable
        ]

    def read(self, item: dict[str, Any]) -> tuple[list[Any], dict[str, Any] | None]:
        """The values of all fields, None where the item has none; and what is not a field.

        Raises:
            BadValue: If a field can't hold its value.
        """
        values: list[Any] = [None] * len(self._fields)
        unknown: dict[str, Any] = {}
        self._read_into(values, unknown, item, "")
        return values, unknown or None

    def _read_into(
        self, values: list[Any], unknown: dict[str, Any], item: dict[str, Any], path: str
    ) -> None:
        for key, value in item.items():
            index = self._indexes.get(path + key)
            if index is None:
                index = self._indexes.get(path + plain(key))
            if index is not None and values[index] is None:
                if value is not None:
                    values[index] = self._read_value(index, value)
            elif not path and isinstance(value, dict) and plain(key) in self._parents:
                rest: dict[str, Any] = {}
                self._read_into(values, rest, value, plain(key) + ".")
                if rest:
                    unknown[key] = rest
            else:
                unknown[key] = value

    def _read_value(self, index: int, value: Any) -> Any:
        try:
            return self._readers[index](value)
        except BadValue as bad:
            raise BadValue(f"{self._fields[index].name}: {bad}") from None

    def check_required(self, values: list[Any]) -> None:
        """Raise BadValue if a field that can't be null has no value."""
        for index, name in self._required:
            if values[index] is None:
                raise BadValue(f"{name} is missing")
