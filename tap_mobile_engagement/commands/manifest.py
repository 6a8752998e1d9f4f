"""The manifest of a folder of Parquet files: which source file went where, with its counts."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from time import monotonic
from typing import TYPE_CHECKING, Self

import msgspec
from msgspec import Struct

from tap_mobile_engagement.archive import Archive
from tap_mobile_engagement.commands.findings import Finding, as_text
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, DataError

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.archive import File
    from tap_mobile_engagement.containers import Blob

NAME = "_manifest.json"
_VERSION = 1
_SAVE_SECONDS = 2.0
_STEM_CHARACTERS = 60
# The files that this command makes, also while it writes them.
_OWN_NAME = re.compile(
    r"[A-Za-z0-9.=_-]+-[0-9a-f]{16}\.parquet"
    rf"|\.(?:{re.escape(NAME)}|[A-Za-z0-9.=_-]+-[0-9a-f]{{16}}\.parquet)\.\d+\.partial"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to write, and how: the command's arguments and options."""

    url: str
    output: Path
    streams: frozenset[str]
    app_name: str
    pattern: str
    encoding: str | None
    workers: int
    bad_files: str
    unrecognised_files: str
    no_files: str
    bad_records: str
    max_bad_records: int
    dead_letter_path: str | None

    def archive(self) -> Archive:
        """The archive."""
        return Archive(
            self.url, app_name=self.app_name, pattern=self.pattern, encoding=self.encoding
        )


class Entry(Finding, kw_only=True, omit_defaults=True):
    """A file, and the path of its Parquet file from the manifest, None without records."""

    blob: str
    etag: str
    path: str | None = None


class _Content(Struct, omit_defaults=True):
    """The manifest's file: what was read, with which settings, and its files."""

    version: int
    archive: str
    app_name: str
    encoding: str | None
    files: list[Entry] = []


class Manifest:
    """The manifest of an output folder, saved at the end of its context.

    Raises BAD_STATE if the folder's can't be read, or is of another archive or other settings.
    """

    def __init__(self, plan: Plan, archive: str) -> None:
        self._plan = plan
        self._output = plan.output
        self._path = plan.output / NAME
        self._content = _Content(_VERSION, archive, plan.app_name, plan.encoding)
        self._entries: dict[str, list[Entry]] = {}
        self._saved_at = monotonic()

    def __enter__(self) -> Self:
        if self._path.exists():
            found = _read(self._path)
            self._check(found)
            by_blob = groupby(found.files, key=lambda entry: entry.blob)
            self._entries = {blob: [*entries] for blob, entries in by_blob}
            self._remove_strays()
        else:  # not the one that exists: it may be listed, where the folder is in the archive
            self._save()
        return self

    def __exit__(self, *_: object) -> None:
        self._save()
        self._remove_strays()

    def is_done(self, blob: Blob) -> bool:
        """Whether a blob is finished."""

        def is_done(entry: Entry) -> bool:
            if entry.etag != blob.etag:
                return False
            if entry.code == Code.BLOB_UNRECOGNISED:
                return self._plan.unrecognised_files == "skip"
            if entry.problem:
                return False
            if entry.data_type is not None and entry.records is None:
                return entry.data_type not in self._plan.streams
            return entry.path is None or (self._output / entry.path).is_file()

        entries = self._entries.get(as_text(blob.name))
        return entries is not None and all(map(is_done, entries))

    def replace(self, entries: list[Entry]) -> None:
        """Note what a blob holds, and remove what an earlier version of it had made."""
        blob = entries[0].blob
        paths = {entry.path for entry in entries}
        for entry in self._entries.get(blob, []):
            if entry.path is not None and entry.path not in paths:
                (self._output / entry.path).unlink(missing_ok=True)
        self._entries[blob] = entries
        if monotonic() - self._saved_at > _SAVE_SECONDS:
            self._save()

    def _save(self) -> None:
        self._content.files = [
            entry for _, entries in sorted(self._entries.items()) for entry in entries
        ]
        data = msgspec.json.format(msgspec.json.encode(self._content), indent=1)
        partial = partial_of(self._path)
        partial.write_bytes(data + b"\n")
        partial.replace(self._path)
        self._saved_at = monotonic()

    def _remove_strays(self) -> None:
        """Remove files of a run that was killed: this command's by name, and in no entry."""
        known = {
            self._output / entry.path
            for entries in self._entries.values()
            for entry in entries
            if entry.path is not None
        }
        for folder in (self._output, *(self._output / stream for stream in BY_NAME)):
            for path in folder.iterdir() if folder.is_dir() else ():
                if _OWN_NAME.fullmatch(path.name) and path not in known:
                    path.unlink(missing_ok=True)

    def _check(self, found: _Content) -> None:
        for name in ("version", "archive", "app_name", "encoding"):
            was, is_ = getattr(found, name), getattr(self._content, name)
            if was != is_:
                raise DataError(
                    Code.BAD_STATE,
                    f"{self._path} was written for {name} {was!r}, not {is_!r}",
                    next_step="Use the same again, or another output folder",
                )


def _read(path: Path) -> _Content:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Content)
    except (msgspec.MsgspecError, OSError, UnicodeError) as error:
        raise DataError(
            Code.BAD_STATE,
            f"{path} is no manifest of this command: {error}",
            next_step="Use another output folder, or remove this one to write it anew",
        ) from None


def path_of(file: File) -> str:
    """Where the records of a file go: always the same place, and no other file's."""
    key = f"{file.blob.name}\n{file.member}".encode("utf-8", "surrogatepass")
    digest = blake2b(key, digest_size=8).hexdigest()
    stem = re.sub(r"[^A-Za-z0-9.=-]+", "_", file.name.rpartition("/")[2]).strip("._")
    return f"{file.stream}/{stem[:_STEM_CHARACTERS] or 'file'}-{digest}.parquet"


def partial_of(path: Path) -> Path:
    """An empty file beside a place, for this user alone; readers skip it because of its dot."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.touch(0o600)
    return partial
