"""Writes the files of an archive as Parquet, each beside its place and then into it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from typing import TYPE_CHECKING, Any, Self

import msgspec

from tap_mobile_engagement.archive import Archive, FileReader
from tap_mobile_engagement.commands.findings import Times, found_of
from tap_mobile_engagement.commands.manifest import Entry, partial_of, path_of
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, RetryLaterError, TapError
from tap_mobile_engagement.reading.rejects import BadRecords
from tap_mobile_engagement.redaction import install_log_redaction
from tap_mobile_engagement.sources.base import FILE_CODES

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from tap_mobile_engagement.archive import File
    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.batch import Batch

ROW_GROUP = 131_072
"""Rows of a row group, about."""

_OF_A_FILE = FILE_CODES | {Code.BAD_RECORD, Code.TOO_MANY_BAD_RECORDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to write, and how.

    Attributes:
        url: The archive.
        output: The folder of the Parquet files.
        streams: The streams that are wanted.
        app_name: The label of the records.
        pattern: Which files of the archive to look at.
        encoding: Encoding of text that is not UTF-8 or UTF-16.
        skip_bad_records: Whether to go on without bad records.
        most_bad_records: Then: how many there may be in one stream.
        dead_letter_path: Then: a file that gets them.
    """

    url: str
    output: Path
    streams: frozenset[str]
    app_name: str
    pattern: str
    encoding: str | None
    skip_bad_records: bool
    most_bad_records: int
    dead_letter_path: str | None

    def archive(self) -> Archive:
        """The archive."""
        return Archive(
            self.url, app_name=self.app_name, pattern=self.pattern, encoding=self.encoding
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file.

    Attributes:
        entry: What the manifest says of it.
        error: What is wrong with it; None if nothing is.
    """

    entry: Entry
    error: TapError | None = None


def write_blob(plan: Plan, archive: Archive, files: Sequence[File]) -> list[Outcome]:
    """Write the files that a blob is or holds.

    Raises:
        TapError: What concerns other files too: the storage, or the disk.
    """
    return [_write(plan, archive, file) for file in files]


def _write(plan: Plan, archive: Archive, file: File) -> Outcome:
    found = msgspec.structs.asdict(found_of(file))
    entry = Entry(**found, blob=file.blob.name, etag=file.blob.etag)
    if file.stream is None:
        return Outcome(entry, file.problem)
    if file.stream not in plan.streams:
        return Outcome(entry)
    bad_records = BadRecords(
        file.stream,
        skip=plan.skip_bad_records,
        most=plan.most_bad_records,
        dead_letter_path=plan.dead_letter_path,
    )
    data_type = BY_NAME[file.stream]
    reader = FileReader(archive, file, bad_records)
    times = Times(data_type)
    path = path_of(file)
    failure: TapError | None = None
    try:
        with _ParquetFile(plan.output / path, data_type) as parquet:
            try:
                parquet.write(_seen(reader.batches(), times))
            except TapError as error:
                if error.code not in _OF_A_FILE:
                    raise
                failure = error
    except OSError as error:
        raise RetryLaterError(
            Code.OUTPUT_CLOSED,
            f"{plan.output / path} can't be written: {error.strerror or error}",
            next_step="Make room or give rights there, then run again",
        ) from None
    finally:
        bad_records.close()
    entry.path = path if reader.records else None
    entry.first, entry.last = times.first, times.last
    entry.elements, entry.records = reader.elements, reader.records
    entry.bad_records = reader.bad_records
    if failure is not None:
        entry.code, entry.problem = failure.code, failure.what
    return Outcome(entry, failure)


def _seen(batches: Iterator[Batch], times: Times) -> Generator[Batch, None, None]:
    for batch in batches:
        times.see(batch)
        yield batch


class _ParquetFile:
    """A Parquet file that is in its place once it is complete; without rows there is none.

    Args:
        path: Its place.
        data_type: What its rows are.
    """

    def __init__(self, path: Path, data_type: DataType) -> None:
        self._path = path
        self._partial = partial_of(path)
        self._data_type = data_type
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def write(self, batches: Iterator[Batch]) -> None:
        """Write the rows of batches; what taking them raises comes behind all rows before."""
        import pyarrow as pa  # noqa: PLC0415  (an extra)
        import pyarrow.parquet as pq  # noqa: PLC0415

        from tap_mobile_engagement.output.arrow import arrow_schema, record_batches  # noqa: PLC0415

        schema = arrow_schema(self._data_type)
        held: list[pa.RecordBatch] = []

        def write_group() -> None:
            if held and self._writer is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._writer = pq.ParquetWriter(self._partial, schema, compression="zstd")
            if held:
                self._writer.write_table(pa.Table.from_batches(held, schema))
                held.clear()

        try:
            for batch in record_batches(batches):
                held.append(batch)
                if sum(each.num_rows for each in held) >= ROW_GROUP:
                    write_group()
        except TapError:
            write_group()
            raise
        write_group()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
                if kind is None:
                    _flush_to_disk(self._partial)
                    self._partial.replace(self._path)
        finally:
            with suppress(OSError):
                self._partial.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


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
    """As :func:`write_blob`, in a process that :func:`start_worker` has prepared."""
    plan, archive = _worker
    return write_blob(plan, archive, files)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, where the system can.

    Raises:
        RetryLaterError: ``OUTPUT_CLOSED`` if another run writes there.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl  # noqa: PLC0415  (not on every system)

    with ExitStack() as stack:
        descriptor = os.open(folder, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RetryLaterError(
                Code.OUTPUT_CLOSED,
                f"another run writes to {folder}",
                next_step="Wait for it, or use another output folder",
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
