"""The files of an archive: what each blob holds, found out once, with as little as possible.

A blob is a file, or a zip file whose members are files. To tell what a file is takes its first
bytes. Those of a small blob are all of it, and are kept until it is read, so that a small blob
is downloaded once.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING

from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import DataError
from tap_mobile_engagement.reading.content import (
    Compression,
    Encoding,
    compression_of,
    peek,
)
from tap_mobile_engagement.reading.layouts import Format
from tap_mobile_engagement.reading.recognise import Recognition, recognise
from tap_mobile_engagement.reading.zips import ZipContent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_mobile_engagement.containers import Blob, Container

HEAD_SIZE = 64 * 1024
"""Bytes of a file that are taken at once to tell what it is."""

SMALL = 256 * 1024
"""Bytes of a blob that is taken as a whole when it is looked at."""

KEPT_SIZE = 64 << 20
"""Bytes of small blobs that are kept until they are read."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of an archive.

    Attributes:
        blob: The blob that it is, or that holds it.
        found: What it holds.
        size: Bytes as stored.
        member: Its place in a zip file, from 0; None where it is the blob itself.
        member_name: Its name there; empty likewise.
    """

    blob: Blob
    found: Recognition
    size: int
    member: int | None = None
    member_name: str = ""

    @property
    def name(self) -> str:
        """What to call it: the blob's name, and its own where the blob is a zip file."""
        return f"{self.blob.name}/{self.member_name}" if self.member_name else self.blob.name


class Files:
    """Looks at blobs and opens what is in them.

    Args:
        container: Where the blobs are.
        said_type: The name of the data type that settings say a blob holds, by its name; None
            where they say nothing.
        kept_size: Bytes of small blobs to keep until they are read.
    """

    def __init__(
        self,
        container: Container,
        said_type: Callable[[str], str | None],
        *,
        kept_size: int = KEPT_SIZE,
    ) -> None:
        self._container = container
        self._said_type = said_type
        self._seen: dict[tuple[str, str], tuple[File, ...]] = {}
        self._kept = _KeptBytes(kept_size)
        self._zip: tuple[Blob, ZipContent] | None = None

    def has_seen(self, blob: Blob) -> bool:
        """Whether it is known already what a blob holds."""
        return (blob.name, blob.etag) in self._seen

    def of(self, blob: Blob) -> tuple[File, ...]:
        """The files that a blob is or holds. May be called from several threads at once.

        Raises:
            TapError: If the container can't give its first bytes. What is wrong with the
                content itself is for its reader to say.
        """
        key = (blob.name, blob.etag)
        if key not in self._seen:
            self._seen[key] = tuple(self._with_said_type(file) for file in self._look_at(blob))
        return self._seen[key]

    @contextmanager
    def open(self, file: File) -> Iterator[Iterator[bytes]]:
        """The bytes of a file, in pieces of any size; only from one thread at a time.

        Raises:
            TapError: As the container's; DataError if a zip file is broken.
        """
        if file.member is None:
            kept = self._kept.take(file.blob)
            if kept is not None:
                yield iter([kept] if kept else [])
                return
            with self._container.open(file.blob) as chunks:
                yield chunks
            return
        try:
            content = self._zip_of(file.blob)
            with content.open(content.members[file.member]) as chunks:
                yield chunks
        except DataError as error:
            raise error.at(member=file.member_name) from error.__cause__

    def close(self) -> None:
        """Let go of the zip file that was opened last."""
        if self._zip is not None:
            self._zip[1].__exit__(None, None, None)
            self._zip = None

    def _zip_of(self, blob: Blob) -> ZipContent:
        """A zip file; it is kept open, for its members are read one after another."""
        if self._zip is None or self._zip[0] != blob:
            self.close()
            kept = self._kept.look(blob)
            if kept is not None:
                content = ZipContent([kept]).__enter__()
            else:
                with self._container.open(blob) as chunks:
                    content = ZipContent(chunks).__enter__()
            self._zip = blob, content
        return self._zip[1]

    def _look_at(self, blob: Blob) -> list[File]:
        if blob.size == 0:
            return [File(blob, recognise([]), 0)]
        with self._container.open(blob) as chunks:
            watched = _Watched(chunks)
            if blob.size <= SMALL:
                head = b"".join(watched)
                rest = iter([head])
                self._kept.add(blob, head)
            else:
                head, rest = peek(watched, HEAD_SIZE)
            if compression_of(head) is not Compression.ZIP:
                return [File(blob, recognise(rest), blob.size)]
            try:
                with ZipContent(rest) as content:
                    return _members(blob, content)
            except DataError as error:
                if watched.failed:
                    raise
                return [File(blob, _damaged(error), blob.size)]

    def _with_said_type(self, file: File) -> File:
        said = self._said_type(file.blob.name)
        if said is None or file.found.is_empty:
            return file
        return replace(file, found=replace(file.found, data_type=BY_NAME[said], reason=""))


def _damaged(error: DataError) -> Recognition:
    """What is known of a zip file or a member of it that can't be read."""
    return Recognition(
        Compression.ZIP, Encoding.UTF_8, Format.UNKNOWN, None, error.what, problem=error
    )


def _members(blob: Blob, content: ZipContent) -> list[File]:
    """The files in a zip file."""
    files = []
    for number, member in enumerate(content.members):
        try:
            with content.open(member) as chunks:
                found = recognise(chunks)
        except DataError as error:
            found = _damaged(error)
        files.append(File(blob, found, member.compress_size, number, member.filename))
    if not files:
        found = Recognition(Compression.ZIP, Encoding.UTF_8, Format.EMPTY, None)
        files.append(File(blob, found, blob.size))
    return files


class _Watched:
    """Chunks, and whether taking them failed: then what is wrong is not the content."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.failed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            raise
        except BaseException:
            self.failed = True
            raise


class _KeptBytes:
    """The bytes of small blobs, until they are read or there are too many."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._bytes: dict[Blob, bytes] = {}
        self._lock = Lock()

    def add(self, blob: Blob, data: bytes) -> None:
        with self._lock:
            if len(data) <= self._free:
                self._free -= len(data)
                self._bytes[blob] = data

    def look(self, blob: Blob) -> bytes | None:
        return self._bytes.get(blob)

    def take(self, blob: Blob) -> bytes | None:
        with self._lock:
            data = self._bytes.pop(blob, None)
            self._free += len(data or b"")
            return data
