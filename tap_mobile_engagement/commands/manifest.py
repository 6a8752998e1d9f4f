"""The manifest of a folder of Parquet files: which source file went where, with its counts."""

from __future__ import annotations

import os
import re
from hashlib import blake2b
from itertools import groupby
from time import monotonic
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from tap_mobile_engagement.commands.findings import Finding
from tap_mobile_engagement.errors import Code, DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from tap_mobile_engagement.archive import File

NAME = "_manifest.json"
_VERSION = 1
_SAVE_SECONDS = 2.0
_STEM_CHARACTERS = 60
_PARTIAL = re.compile(r"\.(.+)\.\d+\.partial")


class Entry(Finding, kw_only=True, omit_defaults=True):
    """What a file of the archive was found to be, and where its records are.

    Attributes:
        blob: The blob that it is, or that holds it.
        etag: Which version of the blob it is.
        path: The Parquet file, relative to the manifest; None where there is no record.
    """

    blob: str
    etag: str
    path: str | None = None


class _Content(Struct, omit_defaults=True):
    """What the manifest's file holds.

    Attributes:
        version: The form of the manifest.
        archive: The container or folder, without any secret.
        app_name: The label of the records.
        encoding: The encoding that was said to be that of texts.
        files: The source files.
        pending: Parquet files that a run was about to write when the manifest was saved.
    """

    version: int
    archive: str
    app_name: str
    encoding: str | None
    files: list[Entry] = []
    pending: list[str] = []


class Manifest:
    """The manifest of an output folder.

    Args:
        output: The folder.
        archive: The container or folder that is read, without any secret.
        app_name: The label of the records.
        encoding: The encoding that texts are said to have.

    Raises:
        DataError: ``BAD_STATE`` if the folder's manifest can't be read, or if it is of another
            archive or other settings.
    """

    def __init__(
        self, output: Path, *, archive: str, app_name: str, encoding: str | None
    ) -> None:
        self._output = output
        self._path = output / NAME
        self._content = _Content(_VERSION, archive, app_name, encoding)
        self._saved_at = 0.0
        if self._path.exists():
            found = _read(self._path)
            self._check(found)
            self._content = found
        self._entries: dict[str, list[Entry]] = {
            blob: [*entries]
            for blob, entries in groupby(self._content.files, key=lambda entry: entry.blob)
        }

    def known(
        self, streams: Collection[str], *, skip_unrecognised: bool
    ) -> set[tuple[str, str]]:
        """Names and ETags of the blobs that are finished.

        Args:
            streams: The streams that are wanted.
            skip_unrecognised: Whether a file that is no export counts as finished.
        """

        def is_done(entry: Entry) -> bool:
            if entry.code == Code.BLOB_UNRECOGNISED:
                return skip_unrecognised
            if entry.problem:
                return False
            if entry.data_type is not None and entry.records is None:
                return entry.data_type not in streams
            return entry.path is None or (self._output / entry.path).is_file()

        return {
            (blob, entries[0].etag)
            for blob, entries in self._entries.items()
            if all(map(is_done, entries))
        }

    def begin(self, paths: Iterable[str]) -> None:
        """Remove what a killed run left behind, and note what this one is about to write."""
        kept = {entry.path for entries in self._entries.values() for entry in entries}
        self._remove_partials()
        for path in self._content.pending:
            if path not in kept:
                (self._output / path).unlink(missing_ok=True)
        self._content.pending = [*paths]
        self.save()

    def replace(self, blob: str, entries: list[Entry]) -> None:
        """Note what a blob holds, and remove what an earlier version of it had made."""
        paths = {entry.path for entry in entries}
        for entry in self._entries.get(blob, []):
            if entry.path is not None and entry.path not in paths:
                (self._output / entry.path).unlink(missing_ok=True)
        self._entries[blob] = entries
        if monotonic() - self._saved_at > _SAVE_SECONDS:
            self.save()

    def end(self, *, is_complete: bool) -> None:
        """Save the manifest of a run that came to its end, or that was stopped."""
        self._remove_partials()
        if is_complete:
            self._content.pending = []
        self.save()

    def save(self) -> None:
        """Write the manifest beside the old one, and then in its place."""
        self._content.files = [
            entry for _, entries in sorted(self._entries.items()) for entry in entries
        ]
        data = msgspec.json.format(msgspec.json.encode(self._content), indent=1)
        partial = partial_of(self._path)
        partial.write_bytes(data + b"\n")
        partial.replace(self._path)
        self._saved_at = monotonic()

    def _remove_partials(self) -> None:
        """Remove files that were not completed, and none that this command did not begin."""
        begun: dict[Path, set[str]] = {}
        for path in (NAME, *self._content.pending):
            place = self._output / path
            begun.setdefault(place.parent, set()).add(place.name)
        for folder, names in begun.items():
            for each in folder.iterdir() if folder.is_dir() else ():
                partial = _PARTIAL.fullmatch(each.name)
                if partial and partial[1] in names:
                    each.unlink(missing_ok=True)

    def _check(self, found: _Content) -> None:
        here = self._content
        for name in ("version", "archive", "app_name", "encoding"):
            was, is_ = getattr(found, name), getattr(here, name)
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
    key = f"{file.blob.name}\n{file.member}"
    digest = blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    stem = re.sub(r"[^A-Za-z0-9.=-]+", "_", file.name.rpartition("/")[2]).strip("._")
    return f"{file.stream}/{stem[:_STEM_CHARACTERS] or 'file'}-{digest}.parquet"


def partial_of(path: Path) -> Path:
    """The name of a file while this process writes it; readers of Parquet skip hidden files."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")
