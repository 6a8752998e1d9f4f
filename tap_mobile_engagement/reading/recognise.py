"""Recognise what a file holds by its content: compression, byte order mark, format, data type.

Blob names, compression and encoding of export files are not documented, so nothing is taken
from a name.
"""

from __future__ import annotations

import codecs
import itertools
import zlib
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.datatypes import DATA_TYPES, DataType
from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.arrays import BLOCK_SIZE, Block, read_array
from tap_mobile_engagement.reading.elements import decode_element

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_GZIP_MAGIC = b"\x1f\x8b"
_WHITE = b" \t\r\n"
_SAMPLE = 20  # elements that decide on the data type


def read_blocks(chunks: Iterable[bytes]) -> Iterator[Block]:
    """Blocks of whole elements out of a file's bytes, whatever its form.

    Raises:
        DataError: ``BLOB_TRUNCATED``, ``BLOB_CORRUPT`` or ``BLOB_UNRECOGNISED``, with the
            offset. Content with no bytes at all, or only white space, holds no element.
    """
    content = _without_mark(uncompressed(chunks))
    first = next((chunk for chunk in content if chunk.strip(_WHITE)), None)
    if first is None:
        return
    content = itertools.chain([first], content)
    if first.lstrip(_WHITE).startswith(b"["):
        yield from read_array(content)
        return
    raise DataError(
        Code.BLOB_UNRECOGNISED,
        "the file is no JSON array",
        next_step="Look at the file: is it an export of Mobile Engagement?",
        offset=0,
    )


def uncompressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The content without its compression, if it has one: gzip with any number of members.

    Raises:
        DataError: ``BLOB_TRUNCATED`` where a member ends too early, ``BLOB_CORRUPT`` where
            its data is broken or something else follows it. The offset is in the file.
    """
    chunks = iter(chunks)
    first = b""
    for chunk in chunks:
        first += chunk
        if len(first) >= len(_GZIP_MAGIC):
            break
    content = itertools.chain([first], chunks) if first else chunks
    return _gunzip(content) if first.startswith(_GZIP_MAGIC) else content


def _gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    offset = 0  # in the file, of the data that is yet to be decompressed
    member = None
    for chunk in chunks:
        data = chunk
        while data:
            if member is None:
                if not data.strip(b"\0"):
                    break  # zero padding behind the last member is legal
                member = zlib.decompressobj(wbits=31)
            try:
                content = member.decompress(data, BLOCK_SIZE)
            except zlib.error as error:
                what = f"its gzip data is broken: {error}"
                raise DataError(Code.BLOB_CORRUPT, what, offset=offset) from None
            if content:
                yield content
            rest = member.unused_data if member.eof else member.unconsumed_tail
            offset += len(data) - len(rest)
            data = rest
            if member.eof:
                member = None
    while member is not None and (content := member.decompress(b"", BLOCK_SIZE)):
        yield content
    if member is not None and not member.eof:
        raise DataError(
            Code.BLOB_TRUNCATED,
            "its gzip data ends too early",
            next_step="Copy or export the file again",
            offset=offset,
        )


def _without_mark(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Drop a UTF-8 byte order mark."""
    first = b""
    for chunk in chunks:
        first += chunk
        if len(first) >= len(codecs.BOM_UTF8):
            break
    yield first.removeprefix(codecs.BOM_UTF8)
    yield from chunks


def data_type_of(elements: Iterable[Any]) -> DataType | None:
    """The data type of decoded elements, as far as the first ones tell.

    A group's list decides at once. Otherwise a data type fits if every field that it can't do
    without is there; of those that fit, the one that names the most of the fields there are
    wins, then the one with the fewest fields of its own.

    Returns:
        The data type; None where no or more than one fits.
    """
    names: set[str] = set()
    for element in itertools.islice(elements, _SAMPLE):
        if not isinstance(element, dict):
            return None
        for data_type in DATA_TYPES:
            if data_type.group_list and _holds_list(element, data_type.group_list):
                return data_type
        names.update(_names(element))
    ranked = sorted(
        (
            (len(names & known) - len(names - known), -len(known), data_type.name, data_type)
            for data_type, known, required in _SIGNATURES
            if required <= names
        ),
        reverse=True,
    )
    if not ranked or (len(ranked) > 1 and ranked[0][:2] == ranked[1][:2]):
        return None
    return ranked[0][3]


def data_type_of_blocks(blocks: Iterable[Block]) -> DataType | None:
    """As :func:`data_type_of`, for the blocks of a file; only the first ones are read."""
    return data_type_of(_decoded(blocks))


def _decoded(blocks: Iterable[Block]) -> Iterator[Any]:
    for block in blocks:
        if block.sound:
            for raw in block.elements():
                yield decode_element(bytes(raw)).value


def _holds_list(element: dict[str, Any], name: str) -> bool:
    return any(key.lower() == name and isinstance(v, list) for key, v in element.items())


def _names(element: dict[str, Any]) -> Iterator[str]:
    for key, value in element.items():
        if isinstance(value, dict) and key.lower() in _PARENTS:
            yield from (f"{key}.{name}".lower() for name in value)
        else:
            yield key.lower()


_SIGNATURES = [
    (
        data_type,
        frozenset(source.lower() for field in data_type.fields for source in field.sources),
        frozenset(f.sources[0].lower() for f in data_type.fields if not f.nullable),
    )
    for data_type in DATA_TYPES
]
_PARENTS = {
    source.split(".")[0] for _, known, _ in _SIGNATURES for source in known if "." in source
}
