"""Source values (not null) to record values, one function per kind, or :class:`BadValue`.

They are tolerant of form, because not all forms are documented; nothing is guessed or cut.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.datatypes import Kind
from tap_mobile_engagement.reading.elements import NotANumber, decode_element

if TYPE_CHECKING:
    from collections.abc import Callable


class BadValue(ValueError):  # noqa: N818  (it rejects one value; errors end an export)
    """A value that its field can't hold; the message says why, and never repeats it whole."""


MAX_DEPTH = 100
"""Levels of objects and lists that a field of a record may have; some targets take no more."""

TOO_DEEP = f"it is nested more than {MAX_DEPTH} levels deep"

NO_IDS = frozenset(("", "0" * 32, "00000000-0000-0000-0000-000000000000"))
"""Ids that stand for none."""

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


def time(value: Any) -> str | None:
    """A date-time in UTC as RFC 3339 with Z and 0, 3, 6 or 9 fraction digits; null if empty.

    It is assumed that no zone means UTC, and an integer of 9 or 10 digits seconds since 1970.
    Any other integer is milliseconds, as the devices API gives them.
    """
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        if _EPOCH_TIME.fullmatch(text):
            return _since_epoch(int(text))
        return _from_text(text)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _since_epoch(value)
    raise BadValue(f"a date-time can't be {_type_of(value)}")


def _from_text(text: str) -> str:
    match = _TIME.fullmatch(text)
    if not match:
        raise BadValue(f"{_excerpt(text)} is no date-time")
    day, clock, fraction, zone = match.groups()
    zone = zone if zone and zone not in "Zz" else "+00:00"
    try:
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadValue(f"{_excerpt(text)} is no possible date-time") from None
    digits = (fraction or "").rstrip("0")
    fraction = digits and "." + digits.ljust(-(-len(digits) // 3) * 3, "0")
    return f"{moment.isoformat()[:19]}{fraction}Z"


def _since_epoch(value: int) -> str:
    try:
        moment = _EPOCH + timedelta(milliseconds=value * 1000 if value in _SECONDS else value)
    except OverflowError:
        raise BadValue(f"{value} is no possible time") from None
    return f"{moment.isoformat(timespec='milliseconds')[:23].removesuffix('.000')}Z"


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
        return decode_element(text.encode(errors="surrogatepass")).value
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
