"""Elements one by one: this defines the record of an item, whatever form the file has.

The types of :mod:`.decoding` read whole blocks with the same outcome.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.reading.columns import Columns
from tap_mobile_engagement.reading.names import field_names, lists_in, plain
from tap_mobile_engagement.reading.values import (
    READERS,
    BadValue,
    check_nested,
    holds_objects,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_mobile_engagement.datatypes import DataType

    Object = dict[str, Any]
    # The values of an item, by field; its unknown fields, and those of the group around it.
    Item = tuple[list[Any], Object | None, Object | None]


class ItemReader:
    """Reads elements of one data type."""

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
            items += self._items(element)
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
        if not isinstance(element, dict):
            self._reject("an element has to be an object", element)
            return
        lists = lists_in(element, self._data_type)
        if not lists:
            yield from self._item(element, {}, None)
            return
        group = {key: value for key, value in element.items() if key not in lists}
        items: list[Any] = []
        for name in lists:
            if not isinstance(element[name], list | None):
                self._reject(f"{self._data_type.group_list} has to be a list", element)
                return
            items += element[name] or []
        has_items = any(isinstance(item, dict) for item in items)
        for name, value in group.items():
            is_field = self._names.index(name) is not None
            is_used = not isinstance(value, list) if is_field else has_items
            if not is_used and holds_objects(value):
                self._reject(f"objects stand in {name!r} instead of the list of items", element)
                return
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
                places = {key: self._names.index(key) for key in group}
                lacking = {k for k, at in places.items() if at is None or values[at] is None}
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
