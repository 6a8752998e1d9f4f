"""A Spark data source over an archive of export files (extra ``spark``); see docs/spark.md."""

from __future__ import annotations

import os
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial, wraps
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import pyarrow as pa
from pyspark.sql.datasource import (
    DataSource,
    DataSourceReader,
    DataSourceStreamReader,
    InputPartition,
)
from pyspark.sql.pandas.types import from_arrow_schema

from tap_mobile_engagement.archive import URL_VARIABLE, Archive
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, SettingsError, TapError
from tap_mobile_engagement.output.arrow import arrow_schema
from tap_mobile_engagement.redaction import install_log_redaction
from tap_mobile_engagement.sources.arrivals import Arrivals
from tap_mobile_engagement.state import PartitionState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pyspark.sql.types import StructType

    from tap_mobile_engagement.containers import Blob

_P = ParamSpec("_P")
_R = TypeVar("_R")

PART_SIZE = 128 << 20  # bytes of a large file that one task reads, by default
FEW_BLOBS = 32  # with more of them the tasks look at them, instead of the driver
TASK_SIZE = 32 << 20  # bytes of small blobs that one task looks at, where the tasks do
OPENING_SIZE = 1 << 20  # bytes that opening a blob counts as much as


def _redacting(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function whose errors show no secret, also of what they are chained to."""

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        install_log_redaction()
        try:
            return function(*args, **kwargs)
        except TapError as error:
            failure = copy(error)
        except Exception as error:  # noqa: BLE001  (whatever a library raises)
            failure = TapError(Code.UNEXPECTED, f"{type(error).__name__}: {error}")
        raise failure  # out here it is chained to nothing

    return call


_bad_option = partial(SettingsError, Code.BAD_SETTING)


class MobileEngagementDataSource(DataSource):  # type: ignore[misc]
    """The data source ``mobile_engagement``, for ``spark.read`` and ``spark.readStream``."""

    @classmethod
    def name(cls) -> str:
        """Its name for ``spark.read.format``."""
        return "mobile_engagement"

    @_redacting
    def schema(self) -> StructType:
        """The schema of the stream."""
        return from_arrow_schema(_nullable(arrow_schema(BY_NAME[_stream(self.options)])))

    @_redacting
    def reader(self, schema: StructType) -> DataSourceReader:  # noqa: ARG002  (Spark's)
        """A reader of all files that exist now."""
        return _Reader(self.options)

    @_redacting
    def streamReader(self, schema: StructType) -> DataSourceStreamReader:  # noqa: N802  (Spark's)
        """A reader of the files that arrive from one micro-batch to the next."""
        del schema
        return _StreamReader(self.options)


@dataclass(frozen=True)
class _Partition(InputPartition):  # type: ignore[misc]
    """What one task reads: some blobs, or of each of them the same range of bytes."""

    blobs: Sequence[Blob]
    part: tuple[int, int] | None = None


class _Files:
    """Reads the files of one stream, as the options say; the URL may hold a secret."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = options
        self._stream = _stream(options)
        part_size = options.get("part_size", str(PART_SIZE))
        if not part_size.isdecimal() or int(part_size) == 0:
            what = f"the option part_size is {part_size!r}, which is no number of bytes"
            raise _bad_option(what, next_step="Give one, such as 134217728")
        self._part_size = int(part_size)

    def read(self, partition: Any) -> Iterator[pa.RecordBatch]:
        return iter(partial(_redacting(next), self._batches(partition), None), None)

    def _archive(self) -> Archive:
        options = self._options
        url = options.get("url") or os.environ.get(URL_VARIABLE)
        if not url:
            next_step = f'Use .option("url", "/data/exports"), or set {URL_VARIABLE}'
            raise _bad_option("there is no option url", next_step=next_step)
        label, pattern = options.get("app_name", ""), options.get("pattern", "**")
        return Archive(url, app_name=label, pattern=pattern)

    def _batches(self, partition: Any) -> Iterator[pa.RecordBatch]:
        if not isinstance(partition, _Partition):  # Spark's own, where we have none
            return
        with self._archive() as archive:
            for file in archive.files(self._stream, blobs=partition.blobs):
                for batch in archive.batches(file, part=partition.part):
                    yield batch.cast(_nullable(batch.schema))

    def _partitions(self, archive: Archive, blobs: Sequence[Blob]) -> list[_Partition]:
        """Partitions for all rows of some blobs; a few are recognised, to spare empty tasks."""
        if len(blobs) <= FEW_BLOBS:
            found = {file.blob for file in archive.files(self._stream, blobs=blobs)}
            groups = [[blob] for blob in blobs if blob in found]
        else:
            ends = accumulate(blob.size + OPENING_SIZE for blob in blobs)
            by_task = groupby(zip(ends, blobs, strict=True), lambda each: each[0] // TASK_SIZE)
            groups = [[blob for _, blob in some] for _, some in by_task]
        partitions, step = [], self._part_size
        for group in groups:
            size = max(blob.size for blob in group)
            starts = range(0, size, step) if size > step else ()
            parts = [_Partition(group, (start, start + step)) for start in starts]
            partitions += parts or [_Partition(group)]
        return partitions


class _Reader(_Files, DataSourceReader):  # type: ignore[misc]
    @_redacting
    def partitions(self) -> Sequence[InputPartition]:
        with self._archive() as archive:
            archive.check()
            return self._partitions(archive, archive.blobs)


class _StreamReader(_Files, DataSourceStreamReader):  # type: ignore[misc]
    """Reads what arrived between two offsets, each a state of the tap over the whole archive.

    So what a listing missed comes next, and an offset always names the same blobs.
    """

    def initialOffset(self) -> dict[str, Any]:  # noqa: N802  (Spark's)
        return {}

    @_redacting
    def latestOffset(self) -> dict[str, Any]:  # noqa: N802  (Spark's)
        with self._archive() as archive:
            state = PartitionState({})
            arrivals = _arrivals(archive, state)
            for blob in archive.blobs:
                arrivals.finish(blob)
            arrivals.note()
            notes: dict[str, Any] = state.values["archive"] if archive.blobs else {}
            return notes

    @_redacting
    def partitions(
        self, start: dict[str, Any], end: dict[str, Any]
    ) -> Sequence[InputPartition]:
        with self._archive() as archive:
            due, later = (
                _arrivals(archive, PartitionState({"archive": offset})).due
                for offset in (start, end)
            )
            for problem in filter(None, (blob.problem for blob in later)):
                if problem.code is not Code.BLOB_UNRECOGNISED:
                    raise problem
            read_later = {*later}
            return self._partitions(archive, [blob for blob in due if blob not in read_later])


def _stream(options: Mapping[str, str]) -> str:
    stream = options.get("stream", "")
    if stream not in BY_NAME:
        what = f"the option stream is {stream!r}, which is no stream of an archive"
        raise _bad_option(what, next_step=f"Use one of {', '.join(BY_NAME)}")
    return stream


def _arrivals(archive: Archive, state: PartitionState) -> Arrivals:
    now = datetime.now(UTC)  # before they are listed
    return Arrivals(archive.blobs, rules=archive.rules, now=now, state=state)


def _nullable(schema: pa.Schema) -> pa.Schema:
    """A schema without metadata and with fields that may all be null, as Spark compares it."""
    return pa.schema([(field.name, field.type) for field in schema])
