"""Export files as a library: which there are, and what each holds; see docs/library.md."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from tap_mobile_engagement.clock import Clock
from tap_mobile_engagement.containers import open_container
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import TapError
from tap_mobile_engagement.reading.batch import Origin
from tap_mobile_engagement.reading.content import Compression
from tap_mobile_engagement.reading.parts import read_part
from tap_mobile_engagement.reading.recognise import Format
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.reading.rejects import BadRecords
from tap_mobile_engagement.settings import ALL_SETTINGS
from tap_mobile_engagement.sources.arrivals import arrival_text
from tap_mobile_engagement.sources.files import File, Files
from tap_mobile_engagement.sources.patterns import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    import pyarrow as pa
    from azure.core.credentials import TokenCredential

    from tap_mobile_engagement.containers import Blob
    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.batch import Batch
    from tap_mobile_engagement.reading.parts import Part

__all__ = ["URL_VARIABLE", "Archive", "BadRecord", "File"]

URL_VARIABLE = "TAP_MOBILE_ENGAGEMENT_CONTAINER_URL"  # for commands and Spark


@dataclass(frozen=True, slots=True)
class BadRecord:
    """An item that is no record, as far as decoded."""

    stream: str
    blob: str | None
    offset: int  # of its element, in bytes of uncompressed content
    reason: str
    item: Any


class Archive(Files):
    """The export files in a container or folder, listed once; a context manager.

    The arguments are as in the settings ``archive_…``; ``app_name`` is the label of records,
    ``credential`` what reads a container without a SAS. Raises SettingsError.
    """

    def __init__(
        self,
        url: str | os.PathLike[str],
        *,
        app_name: str = "",
        pattern: str = "**",
        types: Iterable[Any] = (),
        encoding: str | None = None,
        credential: TokenCredential | None = None,
    ) -> None:
        rules = Rules(
            ALL_SETTINGS["archive_pattern"].typed(pattern),
            ALL_SETTINGS["archive_types"].typed([*types]),
            ALL_SETTINGS["archive_encoding"].typed(encoding) if encoding else None,
        )
        container = open_container(os.fspath(url), credential=credential)
        super().__init__(container, rules, Clock())
        self.app_name = ALL_SETTINGS["app_names"].typed([app_name])[0] if app_name else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def files(
        self, stream: str | None = None, *, blobs: Sequence[Blob] | None = None
    ) -> Iterator[File]:
        """The files in the order in which they were written, so that the newest is the last.

        Those of a ``stream``, with damaged ones that may be of any, or all; only in ``blobs``.
        Raises ValueError for an unknown stream; TapError if the container can't be read.
        """
        if stream is not None:
            _data_type(stream)
        for file in self.in_order(self.blobs if blobs is None else blobs):
            if stream is None or file.may_hold(stream):
                yield file

    def records(
        self, file: File, *, on_bad_record: Callable[[BadRecord], object] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The records of a file, exactly as the tap's RECORD messages hold them.

        ``on_bad_record`` gets each item that is no record; without it the first one raises
        DataError BAD_RECORD. Raises TapError for what is wrong with the file or its container,
        behind all records that come before the damage.
        """
        for batch in self._batches(file, on_bad_record):
            yield from batch.dictionaries()

    def batches(
        self,
        file: File,
        *,
        on_bad_record: Callable[[BadRecord], object] | None = None,
        part: Part | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The records of a file as Arrow record batches; else as :meth:`records`.

        ``part`` selects the elements that begin in a range of bytes; what can't be divided (all
        but plain JSON arrays in UTF-8, and flat rows without a key) belongs to the part from
        byte 0 on. Raises SettingsError BAD_SETTING without pyarrow (extra ``parquet``).
        """
        from tap_mobile_engagement.output import arrow  # noqa: PLC0415  (an extra)

        for table in arrow.tables(self._batches(file, on_bad_record, part)):
            yield from table.combine_chunks().to_batches()

    def schema(self, stream: str) -> pa.Schema:
        """The Arrow schema of a stream, each field with its ``description`` as metadata.

        Raises ValueError for an unknown stream; BAD_SETTING as :meth:`batches`.
        """
        from tap_mobile_engagement.output import arrow  # noqa: PLC0415  (an extra)

        return arrow.arrow_schema(_data_type(stream))

    def read(
        self, file: File, reader: RecordReader, part: Part | None = None
    ) -> Iterator[Batch]:
        """As :meth:`batches`, but block by block, by a reader of the stream, which counts."""
        data_type, until = _data_type(file.stream or ""), arrival_text(file.arrived)
        origin = Origin(data_type, self.app_name, file.blob.name, until)
        start, found = part[0] if part else 0, file.found
        form = (found.format, found.compression, found.encoding, file.member)
        opened: AbstractContextManager[Iterator[bytes]] = nullcontext(iter(()))
        if part and start < file.size and form == _DIVISIBLE:
            opened = nullcontext(read_part(partial(self.open, file), part, data_type))
        elif start == 0:
            opened = self.open(file)
        try:
            with opened as chunks:
                yield from reader.batches(origin, chunks)
        except TapError as error:
            places = {"stream": file.stream, "blob": file.blob.name, "part": part and start}
            raise error.at(**places) from error.__cause__

    def _batches(
        self,
        file: File,
        on_bad_record: Callable[[BadRecord], object] | None,
        part: Part | None = None,
    ) -> Iterator[Batch]:
        if file.stream is None:
            with self.open(file):  # raises its problem
                return
        name, tell = file.stream, on_bad_record
        bad_records = BadRecords(name) if tell is None else _HandedOver(name, tell)
        reader = RecordReader(_data_type(name), bad_records, self.rules.encoding)
        yield from self.read(file, reader, part)


_DIVISIBLE = (Format.ARRAY, Compression.NONE, "utf-8", None)


class _HandedOver(BadRecords):
    def __init__(self, stream: str, hand_over: Callable[[BadRecord], object]) -> None:
        super().__init__(stream)
        self._name = stream
        self._hand_over = hand_over

    def reject(self, reason: str, item: Any, *, blob: str | None, offset: int) -> None:
        self._hand_over(BadRecord(self._name, blob, offset, reason, item))


def _data_type(stream: str) -> DataType:
    if stream not in BY_NAME:
        raise ValueError(f"{stream!r} is no stream of an archive: {', '.join(BY_NAME)}")
    return BY_NAME[stream]
