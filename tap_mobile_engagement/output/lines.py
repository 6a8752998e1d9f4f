"""Records as lines, and lines to standard output in large writes that survive a signal."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk.contrib.msgspec import encoder
from singer_sdk.singerlib import RecordMessage
from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.singerlib.encoding.simple import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tap_mobile_engagement.reading.batch import Batch, Origin

    Write = Callable[[Batch], None]
    WriteRecord = Callable[[dict[str, Any]], None]

WRITE_SIZE = 64 * 1024  # bytes to collect before they are written


class MessageWriter(GenericSingerWriter[bytes, Message]):
    """Writes messages in order; records wait until there are enough, or something follows.

    Meltano's proxy works nearly twice as hard if each is flushed. A signal handler must only
    set a flag, so that a line is either out whole or not begun.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[bytes] = []
        self._size = 0

    def serialize_message(self, message: Message) -> bytes:
        """One line of JSON, with its end."""
        return encoder.encode(message.to_dict()) + b"\n"

    def write_message(self, message: Message) -> None:
        """Write a message behind all that came before it."""
        self.write_lines(self.serialize_message(message), 1)
        if not isinstance(message, RecordMessage):
            self.flush()

    def write_lines(self, lines: bytes, _: int) -> None:
        """Write whole lines that are messages already; their count does not matter."""
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


class Output:
    """Where the records of one stream go.

    Attributes:
        opening: What stands before a record in its line.
        ending: What stands behind it, before the time; None: nothing, not even a time.
        write_lines: Writes records as whole lines, each between those, and their count.
        write_record: Writes one record through the SDK.
    """

    opening = b""
    ending: bytes | None = None
    write_lines: Callable[[bytes, int], None]
    write_record: WriteRecord
    _origin: Origin | None = None
    _shared = b""

    def write(self, batch: Batch) -> None:
        """Write a batch as lines: the bytes encoded for ids, between what all records share."""
        if batch.origin is not self._origin:
            self._origin = batch.origin
            lineage = {
                "app_name": batch.origin.app_name,
                "blob_name": batch.origin.blob_name,
                "exported_until": batch.origin.exported_until,
                "unknown_fields": None,
            }
            self._shared = self.opening + msgspec.json.encode(lineage).removesuffix(b"null}")
        ending = b"\n"
        if self.ending is not None:
            now = datetime.now(UTC).isoformat().encode()
            ending = b'%b,"time_extracted":"%b"}\n' % (self.ending, now)
        unknown: bytes | list[bytes] = batch.unknown or b"null"
        # Rows of parts, one row after another: a list gives each row its own, bytes are
        # repeated. One list is filled by slices and joined once.
        parts = [self._shared, unknown, b",", batch.rows, ending]
        if batch.ids is not None:
            parts[2:3] = b',"record_id":"', batch.ids, b'",'
        pieces = [part if isinstance(part, bytes) else b"" for part in parts] * batch.count
        for at, part in enumerate(parts):
            if isinstance(part, list):
                pieces[at :: len(parts)] = part
        self.write_lines(b"".join(pieces), batch.count)

    def finish(self) -> None:
        """Bring everything written so far on its way: a STATE may follow that claims it."""

    def discard(self) -> None:
        """Give up what is not on its way yet."""


class RecordOutput(Output):
    """Records as RECORD messages, which claim nothing without a STATE behind them."""

    def __init__(
        self, stream: str, version: int | None, writer: MessageWriter, write_record: WriteRecord
    ) -> None:
        self.opening = b'{"type":"RECORD","stream":%b,"record":' % msgspec.json.encode(stream)
        self.ending = b"" if version is None else b',"version":%d' % version
        self.write_lines = writer.write_lines
        self.write_record = write_record


def write_singly(write_record: WriteRecord, properties: Collection[str], batch: Batch) -> None:
    """Write a batch record by record through the SDK, for all that a user may ask for."""
    for record in batch.dictionaries():
        write_record({k: v for k, v in record.items() if k in properties})
