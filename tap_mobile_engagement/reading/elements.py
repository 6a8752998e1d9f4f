"""Decode one element, also where a strict JSON decoder refuses it.

U+FFFD replaces what a target can't take: lone surrogates, U+0000, bytes that are no UTF-8.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

NUL = b"\\u0000"
"""How U+0000 stands in JSON text; a strict decoder takes it, most targets do not."""

REPLACEMENT = "\ufffd"

_LONGEST_CACHED = 32  # characters of a number

_NOT_FOR_TARGETS = re.compile("[\0\ud800-\udfff]")


class NotANumber:
    """Stands for a number that JSON can't express: its item is a bad record."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


class Decoded(NamedTuple):
    """A decoded element, and whether characters had to be replaced in it."""

    value: Any
    repaired: bool


def number(digits: str) -> float | Decimal | NotANumber:
    """A decimal number: a float where that is the same number, else a Decimal."""
    value = float(digits)
    if repr(value) == digits:
        return value
    if not math.isfinite(value):
        return NotANumber(digits)
    exact = Decimal(digits)
    return value if Decimal(repr(value)) == exact else exact


@lru_cache(maxsize=1 << 14)
def common_float(digits: str) -> float:
    """A short decimal number that is a float, remembered for the next time; else ValueError."""
    value = number(digits)
    if not isinstance(value, float) or len(digits) > _LONGEST_CACHED:
        raise ValueError(digits)
    return value


_decode = msgspec.json.Decoder(float_hook=number).decode


def decode_lenient(data: bytes) -> Any:
    """Decode an element and replace nothing; ValueError, or RecursionError if too deep."""
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = data.decode("utf-8", errors="surrogateescape")
        return json.loads(text, strict=False, parse_constant=NotANumber, parse_float=number)


def decode_element(data: bytes) -> Decoded:
    """As :func:`decode_lenient`, but replace what no target can take."""
    if NUL not in data:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            return Decoded(_decode(data), repaired=False)
    return Decoded(*repaired(decode_lenient(data)))


def repaired_text(text: str) -> str:
    """A text with what no target can take replaced."""
    return _NOT_FOR_TARGETS.sub(REPLACEMENT, text)


def repaired(value: Any) -> tuple[Any, bool]:
    """Replace what no target can take, at any depth; and say whether there was any."""
    if isinstance(value, str):
        clean = repaired_text(value)
        return clean, clean != value
    if isinstance(value, list):
        pairs = [repaired(item) for item in value]
        return [item for item, _ in pairs], any(found for _, found in pairs)
    if isinstance(value, dict):
        keys = [repaired(key) for key in value]
        items = [repaired(item) for item in value.values()]
        found = any(found for _, found in (*keys, *items))
        return {k: v for (k, _), (v, _) in zip(keys, items, strict=True)}, found
    return value, False
