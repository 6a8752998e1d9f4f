"""Writes the files of an archive as Parquet, each beside its place and then into it."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import connection, parent_process
from typing import TYPE_CHECKING, NamedTuple

from tap_mobile_engagement.archive import Archive
from tap_mobile_engagement.commands.findings import Finding, as_text
from tap_mobile_engagement.commands.manifest import partial_of, path_of
from tap_mobile_engagement.errors import Code, RetryLaterError, TapError
from tap_mobile_engagement.reading.rejects import BadRecords
from tap_mobile_engagement.redaction import install_log_redaction
from tap_mobile_engagement.sources.base import FILE_CODES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.parquet as pq

    from tap_mobile_engagement.archive import File

ROW_GROUP = 131_072
"""Rows of a row group, about."""

ROW_GROUP_SIZE = 24 << 20
"""Bytes of a row group in memory, about, where that is fewer rows."""

OF_RECORDS = frozenset({Code.BAD_RECORD, Code.TOO_MANY_BAD_RECORDS})
"""Failures of the records of one file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to write, and how: the command's arguments and options."""

    url: str = field(repr=False)  # may hold a secret
    output: Path
    streams: frozenset[str]
    app_name: str
    pattern: str
    encoding: str | None
    workers: int
    bad_files: str
    unrecognised_files: str
    no_files: str
    bad_records: str
    max_bad_records: int
    dead_letter_path: str | None

    def archive(self) -> Archive:
        """The archive."""
        return Archive(
            self.url, app_name=self.app_name, pattern=self.pattern, encoding=self.encoding
        )


class Outcome(NamedTuple):
    """What the manifest says of a file, and what is wrong with it; None if nothing is."""

    finding: Finding
    error: TapError | None = None


def write_file(plan: Plan, archive: Archive, file: File) -> Outcome:
    """Write a file of the archive; TapError for what concerns other files too."""
    from tap_mobile_engagement.output import arrow  # noqa: PLC0415  (an extra)

    finding = Finding.of(file)
    finding.blob, finding.etag = as_text(file.blob.name), file.blob.etag
    if file.stream is None:
        return Outcome(finding, file.problem)
    if file.stream not in plan.streams:
        return Outcome(finding)
    bad_records = BadRecords(
        file.stream,
        skip=plan.bad_records == "skip",
        most=plan.max_bad_records,
        dead_letter_path=plan.dead_letter_path,
    )
    place = path_of(file)
    path = plan.output / place
    failure = None
    try:
        with closing(bad_records), _parquet_file(path, archive.schema(file.stream)) as writer:
            batches = finding.reading(archive, file, bad_records)
            try:
                for table in arrow.tables(batches, rows=ROW_GROUP, size=ROW_GROUP_SIZE):
                    writer.write_table(table)
                    del table  # before the next one is made
            except TapError as error:  # behind all rows that can be read
                if error.code not in FILE_CODES | OF_RECORDS:
                    raise
                failure = error
                finding.fail(error)
    except OSError as error:
        raise RetryLaterError(
            Code.OUTPUT_CLOSED,
            f"{path} can't be written: {error.strerror or error}",
            next_step="Make room or give rights there, then run again",
        ) from None
    if finding.records:
        finding.path = place
    else:
        path.unlink()
    return Outcome(finding, failure)


@contextmanager
def _parquet_file(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A file that is written beside its place, and moved there once it is complete."""
    import pyarrow.parquet as pq  # noqa: PLC0415  (an extra)

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    try:
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            yield writer
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


# In processes of their own.


def start_worker() -> None:
    """Prepare a process for :func:`work`; it ends when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    install_log_redaction()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def work(plan: Plan, files: Sequence[File]) -> list[Outcome]:
    """Write the files of a blob, in a process that :func:`start_worker` has prepared."""
    return [write_file(plan, _archive(plan), file) for file in files]


@cache
def _archive(plan: Plan) -> Archive:
    return plan.archive()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
