"""Names in files: written in whatever case, with or without separators, one meaning."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.datatypes import DATA_TYPES

if TYPE_CHECKING:
    from tap_mobile_engagement.datatypes import DataType, Field

_LONGEST = 64  # characters of a name that can be a known one


@lru_cache(maxsize=4096)
def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def plain(name: str) -> str:
    """A field name without case and word separators, as CSV headers vary in them."""
    return _plain(name) if len(name) <= _LONGEST else name


def names_of(field: Field) -> list[str]:
    """The plain names of a field: that in the files first, that in records last."""
    return [*map(_plain, (*field.sources, field.name))]


@lru_cache(maxsize=64)
def list_names(data_type: DataType) -> frozenset[str]:
    """The plain names of a list that holds a group's items, or all elements of a file.

    Documented are ``activities`` and ``events``; the others are assumed to be named after the
    stream or the service's export type. A name that is also a field (tags) does not count.
    """
    names = {data_type.name, data_type.group_list or ""}
    if data_type.export_type:
        names |= {data_type.export_type, f"{data_type.export_type}s"}
    fields = {name for field in data_type.fields for name in names_of(field)[:-1]}
    return frozenset(map(_plain, filter(None, names))) - fields


def lists_in(element: dict[str, Any], data_type: DataType) -> list[str]:
    """The names of the lists of a group's items, mostly one; none in a single item."""
    documented, known = _plain(data_type.group_list or ""), list_names(data_type)
    return [
        name
        for name, value in element.items()
        if plain(name) in known and (isinstance(value, list) or plain(name) == documented)
    ]


FIELD_NAMES = frozenset(
    name for data_type in DATA_TYPES for field in data_type.fields for name in names_of(field)
)
"""The plain names of all fields of all data types."""

ALL_LIST_NAMES = frozenset(name for each in DATA_TYPES for name in list_names(each))
"""The plain names of lists of items or elements, of all data types."""


class FieldNames:
    """The fields that names stand for; ``parents`` hold fields (``meta`` of a device)."""

    def __init__(self, data_type: DataType) -> None:
        self._places = {
            name: place
            for place, field in reversed([*enumerate(data_type.fields)])
            for name in reversed(names_of(field))
        }
        self.parents = {name.split(".")[0] for name in self._places if "." in name}

    def index(self, name: str, parent: str = "") -> int | None:
        """The place of a field among the data type's fields; None for an unknown name."""
        return self._places.get(plain(f"{parent}.{name}" if parent else name))


field_names = lru_cache(maxsize=64)(FieldNames)
