"""What was read of one export: counted meanwhile, told in the line that reconciles it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_mobile_engagement.sources.base import Export


@dataclass(slots=True)
class Tally:
    """Counts of one export.

    Attributes:
        size: Bytes, as they came out of the container.
        records: Records that were emitted.
        repaired: Elements in which characters had to be replaced.
    """

    size: int = 0
    records: int = 0
    repaired: int = 0
    _counted: int = 0
    _began: float = field(default_factory=time.monotonic)

    def sized(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks; their bytes are counted as they pass."""
        for chunk in chunks:
            self.size += len(chunk)
            yield chunk

    def take_new(self) -> int:
        """How many records came since this was asked last."""
        new = self.records - self._counted
        self._counted = self.records
        return new

    def line(self, export: Export, *, bad: int) -> str:
        """The line for the log: what was read of an export, and how long it took until now.

        Args:
            export: What was read.
            bad: How many of its items were no records.
        """
        read = time.monotonic() - self._began
        return (
            f"Read an export: app={export.app_name or '-'} range={export.window or '-'} "
            f"task={export.task_id or '-'} blobs={len(export.parts)} bytes={self.size} "
            f"records={self.records} bad={bad} repaired={self.repaired} "
            f"waited={export.waited:.1f}s read={read:.1f}s"
        )
