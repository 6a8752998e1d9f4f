"""Hold a warehouse against the truth, record by record. No I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from tap_mobile_engagement.datatypes import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_mobile_engagement.datatypes import DataType

_DIGEST_BYTES = 16
_EXAMPLES = 3

Row = tuple[Any, ...]
"""The app's name, then a record's own fields in the order of its data type."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of comparing one stream.

    Attributes:
        stream: Name of the stream.
        truth: Number of records that there should be.
        warehouse: Number of rows that there are.
        missing: Number of records without a row of the same content.
        unexpected: Number of rows without a record of the same content.
        examples: A few of both, readable.
    """

    stream: str
    truth: int
    warehouse: int
    missing: int
    unexpected: int
    examples: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether warehouse and truth hold the same records, each as often."""
        return not self.missing and not self.unexpected


def compare(data_type: DataType, truth: Sequence[Row], warehouse: Sequence[Row]) -> Comparison:
    """Compare all records of one stream by content, whatever their order.

    Lineage and ``record_id`` are no part of a row, for the truth knows nothing of them; that a
    ``record_id`` is there once is what the primary key of the table sees to.

    Args:
        data_type: Says what the fields are.
        truth: The records that there should be.
        warehouse: The rows that there are.
    """
    expected = [_digest(data_type, row) for row in truth]
    found = [_digest(data_type, row) for row in warehouse]
    missing = Counter(expected) - Counter(found)
    unexpected = Counter(found) - Counter(expected)
    examples = [
        f"{word}: {_readable(data_type, row)}"
        for word, rows in (
            ("missing", _rows_of(missing, expected, truth)),
            ("unexpected", _rows_of(unexpected, found, warehouse)),
        )
        for row in islice(rows, _EXAMPLES)
    ]
    return Comparison(
        data_type.name,
        truth=len(truth),
        warehouse=len(warehouse),
        missing=missing.total(),
        unexpected=unexpected.total(),
        examples=tuple(examples),
    )


def _rows_of(
    wanted: Counter[bytes], digests: Iterable[bytes], rows: Iterable[Row]
) -> Iterator[Row]:
    return (row for digest, row in zip(digests, rows, strict=True) if digest in wanted)


def _digest(data_type: DataType, row: Row) -> bytes:
    content = msgspec.json.encode(_normalised(data_type, row), order="sorted")
    return blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _normalised(data_type: DataType, row: Row) -> Row:
    app_name, *values = row
    fields = zip(data_type.fields, values, strict=True)
    return (app_name, *(_normal_value(field.kind, value) for field, value in fields))


def _normal_value(kind: Kind, value: Any) -> Any:
    """One form for what truth and warehouse write in different ways."""
    if value is None:
        return None
    if kind is Kind.TIME:
        # An instant, to the microsecond: a warehouse holds no more.
        instant = datetime.fromisoformat(value) if isinstance(value, str) else value
        return (instant.astimezone(UTC) if instant.tzinfo else instant).replace(tzinfo=None)
    if kind in {Kind.OBJECT, Kind.FLAGS} and isinstance(value, str):
        return msgspec.json.decode(value)
    return value


def _readable(data_type: DataType, row: Row) -> str:
    names = ("app_name", *(field.name for field in data_type.fields))
    return str(dict(zip(names, _normalised(data_type, row), strict=True)))
