"""Decoding one element, also where it is not quite JSON."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given

from tap_mobile_engagement.reading.values import NotANumber, decode_element, repaired
from tests.reading.arrays import values


@given(values)
def test_json_is_decoded_as_it_is(value: Any) -> None:
    decoded = decode_element(json.dumps(value).encode())

    assert decoded == repaired(value)


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
    assert decode_element(b'{"a":"x\ny\x01\x1f"}') == ({"a": "x\ny\x01\x1f"}, False)


@pytest.mark.parametrize("nul", [b"\0", b"\\u0000"])
def test_nul_is_replaced_for_no_database_takes_it(nul: bytes) -> None:
    element = b'{"a%b":["x%by"]}' % (nul, nul)

    assert decode_element(element) == ({"a\ufffd": ["x\ufffdy"]}, True)


@pytest.mark.parametrize(
    "digits", ["12345678901234567.89", "0.1234567890123456789", "1e-400", "1.00000000000000001"]
)
def test_a_decimal_that_no_float_can_hold_keeps_its_digits(digits: str) -> None:
    (value,) = decode_element(b"[%b]" % digits.encode())[0]

    assert value == Decimal(digits)


@pytest.mark.parametrize("digits", ["1.5", "1.50", "1e22", "0.1", "5e-324", "100.0"])
def test_any_other_decimal_is_a_float(digits: str) -> None:
    (value,) = decode_element(b"[%b]" % digits.encode())[0]

    assert (type(value), value) == (float, float(digits))


def test_a_surrogate_pair_is_one_character() -> None:
    assert decode_element(rb'{"a":"\ud83d\ude00"}') == ({"a": "😀"}, False)


@pytest.mark.parametrize("digits", ["NaN", "Infinity", "-Infinity", "1e400", "-1e999"])
def test_a_number_that_json_has_not_is_shown_but_never_written(digits: str) -> None:
    value = decode_element(b'{"a":[%b]}' % digits.encode())[0]

    (number,) = value["a"]
    assert isinstance(number, NotANumber)
    assert repr(number) == digits
    with pytest.raises(TypeError):
        msgspec.json.encode(value)


def test_integers_beyond_64_bits_stay_exact() -> None:
    assert decode_element(b"[%d,-%d]" % (1 << 70, 1 << 70))[0] == [1 << 70, -(1 << 70)]


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
