"""The records of one part of an export, read one by one in the tolerant way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from tap_mobile_engagement.reading.elements import decode_element
from tap_mobile_engagement.reading.records import RecordReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.arrays import Block
    from tap_mobile_engagement.reading.rejects import BadRecords


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the records of one part come from: what all of them have in common.

    Attributes:
        data_type: What they are.
        app_name: The app that they belong to.
        blob_name: The blob that holds them; None where none does.
        exported_until: RFC 3339 in UTC.
    """

    data_type: DataType
    app_name: str
    blob_name: str | None
    exported_until: str


class PartRecords:
    """The records of one part of an export, read one by one in the tolerant way.

    Args:
        origin: What all its records have in common.
        bad_records: Gets every item that is no record.

    Attributes:
        origin: As given.
        repaired: Elements in which characters had to be replaced.
    """

    def __init__(self, origin: Origin, bad_records: BadRecords) -> None:
        self.origin = origin
        self._bad_records = bad_records
        self._reader = RecordReader(origin.data_type, origin.app_name, self._reject)
        self._offset = 0
        self.repaired = 0

    def of(self, block: Block) -> Iterator[dict[str, Any]]:
        """The records of a block as dictionaries, in the order of the schema's fields."""
        self._offset = block.offset
        origin = self.origin
        for element in self._elements(block):
            try:
                decoded = decode_element(element)
            except (ValueError, RecursionError) as error:
                self._reject(f"it is no JSON: {error}", element.decode(errors="replace"))
                continue
            self.repaired += decoded.repaired
            for leaf in self._reader.leaves(decoded.value):
                record: dict[str, Any] = {
                    "app_name": origin.app_name,
                    "blob_name": origin.blob_name,
                    "exported_until": origin.exported_until,
                    "unknown_fields": leaf.unknown,
                }
                if leaf.record_id is not None:
                    record["record_id"] = leaf.record_id
                record.update(msgspec.structs.asdict(leaf.record))
                yield record

    def _elements(self, block: Block) -> Iterator[bytes]:
        if not block.sound:
            yield block.data[1:-1]
            return
        position = 1
        for raw in block.elements():
            element = bytes(raw)
            position = block.data.index(element, position)
            self._offset = block.offset + position
            position += len(element)
            yield element

    def _reject(self, reason: str, item: Any) -> None:
        blob = self.origin.blob_name
        self._bad_records.reject(reason, item, blob=blob, offset=self._offset)
