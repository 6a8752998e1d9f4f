"""A Spark data source over an archive of export files.

::

    from tap_mobile_engagement.spark import MobileEngagementDataSource

    spark.dataSource.register(MobileEngagementDataSource)
    reader = spark.read.format("mobile_engagement")
    events = reader.option("url", "/data/exports").option("stream", "events").load()

Needs the extra ``spark`` (PySpark 4.0 or newer, with Java 17 or newer).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

from tap_mobile_engagement.archive import Archive
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, SettingsError
from tap_mobile_engagement.redaction import install_log_redaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from pyspark.sql.types import StructType

    from tap_mobile_engagement.archive import File

URL_VARIABLE = "TAP_MOBILE_ENGAGEMENT_CONTAINER_URL"
"""The environment variable that the URL is taken from where there is no option ``url``."""


@dataclass(frozen=True, slots=True)
class _Options:
    """What a reader is told.

    Attributes:
        url: The archive; it may hold a secret. None: that of the environment.
        stream: The stream to read.
        app_name: The label of the records.
        pattern: Which files to look at.
    """

    url: str | None
    stream: str
    app_name: str
    pattern: str

    @classmethod
    def of(cls, options: Mapping[str, str]) -> _Options:
        stream = options.get("stream", "")
        if stream not in BY_NAME:
            raise SettingsError(
                Code.BAD_SETTING,
                f"the option stream is {stream!r}, which is no stream of an archive",
                next_step=f"Use one of {', '.join(BY_NAME)}",
            )
        return cls(
            options.get("url"),
            stream,
            options.get("app_name", ""),
            options.get("pattern", "**"),
        )

    def archive(self) -> Archive:
        install_log_redaction()
        url = self.url or os.environ.get(URL_VARIABLE)
        if not url:
            raise SettingsError(
                Code.BAD_SETTING,
                "there is no option url",
                next_step=f'Use .option("url", "/data/exports"), or set {URL_VARIABLE}',
            )
        return Archive(url, app_name=self.app_name, pattern=self.pattern)

    def __repr__(self) -> str:
        return f"_Options(stream={self.stream!r}, pattern={self.pattern!r})"


class MobileEngagementDataSource(DataSource):  # type: ignore[misc]
    """The data source ``mobile_engagement``.

    Options: ``url`` (an Azure container URL, or a folder; else that of the environment variable
    ``TAP_MOBILE_ENGAGEMENT_CONTAINER_URL``), ``stream``, ``app_name``, ``pattern``.
    """

    @classmethod
    def name(cls) -> str:
        """Its name for ``spark.read.format``."""
        return "mobile_engagement"

    def schema(self) -> StructType:
        """The schema of the stream."""
        from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415  (needs pyarrow)

        from tap_mobile_engagement.output.arrow import arrow_schema  # noqa: PLC0415  (an extra)

        options = _Options.of(self.options)
        return from_arrow_schema(_nullable(arrow_schema(BY_NAME[options.stream])))

    def reader(self, schema: StructType) -> DataSourceReader:
        """A reader of all files that there are now."""
        del schema
        return _Reader(_Options.of(self.options))


class _Files(InputPartition):  # type: ignore[misc]
    """A partition: the files that a blob is or holds."""

    def __init__(self, files: Sequence[File]) -> None:
        super().__init__(files[0].blob.name)
        self.files = files


class _Reader(DataSourceReader):  # type: ignore[misc]
    def __init__(self, options: _Options) -> None:
        self._options = options

    def partitions(self) -> Sequence[InputPartition]:
        """A partition for each blob that holds files of the stream.

        Raises:
            TapError: ``NO_FILES``, or what is wrong with the container, or with a file that may
                belong to any stream.
        """
        with self._options.archive() as archive:
            archive.check()
            found = []
            for file in archive.files():
                problem = file.problem
                if file.stream is None and problem and problem.code != Code.BLOB_UNRECOGNISED:
                    raise problem
                if file.stream == self._options.stream:
                    found.append(file)
        found.sort(key=lambda file: (file.blob.name, file.member or 0))
        return [_Files([*some]) for _, some in groupby(found, key=lambda file: file.blob.name)]

    def read(self, partition: Any) -> Iterator[pa.RecordBatch]:
        """The rows of a partition."""
        with self._options.archive() as archive:
            for file in partition.files:
                for batch in archive.batches(file):
                    yield batch.cast(_nullable(batch.schema))


def _nullable(schema: pa.Schema) -> pa.Schema:
    """A schema without metadata and with fields that may all be null, as Spark compares it."""
    import pyarrow as pa  # noqa: PLC0415  (an extra)

    return pa.schema([(field.name, field.type) for field in schema])
