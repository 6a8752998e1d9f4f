"""Records one by one through the SDK, which does all that a user may ask for beyond fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tap_mobile_engagement.reading.batch import Batch


class SdkPath:
    """Writes batches record by record."""

    def __init__(
        self, write: Callable[[dict[str, Any]], None], properties: Collection[str]
    ) -> None:
        self._write = write
        self._properties = properties

    def write(self, batch: Batch) -> None:
        """Write the records of a batch, in order."""
        for record in batch.dictionaries():
            self._write({k: v for k, v in record.items() if k in self._properties})
