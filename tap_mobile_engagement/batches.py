"""Records as BATCH messages: files of JSON lines that the target reads itself.

The files are written by the same paths as RECORD messages, so they hold the same records, with
field selection and stream maps applied. A file is closed, and its BATCH message written, at
the latest when an export ends; so the STATE that claims the export follows all of its data.
"""

from __future__ import annotations

import gzip
import uuid
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any, cast

import msgspec
from singer_sdk.contrib.msgspec import enc_hook
from singer_sdk.helpers._batch import BatchConfig, SDKBatchMessage

from tap_mobile_engagement.errors import Code, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from singer_sdk.singerlib import Message, RecordMessage

MOST_RECORDS = 50_000
"""Records per file unless ``batch_size`` says otherwise: targets read a whole file at once."""

MOST_BYTES = 64 * 1024 * 1024
"""Bytes per file before compression, for the same reason."""

_GZIP_LEVEL = 1  # the fastest: twice the speed of the default for a tenth more bytes

_encoder = msgspec.json.Encoder(enc_hook=enc_hook, decimal_format="number")


def batch_config(config: Mapping[str, Any]) -> BatchConfig:
    """The batch configuration, with this tap's own default for the size of a batch.

    Args:
        config: What the user configured as ``batch_config``.

    Raises:
        SettingsError: ``BAD_SETTING`` for an encoding that is not written here.
    """
    found = BatchConfig.from_dict({"batch_size": MOST_RECORDS, **config})
    encoding = found.encoding
    if encoding.format != "jsonl" or encoding.compression not in {"gzip", "none", None}:
        raise SettingsError(
            Code.BAD_SETTING,
            f"batch_config asks for {encoding.format} with {encoding.compression} compression",
            next_step="Use encoding: {format: jsonl, compression: gzip}",
        )
    return found


class BatchOutput:
    """Writes the records of one stream to files, and a BATCH message for each of them.

    Args:
        config: Where files go, how they are encoded, how many records they may hold.
        name: Beginning of the files' names.
        alias: Name of the stream in messages, for records written in bulk.
        version: The stream's version for ACTIVATE_VERSION, if it has one.
        write_message: Writes a message.
        messages: Makes the RECORD messages of one record, by the stream's own method of the
            SDK: a stream map may make none or several, under other names.
    """

    opening = b""

    def __init__(
        self,
        config: BatchConfig,
        name: str,
        alias: str,
        version: int | None,
        *,
        write_message: Callable[[Message], None],
        messages: Callable[[dict[str, Any]], Iterable[RecordMessage]],
    ) -> None:
        self._config = config
        self._name = name
        self._alias = alias
        self._version = version
        self._write_message = write_message
        self._messages = messages
        self._files: dict[str, _BatchFile] = {}

    def closing(self) -> bytes:
        """Nothing: a line is a record."""
        return b""

    def write(self, lines: bytes, count: int) -> None:
        """Write records as whole lines."""
        size = self._config.batch_size
        if count > size:  # one huge element: its lines go to several files
            each = lines.splitlines(keepends=True)
            for start in range(0, count, size):
                some = each[start : start + size]
                self._write(self._alias, b"".join(some), len(some))
        else:
            self._write(self._alias, lines, count)

    def write_record(self, record: dict[str, Any]) -> None:
        """Write what the SDK makes of one record."""
        for message in self._messages(record):
            self._write(message.stream, _encoder.encode(message.record) + b"\n", 1)

    def finish(self) -> None:
        """Close all files and write their BATCH messages."""
        for alias in [*self._files]:
            self._close(alias)

    def discard(self) -> None:
        """Remove the files that no message has named yet."""
        for file in self._files.values():
            file.remove()
        self._files.clear()

    def _write(self, alias: str, lines: bytes, count: int) -> None:
        file = self._files.get(alias)
        if file and (
            file.records + count > self._config.batch_size
            or file.size + len(lines) > MOST_BYTES
        ):
            self._close(alias)
            file = None
        if file is None:
            file = self._files[alias] = _BatchFile(self._config, f"{self._name}-{alias}")
        file.write(lines, count)

    def _close(self, alias: str) -> None:
        file = self._files.pop(alias)
        file.close()
        self._write_message(
            SDKBatchMessage(
                stream=alias,
                encoding=self._config.encoding,
                manifest=[file.url],
                version=self._version,
            )
        )


class _BatchFile:
    """One file while it is written."""

    def __init__(self, config: BatchConfig, name: str) -> None:
        storage = config.storage
        ending = ".jsonl.gz" if config.encoding.compression == "gzip" else ".jsonl"
        self._filename = f"{storage.prefix or ''}{name}-{uuid.uuid4()}{ending}"
        self._storage = storage
        self.url = storage.get_url(self._filename)
        self.records = 0
        self.size = 0
        with ExitStack() as opened:
            raw = opened.enter_context(storage.open(self._filename, "wb"))
            if config.encoding.compression == "gzip":
                packed = gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0)
                self._file = cast("IO[bytes]", opened.enter_context(packed))
            else:
                self._file = raw
            self._opened = opened.pop_all()

    def write(self, lines: bytes, count: int) -> None:
        self._file.write(lines)
        self.records += count
        self.size += len(lines)

    def close(self) -> None:
        self._opened.close()

    def remove(self) -> None:
        self.close()
        (self._storage._root_path / self._filename).unlink(missing_ok=True)  # noqa: SLF001
