"""The manifest of a folder of Parquet files: which source file went where, with its counts."""

from __future__ import annotations

import os
import re
from hashlib import blake2b
from itertools import groupby
from time import monotonic
from typing import TYPE_CHECKING, Self

import msgspec
from msgspec import Struct

from tap_mobile_engagement.commands.findings import Finding, as_text
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tap_mobile_engagement.archive import File
    from tap_mobile_engagement.commands.parquet_files import Plan
    from tap_mobile_engagement.containers import Blob

NAME = "_manifest.json"
_VERSION = 1
_SAVE_SECONDS = 2.0
_STEM_CHARACTERS = 60
# The files that this command makes, also while it writes them.
_FILE = rf"[A-Za-z0-9.=_-]{{1,{_STEM_CHARACTERS}}}-[0-9a-f]{{16}}\.parquet"
_OWN_NAME = re.compile(rf"{_FILE}|\.(?:{re.escape(NAME)}|{_FILE})\.\d+\.partial")
_OWN_PATH = re.compile(rf"(?:{'|'.join(BY_NAME)})/{_FILE}")


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
        self._plan = plan
        self._path = plan.output / NAME
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
            if finding.code == Code.BLOB_UNRECOGNISED:
                return self._plan.unrecognised_files == "skip"
            if finding.problem:
                return False
            if finding.data_type is not None and finding.records is None:
                return finding.data_type not in self._plan.streams
            return finding.path is None or (self._plan.output / finding.path).is_file()

        findings = self._findings.get(as_text(blob.name))
        return findings is not None and all(map(is_done, findings))

    def replace(self, findings: list[Finding]) -> None:
        """Note what a blob holds, and remove what an earlier version of it had made.

        The files of a stream that this run does not select stay as an earlier run read them.
        """
        before = self._findings.get(findings[0].blob, [])
        findings = self._with_unselected(findings, before)
        self._findings[findings[0].blob] = findings
        for path in self._paths(before) - self._paths(findings):
            path.unlink(missing_ok=True)
        if monotonic() - self._saved_at > _SAVE_SECONDS:
            self._save()

    def _with_unselected(
        self, findings: Sequence[Finding], before: Sequence[Finding]
    ) -> list[Finding]:
        read: dict[tuple[str, str | None], list[Finding]] = {}
        for finding in before:
            if finding.data_type not in self._plan.streams and finding.records is not None:
                read.setdefault((finding.name, finding.data_type), []).append(finding)
        # (two members of a zip file may have one name)
        same = (read.get((each.name, each.data_type)) for each in findings)
        return [
            old.pop(0) if old else finding for old, finding in zip(same, findings, strict=True)
        ]

    def _paths(self, findings: list[Finding]) -> set[Path]:
        """The files of findings; what else a manifest may name is not ours to remove."""
        paths = (each.path for each in findings if each.path is not None)
        return {self._plan.output / path for path in paths if _OWN_PATH.fullmatch(path)}

    def _save(self) -> None:
        self._content.files = [
            finding for _, findings in sorted(self._findings.items()) for finding in findings
        ]
        data = msgspec.json.format(msgspec.json.encode(self._content), indent=1)
        partial = partial_of(self._path)
        partial.write_bytes(data + b"\n")
        partial.replace(self._path)
        self._saved_at = monotonic()

    def _remove_strays(self) -> None:
        """Remove what a killed run left of the streams: files of our names in no finding."""
        every = [finding for findings in self._findings.values() for finding in findings]
        known, output = self._paths(every), self._plan.output
        for folder in (output, *(output / stream for stream in self._plan.streams)):
            for path in folder.iterdir() if folder.is_dir() else ():
                if _OWN_NAME.fullmatch(path.name) and path not in known:
                    path.unlink(missing_ok=True)

    def _read(self) -> _Content:
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=_Content)
        except (msgspec.MsgspecError, OSError, UnicodeError, RecursionError) as error:
            raise DataError(
                Code.BAD_STATE,
                f"{self._path} is no manifest of this command: {error}",
                next_step="Use another output folder, or remove this one to write it anew",
            ) from None
        for name in ("version", "archive", "app_name", "encoding"):
            was, is_ = getattr(found, name), getattr(self._content, name)
            if was != is_:
                raise DataError(
                    Code.BAD_STATE,
                    f"{self._path} was written for {name} {was!r}, not {is_!r}",
                    next_step="Use the same again, or another output folder",
                )
        return found


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
