"""Records to Singer messages.

A path takes the blocks of one part of an export and writes what they hold. :class:`SdkPath`
builds every record as a dictionary and hands it to the SDK, which applies whatever was asked
for: selection, stream maps, flattening.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from tap_mobile_engagement.reading.elements import decode_element
from tap_mobile_engagement.reading.records import RecordReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    """The records of one part of an export, as dictionaries.

    Args:
        origin: What all its records have in common.
        bad_records: Gets every item that is no record.

    Attributes:
        repaired: Elements in which characters had to be replaced.
    """

    def __init__(self, origin: Origin, bad_records: BadRecords) -> None:
        self._origin = origin
        self._bad_records = bad_records
        self._reader = RecordReader(origin.data_type, origin.app_name, self._reject)
        self._offset = 0
        self.repaired = 0

    def of(self, block: Block) -> Iterator[dict[str, Any]]:
        """The records of a block, in the order of the schema's fields."""
        self._offset = block.offset
        for element in self._elements(block):
            try:
                decoded = decode_element(element)
            except (ValueError, RecursionError) as error:
                self._reject(f"it is no JSON: {error}", element.decode(errors="replace"))
                continue
            self.repaired += decoded.repaired
            for leaf in self._reader.leaves(decoded.value):
                origin = self._origin
                record = {
                    "app_name": origin.app_name,
                    "blob_name": origin.blob_name,
                    "exported_until": origin.exported_until,
                    "unknown_fields": leaf.unknown,
                }
                if leaf.record_id is not None:
                    record["record_id"] = leaf.record_id
                yield {**record, **msgspec.structs.asdict(leaf.record)}

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
        self._bad_records.reject(reason, item, blob=self._origin.blob_name, offset=self._offset)


class SdkPath:
    """Writes records one by one through the SDK, which does all that a catalog may ask for.

    Args:
        write: Writes one record: the stream's own method of the SDK.
    """

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        self._write = write

    def emit(self, block: Block, records: PartRecords) -> Iterator[dict[str, Any]]:
        """Write the records of a block; each is yielded when it is out."""
        for record in records.of(block):
            self._write(record)
            yield record
