"""Singer messages to standard output, in large writes that survive a signal.

The SDK's writers flush after every record. Downstream that costs more than it does here:
Meltano's proxy works nearly twice as hard for a tap that flushes each record. So records are
collected, and everything that promises something about them (STATE above all) is written
right behind them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from singer_sdk.contrib.msgspec import enc_hook
from singer_sdk.singerlib import RecordMessage
from singer_sdk.singerlib.encoding.base import GenericSingerWriter
from singer_sdk.singerlib.encoding.simple import Message

from tap_mobile_engagement.emit import Envelope, LineOutput

if TYPE_CHECKING:
    from collections.abc import Callable

WRITE_SIZE = 64 * 1024
"""Bytes to collect before they are written."""

_encoder = msgspec.json.Encoder(enc_hook=enc_hook, decimal_format="number")


class MessageWriter(GenericSingerWriter[bytes, Message]):
    """Writes messages in order; records wait until there are enough, or something follows.

    A signal handler must only set a flag: then no write is cut short by one, and a line is
    either out whole or not begun.
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
        self.write_lines(self.serialize_message(message))
        if not isinstance(message, RecordMessage):
            self.flush()

    def write_lines(self, lines: bytes) -> None:
        """Write whole lines that are messages already."""
        self._lines.append(lines)
        self._size += len(lines)
        if self._size >= WRITE_SIZE:
            self.flush()

    def flush(self) -> None:
        """Hand everything over to the operating system."""
        data = b"".join(self._lines)
        self._lines.clear()
        self._size = 0
        # Looked up each time, for hosts and tests redirect it. Unbuffered (PYTHONUNBUFFERED)
        # it is a raw file, whose writes may be short.
        out: Any = sys.stdout.buffer
        rest = memoryview(data)
        while rest:
            rest = rest[out.write(rest) or 0 :]
        out.flush()


class Output(LineOutput, Protocol):
    """Where the records of one stream go."""

    def write_record(self, record: dict[str, Any]) -> None:
        """Write one record through the SDK: selection, stream maps, flattening."""

    def finish(self) -> None:
        """Bring everything written so far on its way: a STATE may follow that claims it."""

    def discard(self) -> None:
        """Give up what is not on its way yet."""


class RecordOutput:
    """Records as RECORD messages.

    Args:
        stream: Name of the stream.
        version: Its version for ACTIVATE_VERSION, if it has one.
        writer: Writes messages.
        write_record: Writes one record by the stream's own method of the SDK.
    """

    def __init__(
        self,
        stream: str,
        version: int | None,
        *,
        writer: MessageWriter,
        write_record: Callable[[dict[str, Any]], None],
    ) -> None:
        self.envelope = Envelope.of_messages(stream, version)
        self._writer = writer
        self._write_record = write_record

    def write(self, lines: bytes, count: int) -> None:
        """Write records that are messages already."""
        del count
        self._writer.write_lines(lines)

    def write_record(self, record: dict[str, Any]) -> None:
        """Write one record through the SDK."""
        self._write_record(record)

    def finish(self) -> None:
        """Nothing to do: what follows is written behind the records."""

    def discard(self) -> None:
        """Nothing to do: records without a STATE behind them claim nothing."""
