"""A batch: the records of one block as columns of values, with their ids."""

from __future__ import annotations

import sqlite3
from binascii import hexlify
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from io import BytesIO
from itertools import compress, count, pairwise, repeat
from operator import ne
from typing import TYPE_CHECKING, Any

import msgspec
import xxhash

from tap_mobile_engagement.datatypes import DATA_TYPES, LISTED_TYPES
from tap_mobile_engagement.reading.values import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.columns import Column, Columns

_STRUCTS = {
    each.name: msgspec.defstruct(each.name, [field.name for field in each.fields], gc=False)
    for each in (*DATA_TYPES, *LISTED_TYPES)
}
_canonical = msgspec.json.Encoder(order="deterministic", decimal_format="number")
_decode = msgspec.json.Decoder(float_hook=number).decode
_plain = partial(msgspec.to_builtins, builtin_types=(Decimal,))
_MOST_IN_MEMORY = 100_000  # digests of one group; more go to a file


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the records of one file come from; ``exported_until`` is RFC 3339 in UTC."""

    data_type: DataType
    app_name: str
    blob_name: str | None
    exported_until: str


class Batch:
    """The records of one block, in order: for each field of the data type a column.

    ``rows`` has the canonical JSON of each record's own fields, without its opening brace;
    ``unknown`` that of its unknown fields, or ``null`` (None where all have none); ``ids`` is
    None where the records have ids of their own.
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
    """Makes the record ids of one file: hashes over app, data type, content and occurrence.

    The content is the JSON of the item's own fields, group key included, known and unknown.
    """

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
    """Numbers identical items of one group, known by their digests, in bounded memory.

    Without nesting, rows that follow each other with the same group key are a group.
    """

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
        if starts is None:
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
