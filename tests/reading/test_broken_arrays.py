"""Broken arrays: never less than what stands in the file without an error."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading import arrays
from tap_mobile_engagement.reading.values import decode_element, repaired
from tests.reading.arrays import (
    COMPACT,
    WRITERS,
    Writer,
    chunked,
    cut_array,
    decoded,
    rechunk,
    texts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_mobile_engagement.reading.cutting import Block

GROUPS = [
    {"deviceId": "a1", "events": [{"name": "]},{", "extras": {"k": [1, {"é": None}]}}]},
    {"deviceId": "a2", "events": []},
    {"deviceId": "a3", "events": [{"name": 'q"\\', "extras": {}}, {"name": "😀"}]},
]
BAD_ELEMENTS = {
    "no comma between members": b'{"a":1 "b":2}',
    "no comma between items": b'{"a":[1 2]}',
    "a key without quotes": b"{a:1}",
    "a bare word": b"undefined",
    "NaN": b'{"a":NaN}',
    "a member without a value": b'{"a":}',
    "two colons": b'{"a"::1}',
    "brackets that cross": b'{"a":[1}]',
    "a comma too many": b'{"a":1,}',
    "two elements without a comma": b'{"a":1}{"a":2}',
    "an unknown escape": b'{"a":"\\x"}',
    "a raw control character": b'{"a":"\x01"}',
    "half a surrogate pair": b'{"a":"\\ud83d"}',
    "a number without digits": b'{"a":-}',
}


def read(content: bytes, block_size: int) -> tuple[list[Block], DataError | None]:
    """What a file gives up to its end or its error."""
    blocks = []
    try:
        for block in cut_array([content], block_size=block_size):
            blocks.append(block)  # noqa: PERF402  (kept in case of an error)
    except DataError as error:
        return blocks, error
    return blocks, None


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("block_size", [1, 16, 100_000])
def test_every_truncation_is_an_error_behind_a_part_of_the_elements(
    writer: Writer, block_size: int
) -> None:
    content = writer.write(GROUPS).strip()

    for length in range(len(content)):
        blocks, error = read(content[:length], block_size)

        assert error is not None, content[:length]
        assert error.code in {Code.BLOB_TRUNCATED, Code.BLOB_CORRUPT}
        assert error.where["offset"] == length
        found = decoded(blocks)
        assert found == GROUPS[: len(found)]


def test_a_truncation_says_that_it_is_one() -> None:
    content = COMPACT.write(GROUPS)

    codes = {read(content[:length], 64)[1].code for length in range(1, len(content))}  # type: ignore[union-attr]

    assert codes == {Code.BLOB_TRUNCATED}


@pytest.mark.parametrize(
    ("content", "offset"),
    [
        (b"[]x", 2),
        (b"[1] [2]", 4),
        (b'[{"a":1}]\n\n}', 11),
        (b"[1]]", 3),
        (b"[1}", 2),
        (b'[{"a":1}}', 8),
    ],
)
@pytest.mark.parametrize("chunk_size", [1, 2, 3, 1000])
def test_what_is_no_array_is_corrupt_however_it_arrives(
    content: bytes, offset: int, chunk_size: int
) -> None:
    chunks = rechunk([content], chunk_size)

    with pytest.raises(DataError) as caught:
        [*cut_array(chunks)]

    assert caught.value.code is Code.BLOB_CORRUPT
    assert caught.value.where == {"offset": offset}


@pytest.mark.parametrize(
    ("content", "values", "offsets"),
    [
        (b"[,1]", [1], [1]),
        (b"[1,]", [1], [3]),
        (b"[1,,2]", [1, 2], [3]),
        (b"[,]", [], [1, 2]),
        (b'[{"a":1}, ]', [{"a": 1}], [9]),
    ],
)
@pytest.mark.parametrize("block_size", [1, 2, 3, 1000])
def test_a_comma_too_many_is_a_bad_element_and_keeps_all_others(
    content: bytes, values: list[Any], offsets: list[int], block_size: int
) -> None:
    blocks, error = read(content, block_size)

    assert error is None
    assert _sound_values(blocks) == values
    assert [(data.strip(), at) for data, at in _unsound(blocks)] == [(b"", o) for o in offsets]


@pytest.mark.parametrize("reason", BAD_ELEMENTS)
@pytest.mark.parametrize("block_size", [1, 20, 300, 100_000])
def test_one_bad_element_keeps_all_others(reason: str, block_size: int) -> None:
    bad = BAD_ELEMENTS[reason]
    before = [{"a": number} for number in range(30)]
    after = [{"a": str(number)} for number in range(30)]
    content = COMPACT.write(before)[:-1] + b"," + bad + b"," + COMPACT.write(after)[1:]

    blocks, error = read(content, block_size)

    assert error is None
    assert _sound_values(blocks) == [*before, *after]
    assert [content[at : at + len(data)] for data, at in _unsound(blocks)] == [bad]


@given(st.data(), st.integers(1, 300), st.sampled_from([*BAD_ELEMENTS.values()]))
def test_bad_elements_anywhere_keep_all_others(
    data: st.DataObject, block_size: int, bad: bytes
) -> None:
    good = [COMPACT.write(group) for group in GROUPS * 5]
    mixed = data.draw(st.permutations([*good, bad, bad]))
    content = b"[" + b",".join(mixed) + b"]"

    blocks = [*cut_array(data.draw(chunked(content)), block_size=block_size)]

    assert len(_unsound(blocks)) == 2
    assert _sound_values(blocks) == [json.loads(e) for e in mixed if e != bad]


@pytest.mark.parametrize("block_size", [7, 64, 100_000])
def test_mutated_files_end_in_their_elements_or_in_an_error(block_size: int) -> None:
    chance = random.Random(block_size)  # noqa: S311  (the same files in every run)
    originals = [writer.write(GROUPS * 2) for writer in WRITERS]

    for _ in range(800):
        content = mutate(chance.choice(originals), chance)
        if not content.startswith(b"["):
            continue  # it is read as something else
        blocks, error = read(content, block_size)
        expected = _oracle(content)
        if expected is not None:
            assert error is None, content
            assert [decode_element(text)[0] for text in texts(blocks)] == expected, content
        else:
            assert error is not None or _has_bad_element(blocks), content


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Change a file in one to three places: flip, cut, insert, double or swap bytes."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data) + 1)
        length = chance.choice((1, 1, 1, 2, 5, 40))
        match chance.randrange(5):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = bytes(chance.choices(b'[]{},:"\\ 01aet\n\xff', k=length))
            case 3:
                data[at:at] = data[at : at + length]
            case _:
                other = chance.randrange(len(data) + 1)
                data[at : at + 1], data[other : other + 1] = (
                    data[other : other + 1],
                    data[at : at + 1],
                )
    return bytes(data)


def _oracle(content: bytes) -> list[Any] | None:
    """The elements by the standard library's parser; None where it takes it for no array."""
    try:
        found = json.loads(
            content.decode(errors="surrogateescape"),
            strict=False,
            parse_constant=_refuse,
        )
    except ValueError:
        return None
    return _as_repaired(found) if isinstance(found, list) else None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _as_repaired(values: list[Any]) -> list[Any]:
    clean, _ = repaired(values)
    assert isinstance(clean, list)
    return clean


def _has_bad_element(blocks: Iterable[Block]) -> bool:
    try:
        [decode_element(text) for text in texts(blocks)]
    except ValueError:
        return True
    return False


def _sound_values(blocks: Iterable[Block]) -> list[Any]:
    return decoded(block for block in blocks if block.sound)


def _unsound(blocks: Iterable[Block]) -> list[tuple[bytes, int]]:
    """The elements of unsound blocks, and where they stand."""
    return [(block.data, block.offset) for block in blocks if not block.sound]


ADVERSARIAL: dict[str, list[Any]] = {
    "separators inside of strings": [
        {"deviceId": "d", "x": '},{"deviceId":"' * 20, "y": n} for n in range(3_000)
    ],
    "one giant among dwarfs": [{"a": n} for n in range(1_000)]
    + [{"a": ["},{"] * 200_000}]
    + [{"a": n} for n in range(1_000)],
    "giants and dwarfs in turn": [
        {"a": n} if n % 2 else {"a": '},{"a":' * (1 << n % 16)} for n in range(200)
    ],
    "elements that end and begin alike inside": [
        {"a": [{"a": 1}, {"a": 2}] * 50} for _ in range(600)
    ],
    "no two elements alike": [{str(n): n} if n % 3 else [n] for n in range(60_000)],
    "scalars": [*range(150_000)],
}


@pytest.mark.parametrize("shape", ADVERSARIAL)
@pytest.mark.parametrize("bad_every", [0, 7])
def test_the_cost_is_linear_whatever_the_file(
    shape: str, bad_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = [COMPACT.write(element) for element in ADVERSARIAL[shape]]
    if bad_every:
        written[::bad_every] = [b"{bad}" for _ in written[::bad_every]]
    content = b"[" + b",".join(written) + b"]"
    work = _count_work(monkeypatch)

    elements = 0
    for block in cut_array([content], block_size=4096):
        elements += len(block.elements()) if block.sound else 1

    assert elements == len(written)
    assert sum(work) < 9 * len(content)


def test_a_quote_without_a_partner_costs_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    content = b'[{"a":1},{"a":"' + b"x,{}[]" * 200_000
    work = _count_work(monkeypatch)

    _, error = read(content, 4096)

    assert error is not None
    assert error.code is Code.BLOB_TRUNCATED
    assert sum(work) < 9 * len(content)


def _count_work(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect how many bytes go through the parser and the scanner: cost without a clock."""
    work: list[int] = []
    for name in ("is_value", "_element_ends", "is_sound"):
        original = getattr(arrays, name)

        def counting(data: bytes, *more: Any, original: Any = original) -> Any:
            work.append(len(data))
            return original(data, *more)

        monkeypatch.setattr(arrays, name, counting)
    return work
