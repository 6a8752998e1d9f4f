"""Records as BATCH messages: files of JSON lines that the target reads itself."""

from __future__ import annotations

import uuid
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec
from isal import igzip
from singer_sdk.contrib.msgspec import encoder
from singer_sdk.helpers._batch import BatchConfig, SDKBatchMessage

from tap_mobile_engagement.containers.folder import open_private
from tap_mobile_engagement.errors import Code, RetryLaterError, SettingsError
from tap_mobile_engagement.output.lines import Output
from tap_mobile_engagement.redaction import register_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from singer_sdk.singerlib import Message, RecordMessage
    from upath import UPath

# Of a file, unless ``batch_size`` says otherwise: targets read a whole file at once.
MOST_RECORDS = 50_000
MOST_BYTES = 64 << 20  # before compression
_IGzipFile: Any = igzip.IGzipFile  # (its types are incomplete)
_GZIP_LEVEL = 1  # of 0 to 3; higher ones were slower here, and their files no smaller
_COMPRESSIONS = {"gzip", "none", None}
_LIMITS = "encoding.format is jsonl, encoding.compression gzip or none, batch_size at least 1"
_EXAMPLE = (
    "{encoding: {format: jsonl, compression: gzip}, storage: {root: file:///data/batches}}"
)


def batch_config(config: Mapping[str, Any]) -> BatchConfig | None:
    """The setting ``batch_config`` with its defaults, if it is set; raises BAD_SETTING."""
    wanted = config.get("batch_config")
    if not wanted:
        return None
    try:
        encoding = {"format": "jsonl", "compression": "gzip", **wanted.get("encoding", {})}
        given = {"batch_size": MOST_RECORDS, **wanted, "encoding": encoding}
        msgspec.convert(given, BatchConfig)  # for the types of its values
        found = BatchConfig.from_dict(given)  # for their names
        is_written = encoding["format"] == "jsonl" and encoding["compression"] in _COMPRESSIONS
        if not is_written or found.batch_size < 1:
            raise ValueError(_LIMITS)  # noqa: TRY301  (told as the others are)
        for value in found.storage.params.values():
            if isinstance(value, str):  # credentials are among them, under names of any storage
                register_secret(value)
        _ = found.storage._root_path.fs  # noqa: SLF001  (no request is made yet)
    except (AttributeError, ImportError, TypeError, ValueError) as error:
        what, step = "has no possible value", f"Write it like this: batch_config: {_EXAMPLE}"
        if isinstance(error, ImportError):
            what = "takes a package that is not installed"
            step = "Install it; for Azure: pip install 'tap-mobile-engagement[azure]'"
        what = f"the setting batch_config {what}: {error}"
        raise SettingsError(Code.BAD_SETTING, what, next_step=step) from error
    return found


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
            some = b"".join(each[start : start + size])
            self._write(self._alias, some, min(count - start, size))

    def write_record(self, record: dict[str, Any]) -> None:
        """Write what the SDK makes of one record."""
        for message in self._messages(record):
            self._write(message.stream, encoder.encode(message.record) + b"\n", 1)

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
        file, most = self._files.get(alias), self._config.batch_size
        if file and (file.records + count > most or file.size + len(lines) > MOST_BYTES):
            self._close(alias)
        with self._explained():
            if alias not in self._files:
                self._files[alias] = _BatchFile(self._config, f"{self._name}-{alias}")
            file = self._files[alias]
            file.file.write(lines)
        file.records += count
        file.size += len(lines)

    def _close(self, alias: str) -> None:
        with self._explained():
            self._files[alias].opened.close()  # one that can't be is left for `discard`
        manifest = [self._files.pop(alias).path.as_uri()]
        self._write_message(SDKBatchMessage(alias, self._config.encoding, manifest=manifest))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the storage of BATCH files refuses into an error of the tap."""
        try:
            yield
        except OSError as error:
            raise RetryLaterError(
                Code.STORAGE_UNAVAILABLE,
                f"a BATCH file can't be written: {error}",
                next_step="Check the storage in batch_config and its free space, and run again",
                root=self._config.storage.root,
            ) from error


class _BatchFile:
    """One file; the SDK would wrap it into a transaction, which ends with the first file."""

    def __init__(self, config: BatchConfig, name: str) -> None:
        folder = config.storage._root_path  # noqa: SLF001  (what its own methods build upon)
        packed = config.encoding.compression == "gzip"
        ending = ".jsonl.gz" if packed else ".jsonl"
        self.path = folder / f"{config.storage.prefix or ''}{name}-{uuid.uuid4()}{ending}"
        self.records = 0
        self.size = 0
        with ExitStack() as opened:
            folder.mkdir(parents=True, exist_ok=True)
            self.file = opened.enter_context(_opened(self.path))
            if packed:
                packer = _IGzipFile("", "wb", _GZIP_LEVEL, self.file, mtime=0)
                self.file = opened.enter_context(packer)
            self.opened = opened.pop_all()

    def remove(self) -> None:
        with suppress(OSError):  # no message names the file, and something else failed first
            self.opened.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def _opened(path: UPath) -> Any:
    is_local = path.protocol in {"", "file", "local"}
    return open(path.path, "wb", opener=open_private) if is_local else path.open("wb")
