"""Export files as a library: which there are, and what each of them holds.

::

    from tap_mobile_engagement.archive import Archive

    with Archive("file:///data/mobile-engagement", app_name="shop") as archive:
        for file in archive.files("events"):
            for record in archive.records(file):
                print(record["timestamp"], record["name"])
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import msgspec

from tap_mobile_engagement.containers import open_container
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import TapError
from tap_mobile_engagement.reading.batch import Origin
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.reading.rejects import BadRecords
from tap_mobile_engagement.settings import ArchiveType
from tap_mobile_engagement.sources.arrivals import arrival_text
from tap_mobile_engagement.sources.files import File, Files
from tap_mobile_engagement.sources.patterns import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator
    from types import TracebackType

    import pyarrow as pa
    from azure.core.credentials import TokenCredential

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.batch import Batch

__all__ = ["Archive", "BadRecord", "File", "FileReader"]


@dataclass(frozen=True, slots=True)
class BadRecord:
    """An item of a file that is no record.

    Attributes:
        stream: The stream that it would belong to.
        blob: The name of the blob that holds it.
        offset: Bytes of uncompressed content before its element.
        reason: Why it is none, for people.
        item: What stands in the file, decoded as far as possible.
    """

    stream: str
    blob: str | None
    offset: int
    reason: str
    item: Any


class Archive:
    """The export files in a container or folder. A context manager.

    Nothing is asked for before one of its methods is called. Its files are listed once.

    Args:
        url: An Azure container URL, or a folder: ``file:///…`` or a path.
        app_name: The label for ``app_name`` in the records.
        pattern: Which files to look at: ``*`` stands for anything within a folder, ``**`` for
            anything across folders.
        types: What files hold, where their content can't tell: mappings with ``pattern`` and
            ``data_type``. The first match counts.
        encoding: Encoding of text that is not UTF-8 or UTF-16.
        credential: The identity that reads a container whose URL carries no SAS; that of the
            environment if None.
        attend: Called before each file is handed out; what it raises ends the work.

    Raises:
        SettingsError: ``CONTAINER_URL_INVALID``.
    """

    def __init__(
        self,
        url: str,
        *,
        app_name: str = "",
        pattern: str = "**",
        types: Iterable[Any] = (),
        encoding: str | None = None,
        credential: TokenCredential | None = None,
        attend: Callable[[], object] = lambda: None,
    ) -> None:
        self.app_name = app_name
        self.encoding = encoding
        rules = Rules(pattern, msgspec.convert([*types], tuple[ArchiveType, ...]), encoding)
        self._container = open_container(url, credential=credential)
        self._files = Files(
            self._container, rules, now=lambda: datetime.now(UTC), attend=attend
        )

    def __enter__(self) -> Self:
        """The archive itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """As :meth:`close`."""
        self.close()

    def check(self) -> None:
        """Make sure that any file matches the pattern.

        Raises:
            SettingsError: ``NO_FILES``, with what is there instead.
            TapError: If the container can't be listed.
        """
        self._files.check()

    @property
    def label(self) -> str:
        """The container or folder, for messages: its URL without any secret."""
        return self._container.label

    @property
    def count(self) -> int:
        """How many blobs there are, zip files as one.

        Raises:
            TapError: If the container can't be listed.
        """
        return len(self._files.blobs)

    def files(
        self, stream: str | None = None, *, known: Collection[tuple[str, str]] = ()
    ) -> Iterator[File]:
        """The files in the order in which they were written, so that the newest is the last.

        Args:
            stream: Only the files of that stream; otherwise all, also empty ones and those
                that are damaged or no exports, with their problem.
            known: Names and ETags of blobs that are not looked at.

        Raises:
            ValueError: If no stream has that name.
            TapError: If the container can't be listed or read. What is wrong with one file is
                its problem.
        """
        if stream is not None:
            _data_type(stream)
        listed = self._files.blobs
        blobs = [blob for blob in listed if (blob.name, blob.etag) not in known]
        for file in self._files.in_order(blobs):
            if stream in {None, file.stream}:
                yield file

    @property
    def skipped(self) -> frozenset[str]:
        """The names that were skipped so far: hidden files, resource forks, unfinished ones."""
        return frozenset(self._files.skipped)

    @contextmanager
    def open(self, file: File) -> Iterator[Iterator[bytes]]:
        """The bytes of a file as they are stored, in pieces; of a zip's member uncompressed.

        Raises:
            TapError: What is wrong with the file, or with the container.
        """
        with self._files.open(file) as chunks:
            yield chunks

    def records(
        self, file: File, *, on_bad_record: Callable[[BadRecord], object] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The records of a file, exactly as the tap's RECORD messages hold them.

        A file without a stream has none, unless it is damaged.

        Args:
            file: A file of this archive, maybe found by another process.
            on_bad_record: Gets each item that is no record; without it the first one raises.

        Raises:
            TapError: What is wrong with the file or its container, behind all records that
                come before the damage. A bad record is a DataError, ``BAD_RECORD``.
        """
        for batch in self._batches(file, on_bad_record):
            yield from batch.dictionaries()

    def batches(
        self, file: File, *, on_bad_record: Callable[[BadRecord], object] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The records of a file as Arrow record batches, see :meth:`schema`.

        Args:
            file: As for :meth:`records`.
            on_bad_record: Likewise.

        Raises:
            TapError: As for :meth:`records`.
            SettingsError: ``BAD_SETTING`` if pyarrow is not installed (extra ``parquet``).
        """
        from tap_mobile_engagement.output import arrow  # noqa: PLC0415  (an extra)

        yield from arrow.record_batches(self._batches(file, on_bad_record))

    def schema(self, stream: str) -> pa.Schema:
        """The Arrow schema of a stream, each field with its ``description`` as metadata.

        Date-times are ``timestamp[us, UTC]``, flags lists of strings; ids are strings, objects
        are JSON text.

        Raises:
            ValueError: If no stream has that name.
            SettingsError: ``BAD_SETTING`` if pyarrow is not installed (extra ``parquet``).
        """
        from tap_mobile_engagement.output import arrow  # noqa: PLC0415  (an extra)

        return arrow.arrow_schema(_data_type(stream))

    def _batches(
        self, file: File, on_bad_record: Callable[[BadRecord], object] | None
    ) -> Iterator[Batch]:
        stream = file.stream or ""
        bad_records = (
            _HandedOver(stream, on_bad_record) if on_bad_record else BadRecords(stream)
        )
        return FileReader(self, file, bad_records).batches()

    def close(self) -> None:
        """Let go of what is held open."""
        self._files.close()


class FileReader:
    """Reads one file, and counts.

    Args:
        archive: The archive.
        file: One of its files.
        bad_records: Gets every item that is no record.

    Attributes:
        records: Records so far.
    """

    def __init__(self, archive: Archive, file: File, bad_records: BadRecords) -> None:
        self._archive = archive
        self._file = file
        self._bad_records = bad_records
        self._reader: RecordReader | None = None
        self.records = 0

    @property
    def elements(self) -> int:
        """Elements so far: groups, or items without groups around them."""
        return self._reader.elements if self._reader else 0

    @property
    def bad_records(self) -> int:
        """Items so far that are no records."""
        return self._bad_records.count

    def batches(self) -> Generator[Batch, None, None]:
        """The records, block by block.

        Raises:
            TapError: What is wrong with the file, behind all records before the damage.
        """
        file, archive = self._file, self._archive
        if file.stream is None and file.problem is None:
            return
        try:
            with archive.open(file) as chunks:
                data_type = _data_type(file.stream or "")
                self._reader = RecordReader(data_type, self._bad_records, archive.encoding)
                until = arrival_text(file.arrived)
                origin = Origin(data_type, archive.app_name, file.blob.name, until)
                for batch in self._reader.batches(origin, chunks):
                    self.records += batch.count
                    yield batch
        except TapError as error:
            raise error.at(stream=file.stream, blob=file.blob.name) from error.__cause__


class _HandedOver(BadRecords):
    """Hands bad records over to a callback."""

    def __init__(self, stream: str, hand_over: Callable[[BadRecord], object]) -> None:
        super().__init__(stream, skip=True, most=sys.maxsize)
        self._name = stream
        self._hand_over = hand_over

    def reject(self, reason: str, item: Any, *, blob: str | None, offset: int) -> None:
        """Hand a bad record over."""
        self.count += 1
        self._hand_over(BadRecord(self._name, blob, offset, reason, item))


def _data_type(stream: str) -> DataType:
    if stream not in BY_NAME:
        raise ValueError(f"{stream!r} is no stream of an archive: {', '.join(BY_NAME)}")
    return BY_NAME[stream]
