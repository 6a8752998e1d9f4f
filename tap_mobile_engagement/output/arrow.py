"""Batches as Arrow record batches: for the library, Parquet files and Spark.

Needs the extra ``parquet`` (pyarrow); nothing imports this module before it is needed.
"""

from __future__ import annotations

from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from tap_mobile_engagement.datatypes import Kind
from tap_mobile_engagement.errors import Code, SettingsError, TapError

try:
    import pyarrow as pa
except ImportError:
    raise SettingsError(
        Code.BAD_SETTING,
        "Arrow and Parquet need the package pyarrow, which is not installed",
        next_step="Install the extra: pip install 'tap-mobile-engagement[parquet]'",
    ) from None

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_mobile_engagement.datatypes import DataType, Field
    from tap_mobile_engagement.reading.batch import Batch

ROWS = 16_384
"""Rows of a record batch, about; a file's last one has fewer."""

SIZE = 8 << 20
"""Bytes of a record batch, about: fewer rows where they are large, as those of stack traces."""

_TYPES = {
    Kind.ID: pa.string(),
    Kind.TEXT: pa.string(),
    Kind.TIME: pa.timestamp("us", "UTC"),
    Kind.INTEGER: pa.int64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.OBJECT: pa.string(),  # JSON
    Kind.FLAGS: pa.list_(pa.string()),
}
_TO_MICROSECONDS = len("2016-05-01T00:00:00.000000")
_encode_lines = msgspec.json.Encoder(
    order="deterministic", decimal_format="number"
).encode_lines


def arrow_schema(data_type: DataType) -> pa.Schema:
    """The Arrow schema of a stream, with the descriptions of its fields as metadata."""
    return pa.schema(
        [
            pa.field(
                field.name,
                _TYPES[field.kind],
                nullable=field.nullable,
                metadata={"description": field.description},
            )
            for field in data_type.record_fields
        ],
        metadata={"description": data_type.description},
    )


def record_batches(batches: Iterable[Batch]) -> Iterator[pa.RecordBatch]:
    """Arrow record batches of one file; an error of its batches comes after all rows before."""
    held: list[Batch] = []
    size = 0
    failure: TapError | None = None
    try:
        for batch in batches:
            held.append(batch)
            size += sum(map(len, batch.rows))
            if size >= SIZE or sum(each.count for each in held) >= ROWS:
                yield _record_batch(held)
                held, size = [], 0
    except TapError as error:
        failure = error
    if held:
        yield _record_batch(held)
    if failure is not None:
        raise failure


def _record_batch(batches: Sequence[Batch]) -> pa.RecordBatch:
    origin = batches[0].origin
    fields = origin.data_type.fields
    size = sum(batch.count for batch in batches)
    unknown: Iterable[bytes] = chain.from_iterable(
        batch.unknown or [_NULL] * batch.count for batch in batches
    )
    columns = [
        pa.repeat(pa.scalar(origin.app_name, pa.string()), size),
        pa.repeat(pa.scalar(origin.blob_name, pa.string()), size),
        pa.repeat(_times([origin.exported_until])[0], size),
        _texts([None if value == _NULL else value for value in unknown]),
    ]
    if origin.data_type.has_record_id:
        columns.append(_texts([*chain.from_iterable(batch.ids or () for batch in batches)]))
    for place, field in enumerate(fields):
        values = [*chain.from_iterable(batch.values[place] for batch in batches)]
        columns.append(_column(field, values))
    schema = arrow_schema(origin.data_type)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


_NULL = b"null"


def _column(field: Field, values: list[Any]) -> pa.Array:
    match field.kind:
        case Kind.TIME:
            return _times(values)
        case Kind.OBJECT:
            lines = BytesIO(_encode_lines(values)).readlines()
            return _texts([None if line == b"null\n" else line[:-1] for line in lines])
        case _:
            return pa.array(values, _TYPES[field.kind])


def _texts(values: Sequence[str | bytes | None]) -> pa.Array:
    return pa.array(values, pa.string())


def _times(values: list[str | None]) -> pa.Array:
    """Times in their normal form; digits behind the microsecond are cut."""
    try:
        return _texts(values).cast(_TYPES[Kind.TIME])
    except pa.ArrowInvalid:
        cut = [value and f"{value[:-1][:_TO_MICROSECONDS]}Z" for value in values]
        return _texts(cut).cast(_TYPES[Kind.TIME])
