"""What a stream reads: exports, which a source yields in commit order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tap_mobile_engagement.errors import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.errors import TapError
    from tap_mobile_engagement.state import Window

# Failures that concern one file: the others can be read all the same.
FILE_CODES = {*(c for c in Code if c.startswith("BLOB_")), Code.NO_TEMPORARY_SPACE}
_MAY_HAVE_CHANGED = {Code.BLOB_CHANGED, Code.BLOB_CORRUPT, Code.BLOB_TRUNCATED}


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an export: its bytes in pieces, or decoded elements; size 0 is unknown."""

    blob_name: str | None
    size: int
    open: Callable[[], AbstractContextManager[Iterator[bytes]]]
    etag: str = ""
    elements: Callable[[], Iterable[Any]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A finished unit of data: its files, and what to note once all its records are out.

    Attributes:
        app_name: Empty in an archive without a label.
        exported_until: End of the date window, time of the snapshot, or arrival of the file.
        commit: Notes in the state that all records are out; called after the last record.
        discard: Notes in the state that the files are bad, so that they are requested again.
        relist: Lists its files again; None where they can't have changed.
        on_failure: If its files are bad: the exports behind it wait for another run (stop), or
            are read, but not committed (hold); or it counts as finished (skip).
    """

    data_type: DataType
    app_name: str
    exported_until: str
    parts: tuple[Part, ...]
    commit: Callable[[], None] = lambda: None
    discard: Callable[[], None] = lambda: None
    relist: Callable[[], tuple[Part, ...]] | None = None
    window: Window | None = None
    task_id: str | None = None
    waited: float = 0.0
    on_failure: Literal["stop", "hold", "skip"] = "stop"

    def changed_files(self, failure: TapError | None = None) -> tuple[Part, ...] | None:
        """Its files as they are now, if any was not read.

        Then all is read again; a target that upserts still holds each record once. After a
        failure, only if it may come from a blob that was being written, and none is gone.
        """
        if self.relist is None or (failure and failure.code not in _MAY_HAVE_CHANGED):
            return None
        read, now = {part.blob_name: part.etag for part in self.parts}, self.relist()
        found = {part.blob_name: part.etag for part in now}
        if found.items() <= read.items() or (failure and not read.keys() <= found.keys()):
            return None
        return now
