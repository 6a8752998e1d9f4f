"""Columns of source values to columns of record values, the same as by :mod:`.values`.

One call of a built-in over a list costs a tenth of a Python call per value.
"""

from __future__ import annotations

import re
from array import array
from datetime import UTC, datetime
from gc import is_tracked
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tap_mobile_engagement.datatypes import Kind
from tap_mobile_engagement.reading import values
from tap_mobile_engagement.reading.values import (
    MAX_DEPTH,
    NUL,
    READERS,
    BadValue,
    check_nested,
    common_float,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_mobile_engagement.datatypes import DataType

    Column = Sequence[Any]

_NONE = type(None)
_OBJECTS = {dict, _NONE}
_REGULAR = {Kind.INTEGER: int, Kind.BOOLEAN: bool, Kind.FLAGS: list}

# What a time looks like once every digit is a 0. One that is not normal is cut and gets an end:
# the fraction's zeros, and the Z. Those with an offset the standard library reads exactly.
_DIGITS = str.maketrans("123456789", "000000000")
_SECONDS = "0000-00-00T00:00:00"
_NORMAL = {f"{_SECONDS}{fraction}Z" for fraction in ("", ".000", ".000000")}
_ENDINGS = {"0000-00-00": (10, "T00:00:00Z")} | {
    f"{_SECONDS}{'.' * (digits > 0)}{'0' * digits}{zone}": (
        len(_SECONDS) + digits + (digits > 0),
        "0" * (-digits % 3) + "Z",
    )
    for digits in range(10)
    for zone in ("", "Z")
}
_WITH_OFFSET = re.compile(_SECONDS + r"(?:\.000){0,1}(?:000)?[+-]00:?00")
# Milliseconds between which a float of seconds is exact to the microsecond: 1973 to 2096.
_EARLIEST, _LATEST = 10**11, 4 * 10**12
_SPARE_ZEROS = "000Z"  # ends a fraction that has more digits than it needs


class Columns(NamedTuple):
    """The values of some items, by field of the data type.

    Attributes:
        unknown: For each item its unknown fields; None where no item has any.
        group_unknown: The same of the groups around them.
        starts: Where a group begins among the items; None where items are not grouped.
        is_part: Whether the next block may hold more of the last group.
        elements: How many elements hold the items; 0 where they are counted before.
        repaired: In how many of those characters were replaced.
        shared: Bytes that an item repeats of its group, at most.
        has_decimals: Whether there may be decimals that no float can hold.
    """

    values: Sequence[Column]
    unknown: Column | None = None
    group_unknown: Column | None = None
    starts: Sequence[int] | None = None
    is_part: bool = False
    elements: int = 0
    repaired: int = 0
    shared: int = 0
    has_decimals: bool = False

    def parts(self, most_shared: int) -> Iterator[Columns]:
        """The same items in several columns, each with ``most_shared`` bytes at most."""
        count = max(most_shared // self.shared, 1)
        for at in range(0, len(self.values[0]), count):
            part = slice(at, at + count)
            yield self._replace(
                values=[column[part] for column in self.values],
                unknown=self.unknown and self.unknown[part],
                group_unknown=self.group_unknown and self.group_unknown[part],
                starts=[start - at for start in self.starts or () if at <= start < at + count],
                is_part=True,
            )


def normalised(
    data_type: DataType, columns: Sequence[Column | None], certain: set[int], count: int
) -> list[Column]:
    """Columns of ``count`` record values for each field; None where no item has the field.

    ``certain`` has the places of columns without null. Raises BadValue for a bad value, or for
    null where a record needs a value.
    """
    read: list[Column] = []
    for place, (field, column) in enumerate(zip(data_type.fields, columns, strict=True)):
        normal: Column
        if column is None:
            normal = [None] * count
        else:
            match field.kind:
                case Kind.TEXT:
                    normal = column
                case Kind.ID:
                    normal = column
                    if not values.NO_IDS.isdisjoint(column):
                        normal = [None if v in values.NO_IDS else v for v in column]
                case Kind.OBJECT:
                    normal = column if {*map(type, column)} <= _OBJECTS else _from_texts(column)
                    # Most versions of Python don't track a dictionary of scalars.
                    nested = [*filter(is_tracked, normal)]
                    if nested:
                        check_depths(nested)
                case kind:
                    regular = _times(column) if kind is Kind.TIME else _regular(kind, column)
                    normal = regular or _one_by_one(kind, column)
        is_certain = place in certain and normal is column
        if not (field.nullable or is_certain) and None in normal:
            raise BadValue(f"{field.name} is missing")
        read.append(normal)
    return read


def _one_by_one(kind: Kind, column: Column) -> Column:
    read = READERS[kind]
    return [None if value is None else read(value) for value in column]


def _times(column: Column) -> Column | None:
    """Times in their normal form, rewritten only where one is not; None if they are odd."""
    present = [value for value in column if value is not None] if None in column else column
    try:
        if {*map(type, present)} == {int}:
            present = _from_milliseconds(present)
        together = "\n".join(present)
        shapes = together.translate(_DIGITS)
        usual, _, _ = shapes.partition("\n")
        if usual not in _NORMAL or shapes != "\n".join([usual] * len(present)):
            present = _rewritten(together.replace(" ", "T"), len(present))
            together = "\n".join(present)
        msgspec.convert(present, list[datetime])  # no month 13, no day 31 in June
    except (TypeError, ValueError, OverflowError, msgspec.ValidationError):
        return None
    if _SPARE_ZEROS in together:
        for _ in range(3):  # of up to nine digits
            together = together.replace(f".{_SPARE_ZEROS}", "Z").replace(_SPARE_ZEROS, "Z")
        present = together.split("\n")
    if len(present) == len(column):
        return present
    found = iter(present)
    return [None if value is None else next(found) for value in column]


def _rewritten(together: str, count: int) -> list[str]:
    """Times of different shapes, nearly in their normal form; ValueError if one is odd."""
    texts, shapes = together.split("\n"), together.translate(_DIGITS).split("\n")
    endings = [*map(_ENDINGS.get, shapes)]
    if None not in endings and len(texts) == count:  # no time of several lines
        pairs = zip(texts, endings, strict=True)
        return [text[: ending[0]] + ending[1] for text, ending in pairs if ending]
    if all(map(_WITH_OFFSET.fullmatch, {*shapes})):
        moments = msgspec.convert(texts, list[datetime])
        return _written([moment.astimezone(UTC) for moment in moments])
    raise ValueError


def _from_milliseconds(column: Column) -> list[str]:
    if min(column) <= _EARLIEST or max(column) >= _LATEST:
        raise ValueError
    seconds = [value / 1000 for value in column]
    return _written(msgspec.convert(seconds, list[datetime], strict=False))


def _written(moments: list[datetime]) -> list[str]:
    return msgspec.json.encode(moments).decode()[2:-2].split('","')


def _regular(kind: Kind, column: Column) -> Column | None:
    """The column, if all of its values are as a record has them."""
    if not {*map(type, column)} <= {_REGULAR[kind], _NONE}:
        return None
    try:
        if kind is Kind.INTEGER:
            array("q", filter(None, column))
    except OverflowError:
        return None
    return column


_decode_text = msgspec.json.Decoder(dict[str, Any], float_hook=common_float).decode


def _from_texts(column: Column) -> Column:
    """Objects out of JSON texts."""
    try:
        if NUL.decode() in "".join(filter(None, column)):
            raise BadValue("a text with a character that is replaced")
        return [None if value is None else _decode_text(value or "{}") for value in column]
    except (TypeError, ValueError, RecursionError):
        raise BadValue("no object") from None


encode_lines = msgspec.json.Encoder().encode_lines


def check_depths(column: list[Any]) -> None:
    """Refuse values that are nested too deep, with BadValue."""
    try:
        # What has few bytes can't have many levels.
        if max(map(len, BytesIO(encode_lines(column))), default=0) > 2 * MAX_DEPTH:
            for value in column:
                check_nested(value)
    except RecursionError:
        raise BadValue(values.TOO_DEEP) from None


def filled(column: Column, other: Column) -> Column:
    """A column, with another's values where it has none; BadValue if a text may be null."""
    texts = {value.strip() for value in column if isinstance(value, str)}
    if not texts.isdisjoint((*values.NO_IDS, "null")):
        raise BadValue("a text that may stand for null")
    return [theirs if own is None else own for own, theirs in zip(column, other, strict=True)]
