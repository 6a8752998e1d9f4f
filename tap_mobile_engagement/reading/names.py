"""Names in files: written in whatever case, with or without separators, one meaning."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_mobile_engagement.datatypes import DATA_TYPES, DataType

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tap_mobile_engagement.datatypes import Field

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


class FieldNames:
    """The fields that plain names stand for, and what tells a data type by them."""

    def __init__(self, data_type: DataType) -> None:
        self.data_type = data_type
        self._places = {
            name: place
            for place, field in reversed([*enumerate(data_type.fields)])
            for name in reversed(names_of(field))
        }
        self.parents = {name.split(".")[0] for name in self._places if "." in name}
        self.known = {*self._places, *self.parents}
        self.required = {names_of(field)[0] for field in data_type.fields if not field.nullable}
        kind = data_type.export_type
        names = (data_type.name, kind, f"{kind}s") if kind else (data_type.name,)
        fields = {name for field in data_type.fields for name in names_of(field)[:-1]}
        self.lists = frozenset(map(_plain, names)) - fields  # of the items of a group
        self.group_key = plain(data_type.group_key or "device_id")

    def index(self, name: str, parent: str = "") -> int | None:
        """The place of a field among the data type's fields; None for an unknown name."""
        return self._places.get(plain(f"{parent}.{name}" if parent else name))


field_names = lru_cache(maxsize=64)(FieldNames)


def lists_in(element: dict[str, Any], data_type: DataType) -> list[str]:
    """The names of the lists of a group's items, mostly one; none in a single item."""
    documented, known = _plain(data_type.group_list or ""), field_names(data_type).lists
    return [
        name
        for name, value in element.items()
        if plain(name) in known and (isinstance(value, list) or plain(name) == documented)
    ]


SIGNATURES = [field_names(data_type) for data_type in DATA_TYPES]
FIELD_NAMES = frozenset(
    name for data_type in DATA_TYPES for field in data_type.fields for name in names_of(field)
)
SAMPLE = 20  # elements decide, and items of each group
_PARENTS = {name for signature in SIGNATURES for name in signature.parents}
_LEAST_KNOWN = 2  # fields; a single one, and be it a device's id, may occur in any file
_SHOWN = 8  # field names in a reason


class Known(NamedTuple):
    """The data type of elements; else the reason, and the ``candidates`` that fit equally."""

    data_type: DataType | None
    reason: str = ""
    candidates: tuple[DataType, ...] = ()


def data_type_of(elements: Iterable[Any], hint: str = "") -> Known:
    """Tell the data type of decoded elements, as far as the first ones do."""
    names: dict[str, str] = {}  # as they are written, by their plain form
    candidates: list[FieldNames] = SIGNATURES
    for element in islice(elements, SAMPLE):
        if not isinstance(element, dict):
            return Known(None, "its elements are no objects")
        groups = [each for each in candidates if lists_in(element, each.data_type)]
        candidates = groups or candidates
        names |= _fields(element, frozenset().union(*(each.lists for each in groups)))
    item_fields = {name for s in candidates for name in s.required - {s.group_key}}
    if candidates is not SIGNATURES and item_fields.isdisjoint(names):
        found = [s for s in candidates if s.group_key in names]  # groups without an item
    else:
        found = _best(candidates, names)
    found = [s for s in found if plain(hint) in s.lists] or found
    types = tuple(s.data_type for s in found)
    if len(types) == 1:
        return Known(types[0])
    if types:
        both = " and ".join(data_type.name for data_type in types)
        return Known(None, f"its fields fit {both} alike; archive_types can say which", types)
    shown = ", ".join([*names.values()][:_SHOWN])
    return Known(None, f"its fields ({shown or 'none'}) are not those of an export")


def fitting(names: Collection[str]) -> bool:
    """Whether an object with such plain names may be an item of some data type."""
    return bool(_best(SIGNATURES, names))


def _fields(element: dict[str, Any], lists: frozenset[str]) -> dict[str, str]:
    """The plain names of an element's fields and its items', by path in a known object."""
    names: dict[str, str] = {}
    for key, value in element.items():
        name = plain(key)
        if name in lists and isinstance(value, list):
            items = (item for item in value[:SAMPLE] if isinstance(item, dict))
            for item in {tuple(item): item for item in items}.values():
                names |= _fields(item, frozenset())
            continue
        names[name] = key
        if name in _PARENTS and isinstance(value, dict):
            names |= {f"{name}.{plain(inner)}": f"{key}.{inner}" for inner in value}
    return names


def _best(candidates: Iterable[FieldNames], names: Iterable[str]) -> list[FieldNames]:
    """Of those whose required fields are there: with most names, then fewest of their own."""
    found = frozenset(names)
    ranks = {
        s: (len(found & s.known), -len(s.known)) for s in candidates if s.required <= found
    }
    best = max(ranks.values(), default=(0, 0))
    return [s for s, rank in ranks.items() if rank == best and best[0] >= _LEAST_KNOWN]
