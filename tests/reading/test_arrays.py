"""The array reader: the same elements, however a file is written and however it arrives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading import arrays
from tap_mobile_engagement.reading.cutting import BLOCK_SIZE
from tests.reading.arrays import (
    AWKWARD,
    COMPACT,
    WRITERS,
    Writer,
    chunked,
    cut_array,
    decoded,
    elements,
    texts,
    writers,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

block_sizes = st.integers(1, 200) | st.just(BLOCK_SIZE)


@given(st.data(), elements, writers, block_sizes)
@example(None, [], COMPACT, 1)
@example(None, [[]], COMPACT, 1)
@example(None, [[[]], [], {}], COMPACT, BLOCK_SIZE)
@example(None, [{"a": "]},{"}, {"a": "},{"}], COMPACT, 7)
@example(None, [{"a": "\\"}, {"a": '\\"},{"a'}, {"a": '"'}], COMPACT, 9)
@example(None, [{"a": 1}, 2, "x", None, True, [3], 4.5, {}, ""], Writer(indent=2), 11)
def test_elements_are_the_same_whatever_the_blocks_and_chunks(
    data: st.DataObject | None, values: list[Any], writer: Writer, block_size: int
) -> None:
    content = writer.write(values)
    chunks = data.draw(chunked(content)) if data else [content]

    blocks = [*cut_array(chunks, block_size=block_size)]

    assert decoded(blocks) == values


@given(st.data(), elements, writers, block_sizes)
def test_a_block_says_where_it_stands(
    data: st.DataObject, values: list[Any], writer: Writer, block_size: int
) -> None:
    content = writer.write(values)

    for block in cut_array(data.draw(chunked(content)), block_size=block_size):
        inner = block.data[1:-1]
        assert content[block.offset + 1 : block.offset + 1 + len(inner)] == inner
        before = content[block.offset : block.offset + 1]
        assert before in {b"[", b",", b" ", b"\t", b"\r", b"\n"}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("block_size", [1, 2, 3, 5, 8, 13, 64, 1000, BLOCK_SIZE])
def test_groups_as_the_service_writes_them(writer: Writer, block_size: int) -> None:
    groups = [
        {
            "deviceId": f"{number:032x}",
            "events": [
                {"name": text, "timestamp": "2016-05-01T10:00:00Z", "extras": {text: [text]}}
                for text in AWKWARD
            ],
        }
        for number in range(10)
    ]

    blocks = [*cut_array([writer.write(groups)], block_size=block_size)]

    assert decoded(blocks) == groups


def test_memory_stays_near_the_block_size() -> None:
    element = COMPACT.write({"deviceId": "d" * 32, "events": [{"name": "e" * 100}] * 3})

    def endless_line() -> Iterator[bytes]:
        yield b"["
        for number in range(5_000):
            yield b"," + element if number else element
        yield b"]"

    sizes = [len(block.data) for block in cut_array(endless_line(), block_size=4096)]

    assert sum(sizes) > 5_000 * len(element)
    assert max(sizes) < 2 * 4096


def test_an_element_larger_than_many_blocks() -> None:
    values = [{"a": 1}, {"a": "},{" * 100_000}, {"a": ["]},{"] * 50_000}, {"a": 2}]

    blocks = [*cut_array([COMPACT.write(values)], block_size=1024)]

    assert decoded(blocks) == values


def test_an_element_beyond_the_limit_fails_where_it_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arrays, "MAX_ELEMENT_SIZE", 10_000)
    content = COMPACT.write([{"a": 1}, {"a": "x" * 20_000}])

    blocks = cut_array([content], block_size=1024)

    assert decoded([next(blocks)]) == [{"a": 1}]
    with pytest.raises(DataError) as caught:
        next(blocks)
    assert caught.value.code is Code.BLOB_CORRUPT
    assert caught.value.where == {"offset": content.index(b'{"a":"x')}


def test_an_element_just_below_the_limit_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MAX_ELEMENT_SIZE", 10_000)
    values = [{"a": 1}, {"a": "x" * 9_900}, {"a": 2}]

    blocks = [*cut_array([COMPACT.write(values)], block_size=1024)]

    assert decoded(blocks) == values


@pytest.mark.parametrize("depth", [100, 400])
def test_deep_nesting_is_read(depth: int) -> None:
    deep = json.loads("[" * depth + "]" * depth)

    blocks = [*cut_array([COMPACT.write([{"a": 1}, {"a": deep}, {"a": 2}])])]

    assert decoded(blocks) == [{"a": 1}, {"a": deep}, {"a": 2}]


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_too_deep_to_parse_is_one_element(opening: bytes) -> None:
    """Whether it can be parsed depends on the interpreter; what is a record does not."""
    depth = 100_000
    deep = opening * depth + b"1" + opening[:1].translate(bytes.maketrans(b"[{", b"]}")) * depth
    content = b'[{"a":1},{"a":' + deep + b'},{"a":2}]'

    blocks = [*cut_array([content])]

    assert texts(blocks) == [b'{"a":1}', b'{"a":' + deep + b"}", b'{"a":2}']
