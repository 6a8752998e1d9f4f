"""Records one by one through the SDK, which does all that a user may ask for beyond fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.batch import Batch


def selected_fields(
    data_type: DataType,
    properties: Collection[str],
    mask: Mapping[tuple[str, ...], bool],
) -> list[str] | None:
    """Names of the fields to write, in order.

    ``properties`` are the fields of the stream's schema, which a catalog may shorten; ``mask``
    is the SDK's selection by breadcrumb. None where only the SDK can do what the catalog asks
    for: it deselects a part of a field, or all fields of the items themselves.
    """
    names = [
        field.name
        for field in data_type.record_fields
        if field.name in properties and mask["properties", field.name]
    ]
    has_own = any(field.name in names for field in data_type.fields)
    whole = all(is_on for place, is_on in mask.items() if place[2:])
    return names if has_own and whole else None


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
