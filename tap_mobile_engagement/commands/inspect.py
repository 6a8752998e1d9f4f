"""The command ``tap-mobile-engagement-inspect``: what an archive holds, before any sync."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click
import msgspec
from msgspec import Struct

from tap_mobile_engagement.archive import Archive
from tap_mobile_engagement.datatypes import BY_NAME, Kind
from tap_mobile_engagement.errors import TapError
from tap_mobile_engagement.reading.batch import Origin
from tap_mobile_engagement.reading.content import Compression
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.reading.rejects import BadRecords
from tap_mobile_engagement.redaction import install_log_redaction
from tap_mobile_engagement.sources.arrivals import arrival_text
from tap_mobile_engagement.sources.base import FILE_CODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_mobile_engagement.archive import File
    from tap_mobile_engagement.datatypes import DataType

_FIRST_RECORDS = 1000  # how many tell the time range of a file that is not counted
_UNITS = ("B", "kB", "MB", "GB", "TB")


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


@dataclass(slots=True)
class _Count:
    """What was counted so far of one file."""

    elements: int = 0
    records: int = 0
    bad_records: int = 0
    times: list[str] = field(default_factory=list)

    def see(self, times: Iterable[str]) -> None:
        found = [*self.times, *times]
        self.times = [min(found), max(found)] if found else []


def inspect(archive: Archive, *, count: bool = False) -> Iterator[Finding]:
    """Look at the files of an archive, in the order in which a sync would read them.

    Args:
        archive: The archive.
        count: Whether to read them whole, to count what is in them.

    Raises:
        TapError: If the container can't be listed or read. What is wrong with one file is
            told in its finding.
    """
    for file in archive.files():
        yield _finding(archive, file, count=count)


def _finding(archive: Archive, file: File, *, count: bool) -> Finding:
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
    if file.stream is None:
        return finding
    counted = _Count()
    try:
        with archive.open(file) as chunks:
            most = None if count else _FIRST_RECORDS
            _count(counted, BY_NAME[file.stream], chunks, most, archive.encoding)
    except TapError as error:
        if error.code not in FILE_CODES:
            raise
        finding.code, finding.problem = error.code, error.what
    if counted.times:
        finding.first, finding.last = counted.times
    if count:
        finding.elements = counted.elements
        finding.records = counted.records
        finding.bad_records = counted.bad_records
    return finding


def _count(
    counted: _Count,
    data_type: DataType,
    chunks: Iterator[bytes],
    most: int | None,
    encoding: str | None,
) -> None:
    """Count what a file holds, up to so many records."""
    bad_records = BadRecords(data_type.name, skip=True, most=sys.maxsize)
    reader = RecordReader(data_type, bad_records, encoding)
    places = [at for at, field in enumerate(data_type.fields) if field.kind is Kind.TIME]
    try:
        for batch in reader.batches(Origin(data_type, "", None, ""), chunks):
            counted.records += batch.count
            counted.see(value for at in places for value in batch.values[at] if value)
            if most is not None and counted.records >= most:
                break
    finally:
        counted.elements = reader.elements
        counted.bad_records = bad_records.count


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url")
@click.option("--pattern", default="**", help="Which files to look at, as archive_pattern.")
@click.option("--encoding", help="Encoding of text, as archive_encoding.")
@click.option("--count", is_flag=True, help="Read the files whole and count what they hold.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file.")
@click.version_option(package_name="tap-mobile-engagement")
def main(url: str, pattern: str, encoding: str | None, *, count: bool, as_json: bool) -> None:
    """Show what an archive of export files holds, without reading it into anything.

    URL is the container: an Azure container URL with a SAS that allows to read and list (in
    quotes, because it has an &), or a folder.
    """
    install_log_redaction()
    try:
        with Archive(url, pattern=pattern, encoding=encoding, attend=_Progress()) as archive:
            archive.check()
            findings = inspect(archive, count=count)
            if as_json:
                for finding in findings:
                    click.echo(msgspec.json.encode(finding))
            else:
                _print_table([*findings], counted=count)
                if archive.skipped:
                    click.echo(f"skipped for their names: {len(archive.skipped)}")
    except TapError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


class _Progress:
    """Says on standard error how many files were looked at, if a person sits there."""

    def __init__(self) -> None:
        self._is_watched = sys.stderr.isatty()
        self._number = 0

    def __call__(self) -> None:
        self._number += 1
        if self._is_watched and self._number % 10 == 0:
            click.echo(f"\r{self._number} files …\r", err=True, nl=False)


def _print_table(findings: list[Finding], *, counted: bool) -> None:
    header = ["file", "data type", "form", "size", "arrived", "first", "last"]
    header += ["elements", "records"] if counted else []
    rows = [header, *(_row(finding, counted=counted) for finding in findings)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    problems = [finding for finding in findings if finding.problem]
    if problems:
        click.echo()
    for finding in problems:
        click.echo(f"{finding.name}: {finding.problem}")
    click.echo()
    click.echo(_summary(findings, counted=counted))


def _row(finding: Finding, *, counted: bool) -> list[str]:
    form = [finding.format, finding.compression, finding.encoding]
    usual = {Compression.NONE.value, "utf-8"}
    row = [
        finding.name,
        finding.data_type or ("?" if finding.problem else "-"),
        ", ".join(part for part in form if part not in usual),
        _size(finding.size),
        finding.arrived[:16].replace("T", " "),
        (finding.first or "")[:16].replace("T", " "),
        (finding.last or "")[:16].replace("T", " "),
    ]
    if counted:
        row += ["" if n is None else str(n) for n in (finding.elements, finding.records)]
    return row


def _size(size: float) -> str:
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:  # noqa: PLR2004  (what the units mean)
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == _UNITS[0] else f"{size:.1f} {unit}"


def _summary(findings: list[Finding], *, counted: bool) -> str:
    """One line per data type: files, bytes, and records if they were counted."""
    lines = []
    for name in sorted({finding.data_type or "" for finding in findings}):
        some = [finding for finding in findings if (finding.data_type or "") == name]
        files = "1 file" if len(some) == 1 else f"{len(some)} files"
        line = f"{name or 'none of them'}: {files}, {_size(sum(f.size for f in some))}"
        if counted and name:
            line += f", {sum(f.records or 0 for f in some)} records"
            bad = sum(f.bad_records or 0 for f in some)
            line += f", {bad} bad records" if bad else ""
        lines.append(line)
    return "\n".join(lines or ["no files"])
