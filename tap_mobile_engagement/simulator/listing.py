"""Query parameters of the lists: paging, order and filters, as the API description has them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_COMPARISON = re.compile(r"\(?\s*deviceId\s+(gt|ge|lt|le)\s+'([^']*)'\s*\)?")
_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "gt": lambda one, other: one > other,
    "ge": lambda one, other: one >= other,
    "lt": lambda one, other: one < other,
    "le": lambda one, other: one <= other,
}
_STATE = re.compile(r"state\s+eq\s+'(draft|scheduled|in-progress|finished)'")


class BadQueryError(ValueError):
    """A query parameter that the API refuses; the message says why."""


class Page(NamedTuple):
    """One page of a list, and the query of the next one, if there is one."""

    value: list[dict[str, Any]]
    next_query: dict[str, str] | None


def whole_number(
    query: Mapping[str, str], name: str, default: int, least: int, most: int
) -> int:
    """Read a number from the query.

    Raises:
        BadQueryError: If it is none, or out of range.
    """
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise BadQueryError(f"{name} must be an integer from {least} to {most}")
    return int(text)


def page_by_skip(
    rows: list[dict[str, Any]], query: Mapping[str, str], *, default: int, most: int
) -> Page:
    """Cut the page that ``$skip`` and ``$top`` ask for.

    Args:
        rows: The whole list, in order.
        query: Query parameters of the request.
        default: Page size where ``$top`` is absent.
        most: Largest page size.
    """
    skip = whole_number(query, "$skip", 0, 0, 1 << 31)
    top = whole_number(query, "$top", default, 1, most)
    more = skip + top < len(rows)
    following = {**query, "$skip": str(skip + top), "$top": str(top)} if more else None
    return Page(rows[skip : skip + top], following)


def ordered(
    rows: list[dict[str, Any]], expression: str, properties: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Sort as ``$orderby={property} [asc|desc]`` asks; rows without the property come first.

    Args:
        rows: What to sort.
        expression: The parameter's value.
        properties: Names that may be used, and the fields that they mean.

    Raises:
        BadQueryError: If the expression is not of that form.
    """
    name, _, direction = expression.strip().partition(" ")
    if name not in properties or direction.strip() not in ("", "asc", "desc"):
        raise BadQueryError(
            f"$orderby must be one of {', '.join(properties)}, then asc or desc"
        )
    field = properties[name]

    def key(row: dict[str, Any]) -> tuple[bool, Any]:
        return (field in row, row.get(field, ""))

    return sorted(rows, key=key, reverse=direction.strip() == "desc")


def device_filter(expression: str | None) -> Callable[[str], bool]:
    """Read ``$filter`` of the devices list: comparisons of ``deviceId``, joined by ``and``.

    Raises:
        BadQueryError: For anything else; ``lastModified`` is documented but not simulated.
    """
    checks = []
    for part in (expression or "").split(" and ") if expression else ():
        match = _COMPARISON.fullmatch(part.strip())
        if match is None:
            raise BadQueryError("$filter: only comparisons of deviceId, joined by and")
        checks.append((_COMPARE[match[1]], match[2]))
    return lambda device_id: all(compare(device_id, value) for compare, value in checks)


def selected(device: dict[str, Any], expression: str | None) -> dict[str, Any] | None:
    """Cut a device down to what ``$select`` names; None where nothing of it is left."""
    if expression is None:
        return device
    cut: dict[str, Any] = {}
    for part in expression.split(","):
        section, _, key = part.strip().partition("/")
        if section not in ("meta", "appInfo"):
            raise BadQueryError("$select: only meta, appInfo, and their properties")
        found = device.get(section, {})
        if key:
            found = {key: found[key]} if key in found else {}
        if found:
            cut.setdefault(section, {}).update(found)
    return {"deviceId": device["deviceId"], **cut} if cut else None


def campaign_state(expression: str | None) -> str | None:
    """Read ``$filter`` of a campaigns list: ``state eq '…'``; None where there is no filter.

    Raises:
        BadQueryError: For anything else.
    """
    if expression is None:
        return None
    match = _STATE.fullmatch(expression.strip())
    if match is None:
        raise BadQueryError("$filter must be state eq 'draft|scheduled|in-progress|finished'")
    return match[1]
