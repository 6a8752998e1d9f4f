"""The shape of a file's elements, and types that decode whole blocks of that shape.

Nobody knows what all export files look like, but the elements of one file are alike. So a
shape is learned from elements: which names stand for which fields, which are unknown, what is
nested or grouped. Types are made for it, and blocks are decoded by them at once. What does not
fit the types teaches the shape, or is read by itself (see :mod:`.items`); the records are the
same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from gc import is_tracked
from itertools import chain, repeat
from threading import get_ident
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import astuple

from tap_mobile_engagement.datatypes import DataType, Kind
from tap_mobile_engagement.reading.columns import (
    Columns,
    check_depths,
    check_nulls,
    filled,
    normalised,
)
from tap_mobile_engagement.reading.elements import NUL, common_float
from tap_mobile_engagement.reading.names import field_names, list_names, plain
from tap_mobile_engagement.reading.values import BadValue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tap_mobile_engagement.reading.columns import Column

_MOST_UNKNOWN = 200
"""Unknown names that a shape may have; with more of them elements are read one by one."""

# What a value may be in JSON, by kind; what else it may be is read by itself.
_TYPES: dict[Kind, Any] = {
    Kind.ID: str,
    Kind.TEXT: str,
    Kind.TIME: str | int,
    Kind.INTEGER: int | str,
    Kind.BOOLEAN: bool | int | str,
    Kind.OBJECT: dict[str, Any] | str,
    Kind.FLAGS: list[str] | str,
}


@dataclass(frozen=True, slots=True)
class Names:
    """The names at one level of an element, each once.

    Attributes:
        fields: Those of fields, with the place of the field among the data type's.
        unknown: Those that the data type does not name.
        parents: Those of objects that hold fields, with the names in there.
    """

    fields: tuple[tuple[str, int], ...] = ()
    unknown: tuple[str, ...] = ()
    parents: tuple[tuple[str, Names], ...] = ()

    def taught(
        self,
        element: dict[str, Any],
        data_type: DataType,
        parent: str = "",
        taken: frozenset[int] = frozenset(),
    ) -> Names:
        """The names with those of one more element.

        A second name of a field is not learned, so what has it is read by itself.
        """
        known = field_names(data_type)
        fields, parents, unknown = dict(self.fields), dict(self.parents), set(self.unknown)
        for name, value in element.items():
            place = known.index(name, parent)
            if not _is_name(name):
                continue
            if place is not None:
                if place not in {*taken, *self._places(fields, parents)}:
                    fields[name] = place
            elif not parent and plain(name) in known.parents:
                if isinstance(value, dict) and plain(name) not in {*map(plain, parents)} - {
                    name
                }:
                    inner = parents.get(name, Names())
                    others = {k: v for k, v in parents.items() if k != name}
                    places = frozenset(self._places(fields, others))
                    parents[name] = inner.taught(value, data_type, plain(name), places)
            else:
                unknown.add(name)
        by_place = sorted(fields.items(), key=lambda pair: pair[1])
        return Names(tuple(by_place), tuple(sorted(unknown)), tuple(sorted(parents.items())))

    @staticmethod
    def _places(fields: dict[str, int], parents: dict[str, Names]) -> Iterator[int]:
        yield from fields.values()
        for inner in parents.values():
            yield from dict(inner.fields).values()

    def completed(self, documented: Names) -> Names:
        """The names with those that are documented, unless they are spelled otherwise here."""
        if not {*self.fields} <= {*documented.fields}:
            return self
        if not {name for name, _ in self.parents} <= {name for name, _ in documented.parents}:
            return self
        parents = dict(documented.parents)
        for name, inner in self.parents:
            parents[name] = inner.completed(parents.get(name, Names()))
        return Names(documented.fields, self.unknown, tuple(sorted(parents.items())))

    @property
    def unknown_count(self) -> int:
        """How many unknown names there are, at all levels."""
        return len(self.unknown) + sum(inner.unknown_count for _, inner in self.parents)


def _is_name(name: str) -> bool:
    """Whether a name can be that of a field of a Struct."""
    return not any(c in '"\\' or c < " " or "\ud800" <= c <= "\udfff" for c in name)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the elements of a file look like.

    Attributes:
        data_type: Their data type.
        items: Names in an item.
        group: Names in a group of items, but for its list; None where items are not grouped.
        list_name: Name of that list.
    """

    data_type: DataType
    items: Names = field(default_factory=Names)
    group: Names | None = None
    list_name: str = ""

    @classmethod
    @lru_cache(maxsize=64)
    def documented(cls, data_type: DataType) -> Shape:
        """The shape that the service documents, as far as it does."""
        group = None
        fields: dict[str, int] = {}
        parents: dict[str, dict[str, int]] = {}
        for place, each in enumerate(data_type.fields):
            parent, _, name = each.sources[0].rpartition(".")
            if each.name == data_type.group_key:
                group = Names(((name, place),))
            else:
                (parents.setdefault(parent, {}) if parent else fields)[name] = place
        inner = [(name, Names(tuple(names.items()))) for name, names in parents.items()]
        items = Names(tuple(fields.items()), parents=tuple(sorted(inner)))
        return cls(data_type, items, group, data_type.group_list or "")

    def taught(self, elements: Iterable[Any]) -> Shape:
        """The shape with what some more elements show, as far as one shape can be of all."""
        shape = self
        data_type = self.data_type
        wanted = list_names(data_type)
        seen: set[tuple[str, ...]] = set()
        for element in elements:
            if not isinstance(element, dict):
                continue
            lists = [
                n for n, v in element.items() if isinstance(v, list) and plain(n) in wanted
            ]
            if shape == Shape(self.data_type) and len(lists) == 1:
                shape = replace(shape, group=Names(), list_name=lists[0])
            if lists != ([] if shape.group is None else [shape.list_name]):
                continue  # another layout than that of the first one
            if shape.group is None:
                items = [element]
            else:
                items = element[shape.list_name]
                group = {key: value for key, value in element.items() if key not in lists}
                shape = replace(shape, group=shape.group.taught(group, data_type))
            for item in items:
                if isinstance(item, dict) and (shape.items.parents or tuple(item) not in seen):
                    seen.add(tuple(item))
                    shape = replace(shape, items=shape.items.taught(item, data_type))
        count = shape.items.unknown_count + (shape.group or Names()).unknown_count
        return shape if count <= _MOST_UNKNOWN else self

    def completed(self) -> Shape:
        """The shape with the names that are documented, where it is spelled like them."""
        documented = Shape.documented(self.data_type)
        if (self.group is None) != (documented.group is None):
            return self
        return replace(self, items=self.items.completed(documented.items))


Decoded = tuple[list[Any], list[Any]]
"""Decoded elements, and all items that were decoded for them."""


class ShapedReader:
    """Decodes blocks of elements by types that are made for their shape.

    Args:
        data_type: What the elements are.
    """

    def __init__(self, data_type: DataType) -> None:
        self._data_type = data_type
        self._shape = Shape.documented(data_type)
        self._types = _types_for(self._shape, get_ident())

    def learn(self, elements: Iterable[Any], *, is_new: bool) -> bool:
        """Learn the shape of some elements; False if that changes nothing.

        Args:
            elements: The elements, decoded.
            is_new: Whether they are the first ones of a file.
        """
        before = Shape(self._data_type) if is_new else self._shape
        shape = before.taught(elements).completed()
        if shape == self._shape:
            return False
        self._shape = shape
        self._types = _types_for(shape, get_ident())
        return True

    def decode(self, array: bytes) -> Decoded | None:
        """The elements of a JSON array; None if it is none, or if they are not of the shape."""
        types = self._types
        types.made.clear()
        try:
            elements = types.decode(array)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        if b"\\" in array and NUL in array:
            return None
        return elements, types.made.copy()

    def columns(self, decoded: Decoded) -> Columns:
        """The values of decoded elements, as a record has them.

        Args:
            decoded: What :meth:`decode` made last.

        Raises:
            BadValue: If an item is no record, or has to be read by itself.
        """
        elements, items = decoded
        types = self._types
        values: list[Column | None] = [None] * len(self._data_type.fields)
        unknown = types.items.read(items, values)
        certain = types.items.certain
        if types.group is None:
            return Columns(normalised(self._data_type, values, certain, len(items)), unknown)
        sizes = [len(group.items or ()) for group in elements]
        if sum(sizes) != len(items):
            raise BadValue("a group has its list twice")
        shared: list[Column | None] = [None] * len(values)
        group_unknown = types.group.read(elements, shared)
        for place, column in enumerate(shared):
            if column is not None:
                spread = [*chain.from_iterable(map(repeat, column, sizes))]
                own = values[place]
                if own is not None:
                    check_nulls(own)
                values[place] = spread if own is None else filled(own, spread)
        if group_unknown is not None:
            group_unknown = [*chain.from_iterable(map(repeat, group_unknown, sizes))]
        columns = normalised(self._data_type, values, certain, len(items))
        return Columns(columns, unknown, group_unknown, sizes)


class _Types:
    """The types for one shape; for one thread.

    Attributes:
        items: Those of single items.
        group: Those of a group; None where items are not grouped.
        made: All items that were decoded. A group's list that stands twice is decoded twice,
            though the group keeps the last: so its items are not lost unseen.
        decode: Decodes an array.
    """

    def __init__(self, shape: Shape) -> None:
        data_type = shape.data_type
        self.made: list[Struct] = []
        in_group = {place for _, place in shape.group.fields} if shape.group else set[int]()
        self.items = _Level(shape.items, data_type, in_group, made=self.made)
        self.group: _Level | None = None
        element = self.items.struct
        if shape.group is not None:
            every = {*range(len(data_type.fields))}
            list_of_items = (shape.list_name, element)
            self.group = _Level(shape.group, data_type, every, items=list_of_items)
            element = self.group.struct
        decoder = msgspec.json.Decoder(list[element], float_hook=common_float)  # type: ignore[valid-type]
        self.decode: Callable[[bytes], list[Any]] = decoder.decode


@lru_cache(maxsize=64)
def _types_for(shape: Shape, thread: int) -> _Types:
    del thread  # each has its own
    return _Types(shape)


class _Level:
    """The Struct of one level of an element, and what its instances hold.

    Args:
        names: The names at this level.
        data_type: The data type.
        optional: Places of fields that may be missing here, though a record needs them.
        made: Gets every instance that is decoded.
        items: For a group: the name of its list, and the Struct of its items.
    """

    def __init__(
        self,
        names: Names,
        data_type: DataType,
        optional: set[int],
        *,
        made: list[Struct] | None = None,
        items: tuple[str, type[Struct]] | None = None,
    ) -> None:
        self.struct: type[Struct]
        self._places = [place for _, place in names.fields]
        self._parents = [
            (name, _Level(inner, data_type, optional)) for name, inner in names.parents
        ]
        self._unknown = names.unknown
        self.certain = {
            place
            for place in self._places
            if place not in optional and not data_type.fields[place].nullable
        }
        fields: list[Any] = []
        rename = {}

        def add(attribute: str, name: str, *type_and_default: Any) -> None:
            fields.append((attribute, *type_and_default))
            rename[attribute] = name

        for name, place in names.fields:
            of_kind = _TYPES[data_type.fields[place].kind]
            if place in self.certain:
                add(f"f{place}", name, of_kind)
            else:
                add(f"f{place}", name, of_kind | None, None)
        for number, (name, level) in enumerate(self._parents):
            add(f"p{number}", name, level.struct | None, None)
        for number, name in enumerate(names.unknown):
            add(f"u{number}", name, Any, UNSET)
        if items:
            add("items", items[0], list[items[1]] | None)  # type: ignore[valid-type]
        self.struct = msgspec.defstruct(
            "Level",
            fields,
            rename=rename,
            namespace=None if made is None else {"__post_init__": made.append},
            forbid_unknown_fields=True,
            kw_only=True,  # so that fields with a default may stand before others
            gc=False,
        )

    def read(self, objects: Sequence[Any], values: list[Column | None]) -> Column | None:
        """Put the columns of known fields into their places.

        Returns:
            The unknown fields of each object, None where it has none; None if none has any.

        Raises:
            BadValue: If an unknown field is nested too deep.
        """
        # Tuples turned on their side: a tenth of the time of as many attribute look-ups.
        columns = [*zip(*map(astuple, objects), strict=True)]
        if not columns:
            return None
        for place, column in zip(self._places, columns, strict=False):
            values[place] = column
        if len(columns) == len(self._places):
            return None
        rest = columns[len(self._places) :]
        unknown: dict[str, Column] = {}
        for (name, level), parents in zip(self._parents, rest, strict=False):
            nothing = level.struct()
            inner = level.read([parent or nothing for parent in parents], values)
            if inner is not None:
                unknown[name] = [UNSET if value is None else value for value in inner]
        for name, column in zip(self._unknown, rest[len(self._parents) :], strict=False):
            if column.count(UNSET) < len(column):
                check_depths(filter(is_tracked, column))
                unknown[name] = column
        return unknown_column(unknown) if unknown else None


def unknown_column(columns: dict[str, Column]) -> Column:
    """Unknown fields as Structs of their own or dictionaries, None for what has none.

    Args:
        columns: The values by the fields' names, UNSET where an object lacks the field.
    """
    names = tuple(sorted(columns))
    rows = zip(*(columns[name] for name in names), strict=True)
    if not all(map(_is_name, names)):
        found = ({n: v for n, v in zip(names, r, strict=True) if v is not UNSET} for r in rows)
        return [fields or None for fields in found]
    made = _unknown_struct(names)
    return [None if row.count(UNSET) == len(names) else made(*row) for row in rows]


@lru_cache(maxsize=256)
def _unknown_struct(names: tuple[str, ...]) -> type[Struct]:
    fields = [(f"u{number}", Any, UNSET) for number in range(len(names))]
    rename = {f"u{number}": name for number, name in enumerate(names)}
    return msgspec.defstruct("Unknown", fields, rename=rename, gc=False)
