"""Blobs that were read, and may be deleted once it is certain that the target stored them.

That is certain only when a state comes back that was written behind their records: so a run
notes in the state what it has read, and the next one deletes it. Until then nothing is
deleted, never anything that the tap did not read, and never another version of a blob than the
one that it read.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from tap_mobile_engagement.errors import Code, DataError, TapError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tap_mobile_engagement.sources.base import Part
    from tap_mobile_engagement.tasks.model import TaskRef
    from tap_mobile_engagement.windows import PartitionState

log = logging.getLogger(__name__)


class ReadBlobs(Struct, frozen=True, omit_defaults=True):
    """What a state remembers of the blobs of one export that was read.

    Attributes:
        task: The export task that wrote them.
        blobs: Their ETags by name.
        container: Name of the task's own container; None where tasks share one.
    """

    task: str
    blobs: dict[str, str]
    container: str | None = None


def note_read(state: PartitionState, task: TaskRef, parts: Iterable[Part]) -> None:
    """Note in the state which blobs of a task were read."""
    blobs = {part.blob_name: part.etag for part in parts if part.blob_name is not None}
    if blobs:
        entry: dict[str, Any] = msgspec.to_builtins(ReadBlobs(task.id, blobs, task.container))
        state.read_blobs = [*state.read_blobs, entry]


def delete_stored(
    state: PartitionState, delete: Callable[[str | None, Mapping[str, str]], None]
) -> int:
    """Delete the blobs that a state came back with, and drop them from it.

    What can't be deleted is no reason to stop, for all its records are stored: it is told in
    a warning, and left for the next run unless its blob is another one by now.

    Args:
        state: A partition's state, as it came from the target.
        delete: Deletes blobs, ETags by name, in a task's own container or (None) the shared
            one; a blob that is gone is deleted.

    Returns:
        How many exports' blobs were deleted.

    Raises:
        DataError: ``BAD_STATE`` where an entry can't be read.
    """
    left = []
    noted = [_from_state(entry) for entry in state.read_blobs]
    for read in noted:
        try:
            delete(read.container, read.blobs)
        except TapError as error:
            log.warning("Blobs of export task %s could not be deleted: %s", read.task, error)
            if error.code is not Code.BLOB_CHANGED:
                left.append(msgspec.to_builtins(read))
    state.read_blobs = left
    return len(noted) - len(left)


def _from_state(entry: Any) -> ReadBlobs:
    try:
        return msgspec.convert(entry, ReadBlobs)
    except msgspec.ValidationError as error:
        raise DataError(
            Code.BAD_STATE,
            f"the state remembers blobs that were read in a form that can't be read: {error}",
            next_step="Remove the entry from read in the state; its blobs are then kept",
        ) from error
