"""Records to Singer messages, by one of three paths.

All take the blocks of a part of an export and write the same records. :class:`FastPath` handles
whole blocks of files that are as they are documented; :class:`TolerantPath` reads items of any
form one by one, and writes them together. :class:`SdkPath` hands each record to the SDK, which
applies whatever was asked for beyond a choice of fields: stream maps, flattening, dry runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tap_mobile_engagement.reading.records import RecordIds, canonical_tails, encoded_lines
from tap_mobile_engagement.reading.typed import TypedReader

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Mapping

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.arrays import Block, Parse
    from tap_mobile_engagement.reading.parts import Origin, PartRecords
    from tap_mobile_engagement.reading.typed import Columns

    Counts = Generator[int, None, None]
    """Yields how many records were written since the last time; ends when it is closed."""

_AT_ONCE = 500  # records that are encoded together

_encoder = msgspec.json.Encoder()
_without_newline = itemgetter(slice(-1))


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands around a record in its line.

    Attributes:
        opening: What stands before it.
        ending: What stands behind it, up to the time of extraction; None where a line is the
            record and nothing else.
    """

    opening: bytes = b""
    ending: bytes | None = None

    @classmethod
    def of_messages(cls, stream: str, version: int | None) -> Envelope:
        """That of RECORD messages.

        Args:
            stream: Name of the stream.
            version: Its version for ACTIVATE_VERSION, if it has one.
        """
        name = msgspec.json.encode(stream)
        return cls(
            b'{"type":"RECORD","stream":%b,"record":' % name,
            b"" if version is None else b',"version":%d' % version,
        )

    def closing(self) -> bytes:
        """What stands behind a record at this moment, with the end of the line."""
        if self.ending is None:
            return b"\n"
        now = datetime.now(UTC).isoformat().encode()
        return b'%b,"time_extracted":"%b"}\n' % (self.ending, now)


class LineOutput(Protocol):
    """Where lines of records go.

    Attributes:
        envelope: What stands around a record in its line.
    """

    envelope: Envelope

    def write(self, lines: bytes, count: int) -> None:
        """Write records as whole lines, each in its envelope."""


def selected_fields(
    data_type: DataType, mask: Mapping[tuple[str, ...], bool]
) -> list[str] | None:
    """Names of the fields to write, in order.

    Args:
        data_type: What the records are.
        mask: Whether the place of a breadcrumb is selected, as the SDK reads it off a catalog.

    Returns:
        None where only the SDK can do what the catalog asks for: it deselects a part of a
        field, or all fields of the items themselves.
    """
    names = [field.name for field in data_type.record_fields if mask["properties", field.name]]
    has_own = any(field.name in names for field in data_type.fields)
    whole = all(is_on for place, is_on in mask.items() if place[2:])
    return names if has_own and whole else None


def direct_path(
    data_type: DataType, output: LineOutput, selected: Collection[str]
) -> BlockPath:
    """The fastest path for a stream that asks for nothing special.

    Args:
        data_type: What the records are.
        output: Where they go.
        selected: Names of the fields to write, among them the primary key and a field of the
            items themselves.
    """
    fields = selected if len(selected) < len(data_type.record_fields) else None
    tolerant = TolerantPath(output, fields)
    if not TypedReader.fits(data_type):
        return tolerant
    return FastPath(data_type, output=output, tolerant=tolerant, selected=fields)


class RecordPath(Protocol):
    """Writes the records of blocks as messages.

    Attributes:
        parse: Parses a block as this path needs it, for the reader that cuts the blocks; None
            if it has no use for that.
    """

    parse: Parse | None

    def emit(self, blocks: Iterable[Block], records: PartRecords) -> Counts:
        """Write the records of the blocks of one part, in order.

        Args:
            blocks: The blocks, in the order in which they stand in the part.
            records: Reads those that have to be read one by one.

        Raises:
            TapError: What reading the blocks raised, behind all records before it; or what a
                bad record means.
        """


class BlockPath(ABC):
    """Writes one block after the other."""

    parse: Parse | None = None

    def emit(self, blocks: Iterable[Block], records: PartRecords) -> Counts:
        """Write the records of the blocks of one part, in order; see :class:`RecordPath`."""
        for block in blocks:
            yield self.emit_block(block, records)

    @abstractmethod
    def emit_block(self, block: Block, records: PartRecords) -> int:
        """Write the records of a block, in order; return how many there were."""


class SdkPath(BlockPath):
    """Writes records one by one through the SDK, which does all that a user may ask for.

    Args:
        write: Writes one record by the stream's own methods of the SDK.
    """

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        self._write = write

    def emit_block(self, block: Block, records: PartRecords) -> int:
        """Write the records of a block, in order; return how many there were."""
        count = 0
        for record in records.of(block):
            self._write(record)
            count += 1
        return count


class TolerantPath(BlockPath):
    """Writes records that were read one by one, for a stream that asks for nothing special.

    Args:
        output: Where the records go.
        selected: Names of the fields to write; None for all.
    """

    def __init__(self, output: LineOutput, selected: Collection[str] | None = None) -> None:
        self._output = output
        self._selected = selected

    def emit_block(self, block: Block, records: PartRecords) -> int:
        """Write the records of a block, in order; return how many there were."""
        count = 0
        rest = records.of(block)
        # A block is one element where that is large: its records need not be held all at once.
        while some := [*islice(rest, _AT_ONCE)]:
            if self._selected is not None:
                some = [{name: record[name] for name in self._selected} for record in some]
            rows = [*map(_without_newline, encoded_lines(some, _encoder))]
            around = self._output.envelope
            lines = _interleaved(around.opening, rows, around.closing(), count=len(rows))
            self._output.write(lines, len(rows))
            count += len(rows)
        return count


class FastPath(BlockPath):
    """Writes the records of a block at once, for a stream that asks for nothing special.

    A record is encoded once. Those bytes are its content for the record id and, put between
    what all records of a block have in common, its message; only where fields are deselected
    is the message encoded apart. A block that the types don't fit goes by ``tolerant``
    instead, and comes out the same.

    Args:
        data_type: What the records are; one that :class:`TypedReader` can read.
        output: Where the records go.
        tolerant: The path for blocks that the types don't fit.
        selected: Names of the fields to write, among them the primary key and a field of the
            items themselves; None for all.
    """

    def __init__(
        self,
        data_type: DataType,
        *,
        output: LineOutput,
        tolerant: BlockPath,
        selected: Collection[str] | None = None,
    ) -> None:
        self._data_type = data_type
        self._typed = TypedReader(data_type)
        self._output = output
        self._tolerant = tolerant
        self._selected = selected
        own = {field.name for field in data_type.fields}
        is_narrow = selected is not None and not own.issubset(selected)
        self._narrow = _Narrow(data_type, selected or ()) if is_narrow else None
        self._common: _Common | None = None
        self.parse = self._typed.parse

    def emit_block(self, block: Block, records: PartRecords) -> int:
        """Write the records of a block, in order; return how many there were."""
        columns = self._typed.read(block)
        if columns is None:
            return self._tolerant.emit_block(block, records)
        if not columns[0]:
            return 0
        common = self._common_to(records.origin)
        tails = canonical_tails(map(self._data_type.record, *columns))
        ids: list[bytes] = []
        if common.ids:
            distinct = common.ids.of_distinct(tails)
            if distinct is None:  # identical items have to be numbered within their groups
                return self._tolerant.emit_block(block, records)
            ids = distinct
        if self._narrow:
            tails = self._narrow.tails(columns)
        end = self._output.envelope.closing()
        if ids:
            lines = _interleaved(common.beginning, ids, b'",', tails, end, count=len(tails))
        else:
            lines = _interleaved(common.beginning, tails, end, count=len(tails))
        self._output.write(lines, len(tails))
        return len(tails)

    def _common_to(self, origin: Origin) -> _Common:
        if self._common is None or self._common.origin is not origin:
            lineage = {
                "app_name": origin.app_name,
                "blob_name": origin.blob_name,
                "exported_until": origin.exported_until,
                "unknown_fields": None,
            }
            chosen = {
                name: value
                for name, value in lineage.items()
                if self._selected is None or name in self._selected
            }
            beginning = self._output.envelope.opening
            beginning += msgspec.json.encode(chosen).removesuffix(b"}")
            if chosen:
                beginning += b","
            ids = None
            if self._data_type.has_record_id:
                beginning += b'"record_id":"'
                ids = RecordIds(origin.app_name, self._data_type)
            self._common = _Common(origin, beginning, ids)
        return self._common


@dataclass(frozen=True, slots=True)
class _Common:
    """What all records of one origin have in common.

    Attributes:
        origin: The origin.
        beginning: How their lines begin, up to the record id or the first own field.
        ids: Makes their record ids; None where they have ids of their own.
    """

    origin: Origin
    beginning: bytes
    ids: RecordIds | None


class _Narrow:
    """The selected fields of records, encoded as those of whole records are.

    Args:
        data_type: What the records are.
        selected: Names of the fields to write.
    """

    def __init__(self, data_type: DataType, selected: Collection[str]) -> None:
        fields = [*enumerate(data_type.fields)]
        self._at = [at for at, field in fields if field.name in selected]
        self._record = msgspec.defstruct(
            f"Selected{data_type.record.__name__}",
            [data_type.fields[at].name for at in self._at],
            gc=False,
        )

    def tails(self, columns: Columns) -> list[bytes]:
        """The canonical JSON of each record, without its opening brace."""
        return canonical_tails(map(self._record, *(columns[at] for at in self._at)))


def _interleaved(*parts: bytes | list[bytes], count: int) -> bytes:
    """Rows of parts, one row after another: a list gives each row its own, bytes are repeated.

    One list is filled by slices and joined once, so that no row has to be built on its own.
    """
    pieces = [part if isinstance(part, bytes) else b"" for part in parts] * count
    for at, part in enumerate(parts):
        if isinstance(part, list):
            pieces[at :: len(parts)] = part
    return b"".join(pieces)
