"""Bodies of requests for export tasks, checked as strictly as the API description allows."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.datatypes import CAMPAIGN_TYPES, DATA_TYPES, EXPORT_FORMATS
from tap_mobile_engagement.simulator.clock import nanoseconds
from tap_mobile_engagement.simulator.containers import check_container_url
from tap_mobile_engagement.simulator.exports import ExportRequest

if TYPE_CHECKING:
    from collections.abc import Callable

BY_CAMPAIGN = "feedbackByCampaign"
_FULL_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_COMMON = {"containerUrl", "exportFormat"}
_OPTIONAL = {"description"}
_TYPES = {data_type.task_path: data_type for data_type in DATA_TYPES if data_type.task_path}


class BadRequestError(ValueError):
    """A body that the API refuses; the message says why."""


def task_paths() -> list[str]:
    """The last part of every URL that creates an export task."""
    return [*_TYPES, BY_CAMPAIGN]


def parse_body(path: str, body: Any, *, max_range_days: int = 0) -> ExportRequest:
    """Read the body of a request for an export task.

    Args:
        path: Last part of the URL, one of :func:`task_paths`.
        body: The decoded JSON.
        max_range_days: Longest range to accept; 0 for any.

    Raises:
        BadRequestError: If it is not what the API description asks for.
    """
    data_type = _TYPES["feedbackByDate" if path == BY_CAMPAIGN else path]
    if not isinstance(body, dict):
        raise BadRequestError("the body must be a JSON object")
    names: set[str] = set()
    read: Callable[[dict[str, Any]], dict[str, Any]] = _nothing
    if path == BY_CAMPAIGN:
        names, read = {"campaignType", "campaignIds"}, _campaigns
    elif data_type.name == "push_feedback":
        names = {"campaignType", "campaignWindowStart", "campaignWindowEnd"}
        read = _campaign_window
    elif data_type.historical:
        names, read = {"startDate", "endDate"}, _range
    _check_names(body, _COMMON | names)
    asked = ExportRequest(data_type=data_type.name, **_common(body), **read(body))
    if max_range_days and asked.days > max_range_days:
        raise BadRequestError(f"a range of more than {max_range_days} days")
    return asked


def _check_names(body: dict[str, Any], required: set[str]) -> None:
    missing = sorted(required - body.keys())
    if missing:
        raise BadRequestError(f"missing: {', '.join(missing)}")
    unknown = sorted(body.keys() - required - _OPTIONAL)
    if unknown:
        raise BadRequestError(f"unknown: {', '.join(unknown)}")


def _text(body: dict[str, Any], name: str) -> str:
    value = body[name]
    if not isinstance(value, str):
        raise BadRequestError(f"{name} must be a string")
    return value


def _choice(body: dict[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = _text(body, name)
    if value not in choices:
        raise BadRequestError(f"{name} must be one of {', '.join(choices)}")
    return value


def _common(body: dict[str, Any]) -> dict[str, Any]:
    """What every export task is asked for."""
    url, description = _text(body, "containerUrl"), body.get("description")
    try:
        check_container_url(url)
    except ValueError as error:
        raise BadRequestError(str(error)) from error
    if description is not None and not isinstance(description, str):
        raise BadRequestError("description must be a string")
    return {
        "container_url": url,
        "export_format": _choice(body, "exportFormat", EXPORT_FORMATS),
        "description": description,
    }


def _nothing(body: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
    return {}


def _range(body: dict[str, Any]) -> dict[str, Any]:
    start, end = _day(body, "startDate"), _day(body, "endDate")
    if start > end:
        raise BadRequestError("startDate is after endDate")
    return {"start": start, "end": end}


def _campaigns(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "campaign_type": _choice(body, "campaignType", CAMPAIGN_TYPES),
        "campaign_ids": _ids(body["campaignIds"]),
    }


def _campaign_window(body: dict[str, Any]) -> dict[str, Any]:
    window = (_moment(body, "campaignWindowStart"), _moment(body, "campaignWindowEnd"))
    if window[0] > window[1]:
        raise BadRequestError("campaignWindowStart is after campaignWindowEnd")
    return {
        "campaign_type": _choice(body, "campaignType", CAMPAIGN_TYPES),
        "campaign_window": window,
    }


def _day(body: dict[str, Any], name: str) -> date:
    text = _text(body, name)
    try:
        if _FULL_DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise BadRequestError(f"{name} must be an RFC 3339 full-date, as 2016-05-01")


def _moment(body: dict[str, Any], name: str) -> int:
    text = _text(body, name)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadRequestError(f"{name} must be an RFC 3339 date-time, as 2016-05-01T00:00:00Z")
    return nanoseconds(moment)


def _ids(value: Any) -> frozenset[int]:
    whole = isinstance(value, list) and all(type(one) is int for one in value)
    if not whole or not value:
        raise BadRequestError("campaignIds must be an array of at least one integer")
    return frozenset(value)
