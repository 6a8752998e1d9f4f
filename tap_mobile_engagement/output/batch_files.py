"""Records as BATCH messages: files of JSON lines that the target reads itself."""

from __future__ import annotations

import uuid
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from isal import igzip
from msgspec import Meta, Struct
from singer_sdk.contrib.msgspec import enc_hook
from singer_sdk.helpers._batch import (
    BaseBatchFileEncoding,
    BatchConfig,
    SDKBatchMessage,
    StorageTarget,
)

from tap_mobile_engagement.containers.folder import open_private
from tap_mobile_engagement.errors import Code, RetryLaterError, SettingsError
from tap_mobile_engagement.output.lines import Output
from tap_mobile_engagement.redaction import register_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from singer_sdk.singerlib import Message, RecordMessage
    from upath import UPath

MOST_RECORDS = 50_000
"""Records per file unless ``batch_size`` says otherwise: targets read a whole file at once."""

MOST_BYTES = 64 * 1024 * 1024
"""Bytes per file before compression, for the same reason."""

_IGzipFile: Any = igzip.IGzipFile  # (its types are incomplete)
_GZIP_LEVEL = 1  # of 0 to 3; higher ones were slower here, and their files no smaller

_EXAMPLE = (
    "{encoding: {format: jsonl, compression: gzip}, storage: {root: file:///data/batches}}"
)
_encoder = msgspec.json.Encoder(enc_hook=enc_hook, decimal_format="number")


class _Encoding(Struct, forbid_unknown_fields=True):
    format: Literal["jsonl"] = "jsonl"
    compression: Literal["gzip", "none"] | None = "gzip"


class _Storage(Struct, forbid_unknown_fields=True):
    root: str
    prefix: str | None = None
    params: dict[str, Any] = {}


class _Config(Struct, forbid_unknown_fields=True):
    """The setting as it is written, because the SDK's own classes check nothing."""

    storage: _Storage
    encoding: _Encoding = msgspec.field(default_factory=_Encoding)
    batch_size: Annotated[int, Meta(ge=1)] = MOST_RECORDS


def batch_config(config: Mapping[str, Any]) -> BatchConfig | None:
    """The setting ``batch_config`` with its defaults, if it is set; raises BAD_SETTING."""
    wanted = config.get("batch_config")
    if not wanted:
        return None
    next_step = f"Write it like this: batch_config: {_EXAMPLE}"
    try:
        checked = msgspec.convert(wanted, _Config)
        storage, encoding = checked.storage, checked.encoding
        for value in storage.params.values():
            if isinstance(value, str):  # credentials are among them, under names of any storage
                register_secret(value)
        target = StorageTarget(storage.root, storage.prefix, storage.params)
        _ = target._root_path.fs  # noqa: SLF001  (no request is made yet)
    except (ImportError, TypeError, ValueError) as error:
        what = "the setting batch_config has no possible value"
        if isinstance(error, ImportError):
            what = "the setting batch_config takes a package that is not installed"
            next_step = "Install it; for Azure: pip install 'tap-mobile-engagement[azure]'"
        raise SettingsError(
            Code.BAD_SETTING, f"{what}: {error}", next_step=next_step
        ) from error
    file_encoding = BaseBatchFileEncoding(encoding.format, encoding.compression)
    return BatchConfig(file_encoding, target, checked.batch_size)


class BatchOutput(Output):
    """Writes the records of one stream to files, and a BATCH message for each of them.

    ``messages`` makes the RECORD messages of one record, by the SDK: a stream map may make none
    or several, under other names than ``alias``.
    """

    def __init__(
        self,
        config: BatchConfig,
        name: str,
        alias: str,
        *,
        write_message: Callable[[Message], None],
        messages: Callable[[dict[str, Any]], Iterable[RecordMessage]],
    ) -> None:
        self._config = config
        self._name = name
        self._alias = alias
        self._write_message = write_message
        self._messages = messages
        self._files: dict[str, _BatchFile] = {}

    def write_lines(self, lines: bytes, count: int) -> None:
        """Write records as whole lines."""
        size = self._config.batch_size
        # The lines of one huge element go to several files.
        each = lines.splitlines(keepends=True) if count > size else [lines]
        for start in range(0, len(each), size):
            some = each[start : start + size]
            self._write(self._alias, b"".join(some), min(count - start, size))

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
        if file:
            most = self._config.batch_size
            if file.records + count > most or file.size + len(lines) > MOST_BYTES:
                self._close(alias)
        if alias not in self._files:
            self._files[alias] = _BatchFile(self._config, f"{self._name}-{alias}")
        self._files[alias].write(lines, count)

    def _close(self, alias: str) -> None:
        file = self._files[alias]
        file.close()  # one that can't be closed is left for `discard`
        del self._files[alias]
        encoding = self._config.encoding
        self._write_message(SDKBatchMessage(alias, encoding, manifest=[file.url]))


class _BatchFile:
    """One file; the SDK would wrap it into a transaction, which ends with the first file."""

    def __init__(self, config: BatchConfig, name: str) -> None:
        folder = config.storage._root_path  # noqa: SLF001  (what its own methods build upon)
        packed = config.encoding.compression == "gzip"
        ending = ".jsonl.gz" if packed else ".jsonl"
        self._path = folder / f"{config.storage.prefix or ''}{name}-{uuid.uuid4()}{ending}"
        self.url = self._path.as_uri()
        self.records = 0
        self.size = 0
        with _explained(self.url), ExitStack() as opened:
            folder.mkdir(parents=True, exist_ok=True)
            raw: Any = opened.enter_context(_opened(self._path))
            self._file: IO[bytes] = raw
            if packed:
                packer: Any = _IGzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0)
                self._file = opened.enter_context(packer)
            self._opened = opened.pop_all()

    def write(self, lines: bytes, count: int) -> None:
        with _explained(self.url):
            self._file.write(lines)
        self.records += count
        self.size += len(lines)

    def close(self) -> None:
        with _explained(self.url):
            self._opened.close()

    def remove(self) -> None:
        with suppress(OSError):  # no message names the file, and something else failed first
            self._opened.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def _opened(path: UPath) -> IO[bytes]:
    if path.protocol in {"", "file", "local"}:
        return open(path.path, "wb", opener=open_private)
    remote: IO[bytes] = path.open("wb")
    return remote


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn what the storage of BATCH files refuses into an error of the tap."""
    try:
        yield
    except OSError as error:
        raise RetryLaterError(
            Code.STORAGE_UNAVAILABLE,
            f"a BATCH file can't be written: {error}",
            next_step="Check the storage in batch_config and its free space, then run again",
            file=url,
        ) from error
