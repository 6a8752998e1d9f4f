"""Recognising files by content: compression, byte order mark, empty files, and what is none."""

from __future__ import annotations

import gzip
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.cutting import BLOCK_SIZE
from tests.reading.arrays import COMPACT, chunked, decoded, read_blocks, rechunk, texts

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUPS = [{"deviceId": f"{n:032x}", "events": [{"name": f"e{n}" * n}]} for n in range(40)]
CONTENT = COMPACT.write(GROUPS)
HALF = len(CONTENT) // 2


def read(chunks: Iterable[bytes]) -> tuple[list[Any], DataError | None]:
    """The elements up to the file's end or its error."""
    found: list[Any] = []
    try:
        for block in read_blocks(chunks):
            found += decoded([block])
    except DataError as error:
        return found, error
    return found, None


@given(st.data(), st.lists(st.integers(0, len(CONTENT)), max_size=5).map(sorted))
def test_gzip_with_any_number_of_members_in_any_chunks(
    data: st.DataObject, cuts: list[int]
) -> None:
    bounds = [0, *cuts, len(CONTENT)]
    members = [
        gzip.compress(CONTENT[start:end], mtime=0) for start, end in itertools.pairwise(bounds)
    ]

    chunks = data.draw(chunked(b"".join(members)))

    assert read(chunks) == (GROUPS, None)


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("chunk_size", [1, 7, 1 << 20])
def test_gzip_of_any_level_in_any_chunks(level: int, chunk_size: int) -> None:
    packed = gzip.compress(CONTENT, compresslevel=level)

    assert read(rechunk([packed], chunk_size)) == (GROUPS, None)


def test_gzip_that_expands_a_thousandfold_comes_in_small_blocks() -> None:
    groups = [{"deviceId": "d", "events": []}] * 100_000
    packed = gzip.compress(COMPACT.write(groups))

    sizes = [len(block.data) for block in read_blocks([packed])]

    assert len(packed) < BLOCK_SIZE
    assert max(sizes) < 2 * BLOCK_SIZE


def test_half_a_gzip_file_or_one_of_two_members_is_never_read_without_an_error() -> None:
    """Peers read both as if they were whole, and then their bookmark moves on."""
    first, second = gzip.compress(CONTENT[:HALF]), gzip.compress(CONTENT[HALF:])
    whole = gzip.compress(CONTENT)

    for cut in (whole[: len(whole) // 2], first, first + second[: len(second) // 2]):
        found, error = read([cut])

        assert error is not None
        assert error.code is Code.BLOB_TRUNCATED
        assert len(found) < len(GROUPS)
    assert read([second])[1] is not None
    assert read([first, second]) == (GROUPS, None)


@pytest.mark.parametrize("members", [1, 2])
def test_every_truncation_of_a_gzip_file_is_an_error(members: int) -> None:
    parts = [CONTENT] if members == 1 else [CONTENT[:HALF], CONTENT[HALF:]]
    packed = b"".join(map(gzip.compress, parts))

    for length in range(1, len(packed)):
        found, error = read([packed[:length]])

        assert error is not None, length
        assert found == GROUPS[: len(found)]


def test_gzip_that_ends_too_early_is_truncated_where_it_ends() -> None:
    packed = gzip.compress(CONTENT)[:-1]

    _, error = read([packed])

    assert error is not None
    assert error.code is Code.BLOB_TRUNCATED
    assert error.where["offset"] == len(packed)


@pytest.mark.parametrize("garbage", [b"x", b"\0\0x", b"<html>", CONTENT, b"\x1f\x8b\x08\x00!"])
def test_garbage_behind_gzip_is_an_error(garbage: bytes) -> None:
    found, error = read([gzip.compress(CONTENT) + garbage])

    assert error is not None
    assert error.code in {Code.BLOB_CORRUPT, Code.BLOB_TRUNCATED}
    assert found == GROUPS[: len(found)]


def test_zeros_behind_gzip_are_padding() -> None:
    assert read([gzip.compress(CONTENT) + b"\0" * 500, b"\0" * 500]) == (GROUPS, None)


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
def test_a_flipped_byte_in_gzip_is_an_error(at: float) -> None:
    packed = bytearray(gzip.compress(CONTENT))
    packed[int(at * len(packed))] ^= 0xFF

    found, error = read([bytes(packed)])

    assert error is not None
    assert len(found) <= len(GROUPS)


def test_a_wrong_checksum_is_an_error_though_all_data_is_there() -> None:
    packed = bytearray(gzip.compress(CONTENT))
    packed[-8] ^= 1

    _, error = read([bytes(packed)])

    assert error is not None
    assert error.code is Code.BLOB_CORRUPT


@pytest.mark.parametrize("chunk_size", [1, 2, 1000])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_byte_order_mark_is_dropped(compress: Any, chunk_size: int) -> None:
    packed = compress(b"\xef\xbb\xbf" + CONTENT)

    assert read(rechunk([packed], chunk_size)) == (GROUPS, None)


@pytest.mark.parametrize(
    "content", [b"", b" \r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf \n", b"[]", b" [ ] "]
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("chunk_size", [1, 1000])
def test_an_empty_file_holds_nothing(compress: Any, content: bytes, chunk_size: int) -> None:
    assert read(rechunk([compress(content)], chunk_size)) == ([], None)


def test_no_chunk_at_all_holds_nothing() -> None:
    assert read([]) == ([], None)


@pytest.mark.parametrize(
    "content", [b"<html><body>403</body></html>", b"\x89PNG\r\n\x1a\n", b"42"]
)
def test_what_is_no_export_is_not_recognised(content: bytes) -> None:
    found, error = read([content])

    assert found == []
    assert error is not None
    assert error.code is Code.BLOB_UNRECOGNISED


def test_offsets_are_in_the_uncompressed_content() -> None:
    blocks = [*read_blocks([gzip.compress(CONTENT)])]

    for block in blocks:
        inner = block.data[1:-1]
        assert CONTENT[block.offset + 1 :].startswith(inner)


def test_mutated_gzip_files_never_give_less_without_an_error() -> None:
    packed = gzip.compress(CONTENT)

    for at in range(0, len(packed), 3):
        for flip in (0x01, 0x80):
            content = bytearray(packed)
            content[at] ^= flip
            assert _is_whole_or_fails(bytes(content)), (at, flip)


def _is_whole_or_fails(content: bytes) -> bool:
    found: list[bytes] = []
    try:
        for block in read_blocks(rechunk([content], 100)):
            found += texts([block])
    except DataError:
        return True
    return found == [COMPACT.write(group) for group in GROUPS]
