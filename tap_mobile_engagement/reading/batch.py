"""A batch: columns of a block's source values as columns of record values, with their ids.

One call of a built-in over a list costs a tenth of a Python call per value.
"""

from __future__ import annotations

import re
import sqlite3
from array import array
from binascii import hexlify
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from gc import is_tracked
from io import BytesIO
from itertools import compress, count, pairwise, repeat
from operator import ne
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import xxhash

from tap_mobile_engagement.datatypes import DATA_TYPES, LISTED_TYPES, Kind
from tap_mobile_engagement.reading.values import (
    MAX_DEPTH,
    NO_IDS,
    NUL,
    READERS,
    TOO_DEEP,
    BadValue,
    check_nested,
    common_float,
    number,
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
_WITH_OFFSET = re.compile(_SECONDS + r"(?:\.000(?:000)?)?[+-]00:?00")
# Milliseconds between which a float of seconds is exact to the microsecond: 1973 to 2096.
_EARLIEST, _LATEST = 10**11, 4 * 10**12
_SPARE_ZEROS = "000Z"  # ends a fraction that has more digits than it needs

_STRUCTS = {
    each.name: msgspec.defstruct(each.name, [field.name for field in each.fields], gc=False)
    for each in (*DATA_TYPES, *LISTED_TYPES)
}
_canonical = msgspec.json.Encoder(order="deterministic", decimal_format="number")
_decode = msgspec.json.Decoder(float_hook=number).decode
_plain = partial(msgspec.to_builtins, builtin_types=(Decimal,))
_MOST_IN_MEMORY = 100_000  # digests of one group; more go to a file


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
    """Columns of ``count`` record values, ``certain`` ones without null; or BadValue."""
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
    is_apart = len(texts) == count  # no time of several lines
    if is_apart and None not in endings:
        pairs = zip(texts, endings, strict=True)
        return [text[: ending[0]] + ending[1] for text, ending in pairs if ending]
    if is_apart and all(map(_WITH_OFFSET.fullmatch, {*shapes})):
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


def check_depths(column: list[Any], levels: int = MAX_DEPTH) -> None:
    """Refuse values that are nested too deep, with BadValue."""
    try:
        # What has few bytes can't have many levels.
        if max(map(len, BytesIO(encode_lines(column))), default=0) > 2 * levels:
            for value in column:
                check_nested(value, levels)
    except RecursionError:
        raise BadValue(TOO_DEEP) from None


def filled(column: Column, other: Column) -> Column:
    """A column, with another's values where it has none; BadValue if a text may be null."""
    texts = {value.strip() for value in column if isinstance(value, str)}
    if not texts.isdisjoint((*NO_IDS, "null")):
        raise BadValue("a text that may stand for null")
    return [theirs if own is None else own for own, theirs in zip(column, other, strict=True)]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the records of one file come from; ``exported_until`` is RFC 3339 in UTC."""

    data_type: DataType
    app_name: str
    blob_name: str | None
    exported_until: str


class Batch:
    """The records of one block, in order: for each field of the data type a column.

    ``rows`` has the JSON of each record's own fields, without its opening brace; ``unknown``
    that of its unknown fields, or ``null`` (None where all have none).
    """

    def __init__(self, origin: Origin, columns: Columns, ids: RecordIds | None) -> None:
        self.origin = origin
        self.values = columns.values
        self.count = len(columns.values[0])
        # One call encodes all records, and what reads lines takes them apart: it looks for the
        # ends with `memchr`, where `bytes.split` goes byte by byte.
        struct = _STRUCTS[origin.data_type.name]
        lines = BytesIO(_canonical.encode_lines([*map(struct, *columns.values)])).readlines()
        self.rows = [line[1:-1] for line in lines]
        del lines  # a large one would take its memory twice
        own = self.unknown = _as_json(columns.unknown) if columns.unknown else None
        if columns.group_unknown:
            self.unknown = _merged(columns.unknown, columns.group_unknown)
        contents = self.rows
        if columns.has_decimals:  # floats for long ones keep the ids of earlier versions
            decode = msgspec.json.Decoder(struct).decode
            contents = [_canonical.encode(decode(b"{" + row))[1:] for row in contents]
            own = own and [_canonical.encode(msgspec.json.decode(more)) for more in own]
        if own:
            pairs = zip(contents, own, strict=True)
            contents = [row if more == b"null" else row + more for row, more in pairs]
        self.ids = None if ids is None else ids.of(contents, columns)

    def dictionaries(self) -> Iterator[dict[str, Any]]:
        """The records as dictionaries, in the order of the schema's fields."""
        lineage = {
            "app_name": self.origin.app_name,
            "blob_name": self.origin.blob_name,
            "exported_until": self.origin.exported_until,
        }
        unknown = self.unknown or [b"null"] * self.count
        ids = self.ids or [b""] * self.count
        for row, more, record_id in zip(self.rows, unknown, ids, strict=True):
            record = {**lineage, "unknown_fields": _decode(more)}
            if record_id:
                record["record_id"] = record_id.decode()
            yield record | _decode(b"{" + row)


class RecordIds:
    """Makes the record ids of one file: hashes over app, data type, content and occurrence."""

    def __init__(self, app_name: str, data_type: DataType) -> None:
        scope = _canonical.encode([app_name, data_type.name])
        self._seed = xxhash.xxh3_64_intdigest(scope)
        self._key_at = next(
            (i for i, f in enumerate(data_type.fields) if f.name == data_type.group_key), 0
        )
        self._occurrences: _Occurrences | None = None

    def of(self, contents: list[bytes], columns: Columns) -> list[bytes]:
        """The ids of some items, as 32 hex digits each."""
        digests = [*map(xxhash.xxh3_128_digest, contents, repeat(self._seed))]
        is_apart = columns.starts is not None and not columns.is_part
        if is_apart and len({*digests}) == len(digests):
            self._occurrences = None
        else:
            self._occurrences = self._occurrences or _Occurrences()
            keys = columns.values[self._key_at]
            for place, n in [*self._occurrences.of(digests, keys, columns.starts)]:
                content = b"%b#%d" % (contents[place], n)
                digests[place] = xxhash.xxh3_128_digest(content, self._seed)
        return [*map(hexlify, digests)]


class _Occurrences:
    """Numbers identical items of one group, known by their digests, in bounded memory."""

    def __init__(self) -> None:
        self._key: object = self  # equal to no key
        self._begin_group()

    def _begin_group(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._file: sqlite3.Connection | None = None

    def of(
        self, digests: Sequence[bytes], keys: Sequence[object], starts: Sequence[int] | None
    ) -> Iterator[tuple[int, int]]:
        """The places of repeated items, each with the count of those before it in its group."""
        if starts is None:  # rows that follow each other with the same group key are a group
            starts = [] if keys[0] == self._key else [0]
            starts += compress(count(1), map(ne, keys, keys[1:]))
            self._key = keys[-1]
        else:
            self._key = self
        for at, (start, end) in enumerate(pairwise([0, *starts, len(digests)])):
            some = digests[start:end]
            if at:  # before the first start the last group continues
                self._begin_group()
            is_new = self._file is None and self._counts.keys().isdisjoint(some)
            if is_new and len({*some}) == len(some):
                self._counts.update(zip(some, repeat(1)))
                self._spill()
                continue
            for place, digest in enumerate(some, start):
                before = self._counts.get(digest, 0) or self._spilled(digest)
                self._counts[digest] = before + 1
                self._spill()
                if before:
                    yield place, before

    def _spilled(self, digest: bytes) -> int:
        query = "SELECT n FROM seen WHERE digest = ?"
        row = self._file and self._file.execute(query, (digest,)).fetchone()
        return row[0] if row else 0

    def _spill(self) -> None:
        if len(self._counts) < _MOST_IN_MEMORY:
            return
        if self._file is None:
            # The empty name is a file of SQLite's own, which it deletes with the connection.
            self._file = sqlite3.connect("")
            self._file.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY, n) WITHOUT ROWID")
        rows = sorted(self._counts.items())
        self._file.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", rows)
        self._file.commit()
        self._counts.clear()


def _as_json(values: Column) -> list[bytes]:
    return [line[:-1] for line in BytesIO(_canonical.encode_lines([*values]))]


def _merged(own: Column | None, group: Column) -> list[bytes]:
    """JSON of the unknown fields of items and the groups around; an item's own value wins."""
    if own is None:  # the items of a group share one text, because it may be large
        by_group = {id(theirs): theirs for theirs in group}
        texts = dict(zip(by_group, _as_json([*by_group.values()]), strict=True))
        return [texts[id(theirs)] for theirs in group]
    both = zip(map(_plain, own), map(_plain, group), strict=True)
    return _as_json([{**(theirs or {}), **(mine or {})} or None for mine, theirs in both])
