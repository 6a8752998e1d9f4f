"""The requests of the REST API that have to do with exports, and the answers to them."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType, field

from tests.reference.files import CampaignType

T = TypeVar("T")
DateTime = Annotated[datetime, Meta(tz=True)]

VERSION = "2014-12-01"
"""Every request has it as ``api-version``."""

APP = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.MobileEngagement"
    "/appcollections/{collection}/apps/{app}"
)

CampaignKind = Literal["announcements", "polls", "dataPushes", "nativePushes"]
CampaignState = Literal["draft", "scheduled", "in-progress", "finished", "queued"]
ExportType = Literal[
    "Activity", "Tag", "Crash", "Error", "Event", "Job", "Session", "Token", "Push"
]
TaskState = Literal["Queued", "Started", "Succeeded", "Failed"]


class NoQuery(Struct, forbid_unknown_fields=True):
    """No parameters."""


class TaskQuery(Struct, forbid_unknown_fields=True):
    skip: Annotated[int, Meta(ge=0)] | UnsetType = field(name="$skip", default=UNSET)
    top: Annotated[int, Meta(ge=1, le=40)] | UnsetType = field(name="$top", default=UNSET)
    orderby: str | UnsetType = field(name="$orderby", default=UNSET)


class DeviceQuery(Struct, forbid_unknown_fields=True):
    top: int | UnsetType = field(name="$top", default=UNSET)
    select: str | UnsetType = field(name="$select", default=UNSET)
    filter: str | UnsetType = field(name="$filter", default=UNSET)


class CampaignQuery(Struct, forbid_unknown_fields=True):
    skip: int | UnsetType = field(name="$skip", default=UNSET)
    top: int | UnsetType = field(name="$top", default=UNSET)
    filter: str | UnsetType = field(name="$filter", default=UNSET)
    orderby: str | UnsetType = field(name="$orderby", default=UNSET)
    search: str | UnsetType = field(name="$search", default=UNSET)


class Snapshot(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    container_url: Annotated[str, Meta(extra_json_schema={"format": "uri"})]
    export_format: Literal["JsonBlob", "CsvBlob"]
    description: str | UnsetType = UNSET


class Dated(Snapshot, kw_only=True):
    start_date: date
    end_date: date


class FeedbackByDate(Snapshot, kw_only=True):
    campaign_type: CampaignType
    campaign_window_start: DateTime
    campaign_window_end: DateTime


class FeedbackByCampaign(Snapshot, kw_only=True):
    campaign_type: CampaignType
    campaign_ids: Annotated[list[int], Meta(min_length=1)]


class Task(Struct, rename="camel"):
    id: str
    state: TaskState
    date_created: DateTime
    export_type: ExportType
    description: str | UnsetType = UNSET
    date_completed: DateTime | UnsetType = UNSET
    error_details: str | UnsetType = UNSET


class Page(Struct, Generic[T], rename="camel"):
    value: list[T] | UnsetType = UNSET
    next_link: str | UnsetType = UNSET


class Tasks(Struct, rename="camel"):
    value: list[Task]
    next_link: str | UnsetType = UNSET


class DeviceMeta(Struct, rename="camel"):
    """Times are milliseconds since 1970, in UTC."""

    first_seen: int | UnsetType = UNSET
    last_seen: int | UnsetType = UNSET
    last_info: int | UnsetType = UNSET
    last_location: int | UnsetType = UNSET
    native_push_enabled: bool | UnsetType = UNSET


class DeviceInfo(Struct, rename="camel"):
    phone_manufacturer: str | UnsetType = UNSET
    phone_model: str | UnsetType = UNSET
    firmware_name: str | UnsetType = UNSET
    firmware_version: str | UnsetType = UNSET
    android_api_level: int | UnsetType = field(name="androidAPILevel", default=UNSET)
    application_version_name: str | UnsetType = UNSET
    application_version_code: int | UnsetType = UNSET
    service_version: str | UnsetType = UNSET
    carrier_country: str | UnsetType = UNSET
    carrier_name: str | UnsetType = UNSET
    network_type: str | UnsetType = UNSET
    network_subtype: str | UnsetType = UNSET
    locale: str | UnsetType = UNSET
    time_zone_offset: int | UnsetType = UNSET


class DeviceLocation(Struct):
    countrycode: str | UnsetType = UNSET
    region: str | UnsetType = UNSET
    locality: str | UnsetType = UNSET


class ListedDevice(Struct, rename="camel"):
    device_id: str
    meta: DeviceMeta | UnsetType = UNSET
    app_info: dict[str, str] | UnsetType = UNSET


class Device(ListedDevice, rename="camel"):
    info: DeviceInfo | UnsetType = UNSET
    location: DeviceLocation | UnsetType = UNSET


class Campaign(Struct, rename="camel"):
    id: int
    state: CampaignState | UnsetType = UNSET
    name: str | UnsetType = UNSET
    activated_date: DateTime | UnsetType = UNSET
    finished_date: DateTime | UnsetType = UNSET
    start_time: DateTime | UnsetType = UNSET
    end_time: DateTime | UnsetType = UNSET
    timezone: str | UnsetType = UNSET


class Problem(Struct):
    code: str | UnsetType = UNSET
    message: str | UnsetType = UNSET


class Failure(Struct):
    """The answer with any other status."""

    error: Problem | UnsetType = UNSET


@dataclass(frozen=True)
class Operation:
    """One request and the answer to it.

    Attributes:
        answer: What the body of the answer is.
        query: The parameters beside ``api-version``.
        body: What the body of the request is; None without one.
        status: The status of a success. One of 202 has a ``Location``: the task.
    """

    answer: Any
    query: type[Struct] = NoQuery
    body: type[Struct] | None = None
    status: int = 200


def _creation(body: type[Struct]) -> Operation:
    return Operation(Task, body=body, status=202)


OPERATIONS = {
    ("GET", "/devices"): Operation(Page[ListedDevice], DeviceQuery),
    ("GET", "/devices/exportTasks"): Operation(Tasks, TaskQuery),
    ("GET", "/devices/exportTasks/{id}"): Operation(Task),
    ("GET", "/devices/{deviceId}"): Operation(Device),
    ("GET", "/campaigns/{kind}"): Operation(Page[Campaign], CampaignQuery),
    ("POST", "/devices/exportTasks/activities"): _creation(Dated),
    ("POST", "/devices/exportTasks/crashes"): _creation(Dated),
    ("POST", "/devices/exportTasks/errors"): _creation(Dated),
    ("POST", "/devices/exportTasks/events"): _creation(Dated),
    ("POST", "/devices/exportTasks/jobs"): _creation(Dated),
    ("POST", "/devices/exportTasks/sessions"): _creation(Dated),
    ("POST", "/devices/exportTasks/tags"): _creation(Snapshot),
    ("POST", "/devices/exportTasks/tokens"): _creation(Snapshot),
    ("POST", "/devices/exportTasks/feedbackByDate"): _creation(FeedbackByDate),
    ("POST", "/devices/exportTasks/feedbackByCampaign"): _creation(FeedbackByCampaign),
}
"""By method and path below the app."""
