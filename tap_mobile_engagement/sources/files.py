"""The files of an archive, blobs or members of zip files: listed once, then recognised."""

from __future__ import annotations

from contextlib import closing, contextmanager
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from tap_mobile_engagement.clock import map_in_order
from tap_mobile_engagement.containers import FolderContainer
from tap_mobile_engagement.containers.base import skipped_part
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, DataError, SettingsError, TapError
from tap_mobile_engagement.reading.content import (
    Compression,
    ZipContent,
    compression_of,
    modified,
    open_content,
    peek,
)
from tap_mobile_engagement.reading.recognise import Format, Recognition, recognise
from tap_mobile_engagement.sources.arrivals import order
from tap_mobile_engagement.sources.base import FILE_CODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from zipfile import ZipInfo

    from tap_mobile_engagement.clock import Clock
    from tap_mobile_engagement.containers import Blob, Container
    from tap_mobile_engagement.sources.patterns import Rules

WORKERS = 8  # blobs of a remote container that are recognised at once
SMALL = 256 * 1024  # bytes of a blob that is taken as a whole when it is recognised
OPEN_ZIPS = 4  # at once, unless more are read at once
KEPT_SIZE = 16 << 20  # bytes of small blobs that are kept until they are read
_MAGIC_SIZE = 4  # bytes that tell a zip file
_EMPTY_ZIP = Recognition(Compression.ZIP, "utf-8", Format.EMPTY, None)


@dataclass(frozen=True, slots=True)
class File:
    """One file of an archive; it can be pickled. Its size is in bytes as stored, times in UTC.

    Attributes:
        name: The blob's name, with the member's own behind it in a zip file.
        modified: When the file was last written, as far as that is known.
        problem: What its first bytes show to be wrong with it.
        member: Its place in a zip file, from 0; None where it is the blob itself.
    """

    name: str
    size: int
    arrived: datetime
    modified: datetime
    stream: str | None
    problem: TapError | None
    blob: Blob = field(repr=False)
    found: Recognition = field(repr=False)
    member: int | None = field(default=None, repr=False)

    @property
    def is_broken(self) -> bool:
        """Whether it may belong to any stream, because nothing tells what it would hold."""
        return self.problem is not None and self.stream is None

    def may_hold(self, stream: str) -> bool:
        """Whether it is of a stream, or damaged so that nothing tells which one it is of."""
        is_export = self.problem is None or self.problem.code is not Code.BLOB_UNRECOGNISED
        return self.stream == stream or (self.is_broken and is_export)


class Files:
    """Lists an archive, recognises its blobs and opens what is in them.

    ``seen`` has the files of the blobs that were recognised so far, ``skipped`` the names that
    :mod:`tap_mobile_engagement.containers.base` skips.
    """

    def __init__(self, container: Container, rules: Rules, clock: Clock) -> None:
        self.container = container
        self.rules = rules
        self._clock = clock
        self.skipped: set[str] = set()
        self._workers = 1 if isinstance(container, FolderContainer) else WORKERS
        self.seen: dict[Blob, list[File]] = {}
        self._kept: dict[Blob, bytes] = {}
        self._room = KEPT_SIZE
        self._lock = Lock()  # of the two above: several threads recognise blobs
        self._zips: dict[Blob, ZipContent] = {}  # open ones that nothing reads

    @cached_property
    def blobs(self) -> Sequence[Blob]:
        """The blobs that match, in the order of reading; listed once."""
        found = self.container.list(self.rules.prefix, takes=self._takes)
        blobs = [blob for blob in found if self._takes(blob.name) and self._concerns(blob)]
        return sorted(blobs, key=order)

    def check(self) -> None:
        """Make sure that any file matches; raises SettingsError NO_FILES."""
        if self.blobs:
            return
        names = (blob.name for blob in self.container.list())
        example = next((name for name in names if not skipped_part(name)), None)
        skipped = f", and {len(self.skipped)} are skipped for their names"
        raise SettingsError(
            Code.NO_FILES,
            f"no file matches {self.rules.pattern}{skipped if self.skipped else ''}",
            next_step=f"There is {example or 'no file at all'}: correct archive_pattern or "
            "container_url, or set no_files: accept",
            container=self.container.label,
        )

    def of(self, blob: Blob) -> Sequence[File]:
        """The files that a blob is or holds; raises TapErrors that concern other blobs too."""
        if blob not in self.seen:
            self.seen[blob] = self._look_at(blob)
        return self.seen[blob]

    def in_order(self, blobs: Sequence[Blob]) -> Iterator[File]:
        """The files of all blobs, in the order in which they are read; errors as in :meth:`of`.

        All blobs are recognised first, because only their members tell when they were written.
        If that fails, what was found before comes first.
        """
        found: list[File] = []
        failure: TapError | None = None
        each = (self.of(blob) for blob in blobs)
        if self._workers > 1 and any(blob not in self.seen for blob in blobs):
            each = map_in_order(self.of, blobs, workers=self._workers)
        try:
            with closing(each):
                for files in each:
                    self._clock.check()
                    found += files
        except TapError as error:
            failure = error
        yield from sorted(found, key=lambda f: (f.modified, f.blob.name, f.member or 0))
        if failure is not None:
            raise failure

    @contextmanager
    def open(self, file: File, start: int = 0) -> Iterator[Iterator[bytes]]:
        """The bytes of a file from ``start`` (of a blob) on, in pieces; for one thread.

        Raises the container's TapError, DataError for a broken zip file, or the problem of a
        file that nothing recognises.
        """
        if file.problem is not None and file.stream is None:
            raise copy(file.problem)
        if file.member is None:
            with self._stored(file.blob, start) as chunks:
                yield chunks
            with self._lock:
                self._room += len(self._kept.pop(file.blob, b""))
            return
        # A zip file stays open, because the members of several may be read in turns.
        content = self._zips.pop(file.blob, None)
        if content is None:
            with self._stored(file.blob) as chunks:
                content = ZipContent(chunks).__enter__()
        member = content.members[file.member]
        try:
            with content.open(member) as chunks:
                yield chunks
        except DataError as error:
            raise error.at(member=member.filename) from error.__cause__
        finally:
            if self._zips.setdefault(file.blob, content) is not content:
                content.__exit__(None, None, None)
            self.close(OPEN_ZIPS)

    def close(self, most: int = 0) -> None:
        """Close zip files that nothing reads, the oldest first, until ``most`` are open."""
        while len(self._zips) > most:
            self._zips.pop(next(iter(self._zips))).__exit__(None, None, None)

    def _takes(self, name: str) -> bool:
        """Whether a name is not skipped, and its folder may hold a match."""
        self._clock.check()
        skipped = skipped_part(name)
        if skipped:
            self.skipped.add(skipped)
        return not skipped and (not name.endswith("/") or self.rules.enters(name))

    def _concerns(self, blob: Blob) -> bool:
        """Whether a blob is read; what can't be listed may hold files that would be."""
        may_be_folder = not blob.etag and self.rules.enters(f"{blob.name.rstrip('/')}/")
        return may_be_folder or self.rules.looks_at(blob.name)

    @contextmanager
    def _stored(self, blob: Blob, start: int = 0) -> Iterator[Iterator[bytes]]:
        kept = self._kept.get(blob)
        if kept is not None:
            yield iter([kept[start:]] if kept[start:] else [])
            return
        with self.container.open(blob, start) as chunks:
            yield chunks

    def _look_at(self, blob: Blob) -> list[File]:
        said = BY_NAME.get(self.rules.data_type(blob.name) or "")
        broken = Recognition(Compression.NONE, "utf-8", Format.UNKNOWN, said)

        def look(chunks: Iterable[bytes]) -> Recognition:
            return recognise(open_content(chunks, self.rules.encoding), said)

        if blob.size == 0 and blob.problem is None:
            return [_file(blob, look(()))]
        try:
            with self.container.open(blob) as opened:
                chunks = opened
                if blob.size <= SMALL:
                    data = b"".join(chunks)
                    chunks = iter([data] if data else [])
                    with self._lock:
                        if len(data) <= self._room:
                            self._room -= len(data)
                            self._kept[blob] = data
                head, chunks = peek(chunks, _MAGIC_SIZE)
                if compression_of(head) is not Compression.ZIP:
                    return [_file(blob, look(chunks))]
                files = []
                with ZipContent(chunks) as content:
                    self.skipped |= {f"{blob.name}/{name}" for name in content.skipped}
                    for member in enumerate(content.members):
                        try:
                            with content.open(member[1]) as unpacked:
                                files.append(_file(blob, look(unpacked), member=member))
                        except DataError as error:
                            files.append(_file(blob, broken, error, member))
                return files or [_file(blob, _EMPTY_ZIP)]
        except TapError as error:
            if error.code not in FILE_CODES:
                raise
            return [_file(blob, broken, error)]


def _file(
    blob: Blob,
    found: Recognition,
    problem: TapError | None = None,
    member: tuple[int, ZipInfo] | None = None,
) -> File:
    """A blob, or a member of it with its place."""
    place, entry = member or (None, None)
    problem = problem or found.problem
    if problem is None and found.reason:
        next_step = "If it is an export, archive_types can say of what"
        problem = DataError(Code.BLOB_UNRECOGNISED, found.reason, next_step=next_step)
    if problem is not None:
        problem = copy(problem).at(blob=blob.name, member=entry and entry.filename)
    return File(
        name=f"{blob.name}/{entry.filename}" if entry else blob.name,
        size=entry.compress_size if entry else blob.size,
        arrived=blob.arrived,
        modified=(entry and modified(entry)) or blob.written,
        stream=found.data_type.name if found.data_type else None,
        problem=problem,
        blob=blob,
        found=found,
        member=place,
    )
