"""Columns of source values to columns of record values.

The same values as by :mod:`.values`, but checked and changed a column at a time: one call of a
built-in over a list costs a tenth of a Python function called for each value. A column with a
value that is none raises :class:`BadValue`; its items are then read one by one, for the reason.
"""

from __future__ import annotations

from datetime import UTC, datetime
from gc import is_tracked
from io import BytesIO
from operator import itemgetter
from secrets import randbits
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tap_mobile_engagement.datatypes import Kind
from tap_mobile_engagement.reading import values
from tap_mobile_engagement.reading.elements import NUL, common_float
from tap_mobile_engagement.reading.values import MAX_DEPTH, BadValue, check_depth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tap_mobile_engagement.datatypes import DataType, Field

    Column = Sequence[Any]

_MAX_INTEGER = (1 << 63) - 1

# What a time looks like once every digit is a 0; with 0, 3, 6 or 9 fraction digits and a Z it
# is in its normal form. Others are cut and get an end: the fraction's zeros, and the Z.
_DIGITS = str.maketrans("123456789", "000000000")
_SECONDS = ("0000-00-00T00:00:00", "0000-00-00 00:00:00")
_NORMAL = frozenset(f"{_SECONDS[0]}{fraction}Z" for fraction in ("", ".000", ".000000"))
_ENDINGS = {"0000-00-00": (10, "T00:00:00Z")} | {
    f"{seconds}{'.' if digits else ''}{'0' * digits}{zone}": (
        len(seconds) + digits + (digits > 0),
        "0" * (-digits % 3) + "Z",
    )
    for seconds in _SECONDS
    for digits in range(10)
    for zone in ("", "Z")
}
# What the standard library reads exactly, to the microsecond.
_WITH_OFFSET = frozenset(
    f"{_SECONDS[0]}{fraction}{sign}{offset}"
    for fraction in ("", ".000", ".000000")
    for sign in "+-"
    for offset in ("00:00", "0000")
)
# Milliseconds between which a float of seconds is exact to the microsecond: 1973 to 2096.
_EARLIEST, _LATEST = 10**11, 4 * 10**12
_SPARE_ZEROS = "000Z"  # ends a fraction that has more digits than it needs


def times(column: Column) -> Column:
    """Times in their normal form: checked in bulk, rewritten only where one is not normal.

    Raises:
        BadValue: If one is no time, or stands for none.
    """
    present = [value for value in column if value is not None] if None in column else column
    if not present:
        return column
    try:
        together = "\n".join(present)
    except TypeError:
        return _milliseconds(column)
    shapes = together.translate(_DIGITS)
    usual, _, _ = shapes.partition("\n")
    if usual not in _NORMAL or shapes != "\n".join([usual] * len(present)):
        present = _rewritten(present, shapes.split("\n"))
        together = "\n".join(present)
    try:  # no month 13, no day 31 in June
        msgspec.convert(present, list[datetime])
    except msgspec.ValidationError:
        raise BadValue("no possible time") from None
    if _SPARE_ZEROS in together:
        for _ in range(3):  # of up to nine digits
            together = together.replace(f".{_SPARE_ZEROS}", "Z").replace(_SPARE_ZEROS, "Z")
        present = together.split("\n")
    if len(present) == len(column):
        return present
    found = iter(present)
    return [None if value is None else next(found) for value in column]


def _rewritten(column: Column, shapes: Sequence[str]) -> Column:
    """Texts of different shapes as times, nearly in their normal form.

    Raises:
        BadValue: If one is no time, or stands for none.
    """
    if len(shapes) != len(column):
        raise BadValue("a time of several lines")
    endings = [*map(_ENDINGS.get, shapes)]
    if None not in endings:
        pairs = zip(column, endings, strict=True)
        return (
            "\n".join([v[: e[0]] + e[1] for v, e in pairs if e]).replace(" ", "T").split("\n")
        )
    if _WITH_OFFSET.issuperset(shapes):
        try:
            moments = msgspec.convert(column, list[datetime])
            return _written([moment.astimezone(UTC) for moment in moments])
        except (msgspec.ValidationError, OverflowError):
            raise BadValue("no possible time") from None
    found = [values.time(value) for value in column]
    if None in found:
        raise BadValue("no time")
    return found


def _milliseconds(column: Column) -> Column:
    """Milliseconds since 1970, and whatever else is among them."""
    if set(map(type, column)) == {int} and min(column) > _EARLIEST and max(column) < _LATEST:
        seconds = [value / 1000 for value in column]
        return _written(msgspec.convert(seconds, list[datetime], strict=False))
    return [None if value is None else values.time(value) for value in column]


def _written(moments: list[datetime]) -> Column:
    """Moments in UTC in their normal form; one call writes all of them."""
    return times(msgspec.json.encode(moments).decode()[2:-2].split('","'))


def integers(column: Column) -> Column:
    """Integers of at most 64 bits."""
    kinds = set(map(type, column))
    if kinds <= {int, type(None)}:
        present = column if kinds == {int} else [v for v in column if v is not None]
        if not present or (min(present) >= -_MAX_INTEGER - 1 and max(present) <= _MAX_INTEGER):
            return column
    return [None if value is None else values.integer(value) for value in column]


def booleans(column: Column) -> Column:
    """True or false."""
    if set(map(type, column)) <= {bool, type(None)}:
        return column
    return [None if value is None else values.boolean(value) for value in column]


def flags(column: Column) -> Column:
    """Lists of texts."""
    if set(map(type, column)) <= {list, type(None)}:
        return column
    return [None if value is None else values.flags(value) for value in column]


_between_texts = randbits(62)
_decode_texts = msgspec.json.Decoder(
    list[dict[str, Any] | int | None], float_hook=common_float
).decode


def _from_text(column: Column) -> Column:
    """Objects out of JSON texts, all decoded at once.

    A number that no text can know stands between them, so that none can reach into another.
    """
    if not {*map(type, column)} <= {str, type(None)}:
        raise BadValue("an object in another form")
    texts = ["null" if value is None else value or "{}" for value in column]
    data = f"[{f',{_between_texts},'.join(texts)}]".encode("utf-8", "surrogatepass")
    if NUL in data:
        raise BadValue("a character for no target")
    try:
        found = _decode_texts(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise BadValue("no object") from None
    if len(found) != 2 * len(texts) - 1 or found[1::2].count(_between_texts) != len(texts) - 1:
        raise BadValue("no object")
    objects = found[::2]
    if int in set(map(type, objects)):
        raise BadValue("no object")
    return objects


def check_depths(column: Iterable[Any]) -> None:
    """Refuse values that are nested too deep.

    Raises:
        BadValue: If one is.
    """
    found = [*column]
    try:
        lines = BytesIO(_encode_lines(found)).readlines()
        if max(map(len, lines), default=0) > 2 * MAX_DEPTH:
            for value in found:
                check_depth(value)
    except RecursionError:
        raise BadValue(values.TOO_DEEP) from None


_encode_lines = msgspec.json.Encoder().encode_lines


def check_nulls(column: Column) -> None:
    """Refuse a column with a text that may stand for null, which only its kind tells.

    Raises:
        BadValue: If there is one.
    """
    texts = {value.strip() for value in column if isinstance(value, str)}
    if not texts.isdisjoint((*values.NO_IDS, "null")):
        raise BadValue("a text that may stand for null")


def filled(column: Column, other: Column) -> Column:
    """A column, with the values of another where it has none."""
    return [theirs if own is None else own for own, theirs in zip(column, other, strict=True)]


class Columns(NamedTuple):
    """The values of some items, by field.

    Attributes:
        values: For each field of the data type a column.
        unknown: For each item its unknown fields; None where no item has any.
        group_unknown: The same of the groups around them.
        sizes: How many items each group has; None where items are not grouped.
        has_decimals: Whether there may be decimals that no float can hold.
    """

    values: Sequence[Column]
    unknown: Column | None = None
    group_unknown: Column | None = None
    sizes: list[int] | None = None
    has_decimals: bool = False


def normalised(
    data_type: DataType, columns: Sequence[Column | None], certain: set[int], count: int
) -> list[Column]:
    """Columns of source values as a record has them.

    Args:
        data_type: What the items are.
        columns: For each of its fields a column; None where no item has the field.
        certain: Places of columns without any null.
        count: How many items there are.

    Raises:
        BadValue: If a value is none, or stands for null where a record needs one.
    """
    read: list[Column] = []
    for place, (field, column) in enumerate(zip(data_type.fields, columns, strict=True)):
        if column is None:
            normal: Column = [None] * count
        else:
            match field.kind:
                case Kind.TEXT:
                    normal = column
                case Kind.ID:
                    normal = column
                    if not values.NO_IDS.isdisjoint(column):
                        normal = [None if v in values.NO_IDS else v for v in column]
                case Kind.OBJECT:
                    normal = column if {*map(type, column)} <= _OBJECTS else _from_text(column)
                    # A dictionary of scalars is not tracked by the garbage collector of most
                    # versions of Python: the cheapest proof that nothing is nested in it.
                    nested = [*filter(is_tracked, normal)]
                    if nested:
                        check_depths(nested)
                case _:
                    normal = _NORMALISERS[field.kind](column)
        is_certain = place in certain and normal is column
        if not (field.nullable or is_certain) and None in normal:
            raise BadValue(f"{field.name} is missing")
        read.append(normal)
    return read


_OBJECTS = {dict, type(None)}
_NORMALISERS: dict[Kind, Callable[[Column], Column]] = {
    Kind.TIME: times,
    Kind.INTEGER: integers,
    Kind.BOOLEAN: booleans,
    Kind.FLAGS: flags,
}


_first_character = itemgetter(slice(1))
_PAIR_SEPARATORS = (";", "|", "&", ",")


def column_of_cells(field: Field, cells: Column) -> Column:
    """Cells of CSV as values: an empty one is a field that is not there, where it need not be.

    Objects may also be given as ``key=value`` pairs, which is an assumption.
    """
    if field.nullable and "" in cells:
        cells = [cell or None for cell in cells]
    if field.kind is Kind.OBJECT:
        beginnings = {*map(_first_character, filter(None, cells))}
        if not beginnings <= {"{"}:
            cells = [cell and pairs(cell) for cell in cells]
    return cells


def pairs(cell: str) -> object:
    """An object given as ``key=value`` pairs; any other text as it is."""
    if "=" not in cell or cell.lstrip().startswith("{"):
        return cell
    present = [separator for separator in _PAIR_SEPARATORS if separator in cell]
    for separator in present or _PAIR_SEPARATORS[:1]:
        pieces = [piece.partition("=") for piece in cell.split(separator) if piece.strip()]
        if all(equals for _, equals, _ in pieces):
            return {key.strip(): value.strip() for key, _, value in pieces}
    return cell
