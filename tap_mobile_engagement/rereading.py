"""Whether an export has to be read again because its files changed meanwhile. No I/O.

When an export was read, or reading it failed, its files are listed once more. Only if they are
the very versions that were read is the export done; a blob that was written again, or that
turned up late, means that it is read again from its start. A target that upserts holds each
record once all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_mobile_engagement.errors import Code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_mobile_engagement.sources.base import Part

MOST_READINGS = 3
"""How often one export is read in one run; files that never come to rest fail the stream."""

MAY_HAVE_CHANGED = frozenset({Code.BLOB_CHANGED, Code.BLOB_CORRUPT, Code.BLOB_TRUNCATED})
"""Failures that come about when a blob is written while it is read."""


def is_outdated(read: Sequence[Part], now: Sequence[Part]) -> bool:
    """Whether there is anything now that was not read: another blob, or another version."""
    versions = {(part.blob_name, part.etag) for part in read}
    return any((part.blob_name, part.etag) not in versions for part in now)


def is_worth_another_try(failed: Sequence[Part], now: Sequence[Part]) -> bool:
    """Whether a reading that failed may go well now.

    Not if a blob is gone: what is left would be taken for the whole.
    """
    names = {part.blob_name for part in now}
    is_whole = all(part.blob_name in names for part in failed)
    return is_whole and is_outdated(failed, now)
