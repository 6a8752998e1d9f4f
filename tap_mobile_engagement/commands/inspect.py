"""The command ``tap-mobile-engagement-inspect``: what an archive holds, before any sync."""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Self

import click
import msgspec
from msgspec import Struct

from tap_mobile_engagement.archive import URL_VARIABLE, Archive
from tap_mobile_engagement.datatypes import BY_NAME, Kind
from tap_mobile_engagement.errors import TapError, ends_on_one_line
from tap_mobile_engagement.reading.content import Compression
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.reading.rejects import BadRecords
from tap_mobile_engagement.redaction import install_log_redaction, redact, shown
from tap_mobile_engagement.sources.arrivals import arrival_text
from tap_mobile_engagement.sources.base import FILE_CODES

if TYPE_CHECKING:
    from collections.abc import Generator

    from tap_mobile_engagement.archive import File
    from tap_mobile_engagement.reading.batch import Batch

_FIRST_RECORDS = 1000  # how many tell the time range of a file that is not counted
_UNITS = ("B", "kB", "MB", "GB", "TB")


class Finding(Struct, kw_only=True, omit_defaults=True):
    """What one file holds. Times are RFC 3339 in UTC; the size is in bytes as stored.

    Attributes:
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


def _inspected(archive: Archive, file: File, *, count: bool) -> Finding:
    """The finding on a file, which ``count`` reads whole; what is wrong with it is in there."""
    finding = Finding.of(file)
    if file.stream is None:
        return finding
    bad_records = BadRecords(file.stream, skip=True, most=sys.maxsize)
    try:
        with closing(finding.reading(archive, file, bad_records)) as batches:
            for _ in batches:
                if not count and (finding.records or 0) >= _FIRST_RECORDS:
                    break
    except TapError as error:
        if error.code not in FILE_CODES:
            raise
        finding.fail(error)
    if not count:
        finding.elements = finding.records = finding.bad_records = None
    return finding


@partial(ends_on_one_line, tell=partial(click.echo, err=True))
@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url", envvar=URL_VARIABLE)
@click.option("--pattern", default="**", help="Which files to look at, as archive_pattern.")
@click.option("--encoding", help="Encoding of text, as archive_encoding.")
@click.option("--count", is_flag=True, help="Read the files whole and count what they hold.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file.")
@click.version_option(package_name="tap-mobile-engagement")
def main(url: str, pattern: str, encoding: str | None, *, count: bool, as_json: bool) -> None:
    """Show what an archive of export files holds, without reading it into anything.

    URL is the container: an Azure container URL with a SAS that allows to read and list (in
    quotes, because it has an &), or a folder. Without it that of the environment variable
    TAP_MOBILE_ENGAGEMENT_CONTAINER_URL is taken, which no other user of the machine sees.
    """
    install_log_redaction()
    with Archive(url, pattern=pattern, encoding=encoding) as archive:
        archive.check()
        findings = (_inspected(archive, file, count=count) for file in archive.files())
        if as_json:
            for finding in findings:
                click.echo(msgspec.json.encode(finding))
        else:
            _print_table([*findings], with_counts=count)
            if archive.skipped:
                click.echo(f"skipped for their names: {len(archive.skipped)}")


def _print_table(findings: list[Finding], *, with_counts: bool) -> None:
    header = ["file", "data type", "form", "size", "arrived", "first", "last"]
    header += ["elements", "records"] if with_counts else []
    rows = [header, *(_row(finding)[: len(header)] for finding in findings)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    problems = [shown(f"{each.name}: {each.problem}") for each in findings if each.problem]
    if problems:
        click.echo("\n".join(["", *problems]))
    click.echo()
    for name in sorted({finding.data_type or "" for finding in findings}):
        some = [finding for finding in findings if (finding.data_type or "") == name]
        line = f"{name or 'none of them'}: {counted(len(some), 'file')}"
        line += f", {_size(sum(finding.size for finding in some))}"
        if with_counts and name:
            line += f", {counted(sum(finding.records or 0 for finding in some), 'record')}"
            bad = sum(finding.bad_records or 0 for finding in some)
            line += f", {counted(bad, 'bad record')}" if bad else ""
        click.echo(line)


def _row(finding: Finding) -> list[str]:
    form = [finding.format, finding.compression, finding.encoding]
    times = (finding.arrived, finding.first, finding.last)
    return [
        shown(finding.name),
        finding.data_type or ("?" if finding.problem else "-"),
        ", ".join(part for part in form if part not in {Compression.NONE, "utf-8"}),
        _size(finding.size),
        *((time or "")[:16].replace("T", " ") for time in times),
        *("" if n is None else str(n) for n in (finding.elements, finding.records)),
    ]


def _size(size: int) -> str:
    power = min((len(str(size)) - 1) // 3, len(_UNITS) - 1)
    return f"{size / 1000**power:.{min(power, 1)}f} {_UNITS[power]}"
