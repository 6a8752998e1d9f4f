"""Decode one element, also where a strict JSON decoder refuses it.

What devices send is not always what JSON allows: an emoji cut in half is a lone surrogate, a
text may hold raw control characters or bytes that are no UTF-8. Such characters are replaced
by U+FFFD, as Unicode recommends, for no target could take them. A number that JSON can't
express (NaN, 1e400) has no such stand-in: its item is rejected where it is written.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple

import msgspec

_decode = msgspec.json.Decoder().decode
_SURROGATES = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


class NotANumber:
    """Stands for a number that JSON can't express, so that writing its item fails.

    Args:
        text: The number as it stands in the file.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        """The number as it stands in the file, for people."""
        return self._text


class Decoded(NamedTuple):
    """A decoded element.

    Attributes:
        value: What it holds.
        repaired: Whether characters had to be replaced in it.
    """

    value: Any
    repaired: bool


def decode_element(data: bytes) -> Decoded:
    """Decode the text of one element.

    Raises:
        ValueError: If it is no JSON, in a way that can't be repaired.
        RecursionError: If it is nested too deep (about 1,000 levels).
    """
    try:
        return Decoded(_decode(data), repaired=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    text = data.decode("utf-8", errors="surrogateescape")
    value = json.loads(text, strict=False, parse_constant=NotANumber, parse_float=_number)
    return Decoded(*_without_surrogates(value))


def _number(digits: str) -> float | NotANumber:
    number = float(digits)
    return number if math.isfinite(number) else NotANumber(digits)


def _without_surrogates(value: Any) -> tuple[Any, bool]:
    """Replace what is no character, at any depth; and say whether there was any."""
    if isinstance(value, str):
        clean = _SURROGATES.sub(_REPLACEMENT, value)
        return clean, clean != value
    if isinstance(value, list):
        pairs = [_without_surrogates(item) for item in value]
        return [item for item, _ in pairs], any(repaired for _, repaired in pairs)
    if isinstance(value, dict):
        keys = [_without_surrogates(key) for key in value]
        items = [_without_surrogates(item) for item in value.values()]
        repaired = any(repaired for _, repaired in (*keys, *items))
        return {k: v for (k, _), (v, _) in zip(keys, items, strict=True)}, repaired
    return value, False
