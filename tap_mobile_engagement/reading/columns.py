"""Columns of source values to columns of record values, the same as by :mod:`.values`.

One call of a built-in over a list costs a tenth of a Python call per value.
"""

from __future__ import annotations

import re
from array import array
from contextlib import suppress
from datetime import UTC, datetime
from gc import is_tracked
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tap_mobile_engagement.datatypes import Kind
from tap_mobile_engagement.reading.values import (
    MAX_DEPTH,
    NO_IDS,
    NUL,
    READERS,
    TOO_DEEP,
    BadValue,
    check_nested,
    common_float,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_mobile_engagement.datatypes import DataType

    Column = Sequence[Any]

encode_lines = msgspec.json.Encoder().encode_lines

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
    """The values of some items, by field of the data type."""

    values: Sequence[Column]
    unknown: Column | None = None  # fields of each item; None where no item has any
    group_unknown: Column | None = None  # the same of the groups around them
    starts: Sequence[int] | None = None  # of groups among the items; None without groups
    is_part: bool = False  # whether the next block may hold more of the last group
    elements: int = 0  # that hold the items; 0 where they are counted before
    repaired: int = 0  # elements in which characters were replaced
    shared: int = 0  # bytes that an item repeats of its group, at most
    has_decimals: bool = False  # whether there may be some that no float can hold

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
    """Columns of ``count`` record values; BadValue for a bad or missing one.

    ``certain`` has the places of columns without null.
    """
    found: list[Column] = []
    for place, (field, column) in enumerate(zip(data_type.fields, columns, strict=True)):
        normal: Column = [None] * count if column is None else column
        kind = Kind.TEXT if column is None else field.kind
        if kind is Kind.ID:
            if not NO_IDS.isdisjoint(normal):
                normal = [None if value in NO_IDS else value for value in normal]
        elif kind is Kind.OBJECT:
            if not {*map(type, normal)} <= _OBJECTS:
                normal = _from_texts(normal)
            # Most versions of Python don't track a dictionary of scalars.
            if nested := [*filter(is_tracked, normal)]:
                check_depths(nested)
        elif kind is not Kind.TEXT:
            read = READERS[kind]
            regular = _times(normal) if kind is Kind.TIME else _regular(kind, normal)
            normal = regular or [None if value is None else read(value) for value in normal]
        is_certain = place in certain and normal is column
        if not (field.nullable or is_certain) and None in normal:
            raise BadValue(f"{field.name} is missing")
        found.append(normal)
    return found


def _times(column: Column) -> Column | None:
    """Times in their normal form, rewritten only where one is not; None if they are odd."""
    present = [value for value in column if value is not None] if None in column else column
    try:
        is_epoch = {*map(type, present)} == {int}
        if is_epoch and min(present) > _EARLIEST and max(present) < _LATEST:
            seconds = [value / 1000 for value in present]
            present = _written(msgspec.convert(seconds, list[datetime], strict=False))
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


def _written(moments: list[datetime]) -> list[str]:
    return msgspec.json.encode(moments).decode()[2:-2].split('","')


def _regular(kind: Kind, column: Column) -> Column | None:
    """The column, if all of its values are as a record has them."""
    if not {*map(type, column)} <= {_REGULAR[kind], _NONE}:
        return None
    with suppress(OverflowError):
        if kind is Kind.INTEGER:
            array("q", filter(None, column))
        return column
    return None


_decode_text = msgspec.json.Decoder(dict[str, Any], float_hook=common_float).decode


def _from_texts(column: Column) -> Column:
    """Objects out of JSON texts."""
    try:
        if NUL.decode() in "".join(filter(None, column)):
            raise BadValue("a text with a character that is replaced")
        return [None if value is None else _decode_text(value or "{}") for value in column]
    except (TypeError, ValueError, RecursionError):
        raise BadValue("no object") from None


def check_depths(column: list[Any]) -> None:
    """Refuse values that are nested too deep, with BadValue."""
    try:
        # What has few bytes can't have many levels.
        if max(map(len, BytesIO(encode_lines(column))), default=0) > 2 * MAX_DEPTH:
            for value in column:
                check_nested(value)
    except RecursionError:
        raise BadValue(TOO_DEEP) from None


def filled(column: Column, other: Column) -> Column:
    """A column, with another's values where it has none; BadValue if a text may be null."""
    texts = {value.strip() for value in column if isinstance(value, str)}
    if not texts.isdisjoint((*NO_IDS, "null")):
        raise BadValue("a text that may stand for null")
    return [theirs if own is None else own for own, theirs in zip(column, other, strict=True)]
