"""Records to Singer messages, by one of two paths.

Both take the blocks of a part of an export and write the same records. :class:`FastPath`
handles whole blocks and is for streams that ask for nothing special. :class:`SdkPath` builds
each record as a dictionary and hands it to the SDK, which applies whatever was asked for:
selection, stream maps, flattening, dry runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tap_mobile_engagement.reading.elements import decode_element
from tap_mobile_engagement.reading.records import RecordIds, RecordReader, canonical_lines
from tap_mobile_engagement.reading.typed import TypedReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.output import Output
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


class RecordPath(Protocol):
    """Writes the records of blocks as messages."""

    def emit(self, block: Block, records: PartRecords) -> int:
        """Write the records of a block, in order; return how many there were."""


class SdkPath:
    """Writes records one by one through the SDK, which does all that a user may ask for.

    Args:
        write: Writes one record by the stream's own methods of the SDK.
    """

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        self._write = write

    def emit(self, block: Block, records: PartRecords) -> int:
        """Write the records of a block, in order; return how many there were."""
        count = 0
        for record in records.of(block):
            self._write(record)
            count += 1
        return count


class FastPath:
    """Writes the records of a block at once, for a stream that asks for nothing special.

    A record is encoded once. Those bytes are its content for the record id and, put between
    what all records of a block have in common, its message. A block that the types don't fit
    goes by ``slow`` instead, and comes out the same.

    Args:
        data_type: What the records are; one that :class:`TypedReader` can read.
        output: Where the records go.
        slow: The path for blocks that the types don't fit.
    """

    def __init__(self, data_type: DataType, *, output: Output, slow: SdkPath) -> None:
        self._data_type = data_type
        self._typed = TypedReader(data_type)
        self._output = output
        self._slow = slow
        self._common: tuple[Origin, bytes, RecordIds] | None = None

    def emit(self, block: Block, records: PartRecords) -> int:
        """Write the records of a block, in order; return how many there were."""
        structs = self._typed.read(block.data) if block.sound else None
        if structs is None:
            return self._slow.emit(block, records)
        contents = canonical_lines(structs)
        beginning, ids = self._common_to(records.origin)
        end = self._output.closing() + b"\n"
        if not self._data_type.has_record_id:
            lines = b"".join([beginning + content[1:] + end for content in contents])
        elif len(set(contents)) == len(contents):
            hashes = ids.of_distinct(contents)
            lines = b"".join(
                [
                    b'%b%b",%b%b' % (beginning, record_id, content[1:], end)
                    for record_id, content in zip(hashes, contents, strict=True)
                ]
            )
        else:  # identical items have to be numbered within their groups
            return self._slow.emit(block, records)
        self._output.write(lines, len(structs))
        return len(structs)

    def _common_to(self, origin: Origin) -> tuple[bytes, RecordIds]:
        """How the lines of an origin begin, up to the record id or the first own field."""
        if self._common is None or self._common[0] is not origin:
            lineage = {
                "app_name": origin.app_name,
                "blob_name": origin.blob_name,
                "exported_until": origin.exported_until,
                "unknown_fields": None,
            }
            encoded = msgspec.json.encode(lineage).removesuffix(b"}")
            beginning = self._output.opening + encoded + b","
            if self._data_type.has_record_id:
                beginning += b'"record_id":"'
            ids = RecordIds(origin.app_name, self._data_type)
            self._common = (origin, beginning, ids)
        return self._common[1:]
