"""Text to values, and source values (not null) to record values, one function per kind.

Tolerant of form, because not all forms are documented; nothing is guessed or cut. U+FFFD
replaces what a target can't take: lone surrogates, U+0000, bytes that are no UTF-8.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from tap_mobile_engagement.datatypes import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

NUL = b"\\u0000"  # in JSON text; a strict decoder takes it, most targets do not
MAX_DEPTH = 100  # levels of objects and lists in a field of a record; some targets take no more
TOO_DEEP = f"it is nested more than {MAX_DEPTH} levels deep"
NO_IDS = frozenset(("", "0" * 32, "00000000-0000-0000-0000-000000000000"))  # ids for none

_LONGEST_CACHED = 32  # characters of a number
_NOT_FOR_TARGETS = re.compile("[\0\ud800-\udfff]")
# As Microsoft's JSON Schema of the export files defines a date-time, but for years that do
# not have four digits; and the zone without a colon.
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)"
    r"(?:[Tt ](?:((?:2[0-3]|[01]\d):\d\d:\d\d)(?:\.(\d{0,9}))?)?"
    r"\s?([Zz]|[+-](?:2[0-3]|[01]\d):?[0-5]\d)?)?",
    re.ASCII,
)
_EPOCH_TIME = re.compile(r"-?\d{9,15}", re.ASCII)
_SECONDS = range(10**8, 10**10)  # as milliseconds they lie before the service existed
_WHOLE = re.compile(r"[+-]?\d{1,100}", re.ASCII)  # int() itself refuses thousands of digits
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = 40  # characters of a bad value
_INT64 = range(-(1 << 63), 1 << 63)
_FLAG_SEPARATORS = re.compile(r"[,;|\s]+")
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


class BadValue(ValueError):  # noqa: N818  (it rejects one value; errors end an export)
    """A value that its field can't hold; the message says why, and never repeats it whole."""


class NotANumber:
    """Stands for a number that JSON can't express: its item is a bad record."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


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
    """An element with nothing replaced; ValueError, or RecursionError if it is too deep."""
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = data.decode("utf-8", errors="surrogateescape")
        return json.loads(text, strict=False, parse_constant=NotANumber, parse_float=number)


def decode_element(data: bytes) -> tuple[Any, bool]:
    """The same with what no target can take replaced; and whether there was any."""
    if NUL not in data:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            return _decode(data), False
    return repaired(decode_lenient(data))


def repaired_text(text: str) -> str:
    """A text with what no target can take replaced."""
    return _NOT_FOR_TARGETS.sub("\ufffd", text)


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


def time(value: Any) -> str | None:
    """A date-time in UTC as RFC 3339 with Z and 0, 3, 6 or 9 fraction digits; null if empty.

    It is assumed that no zone means UTC, and an integer of 9 or 10 digits seconds since 1970.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadValue(f"a date-time can't be {_type_of(value)}")
    text = str(value).strip()
    if not text:
        return None
    with suppress(ValueError, OverflowError):
        if isinstance(value, int) or _EPOCH_TIME.fullmatch(text):
            since = int(value) * (1000 if int(value) in _SECONDS else 1)
            moment = _EPOCH + timedelta(milliseconds=since)
            return f"{moment.isoformat(timespec='milliseconds')[:23].removesuffix('.000')}Z"
        if match := _TIME.fullmatch(text):
            day, clock, fraction, zone = match.groups()
            zone = zone if zone and zone not in "Zz" else "+00:00"
            moment = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{zone}")
            digits = (fraction or "").rstrip("0")
            fraction = digits and "." + digits.ljust(-(-len(digits) // 3) * 3, "0")
            return f"{moment.astimezone(UTC).isoformat()[:19]}{fraction}Z"
    raise BadValue(f"{_excerpt(text)} is no date-time")


def identifier(value: Any) -> str | None:
    """An id as it came; null where it is empty or all zeros."""
    if not isinstance(value, str):
        raise BadValue(f"an id can't be {_type_of(value)}")
    return None if value in NO_IDS else value


def text(value: Any) -> str:
    """A text as it came."""
    if not isinstance(value, str):
        raise BadValue(f"a text can't be {_type_of(value)}")
    return value


def integer(value: Any) -> int:
    """An integer of at most 64 bits, given as a number or as its digits."""
    is_digits = isinstance(value, str) and _WHOLE.fullmatch(value.strip())
    if is_digits or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue(f"an integer can't be {_type_of(value)}")
    if value not in _INT64:
        raise BadValue("the integer has more than 64 bits")
    return value


def boolean(value: Any) -> bool:
    """True or false, also as text or as 1 and 0."""
    found = _BOOLEANS.get(str(value).strip().lower())
    if found is None or isinstance(value, float):
        raise BadValue(f"true or false can't be {_type_of(value)}")
    return found


def mapping(value: Any) -> dict[str, Any] | None:
    """An object, also as JSON text, which may say null; an empty list or text is one, too."""
    if isinstance(value, str):
        value = _from_json(value) if value.strip() else {}
        if value is None:
            return None
    if value == []:
        return {}
    if not isinstance(value, dict):
        raise BadValue(f"an object can't be {_type_of(value)}")
    check_nested(value)
    return value


def check_nested(value: Any, levels: int = MAX_DEPTH, *, numbers: bool = True) -> None:
    """Raise BadValue for too many levels, and for ``numbers`` that JSON can't express."""
    if isinstance(value, dict | list):
        if not levels:
            raise BadValue(TOO_DEEP)
        for inner in value.values() if isinstance(value, dict) else value:
            if not isinstance(inner, str):
                check_nested(inner, levels - 1, numbers=numbers)
    elif numbers and isinstance(value, NotANumber):
        raise BadValue(f"it can't be written as JSON: {value}")


def holds_objects(value: Any, levels: int = MAX_DEPTH) -> bool:
    """Whether a list in a value, at any depth, holds objects, which may be items."""
    if isinstance(value, dict):
        return not levels or any(holds_objects(v, levels - 1) for v in value.values())
    if isinstance(value, list):
        levels -= 1
        return levels < 0 or any(isinstance(v, dict) or holds_objects(v, levels) for v in value)
    return False


def flags(value: Any) -> list[str]:
    """A list of texts: an array, JSON text that holds one, or delimited text."""
    if isinstance(value, str):
        text = value.strip()
        flags = [flag for flag in _FLAG_SEPARATORS.split(text) if flag]
        value = _from_json(text) if text.startswith("[") else flags
    if not isinstance(value, list) or not all(isinstance(flag, str) for flag in value):
        raise BadValue(f"a list of flags can't be {_type_of(value)}")
    return value


def _from_json(text: str) -> Any:
    try:
        return decode_element(text.encode(errors="surrogatepass"))[0]
    except ValueError:
        raise BadValue(f"{_excerpt(text)} is no JSON") from None
    except RecursionError:
        raise BadValue(TOO_DEEP) from None


def _type_of(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "this text", bool: "true or false"}
    return names.get(type(value), "a number")


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


READERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.ID: identifier,
    Kind.TEXT: text,
    Kind.TIME: time,
    Kind.INTEGER: integer,
    Kind.BOOLEAN: boolean,
    Kind.OBJECT: mapping,
    Kind.FLAGS: flags,
}
