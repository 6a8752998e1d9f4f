"""Writes the files of an archive as Parquet, each beside its place and then into it."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import connection, parent_process
from typing import TYPE_CHECKING, NamedTuple

from tap_mobile_engagement.archive import FileReader
from tap_mobile_engagement.commands.findings import as_text
from tap_mobile_engagement.commands.manifest import Entry, partial_of, path_of
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, RetryLaterError, TapError
from tap_mobile_engagement.reading.rejects import BadRecords
from tap_mobile_engagement.redaction import install_log_redaction
from tap_mobile_engagement.sources.base import FILE_CODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pyarrow as pa

    from tap_mobile_engagement.archive import Archive, File
    from tap_mobile_engagement.commands.manifest import Plan

ROW_GROUP = 131_072
"""Rows of a row group, about."""

ROW_GROUP_SIZE = 32 << 20
"""Bytes of a row group in memory, about, where that is fewer rows."""

OF_RECORDS = frozenset({Code.BAD_RECORD, Code.TOO_MANY_BAD_RECORDS})
"""Failures of the records of one file."""


class Outcome(NamedTuple):
    """What the manifest says of a file, and what is wrong with it; None if nothing is."""

    entry: Entry
    error: TapError | None = None


def write_file(plan: Plan, archive: Archive, file: File) -> Outcome:
    """Write a file of the archive; TapError for what concerns other files too."""
    from tap_mobile_engagement.output.arrow import arrow_schema, record_batches  # noqa: PLC0415

    entry = Entry.of(file, blob=as_text(file.blob.name), etag=file.blob.etag)
    if file.stream is None:
        return Outcome(entry, file.problem)
    if file.stream not in plan.streams:
        return Outcome(entry)
    bad_records = BadRecords(
        file.stream,
        skip=plan.bad_records == "skip",
        most=plan.max_bad_records,
        dead_letter_path=plan.dead_letter_path,
    )
    reader = FileReader(archive, file, bad_records)
    place = path_of(file)
    try:
        failure = _write_parquet(
            plan.output / place,
            arrow_schema(BY_NAME[file.stream]),
            record_batches(entry.reading(reader)),
        )
    except OSError as error:
        raise RetryLaterError(
            Code.OUTPUT_CLOSED,
            f"{plan.output / place} can't be written: {error.strerror or error}",
            next_step="Make room or give rights there, then run again",
        ) from None
    finally:
        bad_records.close()
    entry.path = place if reader.records else None
    if failure is not None:
        entry.fail(failure)
    return Outcome(entry, failure)


def _write_parquet(
    path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> TapError | None:
    """Write a file beside its place and move it there; without rows there is none.

    Returns what is wrong with the source, behind all rows that were written.
    """
    import pyarrow as pa  # noqa: PLC0415  (an extra)
    import pyarrow.parquet as pq  # noqa: PLC0415

    failure: TapError | None = None
    held: list[pa.RecordBatch] = []
    rows = size = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    try:
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            try:
                for batch in batches:
                    held.append(batch)
                    rows += batch.num_rows
                    size += batch.nbytes
                    is_full = sum(each.num_rows for each in held) >= ROW_GROUP
                    if is_full or size >= ROW_GROUP_SIZE:
                        writer.write_table(pa.Table.from_batches(held))
                        held.clear()
                        size = 0
            except TapError as error:
                if error.code not in FILE_CODES | OF_RECORDS:
                    raise
                failure = error
            if held:
                writer.write_table(pa.Table.from_batches(held))
        if rows:
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(path)
        return failure
    finally:
        partial.unlink(missing_ok=True)


# In processes of their own.

_worker: tuple[Plan, Archive]


def start_worker(plan: Plan) -> None:
    """Prepare a process for :func:`work`; it ends when its parent does."""
    global _worker  # noqa: PLW0603  (a process has one)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    install_log_redaction()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = plan, plan.archive()


def work(files: Sequence[File]) -> list[Outcome]:
    """Write the files of a blob, in a process that :func:`start_worker` has prepared."""
    plan, archive = _worker
    return [write_file(plan, archive, file) for file in files]


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
