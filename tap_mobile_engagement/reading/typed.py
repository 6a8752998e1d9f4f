"""Whole blocks to record Structs at once: the fast way, for files as they are documented.

A block is decoded straight into Structs that are derived from the table of data types, and
taken only if nothing in it needs the tolerant way of :mod:`.records`: no field that the types
don't name, no other type, no time or id to be normalised beyond what is done here in bulk. A
block that is not taken is read the tolerant way, and comes out the same.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from tap_mobile_engagement.datatypes import Field, Kind
from tap_mobile_engagement.reading import values

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tap_mobile_engagement.datatypes import DataType

_PYTHON_TYPES: dict[Kind, Any] = {
    Kind.ID: str,
    Kind.TEXT: str,
    Kind.TIME: str,
    Kind.INTEGER: int,
    Kind.BOOLEAN: bool,
    Kind.OBJECT: dict[str, Any],
    Kind.FLAGS: list[str],
}

# A normal time, once every digit is a 0: with 0, 3, 6 or 9 fraction digits.
_DIGITS = str.maketrans("123456789", "000000000")
_NORMAL_SHAPES = frozenset(
    f"0000-00-00T00:00:00{fraction}Z" for fraction in ("", ".000", ".000000", ".000000000")
) | {""}  # a column without any time
_SPARE_ZEROS = "000Z"  # ends a fraction that has more digits than it needs


class TypedReader:
    """Reads blocks of one data type.

    Args:
        data_type: What the elements are; flat ones, or groups of items.
    """

    def __init__(self, data_type: DataType) -> None:
        self._record = data_type.record
        self._group_key = data_type.group_key
        fields = [f for f in data_type.fields if f.name != data_type.group_key]
        element = _struct(f"{data_type.record.__name__}Item", fields)
        if data_type.group_key:
            key = next(f for f in data_type.fields if f.name == data_type.group_key)
            assert data_type.group_list  # noqa: S101  (a group has a list)
            element = msgspec.defstruct(
                f"{data_type.record.__name__}Group",
                [("key", str | None), ("items", list[element])],  # type: ignore[valid-type]
                rename={"key": key.sources[0], "items": data_type.group_list},
                forbid_unknown_fields=True,
                gc=False,
            )
        self._decode: Callable[[bytes], list[Any]] = msgspec.json.Decoder(list[element]).decode  # type: ignore[valid-type]
        self._fields = fields
        self._columns = [(f.name, _COLUMNS.get(f.kind)) for f in data_type.fields]

    @classmethod
    def fits(cls, data_type: DataType) -> bool:
        """Whether elements of a data type can be read so: not those with nested parts."""
        return not any("." in field.sources[0] for field in data_type.fields)

    def read(self, block: bytes) -> list[Struct] | None:
        """The record Structs of a block, in order; None if it needs the tolerant way.

        Args:
            block: A JSON array of whole elements.
        """
        try:
            elements = self._decode(block)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if self._group_key is None:
            items = elements
            keys: Sequence[Any] = ()
        else:
            items = [item for group in elements for item in group.items]
            keys = [group.key for group in elements for _ in group.items]
        columns = []
        try:
            for name, normalise in self._columns:
                if name == self._group_key:
                    column = keys
                else:
                    column = [getattr(item, name) for item in items]
                if normalise is not None:
                    column = normalise(column)
                columns.append(column)
        except values.BadValue:
            return None
        return [*map(self._record, *columns)]


def _struct(name: str, fields: Sequence[Field]) -> type[Struct]:
    """A Struct of the fields under their usual names in the files, and nothing else."""
    required = [f for f in fields if not f.nullable]
    optional = [f for f in fields if f.nullable]
    return msgspec.defstruct(
        name,
        [
            *((f.name, _PYTHON_TYPES[f.kind]) for f in required),
            *((f.name, _PYTHON_TYPES[f.kind] | None, None) for f in optional),
        ],
        rename={f.name: f.sources[0] for f in fields},
        forbid_unknown_fields=True,
        gc=False,
    )


def _ids(column: Sequence[str | None]) -> Sequence[str | None]:
    if values.NO_IDS.isdisjoint(column):
        return column
    return [None if value is None else values.identifier(value) for value in column]


def _times(column: Sequence[str | None]) -> Sequence[str | None]:
    """Times in their normal form: checked in bulk, rewritten only where one is not normal."""
    present = [value for value in column if value] if None in column else column
    together = "\n".join(present)  # type: ignore[arg-type]
    shapes = set(together.translate(_DIGITS).split("\n"))
    if not (shapes <= _NORMAL_SHAPES and _are_times(present)):
        return [None if value is None else values.time(value) for value in column]
    if _SPARE_ZEROS not in together:
        return column
    return [
        values.time(value) if value is not None and value.endswith(_SPARE_ZEROS) else value
        for value in column
    ]


def _are_times(column: Sequence[Any]) -> bool:
    """Whether texts of the normal shape are possible times: no month 13, no day 31 in June."""
    try:
        msgspec.convert(column, list[datetime])
    except msgspec.ValidationError:
        return False
    return True


def _integers(column: Sequence[int | None]) -> Sequence[int | None]:
    return [None if value is None else values.integer(value) for value in column]


_COLUMNS: dict[Kind, Callable[[Any], Sequence[Any]]] = {
    Kind.ID: _ids,
    Kind.TIME: _times,
    Kind.INTEGER: _integers,
}
