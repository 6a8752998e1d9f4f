"""What a command tells of a file of an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct

from tap_mobile_engagement.datatypes import BY_NAME, Kind
from tap_mobile_engagement.reading.content import Compression
from tap_mobile_engagement.sources.arrivals import arrival_text

if TYPE_CHECKING:
    from collections.abc import Generator

    from tap_mobile_engagement.archive import File, FileReader
    from tap_mobile_engagement.errors import TapError
    from tap_mobile_engagement.reading.batch import Batch


class Finding(Struct, kw_only=True, omit_defaults=True):
    """What one file holds. Times are RFC 3339 in UTC; the size is in bytes as stored.

    Attributes:
        name: The blob's name, with the member's own in a zip file.
        data_type: The stream that will read it; None if none will.
        first: The earliest time in the records that were read.
        last: The latest.
        elements: None, as the next two, if not counted.
        bad_records: How many items are no record.
        code: What kind of problem it has; None if it has none.
        problem: Why no stream will read it, or what broke while it was counted.
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

    @classmethod
    def of(cls, file: File, **more: Any) -> Self:
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
            **more,
        )
        if file.problem is not None:
            finding.fail(file.problem)
        return finding

    def fail(self, error: TapError) -> None:
        """Take note of what is wrong with the file."""
        self.code, self.problem = error.code, as_text(error.what)

    def reading(self, reader: FileReader) -> Generator[Batch, None, None]:
        """The batches of the file's reader; what they hold is counted on the way."""
        fields = BY_NAME[self.data_type].fields if self.data_type else ()
        places = [place for place, field in enumerate(fields) if field.kind is Kind.TIME]
        try:
            for batch in reader.batches():
                for place in places:
                    times = [*filter(None, batch.values[place])]
                    if times:
                        self.first = min(self.first or times[0], *times)
                        self.last = max(self.last or times[0], *times)
                yield batch
        finally:
            self.elements, self.records = reader.elements, reader.records
            self.bad_records = reader.bad_records


def as_text(name: str) -> str:
    """A name as text that every encoder takes: half a character of it is escaped."""
    return name.encode("utf-8", "backslashreplace").decode()
