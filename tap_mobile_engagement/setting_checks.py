"""What a setting's value may be: each check returns the typed value, or raises why not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from urllib.parse import urlsplit

from msgspec import Struct

from tap_mobile_engagement.datatypes import BY_NAME, CAMPAIGN_TYPES


class ArchiveType(Struct, frozen=True):
    """What the files that match a pattern hold, where their content can't tell."""

    pattern: str
    data_type: str


class Wrong(Exception):  # noqa: N818  (an outcome of a check; it never reaches a user as it is)
    """A value does not fit; the argument completes the sentence "the setting NAME …"."""


def text(value: object) -> str:
    """A text, without white space around it."""
    if not isinstance(value, str):
        raise Wrong("must be a text")
    return value.strip()


def url(value: object) -> str:
    """An http(s) URL, without a slash at its end."""
    address = text(value).rstrip("/")
    try:
        parts = urlsplit(address)
        is_url = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # brackets that don't match, a port that is no number
        is_url = False
    if not is_url:
        raise Wrong("must be an http(s) URL")
    return address


def day(value: object) -> date:
    """A day in UTC, from a date or a date-time."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise Wrong("is no date") from None
    if isinstance(value, datetime):
        try:
            return (value.astimezone(UTC) if value.tzinfo else value).date()
        except OverflowError:  # in UTC it is before the year 1 or after 9999
            raise Wrong("is no date") from None
    if isinstance(value, date):
        return value
    raise Wrong("is no date")


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Wrong("must be true or false")
    return value


_MOST = 1_000_000_000  # of anything that is counted; as minutes it still fits a time span


def whole(least: int) -> Callable[[object], int]:
    """A check for a whole number, at least the given one."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise Wrong(f"must be a whole number, at least {least}")
        if value > _MOST:
            raise Wrong(f"must be at most {_MOST}")
        return value

    return check


_NUMBERS = (int, float, Decimal)  # the SDK reads fractions in a JSON file as Decimal


def seconds(value: object) -> float:
    """A number of seconds above zero."""
    if isinstance(value, bool) or not isinstance(value, (*_NUMBERS, str)):
        raise Wrong("must be a number of seconds")
    try:
        number = float(value)
    except (OverflowError, ValueError):  # too large; or no number at all
        number = math.nan
    if not 0 < number <= _MOST:
        raise Wrong(f"must be a number of seconds above zero, at most {_MOST}")
    return number


def choice(*allowed: str) -> Callable[[object], str]:
    """A check for one of the given texts."""

    def check(value: object) -> str:
        if value not in allowed:
            raise Wrong(f"must be one of {', '.join(allowed)}")
        return str(value)

    return check


def texts(value: object) -> tuple[str, ...]:
    """A list of texts, each kept once, in order."""
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
        raise Wrong("must be a list of texts")
    found = tuple(v.strip() for v in value)
    if not all(found):
        raise Wrong("must not hold an empty text")
    return tuple(dict.fromkeys(found))


# ARM resource names: what may stand in a URL path segment without being quoted.
_APP_NAME = re.compile(r"[\w.()-]{1,260}")


def app_names(value: object) -> tuple[str, ...]:
    """App resource names."""
    names = texts(value)
    for name in names:
        if not _APP_NAME.fullmatch(name):
            raise Wrong(f"holds {name!r}, which is no app resource name")
    return names


def campaign_types(value: object) -> tuple[str, ...]:
    """Some of the campaign types."""
    names = texts(value)
    unknown = [name for name in names if name not in CAMPAIGN_TYPES]
    if unknown or not names:
        raise Wrong(f"must hold some of {', '.join(CAMPAIGN_TYPES)}")
    return names


def archive_types(value: object) -> tuple[ArchiveType, ...]:
    """A list of patterns, each with the data type of what matches it."""
    if not isinstance(value, list | tuple):
        raise Wrong("must be a list of {pattern, data_type}")
    found = []
    for item in value:
        if not isinstance(item, Mapping) or set(item) != {"pattern", "data_type"}:
            raise Wrong("must be a list of {pattern, data_type}")
        pattern, data_type = text(item["pattern"]), item["data_type"]
        if data_type not in [*BY_NAME]:
            raise Wrong(f"names the data type {data_type!r}; there are {', '.join(BY_NAME)}")
        if not pattern:
            raise Wrong("must not hold an empty pattern")
        found.append(ArchiveType(pattern, data_type))
    return tuple(found)
