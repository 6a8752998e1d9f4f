"""One object that wraps the array of elements: ``{"value": [...], "count": 3}``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.arrays import read_array
from tap_mobile_engagement.reading.chunks import WHITE, drop, shifted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_mobile_engagement.reading.arrays import Block

_TAIL = 64 * 1024
"""Bytes at the content's end in which the array has to end and the object to be closed."""

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
# The end of the array, members that hold no array, the end of the object and of the content.
_ENDING = re.compile(
    rb"\](?:\s*,\s*%(s)s\s*:\s*(?:%(s)s|[-+.\w]++|\{[^{}\[\]]*+\}))*+\s*\}\s*\Z"
    % {b"s": _STRING},
    re.DOTALL,
)


def read_wrapped(chunks: Iterable[bytes], array_at: int) -> Iterator[Block]:
    """Blocks of the elements of the one array that an object holds.

    Args:
        chunks: The content as UTF-8, in pieces of any size.
        array_at: Where its array begins, in bytes.

    Raises:
        DataError: ``BLOB_TRUNCATED`` or ``BLOB_CORRUPT`` as for arrays, also where the object
            itself is not closed, or more than scalars and flat objects follow its array.
    """
    yield from shifted(read_array(_inner(drop(chunks, array_at))), array_at)


def _inner(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The array alone: the object's end, which only the content's end tells, is held back.

    That this is where the array ends is a guess from the right; whoever reads the array judges
    it, for a wrong guess cuts it short or leaves something behind it.
    """
    held = b""
    length = 0
    for chunk in chunks:
        length += len(chunk)
        held += chunk
        if len(held) > 2 * _TAIL:
            yield held[:-_TAIL]
            held = held[-_TAIL:]
    ending = _ENDING.search(held)
    if ending:
        yield held[: ending.start() + 1]
        return
    if held.rstrip(WHITE).endswith(b"}"):
        yield held  # the array's reader will find that it goes on, or what follows it
    raise DataError(
        Code.BLOB_TRUNCATED,
        "the content ends before the object around its array is closed",
        next_step="Copy or export the file again",
        offset=length,
    )
