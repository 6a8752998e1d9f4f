"""What becomes of a record that can't be read or doesn't fit its schema."""

from __future__ import annotations

import os
from os import SEEK_END
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import msgspec

from tap_mobile_engagement.containers.folder import open_private
from tap_mobile_engagement.errors import Code, DataError, SettingsError, TapError
from tap_mobile_engagement.reading.values import BadValue, check_nested

if TYPE_CHECKING:
    from typing import BinaryIO

_SHOWN_DEPTH = 200  # levels that what reads the file can take
_EXCERPT = 2_000  # characters of a bad item that go into the dead letter file as text


class BadRecords:
    """Rejects bad records of one stream: fails on the first, or skips up to ``most`` of them.

    Each skipped one is appended to the file ``dead_letter_path``, as NDJSON.
    """

    def __init__(
        self,
        stream: str,
        *,
        skip: bool = False,
        most: int = 0,
        dead_letter_path: str | None = None,
    ) -> None:
        self._stream = stream
        self._skip = skip
        self._most = most
        self._path = Path(dead_letter_path) if dead_letter_path else None
        self._file: BinaryIO | None = None
        self.count = 0

    def reject(self, reason: str, item: Any, *, blob: str | None, offset: int) -> None:
        """Set a bad item aside; raises BAD_RECORD, TOO_MANY_BAD_RECORDS or BAD_SETTING."""
        where = {"stream": self._stream, "blob": blob, "offset": offset}
        code, what = Code.BAD_RECORD, f"a record can't be read: {reason}"
        next_step = "Look at the file, or set bad_records: skip with a dead_letter_path"
        if self._skip:
            self.count += 1
            if self._path:
                self._write(self._path, {**where, "reason": reason, "data": item})
            if self.count <= self._most:
                return
            code = Code.TOO_MANY_BAD_RECORDS
            what = f"{self.count} records could not be read; the last one: {reason}"
            next_step = "Look at the files, or raise max_bad_records"
        raise DataError(code, what, next_step=next_step, **where)

    def _write(self, path: Path, letter: dict[str, Any]) -> None:
        try:
            check_nested(letter["data"], _SHOWN_DEPTH, numbers=False)
            line = msgspec.json.encode(letter, enc_hook=repr)
        except BadValue:
            line = msgspec.json.encode({**letter, "data": "(nested too deep to be shown)"})
        except (TypeError, ValueError):
            line = msgspec.json.encode({**letter, "data": ascii(letter["data"])[:_EXCERPT]})
        try:
            self._file = self._file or _opened(path)
            _write_all(self._file, line + b"\n")
        except OSError as error:
            raise _not_writable(path, error).at(stream=self._stream) from None

    def close(self) -> None:
        """Close the dead letter file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def check_dead_letter_path(path: str) -> None:
    """Raise BAD_SETTING if dead letters can't be written there; make no file."""
    try:
        try:
            file = open_private(path, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            TemporaryFile(dir=Path(path).resolve().parent).close()
            return
        if not Path(path).is_fifo():  # the reader of a pipe would take that for the end
            os.close(file)
    except OSError as error:
        raise _not_writable(path, error) from None


def _not_writable(path: str | Path, error: OSError) -> TapError:
    return SettingsError(
        Code.BAD_SETTING,
        f"the dead letter file {path} can't be written: {error.strerror}",
        next_step="Make room there, or set dead_letter_path to a file in a folder that exists",
    )


def _opened(path: Path) -> BinaryIO:
    """The dead letter file, to append to; half a line that a full disk left is ended."""
    # Unbuffered, because the bookmark may move past it; and a buffer that could not be written
    # on a full disk would fail once more when the file is closed. It is open until `close`.
    file = open(path, "ab", buffering=0, opener=open_private)  # noqa: SIM115
    os.set_blocking(file.fileno(), True)
    if path.is_file() and path.stat().st_size:
        with path.open("rb") as written:
            written.seek(-1, SEEK_END)
            if written.read() != b"\n":
                _write_all(file, b"\n")
    return file


def _write_all(file: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
