"""Batches as Arrow tables: for the library, Parquet files and Spark.

Needs the extra ``parquet`` (pyarrow); nothing imports this module before it is needed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from tap_mobile_engagement.datatypes import Kind
from tap_mobile_engagement.errors import Code, SettingsError, TapError

try:
    import pyarrow as pa
    import pyarrow.compute as pc
except ImportError:
    raise SettingsError(
        Code.BAD_SETTING,
        "Arrow and Parquet need the package pyarrow, which is not installed",
        next_step="Install the extra: pip install 'tap-mobile-engagement[parquet]'",
    ) from None

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_mobile_engagement.datatypes import DataType, Field
    from tap_mobile_engagement.reading.batch import Batch, Origin

ROWS = 16_384  # of a table, about; a file's last one has fewer
SIZE = 8 << 20  # bytes of a table, about: fewer rows where they are large, as of stack traces

_TYPES = {
    Kind.ID: pa.string(),
    Kind.TEXT: pa.string(),
    Kind.TIME: pa.timestamp("us", "UTC"),
    Kind.INTEGER: pa.int64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.OBJECT: pa.string(),  # JSON
    Kind.FLAGS: pa.list_(pa.string()),
}
_TIME = _TYPES[Kind.TIME]
_encode = msgspec.json.Encoder(order="deterministic", decimal_format="number").encode


@lru_cache
def arrow_schema(data_type: DataType) -> pa.Schema:
    """The Arrow schema of a stream, with the descriptions of its fields as metadata."""
    fields = [
        pa.field(each.name, _TYPES[each.kind], each.nullable, {"description": each.description})
        for each in data_type.record_fields
    ]
    return pa.schema(fields, {"description": data_type.description})


def tables(
    batches: Iterable[Batch], *, rows: int = ROWS, size: int = SIZE
) -> Iterator[pa.Table]:
    """The batches of one file as tables, each of about that number of rows or bytes.

    An error of the batches comes after all rows before. The values of a batch are converted at
    once, because they are still in the cache of the processor, and what all rows share is added
    to the whole table.
    """
    held: list[pa.RecordBatch] = []
    held_rows = held_size = 0
    origin: Origin | None = None
    failure: TapError | None = None
    try:
        for batch in batches:
            origin = batch.origin
            held.append(_own_columns(batch))
            held_rows += batch.count
            held_size += held[-1].nbytes
            if held_rows >= rows or held_size >= size:
                yield _table(origin, held)
                held.clear()
                held_rows = held_size = 0
    except TapError as error:
        failure = error
    if origin is not None and held:
        yield _table(origin, held)
    if failure is not None:
        raise failure


def _own_columns(batch: Batch) -> pa.RecordBatch:
    """What differs from row to row, with times as texts."""
    columns = [pa.nulls(batch.count, pa.string())]
    if batch.unknown is not None:
        columns = [pa.array([*map(_NULL.get, batch.unknown, batch.unknown)], pa.string())]
    if batch.ids is not None:
        columns.append(pa.array(batch.ids, pa.string()))
    columns += map(_column, batch.origin.data_type.fields, batch.values)
    return pa.RecordBatch.from_arrays(columns, [*map(str, range(len(columns)))])


_NULL = {b"null": None}


def _column(field: Field, values: Sequence[Any]) -> pa.Array:
    if field.kind is Kind.OBJECT:
        values = [None if value is None else _encode(value) for value in values]
    return pa.array(values, pa.string() if field.kind is Kind.TIME else _TYPES[field.kind])


def _table(origin: Origin, held: Sequence[pa.RecordBatch]) -> pa.Table:
    own = pa.Table.from_batches(held)
    shared = (origin.app_name, origin.blob_name, origin.exported_until)
    columns = [pa.repeat(pa.scalar(value, pa.string()), own.num_rows) for value in shared]
    columns += own.columns
    schema = arrow_schema(origin.data_type)
    pairs = zip(columns, schema, strict=True)
    typed = [_times(column) if field.type == _TIME else column for column, field in pairs]
    return pa.Table.from_arrays(typed, schema=schema)


def _times(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times in their normal form; digits behind the microsecond are cut."""
    try:
        return texts.cast(_TIME)
    except pa.ArrowInvalid:
        return pc.replace_substring_regex(texts, r"(\.\d{6})\d+", r"\1").cast(_TIME)
