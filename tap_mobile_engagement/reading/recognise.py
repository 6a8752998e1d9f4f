"""Recognise what a file holds by its content: compression, encoding, layout, data type.

Blob names, compression and encoding of export files are not documented, so nothing is taken
from a name. What is found is one value, :class:`Recognised`; the same steps in the same order
lead from a file's bytes to the blocks of its elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.arrays import read_array
from tap_mobile_engagement.reading.chunks import drop_white, peek, shifted
from tap_mobile_engagement.reading.elements import decode_element
from tap_mobile_engagement.reading.encodings import Encoding, to_utf8
from tap_mobile_engagement.reading.gzips import GZIP_MAGIC, gunzip
from tap_mobile_engagement.reading.layouts import (
    HEAD_SIZE,
    Format,
    Layout,
    layout_of,
    partial_json,
)
from tap_mobile_engagement.reading.objects import read_objects
from tap_mobile_engagement.reading.signatures import SAMPLE, Verdict, verdict_on
from tap_mobile_engagement.reading.tables import read_table
from tap_mobile_engagement.reading.wrappers import read_wrapped
from tap_mobile_engagement.reading.zips import ZIP_MAGICS, ZipContent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.arrays import Block, Parse

_MAGIC_SIZE = 4  # bytes; the longest magic number
_SAMPLE_SIZES = (16 * 1024, 1 << 20)  # bytes of content: mostly the first ones are enough


class Compression(StrEnum):
    """How a file is compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZIP = "zip"


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a file was found to hold.

    Attributes:
        compression: How it is compressed.
        encoding: How its text is encoded.
        format: How its elements are laid out.
        data_type: What its elements are; None where it has none, or that can't be told.
        reason: Why that can't be told, for people; empty where it can, and for an empty file.
    """

    compression: Compression
    encoding: Encoding
    format: Format
    data_type: DataType | None
    reason: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether it is an export file without any element, of whatever data type."""
        return self.data_type is None and not self.reason


def compression_of(head: bytes) -> Compression:
    """The compression of a file, by its first four bytes."""
    if head.startswith(GZIP_MAGIC):
        return Compression.GZIP
    return Compression.ZIP if head.startswith(ZIP_MAGICS) else Compression.NONE


def read_blocks(chunks: Iterable[bytes], *, parse: Parse | None = None) -> Iterator[Block]:
    """Blocks of whole elements out of a file's bytes, whatever its form.

    Offsets count bytes of content: uncompressed, as UTF-8, without a byte order mark. In a zip
    file they begin anew with each member.

    Args:
        chunks: The file as it is stored, in pieces of any size.
        parse: How the blocks are going to be parsed, so that those of arrays are parsed once.

    Raises:
        DataError: ``BLOB_TRUNCATED``, ``BLOB_CORRUPT`` or ``BLOB_UNRECOGNISED``, with the
            offset. Content with no bytes at all, or only white space, holds no element.
    """
    head, chunks = peek(chunks, _MAGIC_SIZE)
    if compression_of(head) is not Compression.ZIP:
        yield from _read_content(uncompressed(chunks), parse)
        return
    with ZipContent(chunks) as file:
        for member in file.members:
            with file.open(member) as content:
                try:
                    yield from _read_content(uncompressed(content), parse)
                except DataError as error:
                    raise error.at(member=member.filename) from error.__cause__


def uncompressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The content without its compression, if it has one that can be read as it comes.

    Raises:
        DataError: As for :func:`~tap_mobile_engagement.reading.gzips.gunzip`.
    """
    head, chunks = peek(chunks, _MAGIC_SIZE)
    return gunzip(chunks) if compression_of(head) is Compression.GZIP else chunks


def _read_content(chunks: Iterable[bytes], parse: Parse | None) -> Iterator[Block]:
    _, content = to_utf8(chunks)
    white, content = drop_white(content)
    head, content = peek(content, 1)
    if not head.startswith(b"["):
        head, content = peek(content, HEAD_SIZE)
    yield from shifted(_read_layout(layout_of(head), content, parse), white)


def _read_layout(
    layout: Layout, content: Iterator[bytes], parse: Parse | None = None
) -> Iterator[Block]:
    match layout.format:
        case Format.EMPTY:
            return iter(())
        case Format.ARRAY:
            return read_array(content, parse=parse)
        case Format.OBJECTS:
            return read_objects(content)
        case Format.WRAPPER:
            return read_wrapped(content, layout.array_at)
        case Format.CSV:
            return read_table(content, layout.delimiter)
        case Format.UNKNOWN:
            raise DataError(
                Code.BLOB_UNRECOGNISED,
                "the file is neither JSON nor CSV with a header of known fields",
                next_step="Look at the file: is it an export of Mobile Engagement?",
                offset=0,
            )


def recognise(head: bytes, *, whole: bool) -> Recognised:
    """Tell what a file holds by its first bytes. Nothing is read beyond them.

    Args:
        head: The file's first bytes, as they are stored; the more, the more can be told.
        whole: Whether the file has no more than these.

    Returns:
        What was found. Of a zip file no more can be told in this way: each of its members is
        a file of its own.
    """
    compression = compression_of(head)
    encoding, content, broken = _first_content(head)
    layout = layout_of(content[:HEAD_SIZE])
    if compression is Compression.ZIP:
        verdict = Verdict(None, "it is a zip file")
        layout = Layout(Format.UNKNOWN)
    elif layout.format is Format.EMPTY:
        reason = "" if whole else "it begins with nothing but white space"
        verdict = Verdict(None, broken or reason)
    elif layout.format is Format.UNKNOWN:
        reason = "it is neither JSON nor CSV with a header of known fields"
        verdict = Verdict(None, reason)
    elif layout.format is Format.CSV:
        verdict = verdict_on([dict.fromkeys(layout.names, "")])
    else:
        verdict = _verdict_on_json(layout, content, whole=whole)
    return Recognised(compression, encoding, layout.format, verdict.data_type, verdict.reason)


def _first_content(head: bytes) -> tuple[Encoding, bytes, str]:
    """The content of a file's first bytes, as far as they tell.

    Returns:
        Its encoding, its first bytes as UTF-8, and what is broken or missing behind them.
    """
    encoding, chunks = Encoding.UTF_8, iter((b"",))
    taken = []
    length = 0
    try:
        encoding, chunks = to_utf8(uncompressed([head]))
        _, chunks = drop_white(chunks)
        for chunk in chunks:
            taken.append(chunk)
            length += len(chunk)
            if length >= _SAMPLE_SIZES[-1]:
                break
    except DataError as error:
        return encoding, b"".join(taken), error.what
    return encoding, b"".join(taken), ""


def _verdict_on_json(layout: Layout, content: bytes, *, whole: bool) -> Verdict:
    verdict = Verdict(None)
    for size in _SAMPLE_SIZES:
        is_all = whole and len(content) <= size
        sample = _sample(layout, content[:size], is_all=is_all)
        elements = sample.elements
        if not elements and not is_all:
            elements = _first_of_partial(layout, content[:size])
        if elements:
            verdict = verdict_on(elements, layout.array_name)
        elif not is_all or sample.fault:
            verdict = Verdict(None, sample.fault or "its first element can't be read")
        if verdict.data_type or len(content) <= size:
            break
    return verdict


@dataclass(slots=True)
class _Sample:
    """The first elements of a content that may be cut off anywhere, and what is wrong there."""

    elements: list[Any]
    fault: str = ""


def _sample(layout: Layout, content: bytes, *, is_all: bool) -> _Sample:
    if layout.format is Format.WRAPPER and not is_all:
        # What stands behind the array is told apart from it only at the content's end.
        content, layout = content[layout.array_at :], Layout(Format.ARRAY)
    sample = _Sample([])
    try:
        for block in _read_layout(layout, iter([content])):
            found = [*_decoded(block)]
            sample.elements += found
            if not found:
                sample.fault = "an element of it is no JSON"
            if len(sample.elements) >= SAMPLE:
                break
    except DataError as error:
        sample.fault = error.what
    return sample


def _first_of_partial(layout: Layout, content: bytes) -> list[Any]:
    """What can be told of a first element that goes on beyond the beginning of a content."""
    value = partial_json(content[layout.array_at :])
    return value if isinstance(value, list) else [value]


def _decoded(block: Block) -> Iterator[Any]:
    if block.sound:
        for raw in block.elements():
            try:
                yield decode_element(bytes(raw)).value
            except (ValueError, RecursionError):
                continue  # one that can't be read tells nothing


def verdict_on_blocks(blocks: Iterable[Block]) -> Verdict:
    """The verdict on the elements of a file; only the first blocks are read.

    Returns:
        For a file without any element one with neither data type nor reason.
    """
    elements = (element for block in blocks for element in _decoded(block))
    first = [*islice(elements, SAMPLE)]
    return verdict_on(first) if first else Verdict(None)
