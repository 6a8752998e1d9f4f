"""One element by itself: un-nesting, names of fields, kinds of values.

What this makes of an item defines what the item's record is, whatever form the file has. Whole
blocks are read by the types of :mod:`.shapes`, with the same outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tap_mobile_engagement.reading.names import field_names, list_names, plain
from tap_mobile_engagement.reading.values import READERS, TOO_DEEP, BadValue, check_depth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_mobile_engagement.datatypes import DataType

_canonical = msgspec.json.Encoder(order="deterministic", decimal_format="number").encode


class Leaf(NamedTuple):
    """One leaf item.

    Attributes:
        values: Its own fields, in the order of the data type's.
        unknown: Fields of the item that the data type does not name; None where there are none.
        group_unknown: The same of the group around it.
    """

    values: list[Any]
    unknown: dict[str, Any] | None
    group_unknown: dict[str, Any] | None


class ItemReader:
    """Reads elements of one data type.

    Args:
        data_type: What the elements are.
        reject: Called with the reason and the item for each that is no record; it raises, or
            returns to continue without it.
    """

    def __init__(self, data_type: DataType, reject: Callable[[str, Any], None]) -> None:
        self._data_type = data_type
        self._names = field_names(data_type)
        self._readers = [READERS[field.kind] for field in data_type.fields]
        self._list_names = list_names(data_type)
        self._required = [
            (index, field.name)
            for index, field in enumerate(data_type.fields)
            if not field.nullable
        ]
        self._reject = reject

    def is_group(self, element: Any) -> bool:
        """Whether an element is a group of items, rather than a single one."""
        return isinstance(element, dict) and bool(self.lists_of(element))

    def leaves(self, element: Any) -> Iterator[Leaf]:
        """The leaf items of a decoded element."""
        if not isinstance(element, dict):
            self._reject("an element has to be an object", element)
            return
        lists = self.lists_of(element)
        if not lists:
            yield from self._leaf(element, {}, None, None)
            return
        group = {key: value for key, value in element.items() if key not in lists}
        items: list[Any] = []
        for name in lists:
            if not isinstance(element[name], list | None):
                self._reject(f"{self._data_type.group_list} has to be a list", element)
                return
            items += element[name] or []
        shared: list[Any] | None
        try:
            shared, unknown = self._read(group)
        except BadValue:
            shared, unknown = None, None  # each item tells whether it needs the bad value
        for item in items:
            yield from self._leaf(item, group, shared, unknown)

    def lists_of(self, element: dict[str, Any]) -> list[str]:
        """The names of a group's lists, mostly one; none where the element is a single item."""
        wanted = plain(self._data_type.group_list or "")
        names = [(key, plain(key)) for key in element]
        return [
            key
            for key, name in names
            if (wanted and name == wanted)
            or (name in self._list_names and isinstance(element[key], list))
        ]

    def _leaf(
        self,
        item: Any,
        group: dict[str, Any],
        shared: list[Any] | None,
        group_unknown: dict[str, Any] | None,
    ) -> Iterator[Leaf]:
        if not isinstance(item, dict):
            self._reject("an item has to be an object", item)
            return
        try:
            values, unknown = self._read(item)
            if shared is None and group:
                needed = {k: v for k, v in group.items() if self._lacks(values, k)}
                shared, group_unknown = self._read(needed)
            if shared:  # what the group says once for all of its items; an item's word wins
                pairs = zip(values, shared, strict=True)
                values = [theirs if own is None else own for own, theirs in pairs]
            self._check(values)
        except BadValue as bad:
            self._reject(str(bad), {**group, **item})
            return
        yield Leaf(values, unknown, group_unknown)

    def _lacks(self, values: list[Any], name: str) -> bool:
        """Whether a group's field is unknown, or one that an item has no value for."""
        index = self._names.index(name)
        return index is None or values[index] is None

    def _check(self, values: list[Any]) -> None:
        """Refuse values of which no record can be made."""
        for index, name in self._required:
            if values[index] is None:
                raise BadValue(f"{name} is missing")
        _check_json(values)

    def _read(self, item: dict[str, Any]) -> tuple[list[Any], dict[str, Any] | None]:
        """The values of all fields, None where the item has none; and what is not a field.

        Raises:
            BadValue: If a field can't hold its value, or nothing could be written of it.
        """
        values: list[Any] = [None] * len(self._readers)
        unknown: dict[str, Any] = {}
        self._read_into(values, unknown, item, "")
        if unknown:
            check_depth(unknown)
            _check_json(unknown)
        return values, unknown or None

    def _read_into(
        self, values: list[Any], unknown: dict[str, Any], item: dict[str, Any], parent: str
    ) -> None:
        for key, value in item.items():
            index = self._names.index(key, parent)
            if index is not None and values[index] is None:
                if value is not None:
                    values[index] = self._value(index, value)
            elif not parent and plain(key) in self._names.parents and key not in unknown:
                if isinstance(value, dict):
                    rest: dict[str, Any] = {}
                    self._read_into(values, rest, value, plain(key))
                    if rest:
                        unknown[key] = rest
                elif value is not None:
                    unknown[key] = value
            else:
                unknown[key] = value

    def _value(self, index: int, value: Any) -> Any:
        try:
            return self._readers[index](value)
        except BadValue as bad:
            raise BadValue(f"{self._data_type.fields[index].name}: {bad}") from None


def _check_json(value: Any) -> None:
    """Refuse what can't be written as JSON.

    Raises:
        BadValue: If it holds a number that JSON has not, or is nested too deep.
    """
    try:
        _canonical(value)
    except RecursionError:
        raise BadValue(TOO_DEEP) from None
    except (TypeError, ValueError) as error:
        raise BadValue(f"it can't be written as JSON: {error}") from None
