"""Types that are made for the shape of a file's elements, and decode whole blocks of them.

The shape is learned, because it is not documented; what does not fit is read by itself.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache, partial
from gc import is_tracked
from io import BytesIO
from itertools import accumulate, chain, repeat
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import NODEFAULT, UNSET, Struct
from msgspec.structs import astuple

from tap_mobile_engagement.datatypes import Kind
from tap_mobile_engagement.reading.batch import (
    Columns,
    check_depths,
    encode_lines,
    filled,
    normalised,
)
from tap_mobile_engagement.reading.names import field_names, lists_in, plain
from tap_mobile_engagement.reading.tables import Rows
from tap_mobile_engagement.reading.values import (
    MAX_DEPTH,
    NUL,
    BadValue,
    common_float,
    holds_objects,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.batch import Column
    from tap_mobile_engagement.reading.cutting import Block
    from tap_mobile_engagement.reading.names import FieldNames

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

LARGE = 512 << 10  # bytes of a block beyond which groups are cut before they are decoded
_MOST_LESSONS = 16  # per content; each decodes a block once more
_MOST_UNKNOWN = 200  # names in a shape; with more of them elements are read one by one
_UNKNOWN = -1  # the place of what is no field
_decode = msgspec.json.Decoder().decode

Names = dict[tuple[str, str], int]  # parent (or none) and name: the place of the field


def _learn(names: Names, element: dict[str, Any], known: FieldNames, parent: str = "") -> None:
    """Add the names of one more element, but no second name of a field."""
    for name, value in element.items():
        if (parent, name) in names or not is_field_name(name):
            continue
        place = known.index(name, plain(parent))
        if place is None and not parent and plain(name) in known.parents:
            spelled = {other for other, _ in names if plain(other) == plain(name)}
            if isinstance(value, dict) and spelled <= {name}:
                _learn(names, value, known, name)
        elif place is None or place not in names.values():
            names[parent, name] = _UNKNOWN if place is None else place


def is_field_name(name: str) -> bool:
    """Whether a name can be that of a field of a Struct."""
    return not any(c in '"\\' or c < " " or "\ud800" <= c <= "\udfff" for c in name)


@dataclass
class Shape:
    """Names in items, and in groups (None without them) but for their list, ``list_name``."""

    items: Names = field(default_factory=dict)
    group: Names | None = None
    list_name: str = ""

    def taught(self, elements: Iterable[Any], data_type: DataType) -> Shape:
        """The shape with what some more elements show, as far as one shape can be of all."""
        shape = deepcopy(self)
        known = field_names(data_type)
        seen = set()
        for element in elements:
            if not isinstance(element, dict):
                continue
            lists = lists_in(element, data_type)
            if shape == Shape() and len(lists) == 1:
                shape = Shape(group={}, list_name=lists[0])
            if lists != ([] if shape.group is None else [shape.list_name]):
                continue  # another layout than that of the first one
            items = element[shape.list_name] or [] if lists else [element]
            if not isinstance(items, list):
                continue
            if shape.group is not None:
                group = {key: value for key, value in element.items() if key not in lists}
                _learn(shape.group, group, known)
            for item in items:
                if isinstance(item, dict) and (known.parents or tuple(item) not in seen):
                    seen.add(tuple(item))
                    _learn(shape.items, item, known)
        places = [*shape.items.values(), *(shape.group or {}).values()]
        return shape if places.count(_UNKNOWN) <= _MOST_UNKNOWN else self


class ShapedReader:
    """Decodes blocks of elements by types that are made for their shape."""

    def __init__(self, data_type: DataType) -> None:
        self._data_type = data_type
        self.lessons = 0  # in this content
        # All items that were decoded. A group's list that stands twice is decoded twice, though
        # the group keeps the last: so its items are not lost unseen.
        self._made: list[Struct] = []
        self._use(Shape())

    def _use(self, shape: Shape) -> None:
        self._shape = shape
        in_group = {*(shape.group or {}).values()}
        self._items = _Level(shape.items, self._data_type, in_group, made=self._made)
        self._group: _Level | None = None
        element = self._items.struct
        if shape.group is not None:
            every = {*range(len(self._data_type.fields))}
            list_of_items = (shape.list_name, element)
            self._group = _Level(shape.group, self._data_type, every, items=list_of_items)
            element = self._group.struct
        of = partial(msgspec.json.Decoder, float_hook=common_float)
        self._decode: Callable[[bytes], list[Any]] = of(list[element]).decode  # type: ignore[valid-type]
        self._decode_objects: Callable[[bytes], list[Any]] = of(element).decode_lines

    def learns(self, block: Block | Rows) -> bool:
        """Learn the shape of a block's elements; False if that changes nothing."""
        if isinstance(block, Rows) or self.lessons >= _MOST_LESSONS or len(block.data) > LARGE:
            return False
        block.decoded = None  # by types that may change now
        try:
            elements = [*map(_decode, block.elements())]
        except (msgspec.DecodeError, ValueError, RecursionError):
            return False
        self.lessons += 1
        before = Shape() if self.lessons == 1 else self._shape
        shape = before.taught(elements, self._data_type)
        if shape == self._shape:
            return False
        self._use(shape)
        return True

    def decode(self, data: bytes) -> tuple[list[Any], list[Any]] | None:
        """The elements and items of a block; None if it is not valid, or of another shape."""
        self._made.clear()
        if len(data) > LARGE:
            return None
        decode = self._decode if data.startswith(b"[") else self._decode_objects
        try:
            elements = decode(data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        if b"\\" in data and NUL in data:
            return None
        return elements, self._made.copy()

    def columns(self, block: Block | Rows) -> Columns | None:
        """The values of a block's items; None if an item has to be read by itself."""
        if isinstance(block, Rows):
            return self._columns_of_rows(block)
        decoded = block.sound and (block.decoded or self.decode(block.data))
        if not decoded:
            return None
        elements, items = decoded
        values: list[Column | None] = [None] * len(self._data_type.fields)
        group_unknown = starts = None
        repeated = 0
        try:
            unknown = self._items.read(items, values)
            if self._group is not None:
                sizes = [len(group.items or ()) for group in elements]
                if sum(sizes) != len(items):
                    return None  # a group has its list twice
                starts = [*accumulate(sizes[:-1], initial=0)]
                shared: list[Column | None] = [None] * len(values)
                group_unknown = self._group.read(elements, shared)
                said = [each for each in (*shared, group_unknown) if each is not None]
                lines = BytesIO(encode_lines([*zip(*said, strict=True)]))
                repeated = max(map(len, lines), default=0)
                if group_unknown is not None:
                    alone = [u for u, n in zip(group_unknown, sizes, strict=True) if not n]
                    if any(map(holds_objects, msgspec.to_builtins(alone))):
                        return None  # what would be lost may be items
                    group_unknown = [*chain.from_iterable(map(repeat, group_unknown, sizes))]
                for place, column in enumerate(shared):
                    if column is not None:
                        said = [*chain.from_iterable(map(repeat, column, sizes))]
                        own = values[place]
                        values[place] = said if own is None else filled(own, said)
            columns = normalised(self._data_type, values, self._items.certain, len(items))
        except BadValue:
            return None
        return Columns(
            columns, unknown, group_unknown, starts, elements=len(elements), shared=repeated
        )

    def _columns_of_rows(self, rows: Rows) -> Columns | None:
        values: list[Column | None] = [None] * len(self._data_type.fields)
        unknown: dict[str, Column] = {}
        for name, place, column in rows.columns(self._data_type) if rows.sound else ():
            if place is None and is_field_name(name):
                unknown[name] = column
            elif place is not None and values[place] is None:
                values[place] = column
            else:
                return None  # two columns are one field, or an odd name
        count = len(rows.rows)
        try:
            columns = normalised(self._data_type, values, {*range(len(values))}, count)
        except BadValue:
            return None
        more = unknown_column(unknown) if unknown else None
        return Columns(columns, more, elements=count, repaired=rows.repaired)


class _Level:
    """The Struct of one level of an element, and what its instances hold."""

    def __init__(
        self,
        names: Names,
        data_type: DataType,
        optional: set[int],
        *,
        made: list[Struct] | None = None,
        items: tuple[str, type[Struct]] | None = None,
        around: str = "",
    ) -> None:
        here = {name: place for (parent, name), place in names.items() if parent == around}
        known = {name: place for name, place in here.items() if place != _UNKNOWN}
        self._places = [*known.values()]
        self._unknown = [name for name in here if name not in known]
        self._levels = MAX_DEPTH - (2 if around else 1)  # of one; the rest are around it
        parents = sorted({parent for parent, _ in names} - {""}) if not around else ()
        self._parents = [
            (parent, _Level(names, data_type, optional, around=parent)) for parent in parents
        ]
        nullable = {place for place, f in enumerate(data_type.fields) if f.nullable}
        self.certain = {*self._places} - nullable - optional
        named: list[tuple[str, Any, Any]] = []  # type and default
        for name, place in known.items():
            kind = _TYPES[data_type.fields[place].kind]
            is_certain = place in self.certain
            named.append((name, kind, NODEFAULT) if is_certain else (name, kind | None, None))
        named += [(name, level.struct | None, None) for name, level in self._parents]
        named += [(name, Any, UNSET) for name in self._unknown]
        fields = [(f"f{n}", kind, default) for n, (_, kind, default) in enumerate(named)]
        rename = {f"f{n}": name for n, (name, _, _) in enumerate(named)}
        if items:
            fields.append(("items", list[items[1]] | None, NODEFAULT))  # type: ignore[valid-type]
            rename["items"] = items[0]
        self.struct: type[Struct] = msgspec.defstruct(
            "Level",
            fields,
            rename=rename,
            namespace=None if made is None else {"__post_init__": made.append},
            forbid_unknown_fields=True,
            kw_only=True,  # so that fields with a default may stand before others
            gc=False,
        )

    def read(self, objects: Sequence[Any], values: list[Column | None]) -> Column | None:
        """Put known fields into their places; return the unknown ones, BadValue if too deep."""
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
                check_depths([*filter(is_tracked, column)], self._levels)
                unknown[name] = column
        return unknown_column(unknown) if unknown else None


def unknown_column(columns: dict[str, Column]) -> Column:
    """Unknown fields as Structs of their own, None for what has none."""
    names = tuple(sorted(columns))
    rows = zip(*(columns[name] for name in names), strict=True)
    made = _unknown_struct(names)
    return [None if row.count(UNSET) == len(names) else made(*row) for row in rows]


@lru_cache(maxsize=256)
def _unknown_struct(names: tuple[str, ...]) -> type[Struct]:
    fields = [(f"u{number}", Any, UNSET) for number in range(len(names))]
    rename = {f"u{number}": name for number, name in enumerate(names)}
    return msgspec.defstruct("Unknown", fields, rename=rename, gc=False)
