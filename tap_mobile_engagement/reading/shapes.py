"""The shape of a file's elements: names of fields, unknown names, nesting, groups.

It is learned from elements, because their form is not documented; what does not fit is read by
itself (:mod:`.items`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tap_mobile_engagement.reading.names import field_names, lists_in, plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_mobile_engagement.datatypes import DataType

_MOST_UNKNOWN = 200
"""Unknown names that a shape may have; with more of them elements are read one by one."""

_UNKNOWN = -1  # the place of what is no field

Names = tuple[tuple[int, str, str], ...]
"""The names in an element: the place of the field, the parent around it (or none), the name."""


def _taught(names: Names, element: dict[str, Any], data_type: DataType) -> Names:
    """The names with those of one more element; a second name of a field is not learned."""
    known = field_names(data_type)
    found = {(parent, name): place for place, parent, name in names}
    parents = {plain(parent): parent for parent, _ in found}

    def learn(parent: str, inner: dict[str, Any]) -> None:
        for name, value in inner.items():
            place = known.index(name, plain(parent))
            if not is_field_name(name):
                continue
            if place is None and not parent and plain(name) in known.parents:
                if isinstance(value, dict) and parents.setdefault(plain(name), name) == name:
                    learn(name, value)
            elif place is None or place not in found.values():
                found.setdefault((parent, name), _UNKNOWN if place is None else place)

    learn("", element)
    return tuple(sorted((place, *path) for path, place in found.items()))


def is_field_name(name: str) -> bool:
    """Whether a name can be that of a field of a Struct."""
    return not any(c in '"\\' or c < " " or "\ud800" <= c <= "\udfff" for c in name)


class Shape(NamedTuple):
    """Names in items, and in groups (None without them) but for their list, ``list_name``."""

    data_type: DataType
    items: Names = ()
    group: Names | None = None
    list_name: str = ""

    @classmethod
    def documented(cls, data_type: DataType) -> Shape:
        """The shape that the service documents, as far as it does."""
        group = None
        items = []
        for place, field in enumerate(data_type.fields):
            parent, _, name = field.sources[0].rpartition(".")
            if field.name == data_type.group_key:
                group = ((place, parent, name),)
            else:
                items.append((place, parent, name))
        return cls(data_type, tuple(items), group, data_type.group_list or "")

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
                shape = shape._replace(group=(), list_name=lists[0])
            if lists != ([] if shape.group is None else [shape.list_name]):
                continue  # another layout than that of the first one
            items = [element]
            if shape.group is not None:
                items = element[shape.list_name] or []
                if not isinstance(items, list):
                    continue
                group = {key: value for key, value in element.items() if key not in lists}
                shape = shape._replace(group=_taught(shape.group, group, data_type))
            is_nested = bool(field_names(data_type).parents)
            for item in items:
                if isinstance(item, dict) and (is_nested or tuple(item) not in seen):
                    seen.add(tuple(item))
                    shape = shape._replace(items=_taught(shape.items, item, data_type))
        every = (*shape.items, *(shape.group or ()))
        unknown = sum(place == _UNKNOWN for place, _, _ in every)
        return shape if unknown <= _MOST_UNKNOWN else self

    def completed(self) -> Shape:
        """The shape with the names that are documented, where it is spelled like them."""
        documented = Shape.documented(self.data_type)
        fields = {name for name in self.items if name[0] != _UNKNOWN}
        if (self.group is None) != (documented.group is None) or not fields.issubset(
            documented.items
        ):
            return self
        return self._replace(items=tuple(sorted({*self.items, *documented.items})))
