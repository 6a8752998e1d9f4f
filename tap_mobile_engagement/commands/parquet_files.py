"""Parquet files of an archive, and the manifest: which source file went where."""

from __future__ import annotations

import os
import re
import signal
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from hashlib import blake2b
from itertools import groupby
from multiprocessing import connection, parent_process
from time import monotonic
from typing import TYPE_CHECKING, Self

import msgspec
from msgspec import Struct

from tap_mobile_engagement.archive import Archive
from tap_mobile_engagement.commands.inspect import Finding, as_text
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, DataError, RetryLaterError, TapError
from tap_mobile_engagement.reading.rejects import BadRecords
from tap_mobile_engagement.redaction import install_log_redaction
from tap_mobile_engagement.sources.base import FILE_CODES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tap_mobile_engagement.archive import File
    from tap_mobile_engagement.containers import Blob

    Outcome = tuple[Finding, TapError | None]  # what the manifest says of a file, what is wrong

ROW_GROUP = 131_072  # rows of a row group, about
ROW_GROUP_SIZE = 24 << 20  # bytes of one in memory, about, where that is fewer rows
OF_RECORDS = frozenset({Code.BAD_RECORD, Code.TOO_MANY_BAD_RECORDS})  # failures in one file
_NAME = "_manifest.json"
_VERSION = 1
_SAVE_SECONDS = 2.0
_STEM_CHARACTERS = 60
# The files that this command makes, also while it writes them.
_FILE = rf"[A-Za-z0-9.=_-]{{1,{_STEM_CHARACTERS}}}-[0-9a-f]{{16}}\.parquet"
_OWN_NAME = re.compile(rf"{_FILE}|\.(?:{re.escape(_NAME)}|{_FILE})\.\d+\.partial")
_OWN_PATH = re.compile(rf"(?:{'|'.join(BY_NAME)})/{_FILE}")


closed = partial(RetryLaterError, Code.OUTPUT_CLOSED)


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
    bad_records: str
    max_bad_records: int
    dead_letter_path: str | None


@cache
def archive_of(plan: Plan) -> Archive:
    """The archive; once in each process."""
    return Archive(
        plan.url, app_name=plan.app_name, pattern=plan.pattern, encoding=plan.encoding
    )


class _Content(Struct):
    """The manifest's file: what was read, with which settings, and its files."""

    version: int
    archive: str
    app_name: str
    encoding: str | None
    files: list[Finding] = []


class Manifest:
    """The manifest of an output folder, saved at the end of its context.

    Raises BAD_STATE if the folder's can't be read, or is of another archive or other settings.
    """

    def __init__(self, plan: Plan, archive: str) -> None:
        self._output, self._streams = plan.output, plan.streams
        self._path = plan.output / _NAME
        self._content = _Content(_VERSION, archive, plan.app_name, plan.encoding)
        self._findings: dict[str, list[Finding]] = {}
        self._saved_at = monotonic()

    def __enter__(self) -> Self:
        if self._path.exists():
            by_blob = groupby(self._read().files, key=lambda finding: finding.blob)
            self._findings = {blob: [*findings] for blob, findings in by_blob}
            self._remove_strays()
        else:  # not the one that exists: it may be listed, where the folder is in the archive
            self._save()
        return self

    def __exit__(self, *_: object) -> None:
        self._save()
        self._remove_strays()

    def is_done(self, blob: Blob) -> bool:
        """Whether a blob is finished."""

        def is_done(finding: Finding) -> bool:
            if finding.etag != blob.etag:
                return False
            if finding.problem:
                return finding.code == Code.BLOB_UNRECOGNISED
            if finding.data_type is not None and finding.records is None:
                return finding.data_type not in self._streams
            return finding.path is None or (self._output / finding.path).is_file()

        findings = self._findings.get(as_text(blob.name))
        return findings is not None and all(map(is_done, findings))

    def replace(self, findings: Sequence[Finding]) -> None:
        """Note what a blob holds, and remove what an earlier version of it had made.

        The files of a stream that this run does not select stay as an earlier run read them.
        """
        blob = findings[0].blob
        before = self._findings.get(blob, [])
        kept: dict[tuple[str, str | None], list[Finding]] = {}
        for old in before:
            if old.data_type not in self._streams and old.records is not None:
                kept.setdefault((old.name, old.data_type), []).append(old)
        # (two members of a zip file may have one name)
        same = (kept.get((each.name, each.data_type)) for each in findings)
        self._findings[blob] = [
            old.pop(0) if old else new for old, new in zip(same, findings, strict=True)
        ]
        for path in self._paths(before) - self._paths(self._findings[blob]):
            path.unlink(missing_ok=True)
        if monotonic() - self._saved_at > _SAVE_SECONDS:
            self._save()

    def _paths(self, findings: list[Finding]) -> set[Path]:
        """The files of findings; what else a manifest may name is not ours to remove."""
        paths = (each.path for each in findings if each.path is not None)
        return {self._output / path for path in paths if _OWN_PATH.fullmatch(path)}

    def _every(self) -> list[Finding]:
        return [each for _, findings in sorted(self._findings.items()) for each in findings]

    def _save(self) -> None:
        self._content.files = self._every()
        data = msgspec.json.format(msgspec.json.encode(self._content), indent=1)
        with _written_beside(self._path) as written:
            written.write_bytes(data + b"\n")
        self._saved_at = monotonic()

    def _remove_strays(self) -> None:
        """Remove what a killed run left of the streams: files of our names in no finding."""
        known = self._paths(self._every())
        for folder in (self._output, *(self._output / stream for stream in self._streams)):
            for path in folder.iterdir() if folder.is_dir() else ():
                if _OWN_NAME.fullmatch(path.name) and path not in known:
                    path.unlink(missing_ok=True)

    def _read(self) -> _Content:
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=_Content)
        except (msgspec.MsgspecError, OSError, UnicodeError, RecursionError) as error:
            what = f"{self._path} is no manifest of this command: {error}"
            next_step = "Use another output folder, or remove this one to write it anew"
            raise DataError(Code.BAD_STATE, what, next_step=next_step) from None
        for name in ("version", "archive", "app_name", "encoding"):
            was, is_ = getattr(found, name), getattr(self._content, name)
            if was != is_:
                what = f"{self._path} was written for {name} {was!r}, not {is_!r}"
                next_step = "Use the same again, or another output folder"
                raise DataError(Code.BAD_STATE, what, next_step=next_step)
        return found


def write(plan: Plan, files: Sequence[File]) -> list[Outcome]:
    """Write the files of a blob; TapError for what concerns other files too."""
    return [_write(plan, archive_of(plan), file) for file in files]


def _write(plan: Plan, archive: Archive, file: File) -> Outcome:
    import pyarrow.parquet as pq  # noqa: PLC0415  (an extra)

    from tap_mobile_engagement.output import arrow  # noqa: PLC0415  (an extra)

    finding = Finding.of(file)
    finding.blob, finding.etag = as_text(file.blob.name), file.blob.etag
    if file.stream is None or file.stream not in plan.streams:
        return finding, file.problem if file.stream is None else None
    bad_records = BadRecords(
        file.stream,
        skip=plan.bad_records == "skip",
        most=plan.max_bad_records,
        dead_letter_path=plan.dead_letter_path,
    )
    place, failure = _place_of(file), None
    path = plan.output / place
    batches, schema = finding.reading(archive, file, bad_records), archive.schema(file.stream)
    with (
        closing(bad_records),
        _written_beside(path) as written,
        pq.ParquetWriter(written, schema, compression="zstd") as writer,
    ):
        try:
            for table in arrow.tables(batches, rows=ROW_GROUP, size=ROW_GROUP_SIZE):
                writer.write_table(table)
                del table  # before the next one is made
        except TapError as error:  # behind all rows that can be read
            if error.code not in FILE_CODES | OF_RECORDS:
                raise
            failure = error
            finding.fail(error)
    if finding.records:
        finding.path = place
    else:
        path.unlink()
    return finding, failure


@contextmanager
def _written_beside(path: Path) -> Iterator[Path]:
    """A file for this user alone, moved to its place once it is complete.

    Readers skip it because of its dot. Raises OUTPUT_CLOSED.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.with_name(f".{path.name}.{os.getpid()}.partial")
        written.touch(0o600)
        try:
            yield written
            with written.open("rb+") as file:
                os.fsync(file.fileno())
            written.replace(path)
        finally:
            written.unlink(missing_ok=True)
    except OSError as error:
        raise not_writable(path, error) from None


def _place_of(file: File) -> str:
    """Where the records of a file go: always the same place, and no other file's."""
    key = f"{file.blob.name}\n{file.member}".encode("utf-8", "surrogatepass")
    digest = blake2b(key, digest_size=8).hexdigest()
    stem = re.sub(r"[^A-Za-z0-9.=-]+", "_", file.name.rpartition("/")[2]).strip("._")
    return f"{file.stream}/{stem[:_STEM_CHARACTERS] or 'file'}-{digest}.parquet"


def not_writable(path: Path, error: OSError) -> TapError:
    """The error for a file or folder that can't be written."""
    what = f"{path} can't be written: {error.strerror or error}"
    return closed(what, next_step="Make room or give rights there, then run again")


def start_worker() -> None:
    """Prepare a process of its own for :func:`write`; it ends when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    install_log_redaction()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
