"""What a container is to the rest of the tap, wherever its blobs are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from tap_mobile_engagement.errors import Code, RetryLaterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    from tap_mobile_engagement.errors import TapError

CHUNK_BYTES = 256 * 1024
"""The most bytes in a chunk. Larger ones decode more slowly, because of their page faults."""

_UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", "~")
_RESOURCE_FORKS = "__MACOSX"


class Blob(Struct, frozen=True):
    """One version of one blob, as a listing described it.

    Attributes:
        etag: Changes with each write. Empty for what can't be read, which may be a folder.
        arrived: When this version was written here, in UTC. Azure gives whole seconds.
        modified: When its content was written, which a copy may keep; None if equal.
        problem: Why its content can't be read; :meth:`Container.open` raises it.
    """

    name: str
    size: int
    etag: str
    arrived: datetime
    modified: datetime | None = None
    problem: TapError | None = None

    @property
    def written(self) -> datetime:
        """When its content was last written, as far as that is known."""
        return self.modified or self.arrived


class Container(Protocol):
    """A place that holds blobs. Every failure of its methods is a :class:`TapError`."""

    @property
    def label(self) -> str:
        """Its name for messages: a URL without any secret."""

    def list(
        self, prefix: str = "", *, takes: Callable[[str], bool] | None = None
    ) -> Iterator[Blob]:
        """Its blobs whose names begin with the prefix, sorted by name.

        ``takes`` says whether to list a file or folder (``name/``) of this machine.
        """

    def open(self, blob: Blob, start: int = 0) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes of exactly that version from ``start`` on, in chunks up to CHUNK_BYTES."""

    def check(self) -> None:
        """Make sure, with one request, that it exists and can be listed."""


def blob_missing(failed: str, **where: object) -> RetryLaterError:
    """The error for a blob that was listed and is gone."""
    return RetryLaterError(
        Code.BLOB_MISSING,
        f"{failed}: it was listed, but is gone",
        next_step="Run again; if it was removed by mistake, restore it first",
        **where,
    )


def blob_changed(failed: str, **where: object) -> RetryLaterError:
    """The error for a blob that is not the version that was listed."""
    return RetryLaterError(
        Code.BLOB_CHANGED,
        f"{failed}: it was written again or removed after it was listed",
        next_step="Run again; it is then read as it is by then",
        **where,
    )


def skipped_part(name: str) -> str:
    """A name up to the hidden or unfinished folder or file for which it is skipped; else empty.

    A folder's name ends with ``/``.
    """
    *folders, file = name.split("/")
    reached = 0
    for folder in folders:
        reached += len(folder) + 1
        if (folder.startswith(".") and folder.strip(".")) or folder == _RESOURCE_FORKS:
            return name[:reached]
    return name if file.startswith(".") or file.endswith(_UNFINISHED) else ""
