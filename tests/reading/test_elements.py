"""Decoding one element, also where it is not quite JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from tap_mobile_engagement.reading.elements import NotANumber, decode_element
from tests.reading.arrays import values


@given(values)
def test_json_is_decoded_as_it_is(value: Any) -> None:
    decoded = decode_element(json.dumps(value).encode())

    assert decoded == (value, False)


@pytest.mark.parametrize(
    ("element", "value"),
    [
        pytest.param(rb'{"a":"x\ud83d"}', {"a": "x\ufffd"}, id="high surrogate"),
        pytest.param(rb'{"a":"\ude00x"}', {"a": "\ufffdx"}, id="low surrogate"),
        pytest.param(rb'{"\ud83d":[{"\ude00":1}]}', {"\ufffd": [{"\ufffd": 1}]}, id="in keys"),
        pytest.param(b'{"a":"\xe9t\xe9"}', {"a": "\ufffdt\ufffd"}, id="Latin-1"),
        pytest.param(b'{"a":"\xf0\x9f\x98"}', {"a": "\ufffd\ufffd\ufffd"}, id="cut UTF-8"),
    ],
)
def test_what_is_no_character_is_replaced(element: bytes, value: Any) -> None:
    assert decode_element(element) == (value, True)


def test_control_characters_are_kept() -> None:
    assert decode_element(b'{"a":"x\ny\x00\x1f"}') == ({"a": "x\ny\x00\x1f"}, False)


def test_a_surrogate_pair_is_one_character() -> None:
    assert decode_element(rb'{"a":"\ud83d\ude00"}') == ({"a": "😀"}, False)


@pytest.mark.parametrize("digits", ["NaN", "Infinity", "-Infinity", "1e400", "-1e999"])
def test_a_number_that_json_has_not_is_shown_but_never_written(digits: str) -> None:
    value = decode_element(b'{"a":[%b]}' % digits.encode()).value

    (number,) = value["a"]
    assert isinstance(number, NotANumber)
    assert repr(number) == digits
    with pytest.raises(TypeError):
        msgspec.json.encode(value)


def test_integers_beyond_64_bits_stay_exact() -> None:
    assert decode_element(b"[%d,-%d]" % (1 << 70, 1 << 70)).value == [1 << 70, -(1 << 70)]


@pytest.mark.parametrize(
    "element",
    [
        b"",
        b"{",
        b'{"a":}',
        b"{a:1}",
        b"undefined",
        b'{"a":1}{"a":2}',
        b"[" + b"9" * 5_000 + b"]",
    ],
)
def test_what_is_no_json_is_refused(element: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_element(element)


def test_nesting_too_deep_is_refused_as_such() -> None:
    with pytest.raises(RecursionError):
        decode_element(b"[" * 100_000 + b"]" * 100_000)
