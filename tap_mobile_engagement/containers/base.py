"""What a container is to the rest of the tap, wherever its blobs are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    from tap_mobile_engagement.errors import TapError

CHUNK_BYTES = 256 * 1024
"""The most that a container hands over at once, in bytes.

Blocks of this size decode fastest. Those of a megabyte are given back to the system each time,
so that every one pays for its page faults again.
"""


class Blob(Struct, frozen=True):
    """One version of one blob, as a listing of its container told it.

    Attributes:
        name: Name within the container, with `/` between folders.
        size: Length in bytes.
        etag: What changes whenever the blob is written, without quotation marks.
        arrived: When this version came to be, aware, in UTC. Azure gives whole seconds.
        modified: When its content was last written, likewise; None where that is the same.
            A copy may keep this time.
        problem: Why its content can't be had, where the listing tells; :meth:`Container.open`
            raises it.
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


class Walk:
    """How a folder is walked: which of its folders are entered, and what was skipped.

    Args:
        enters: Tells of a folder, whose name ends with a slash, whether it is entered.

    Attributes:
        skipped: Names that were skipped (see :mod:`names`); of a folder just its own.
    """

    def __init__(self, enters: Callable[[str], bool] = lambda _: True) -> None:
        self.enters = enters
        self.skipped: set[str] = set()


class Container(Protocol):
    """A place that holds blobs.

    Everything it does raises a :class:`~tap_mobile_engagement.errors.TapError`, whichever
    library or system call failed underneath.
    """

    @property
    def label(self) -> str:
        """Its name for messages: a URL without any secret."""
        ...

    def list(self, prefix: str = "", *, walk: Walk | None = None) -> Iterator[Blob]:
        """Its blobs whose names begin with the prefix, sorted by name.

        It is read page by page while it is consumed; nothing is asked for before that.

        Args:
            prefix: The beginning of their names.
            walk: How a folder is walked; a container in Azure has no folders.
        """
        ...

    def open(self, blob: Blob, start: int = 0) -> AbstractContextManager[Iterator[bytes]]:
        """The content of exactly that version of the blob, from that byte on.

        The iterator ends only after all bytes up to ``blob.size`` are out; whatever keeps it
        from that is raised. Chunks have at most :data:`CHUNK_BYTES` bytes and none is empty.

        Raises:
            RetryLaterError: BLOB_CHANGED, BLOB_MISSING or STORAGE_UNAVAILABLE.
            SettingsError: SAS_EXPIRED, SAS_PERMISSION_MISSING or CONTAINER_ACCESS_DENIED.
            DataError: BLOB_TRUNCATED, BLOB_ARCHIVED or BLOB_UNREADABLE.
        """
        ...

    def delete(self, blob: Blob) -> None:
        """Delete exactly that version of the blob; if it is gone already, that is fine.

        Raises:
            RetryLaterError: BLOB_CHANGED if another version took its place; that one stays.
            SettingsError: The right to delete is missing.
        """
        ...

    def check(self) -> None:
        """Make sure that the container is there and can be listed, with one request.

        Raises:
            SettingsError: What is wrong, and which right is missing.
            RetryLaterError: STORAGE_UNAVAILABLE if nothing answers.
        """
        ...
