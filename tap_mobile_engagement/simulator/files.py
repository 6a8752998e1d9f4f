"""Export files: elements rendered as JSON or CSV, compressed, spread over several blobs.

Rendering goes through temporary files, so that an export of any size takes little memory, and
so that each blob appears whole in its container.
"""

from __future__ import annotations

import csv
import gzip
import io
import tempfile
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_mobile_engagement.simulator.exports import Content, Element
    from tap_mobile_engagement.simulator.options import Options

_DELIMITERS = {",": ",", ";": ";", "tab": "\t"}
_IN_MEMORY = 1 << 20  # bytes of a file that is not worth a file
_FAST = 1  # compression level: export files are made to be read once


@dataclass(frozen=True)
class File:
    """One finished file.

    Attributes:
        body: Its bytes, from the start; the caller closes it.
        empty: Whether it holds no element.
    """

    body: IO[bytes]
    empty: bool


class _Renderer(Protocol):
    """Text of one file, piece by piece."""

    def head(self) -> str: ...

    def one(self, element: Element, number: int) -> str: ...

    def tail(self) -> str: ...


class _Json:
    """Elements as JSON, in one of the layouts."""

    def __init__(self, layout: str, data_type: str) -> None:
        self._head, self._between, self._tail = {
            "array": ("[", ",", "]"),
            "lines": ("", "\n", "\n"),
            "concatenated": ("", "", ""),
            "wrapper": (f'{{"{data_type}":[', ",", "]}"),
        }[layout]

    def head(self) -> str:
        return self._head

    def one(self, element: Element, number: int) -> str:
        text = msgspec.json.encode(element).decode()
        return self._between + text if number else text

    def tail(self) -> str:
        return self._tail


class _Csv:
    """Elements as rows below a header; whatever is not a scalar is JSON text."""

    def __init__(self, delimiter: str, columns: list[str]) -> None:
        self._columns = columns
        self._buffer = io.StringIO()
        self._writer = csv.writer(self._buffer, delimiter=_DELIMITERS[delimiter])

    def head(self) -> str:
        return self._row(self._columns)

    def one(self, element: Element, number: int) -> str:  # noqa: ARG002
        if isinstance(element, msgspec.Raw):  # an injected fault
            return bytes(element).decode() + "\r\n"
        return self._row([_cell(element.get(column)) for column in self._columns])

    def tail(self) -> str:
        return ""

    def _row(self, cells: list[Any]) -> str:
        self._writer.writerow(cells)
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return text


def _cell(value: Any) -> Any:
    if isinstance(value, (dict, list, bool)):
        return msgspec.json.encode(value).decode()
    return value


def extension(options: Options, export_format: str) -> str:
    """The end of a blob's name, without its dot."""
    base = "csv" if export_format == "CsvBlob" else "json"
    return base + {"none": "", "gzip": ".gz", "zip": ".zip"}[options.compression]


def render(
    options: Options, data_type: str, export_format: str, content: Content
) -> Iterator[File]:
    """Write the files of an export, as many as the options ask for.

    Elements are dealt out to the files in turn. The files live as long as the iterator does.

    Yields:
        The files that are to be blobs: those with elements, or, where there is no element at
        all, none or one, as the option ``empty`` says.
    """
    with ExitStack() as stack:
        parts = [
            _Part(stack, options, _renderer(options, data_type, export_format, content))
            for _ in range(options.blobs_per_task)
        ]
        for part, element in zip(cycle(parts), content.elements, strict=False):
            part.add(element)
        files = [part.finish() for part in parts]
        filled = [file for file in files if not file.empty]
        if filled:
            yield from filled
        elif options.empty == "array":
            yield files[0]
        elif options.empty == "blob":
            yield File(stack.enter_context(io.BytesIO()), empty=True)


def _renderer(
    options: Options, data_type: str, export_format: str, content: Content
) -> _Renderer:
    if export_format == "CsvBlob":
        return _Csv(options.csv_delimiter, content.columns)
    return _Json(options.json_layout, data_type)


class _Part:
    """One file while it is being written: text, encoded, compressed, into a temporary file."""

    def __init__(self, stack: ExitStack, options: Options, renderer: _Renderer) -> None:
        self._renderer = renderer
        self._file = cast(
            "IO[bytes]",
            stack.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY)),  # noqa: SIM115
        )
        self._compression = ExitStack()
        compressed = self._compressed(options)
        self._text = io.TextIOWrapper(compressed, options.encoding, newline="")
        self._text.write(renderer.head())
        self._count = 0

    def _compressed(self, options: Options) -> IO[bytes]:
        if options.compression == "gzip":
            # No name and no time inside, so that the same export gives the same bytes.
            stream = gzip.GzipFile("", "wb", _FAST, self._file, mtime=0)
            return cast("IO[bytes]", self._compression.enter_context(stream))
        if options.compression == "zip":
            archive = zipfile.ZipFile(
                self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=_FAST
            )
            self._compression.enter_context(archive)
            return self._compression.enter_context(
                archive.open("export", "w", force_zip64=True)
            )
        return self._file

    def add(self, element: Element) -> None:
        self._text.write(self._renderer.one(element, self._count))
        self._count += 1

    def finish(self) -> File:
        self._text.write(self._renderer.tail())
        self._text.detach()  # flushes it, and leaves the file below open
        self._compression.close()
        self._file.seek(0)
        return File(self._file, empty=not self._count)
