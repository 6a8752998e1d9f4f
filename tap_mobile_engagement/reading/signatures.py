"""Which data type elements are, by the fields that they have."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_mobile_engagement.datatypes import DATA_TYPES, DataType
from tap_mobile_engagement.reading.names import list_names, lists_in, names_of, plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

SAMPLE = 20
"""How many elements decide, and how many items of each group."""

_LEAST_KNOWN = 2  # fields; a single one, and be it a device's id, may occur in any file
_SHOWN = 8  # field names in a reason


class Known(NamedTuple):
    """The data type of elements; else the reason, and the ``candidates`` that fit equally."""

    data_type: DataType | None
    reason: str = ""
    candidates: tuple[DataType, ...] = ()


class _Signature(NamedTuple):
    """The plain names of a data type's fields, and which of them it can't do without."""

    data_type: DataType
    known: frozenset[str]
    required: frozenset[str]
    group_key: str
    lists: frozenset[str]


def data_type_of(elements: Iterable[Any], hint: str = "") -> Known:
    """Tell the data type of decoded elements, as far as the first ones do.

    A data type fits if it has every required field. Of those that fit, the one that names the
    most fields wins, then the one with the fewest of its own. A tie is not decided.
    """
    names: dict[str, str] = {}  # as they are written, by their plain form
    candidates: Collection[_Signature] = _SIGNATURES
    for element in islice(elements, SAMPLE):
        if not isinstance(element, dict):
            return Known(None, "its elements are no objects")
        groups = [each for each in candidates if lists_in(element, each.data_type)]
        candidates = groups or candidates
        names |= _fields(element, frozenset().union(*(each.lists for each in groups)))
    item_fields = {name for s in candidates for name in s.required - {s.group_key}}
    if candidates is not _SIGNATURES and item_fields.isdisjoint(names):
        found = [s for s in candidates if s.group_key in names]  # groups without an item
    else:
        found = _best(candidates, names)
    if len(found) > 1:
        found = [s for s in found if plain(hint) in s.lists] or found
    if len(found) == 1:
        return Known(found[0].data_type)
    if found:
        both = " and ".join(s.data_type.name for s in found)
        reason = f"its fields fit {both} alike; archive_types can say which"
        return Known(None, reason, tuple(s.data_type for s in found))
    shown = ", ".join([*names.values()][:_SHOWN])
    return Known(None, f"its fields ({shown or 'none'}) are not those of an export")


def fitting(names: Collection[str]) -> bool:
    """Whether an object with such plain names may be an item of some data type."""
    return bool(_best(_SIGNATURES, names))


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


def _best(candidates: Iterable[_Signature], names: Iterable[str]) -> list[_Signature]:
    found = frozenset(names)
    ranked = []
    for signature in candidates:
        hits = len(found & signature.known)
        if signature.required <= found and hits >= _LEAST_KNOWN:
            ranked.append(((hits, -len(signature.known)), signature))
    best = max((rank for rank, _ in ranked), default=None)
    return [signature for rank, signature in ranked if rank == best]


def _signature(data_type: DataType) -> _Signature:
    known = {name for field in data_type.fields for name in names_of(field)}
    key = next((f for f in data_type.fields if f.name == data_type.group_key), None)
    return _Signature(
        data_type,
        frozenset(known | {name.split(".")[0] for name in known if "." in name}),
        frozenset(names_of(field)[0] for field in data_type.fields if not field.nullable),
        names_of(key)[0] if key else "deviceid",
        list_names(data_type),
    )


_SIGNATURES = [_signature(data_type) for data_type in DATA_TYPES]
_PARENTS = {
    name.split(".")[0] for signature in _SIGNATURES for name in signature.known if "." in name
}
