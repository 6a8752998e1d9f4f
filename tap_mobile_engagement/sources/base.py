"""What a stream reads: exports, and the sources that yield them in commit order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from tap_mobile_engagement.errors import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.errors import TapError
    from tap_mobile_engagement.state import PartitionState, Window

FILE_CODES = {*(c for c in Code if c.startswith("BLOB_")), Code.NO_TEMPORARY_SPACE}
"""Failures that concern one file: the others can be read all the same."""

_MAY_HAVE_CHANGED = {Code.BLOB_CHANGED, Code.BLOB_CORRUPT, Code.BLOB_TRUNCATED}


class Check(NamedTuple):
    """What has to hold before a run; ``run`` changes nothing, and raises a TapError if not."""

    subject: str
    run: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an export, or decoded elements; a size of 0 is unknown.

    ``open`` gives its bytes as stored, in pieces of any size.
    """

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
        read, now = dict(map(_version, self.parts)), self.relist()
        found = dict(map(_version, now))
        if found.items() <= read.items() or (failure and not read.keys() <= found.keys()):
            return None
        return now


def _version(part: Part) -> tuple[str | None, str]:
    return part.blob_name, part.etag


class ExportSource(Protocol):
    """Where exports come from; each of a data type, of one of the partitions, and its state."""

    @property
    def partitions(self) -> tuple[str, ...]:
        """The apps, each with a state of its own; empty where state stands at stream level."""
        return ()

    def checks(self) -> Sequence[Check]:
        """What has to hold before anything is asked of it, in order."""

    def prepare(self, data_type: DataType, app_name: str, state: PartitionState) -> None:
        """Note that :meth:`exports` will ask for these, after all that were prepared before."""
        del data_type, app_name, state

    def exports(
        self,
        data_type: DataType,
        app_name: str,
        state: PartitionState,
        save: Callable[[], None],
    ) -> Iterator[Export]:
        """The exports that are due, in commit order; ``save`` writes a STATE message."""

    def keep_state(self, save: Callable[[], None]) -> None:
        """Bring the states up to date while an export is read; calls ``save`` if needed."""
        del save

    def close(self) -> None:
        """End all work in the background; what came of it is left for :meth:`keep_state`."""

    def sample(self, data_type: DataType, app_name: str) -> Iterator[Export]:
        """Exports for a dry run: from what exists already, or none. Changes nothing."""
