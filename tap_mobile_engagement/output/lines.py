"""Records as lines, and lines to standard output in large writes that survive a signal.

Records are collected, because Meltano's proxy works nearly twice as hard if each is flushed.
STATE is written right behind them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.contrib.msgspec import enc_hook
from singer_sdk.singerlib import RecordMessage
from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.singerlib.encoding.simple import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.batch import Batch, Origin

WRITE_SIZE = 64 * 1024
"""Bytes to collect before they are written."""

_encoder = msgspec.json.Encoder(enc_hook=enc_hook, decimal_format="number")
_canonical = msgspec.json.Encoder(order="deterministic", decimal_format="number").encode


class MessageWriter(GenericSingerWriter[bytes, Message]):
    """Writes messages in order; records wait until there are enough, or something follows.

    A signal handler must only set a flag, so that a line is either out whole or not begun.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[bytes] = []
        self._size = 0

    def serialize_message(self, message: Message) -> bytes:
        """One line of JSON, with its end."""
        return _encoder.encode(message.to_dict()) + b"\n"

    def write_message(self, message: Message) -> None:
        """Write a message behind all that came before it."""
        self.write_lines(self.serialize_message(message), 1)
        if not isinstance(message, RecordMessage):
            self.flush()

    def write_lines(self, lines: bytes, count: int) -> None:
        """Write whole lines that are messages already, and their count."""
        del count
        self._lines.append(lines)
        self._size += len(lines)
        if self._size >= WRITE_SIZE:
            self.flush()

    def flush(self) -> None:
        """Hand everything over to the operating system."""
        data = b"".join(self._lines)
        self._lines.clear()
        self._size = 0
        # Looked up each time, because hosts redirect it. Unbuffered (PYTHONUNBUFFERED)
        # it is a raw file, whose writes may be short.
        out: Any = sys.stdout.buffer
        rest = memoryview(data)
        while rest:
            rest = rest[out.write(rest) or 0 :]
        out.flush()


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands before and behind a record in its line; None: nothing, not even a time."""

    opening: bytes = b""
    ending: bytes | None = None

    @classmethod
    def of_messages(cls, stream: str, version: int | None) -> Envelope:
        """That of RECORD messages."""
        name = msgspec.json.encode(stream)
        return cls(
            b'{"type":"RECORD","stream":%b,"record":' % name,
            b"" if version is None else b',"version":%d' % version,
        )


class Output:
    """Where the records of one stream go.

    Attributes:
        envelope: What stands around a record in its line.
        write_lines: Writes records as whole lines, each in its envelope, and their count.
        write_record: Writes one record through the SDK: selection, stream maps, flattening.
    """

    envelope: Envelope
    write_lines: Callable[[bytes, int], None]
    write_record: Callable[[dict[str, Any]], None]

    def finish(self) -> None:
        """Bring everything written so far on its way: a STATE may follow that claims it."""

    def discard(self) -> None:
        """Give up what is not on its way yet."""


class RecordOutput(Output):
    """Records as RECORD messages, which claim nothing without a STATE behind them."""

    def __init__(
        self,
        stream: str,
        version: int | None,
        *,
        writer: MessageWriter,
        write_record: Callable[[dict[str, Any]], None],
    ) -> None:
        self.envelope = Envelope.of_messages(stream, version)
        self.write_lines = writer.write_lines
        self.write_record = write_record


class LinePath:
    """Writes batches as lines: the bytes encoded for ids, between what all records share.

    Only where fields are deselected is a record encoded again.
    """

    def __init__(self, data_type: DataType, output: Output, selected: Collection[str]) -> None:
        self._output = output
        self._selected = selected
        own = [(at, f.name) for at, f in enumerate(data_type.fields) if f.name in selected]
        self._own: tuple[list[int], type[msgspec.Struct]] | None = None
        if len(own) < len(data_type.fields):
            struct = msgspec.defstruct("Selected", [name for _, name in own], gc=False)
            self._own = [at for at, _ in own], struct
        self._origin: Origin | None = None
        self._parts: tuple[bytes, bytes, bytes] = (b"", b"", b"")

    def write(self, batch: Batch) -> None:
        """Write the records of a batch, in order."""
        if batch.origin is not self._origin:
            self._parts = self._common(batch.origin)
        opening, before_id, after_id = self._parts
        rows = batch.rows
        if self._own is not None:
            places, struct = self._own
            records = map(struct, *(batch.values[at] for at in places))
            rows = [_canonical(record)[1:] for record in records]
        ending = b"\n"
        if self._output.envelope.ending is not None:
            now = datetime.now(UTC).isoformat().encode()
            ending = b'%b,"time_extracted":"%b"}\n' % (self._output.envelope.ending, now)
        unknown: bytes | list[bytes] = b"null" if batch.unknown is None else batch.unknown
        if "unknown_fields" not in self._selected:
            unknown = b""
        # Rows of parts, one row after another: a list gives each row its own, bytes are
        # repeated. One list is filled by slices and joined once.
        if batch.ids is None or "record_id" not in self._selected:
            parts = [opening, unknown, before_id, rows, ending]
        else:
            parts = [opening, unknown, before_id, batch.ids, after_id, rows, ending]
        pieces = [part if isinstance(part, bytes) else b"" for part in parts] * batch.count
        for at, part in enumerate(parts):
            if isinstance(part, list):
                pieces[at :: len(parts)] = part
        self._output.write_lines(b"".join(pieces), batch.count)

    def _common(self, origin: Origin) -> tuple[bytes, bytes, bytes]:
        self._origin = origin
        lineage = {
            "app_name": origin.app_name,
            "blob_name": origin.blob_name,
            "exported_until": origin.exported_until,
            "unknown_fields": None,
        }
        chosen = {name: lineage[name] for name in lineage if name in self._selected}
        opening = self._output.envelope.opening + msgspec.json.encode(chosen)[:-1]
        comma = b"," if chosen else b""
        if "unknown_fields" in chosen:
            opening = opening.removesuffix(b"null")
        if origin.data_type.has_record_id and "record_id" in self._selected:
            return opening, comma + b'"record_id":"', b'",'
        return opening, comma, b""
