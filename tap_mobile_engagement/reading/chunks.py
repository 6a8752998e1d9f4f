"""Content as an iterator of chunks: look at its beginning, or count from another place."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from tap_mobile_engagement.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_mobile_engagement.reading.arrays import Block

WHITE = b" \t\r\n"
"""What may stand between the parts of a JSON text."""


def peek(chunks: Iterable[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Look at the first bytes without losing them.

    Args:
        chunks: The content, in pieces of any size.
        size: How many bytes to look at, at least; fewer only where the content has no more.

    Returns:
        The beginning of the content, and the whole content.
    """
    rest = iter(chunks)
    head = grown(b"", rest, size)
    return head, itertools.chain([head], rest) if head else rest


def grown(buffer: bytes, rest: Iterator[bytes], size: int) -> bytes:
    """The buffer and so much of the rest that it has some bytes; fewer where there are no more.

    Args:
        buffer: What was taken already.
        rest: What follows; is taken from.
        size: How many bytes to have, at least.
    """
    parts = [buffer]
    length = len(buffer)
    while length < size and (chunk := next(rest, None)) is not None:
        parts.append(chunk)
        length += len(chunk)
    return b"".join(parts) if len(parts) > 1 else buffer


def rechunk(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Cut chunks that are larger than ``size`` bytes; smaller ones stay as they are."""
    for chunk in chunks:
        if len(chunk) <= size:
            yield chunk
        else:
            for start in range(0, len(chunk), size):
                yield chunk[start : start + size]


def drop(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The content without its first bytes."""
    for chunk in chunks:
        if len(chunk) > size:
            yield chunk[size:]
        size = max(size - len(chunk), 0)


def drop_white(chunks: Iterable[bytes]) -> tuple[int, Iterator[bytes]]:
    """The content from its first byte on that is not white space, and how many were."""
    rest = iter(chunks)
    dropped = 0
    for chunk in rest:
        kept = chunk.lstrip(WHITE)
        dropped += len(chunk) - len(kept)
        if kept:
            return dropped, itertools.chain([kept], rest)
    return dropped, iter(())


def shifted(blocks: Iterator[Block], by: int) -> Iterator[Block]:
    """Blocks whose offsets, and those of errors, count from so many bytes earlier."""
    try:
        for block in blocks:
            yield replace(block, offset=block.offset + by) if by else block
    except DataError as error:
        offset = error.where.get("offset")
        if by and isinstance(offset, int):
            error.where["offset"] = offset + by
        raise error.at() from error.__cause__
