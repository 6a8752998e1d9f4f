"""The shape of a file's elements: names of fields, unknown names, nesting, groups.

A shape is learned from elements, because the form of export files is not documented, and types
are made for it (:mod:`.decoding`). What does not fit is read by itself (:mod:`.items`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.reading.names import field_names, lists_in, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_mobile_engagement.datatypes import DataType

_MOST_UNKNOWN = 200
"""Unknown names that a shape may have; with more of them elements are read one by one."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names at one level of an element, each once, with the names inside of parents."""

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
        """The names with those of one more element; a second name of a field is not learned."""
        known = field_names(data_type)
        fields, parents, unknown = dict(self.fields), dict(self.parents), set(self.unknown)
        for name, value in element.items():
            place = known.index(name, parent)
            if not is_field_name(name):
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


def is_field_name(name: str) -> bool:
    """Whether a name can be that of a field of a Struct."""
    return not any(c in '"\\' or c < " " or "\ud800" <= c <= "\udfff" for c in name)


@dataclass(frozen=True, slots=True)
class Shape:
    """Names in items, and in groups (None without them) but for their list, ``list_name``."""

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
        seen: set[tuple[str, ...]] = set()
        for element in elements:
            if not isinstance(element, dict):
                continue
            lists = lists_in(element, data_type)
            if shape == Shape(self.data_type) and len(lists) == 1:
                shape = replace(shape, group=Names(), list_name=lists[0])
            if lists != ([] if shape.group is None else [shape.list_name]):
                continue  # another layout than that of the first one
            if shape.group is None:
                items = [element]
            else:
                items = element[shape.list_name] or []
                if not isinstance(items, list):
                    continue
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
