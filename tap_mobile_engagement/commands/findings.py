"""What a command says of a file of an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from msgspec import Struct

from tap_mobile_engagement.datatypes import BY_NAME, Kind
from tap_mobile_engagement.reading.content import Compression
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.redaction import redact
from tap_mobile_engagement.sources.arrivals import arrival_text

if TYPE_CHECKING:
    from collections.abc import Generator

    from tap_mobile_engagement.archive import Archive, File
    from tap_mobile_engagement.errors import TapError
    from tap_mobile_engagement.reading.batch import Batch
    from tap_mobile_engagement.reading.rejects import BadRecords


class Finding(Struct, kw_only=True, omit_defaults=True):
    """What one file holds. Times are RFC 3339 in UTC; the size is in bytes as stored.

    Attributes:
        data_type: The stream that will read it; None if none will.
        first: The earliest time in the records that were read.
        elements: None, as the next two, if not counted.
        problem: Why no stream will read it, or what broke while it was counted.
        blob: The blob's name, as the next two in a manifest alone.
        path: Where its Parquet file is, from the manifest; None without records.
    """

    name: str
    size: int
    arrived: str
    modified: str
    data_type: str | None
    format: str
    compression: str
    encoding: str
    first: str | None = None
    last: str | None = None
    elements: int | None = None
    records: int | None = None
    bad_records: int | None = None
    code: str | None = None
    problem: str = ""
    blob: str = ""
    etag: str = ""
    path: str | None = None

    @classmethod
    def of(cls, file: File) -> Self:
        """What is known of a file before it is read."""
        found = file.found
        in_zip = file.member is not None and found.compression is Compression.NONE
        finding = cls(
            name=as_text(file.name),
            size=file.size,
            arrived=arrival_text(file.arrived),
            modified=arrival_text(file.modified),
            data_type=file.stream,
            format=found.format,
            compression=Compression.ZIP if in_zip else found.compression,
            encoding=found.encoding,
        )
        if file.problem is not None:
            finding.fail(file.problem)
        return finding

    def fail(self, error: TapError) -> None:
        """Take note of what is wrong with the file."""
        self.code, self.problem = error.code, redact(as_text(error.what))

    def reading(
        self, archive: Archive, file: File, bad_records: BadRecords
    ) -> Generator[Batch, None, None]:
        """The records of the file, which has a stream; what they hold is counted on the way."""
        data_type = BY_NAME[file.stream or ""]
        reader = RecordReader(data_type, bad_records, archive.rules.encoding)
        places = [at for at, field in enumerate(data_type.fields) if field.kind is Kind.TIME]
        self.records = 0
        try:
            for batch in archive.read(file, reader):
                self.records += batch.count
                for place in places:
                    times = [*filter(None, batch.values[place])]
                    if times:
                        self.first = min(self.first or times[0], *times)
                        self.last = max(self.last or times[0], *times)
                yield batch
        finally:
            self.elements, self.bad_records = reader.elements, bad_records.count


def as_text(name: str) -> str:
    """A name as text that every encoder takes: half a character of it is escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def counted(number: int, what: str) -> str:
    """How many there are: ``1 file``, ``2 files``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
