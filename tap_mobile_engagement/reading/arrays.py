"""Cut a top-level JSON array of any size into blocks of whole elements.

An export file is one array, maybe gigabytes on one line. It is taken in blocks of bytes; each
block is cut behind its last whole element, and what follows the cut begins the next block. So
memory is bounded by the block size and the largest single element.

Where to cut is guessed fast and judged exactly. The text between two elements (``]},{`` say)
is learned from the file itself; its last occurrence in the block is the guess. A prefix that,
closed with ``]``, parses as an array was cut right, for a cut inside an element leaves a
bracket or a string open. Whoever is going to parse the blocks anyway may be that judge, so
that each is parsed once. When no guess is right, a scanner that follows only strings and
brackets finds the elements one by one; so one element with bad syntax inside is handed on as
such, and does not take the rest of the file with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.chunks import WHITE, grown, rechunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Parse = Callable[[bytes], list[Any] | None]
    """Parses a JSON array; None where it is none, or not of the kind that is wanted."""

BLOCK_SIZE = 64 * 1024
"""Bytes to take at a time: larger blocks cost page faults, smaller ones calls."""

MAX_ELEMENT_SIZE = 256 * 1024 * 1024
"""Bytes that a single element may have; the file of a larger one is taken to be broken."""

_FIRST_LOOK = 16 * 1024  # bytes, to learn from what stands between two elements
_BLANK = 64  # bytes; more white space than files have before an element
_GUESSES = 3  # per block, before the exact scan; each costs a parse of the block

# What shapes an array: strings, the quote of a string that the buffer cuts off, brackets and
# commas. The quantifiers are possessive, so that a quote without its partner costs one pass.
_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{},]', re.DOTALL)
# How an element ends and the next begins; both always match something.
_ENDING = re.compile(rb"(?:\]\s*)?[^\s]\s*\Z")
_BEGINNING = re.compile(rb'\s{0,64}(?:\{\s{0,64}"[^"\\]{0,64}"|.)', re.DOTALL)
_QUOTE = ord('"')
_COMMA = ord(",")
_END = ord("]")
_OPENING = frozenset(b"[{")

_raw_values = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Block:
    """Some whole elements, one after another, as they stand in the file.

    Attributes:
        data: A JSON array of just these elements.
        offset: Where ``data`` stands in the uncompressed content, in bytes.
        sound: Whether it is valid JSON. An unsound block holds exactly one element.
        parsed: What the reader's ``parse`` made of ``data``, if it was asked already.
    """

    data: bytes
    offset: int
    sound: bool = True
    parsed: list[Any] | None = None

    def elements(self) -> list[msgspec.Raw]:
        """The elements of a sound block, undecoded."""
        return _raw_values.decode(self.data)


def read_array(
    chunks: Iterable[bytes], *, block_size: int = BLOCK_SIZE, parse: Parse | None = None
) -> Iterator[Block]:
    """Cut the elements of a top-level array out of its bytes.

    Args:
        chunks: The uncompressed content, in pieces of any size. White space around the array
            is legal.
        block_size: Bytes to take at a time.
        parse: How the blocks are going to be parsed; it then judges the cuts.

    Yields:
        All elements in order, each in exactly one block.

    Raises:
        DataError: ``BLOB_TRUNCATED`` where the content ends before the array is closed;
            ``BLOB_CORRUPT`` where it is no array, or something follows it.
    """
    yield from _ArrayReader(rechunk(chunks, block_size), parse).blocks()


class _ArrayReader:
    """One pass over an array: the bytes not yet handed out, and what was learned so far.

    The buffer always begins with a ``[``: the file's own at first, later one that takes the
    place of the comma before the next element.
    """

    def __init__(self, chunks: Iterator[bytes], parse: Parse | None) -> None:
        self._chunks = chunks
        self._parse = parse
        self._buffer = b""
        self._offset = 0  # of the buffer's first byte in the content
        self._between = b""  # the text between two elements, as it was last seen
        self._follows_comma = False  # whether the buffer's bracket stands for one

    def blocks(self) -> Iterator[Block]:
        self._find_start()
        wanted = len(self._buffer) + 1
        while True:
            ended = not self._fill(wanted)
            block = self._rest() if ended else self._guess()
            if block:
                yield block
                if ended:
                    return
                self._drop(len(block.data) - 1)
                wanted = len(self._buffer) + 1
                continue
            spans, closed = _scan(self._buffer)
            yield from self._judge(spans, closed=closed > 0)
            if closed:
                self._expect_end(closed)
                return
            if ended:
                raise self._truncated()
            if spans:
                self._learn(spans)
                self._drop(spans[-1][1])
                wanted = len(self._buffer) + 1
            elif len(self._buffer) > MAX_ELEMENT_SIZE:
                what = f"a single element has more than {MAX_ELEMENT_SIZE} bytes"
                raise DataError(Code.BLOB_CORRUPT, what, offset=self._offset + 1)
            else:
                # An element larger than the buffer: doubling keeps the cost linear.
                wanted = min(len(self._buffer) * 2, MAX_ELEMENT_SIZE + 1)

    def _find_start(self) -> None:
        while not self._buffer:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise DataError(Code.BLOB_CORRUPT, "the content is empty", offset=0)
            self._buffer = chunk.lstrip(WHITE)
            self._offset += len(chunk) - len(self._buffer)
        if not self._buffer.startswith(b"["):
            what = "the content is no JSON array"
            raise DataError(Code.BLOB_CORRUPT, what, offset=self._offset)

    def _fill(self, wanted: int) -> bool:
        """Let the buffer grow to some bytes; False where the content has no more to give."""
        self._buffer = grown(self._buffer, self._chunks, wanted)
        return len(self._buffer) >= wanted

    def _drop(self, comma: int) -> None:
        """Forget the elements before that comma."""
        self._buffer = b"[" + self._buffer[comma + 1 :]
        self._offset += comma
        self._follows_comma = True

    def _guess(self) -> Block | None:
        """All whole elements of the buffer; None if no guess of where they end is right."""
        if not self._between and not self._follows_comma:
            spans, _ = _scan(self._buffer[:_FIRST_LOOK])
            self._learn(spans)
        if not self._between:
            return None
        to_comma = self._between.index(b",")
        at = len(self._buffer)
        for _ in range(_GUESSES):
            at = self._buffer.rfind(self._between, 1, at)
            if at < 0:
                break
            # Through a view, for slicing and adding would copy the block twice.
            data = b"".join((memoryview(self._buffer)[: at + to_comma], b"]"))
            block = self._block(data)
            if block:
                return block
        return None

    def _rest(self) -> Block | None:
        """The last elements with the array's end; None if that is not all there is.

        What begins with much white space may be empty, and is looked at more closely.
        """
        data = self._buffer.rstrip(WHITE)
        begins_blank = self._is_blank(1, min(len(data) - 1, _BLANK))
        return None if begins_blank or not data.endswith(b"]") else self._block(data)

    def _block(self, data: bytes) -> Block | None:
        """A block with the beginning of the buffer; None if that is no array."""
        parsed = self._parse(data) if self._parse else None
        if parsed is None and not _is_array(data):
            return None
        return Block(data, self._offset, parsed=parsed)

    def _learn(self, spans: list[tuple[int, int]]) -> None:
        """Remember the text between the last element found and the one before it.

        It reaches from the last closing brackets of the one to the first key of the other:
        the more of it, the rarer it is inside of elements.
        """
        if len(spans) < 2:  # noqa: PLR2004
            return
        (start, end), (following, _) = spans[-2:]
        ending = _ENDING.search(self._buffer, max(start, end - 256), end)
        beginning = _BEGINNING.match(self._buffer, following)
        if ending and beginning:
            self._between = self._buffer[ending.start() : beginning.end()]

    def _judge(self, spans: list[tuple[int, int]], *, closed: bool) -> Iterator[Block]:
        """Hand out scanned elements: together where all are sound, else one by one."""
        if not spans:
            return
        only_blank = len(spans) == 1 and self._is_blank(*spans[0])
        if only_blank and closed and not self._follows_comma:
            return  # an empty array
        data = self._buffer[: spans[-1][1]] + b"]"
        if not only_blank and _is_array(data):
            yield Block(data, self._offset)
            return
        for start, end in spans:
            if self._is_blank(start, end):
                what = "a comma has no element before it, or none behind it"
                raise DataError(Code.BLOB_CORRUPT, what, offset=self._offset + start)
            data = b"[" + self._buffer[start:end] + b"]"
            yield Block(data, self._offset + start - 1, sound=_is_array(data))

    def _is_blank(self, start: int, end: int) -> bool:
        return not self._buffer[start:end].strip(WHITE)

    def _expect_end(self, at: int) -> None:
        """Check the bracket that closes the array, and that only white space follows it."""
        offset = self._offset + at
        if self._buffer[at] != _END:
            what = "the brackets don't match: a brace closes the array"
            raise DataError(Code.BLOB_CORRUPT, what, offset=offset)
        rest: bytes | None = self._buffer[at + 1 :]
        offset += 1
        while rest is not None:
            stripped = rest.lstrip(WHITE)
            if stripped:
                offset += len(rest) - len(stripped)
                what = "something follows the end of the array"
                raise DataError(Code.BLOB_CORRUPT, what, offset=offset)
            offset += len(rest)
            rest = next(self._chunks, None)

    def _truncated(self) -> DataError:
        return DataError(
            Code.BLOB_TRUNCATED,
            "the content ends before its array is closed",
            next_step="Copy or export the file again",
            offset=self._offset + len(self._buffer),
        )


def _is_array(data: bytes) -> bool:
    try:
        _raw_values.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _scan(buffer: bytes) -> tuple[list[tuple[int, int]], int]:
    """Find the whole elements of an array by its strings and brackets alone.

    Returns:
        Where the elements begin and end that a comma or the array's end follows; and where
        the array is closed, 0 if that is not in the buffer.
    """
    spans = []
    depth = start = 0
    for token in _TOKENS.finditer(buffer):
        at = token.start()
        byte = buffer[at]
        if byte == _QUOTE:
            if token.end() == at + 1:
                break  # the rest of this string is still to come
        elif byte == _COMMA:
            if depth == 1:
                spans.append((start, at))
                start = at + 1
        elif byte in _OPENING:
            depth += 1
            if depth == 1:
                start = at + 1
        else:
            depth -= 1
            if depth == 0:
                spans.append((start, at))
                return spans, at
    return spans, 0
