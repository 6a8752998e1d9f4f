"""What a command tells of a file of an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from tap_mobile_engagement.datatypes import Kind
from tap_mobile_engagement.reading.content import Compression
from tap_mobile_engagement.sources.arrivals import arrival_text

if TYPE_CHECKING:
    from tap_mobile_engagement.archive import File
    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.batch import Batch


class Finding(Struct, kw_only=True, omit_defaults=True):
    """What one file was found to be.

    Attributes:
        name: The blob's name, and the file's own where the blob is a zip file.
        size: Bytes as stored.
        arrived: When the blob arrived, RFC 3339 in UTC.
        modified: When the file was last written, likewise.
        data_type: The stream that will read it; None if none will.
        format: How its elements are laid out.
        compression: How it is compressed.
        encoding: How its text is encoded.
        first: The earliest time in its records; of all of them only if they were counted.
        last: The latest, likewise.
        elements: How many elements it has; None if they were not counted.
        records: How many records they make, likewise.
        bad_records: How many items are none, likewise.
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


def found_of(file: File) -> Finding:
    """What is known of a file before it is read."""
    found = file.found
    in_zip = file.member is not None and found.compression is Compression.NONE
    finding = Finding(
        name=file.name,
        size=file.size,
        arrived=arrival_text(file.arrived),
        modified=arrival_text(file.modified),
        data_type=file.stream,
        format=found.format,
        compression=Compression.ZIP if in_zip else found.compression,
        encoding=found.encoding,
    )
    if file.problem is not None:
        finding.code, finding.problem = file.problem.code, file.problem.what
    return finding


class Times:
    """The earliest and the latest time in records.

    Args:
        data_type: What the records are.

    Attributes:
        first: The earliest time so far; None if there is none.
        last: The latest one.
    """

    def __init__(self, data_type: DataType) -> None:
        self._places = [
            at for at, field in enumerate(data_type.fields) if field.kind is Kind.TIME
        ]
        self.first: str | None = None
        self.last: str | None = None

    def see(self, batch: Batch) -> None:
        """Take the times of a batch into account."""
        for place in self._places:
            times = [*filter(None, batch.values[place])]
            if times:
                self.first = min(self.first or times[0], *times)
                self.last = max(self.last or times[0], *times)
