"""The JSON files that an export task writes, for the data types whose form is documented.

A file is one array. Fields beyond these are allowed everywhere.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

GUID = "^(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$"
"""With dashes or without."""

TIME = (
    "^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    "(?:[T ](?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}(?:[.][0-9]{0,9})?"
    "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?)?$"
)
"""A date, maybe a time with up to nine digits of a second, maybe a zone."""

Guid = Annotated[str, Meta(pattern=GUID)]
Time = Annotated[str, Meta(pattern=TIME)]
Scalars = Annotated[dict[str, str | float | bool | None], Meta(max_length=200)]
CampaignType = Literal["Announcement", "DataPush", "NativePush", "Poll"]
Flag = Literal[
    "None",
    "Queued",
    "Dropped",
    "InAppNotificationDisplayed",
    "InAppNotificationActioned",
    "InAppNotificationExited",
    "SystemNotificationDisplayed",
    "SystemNotificationActioned",
    "SystemNotificationExited",
    "ContentDisplayed",
    "ContentActioned",
    "ContentExited",
]


class Activity(Struct):
    name: str
    timestamp: Time
    extras: dict[str, Any] | UnsetType = UNSET


class SessionActivities(Struct, rename="camel"):
    session_id: Guid
    activities: list[Activity]


class Event(Struct, rename="camel"):
    name: str
    timestamp: Time
    info_id: Guid
    session_id: Guid
    location_id: Guid
    extras: Scalars | UnsetType = UNSET


class DeviceEvents(Struct, rename="camel"):
    device_id: Guid
    events: list[Event]


class Session(Struct, rename="camel"):
    session_id: Guid
    device_id: Guid
    start: Time | UnsetType = UNSET
    end: Time | UnsetType = UNSET
    info_id: Guid | UnsetType = UNSET
    location_id: Guid | UnsetType = UNSET


class Job(Struct, rename="camel"):
    job_id: Guid
    name: str
    device_id: Guid
    info_id: Guid
    start: Time | UnsetType = UNSET
    end: Time | UnsetType = UNSET
    extras: Scalars | UnsetType = UNSET


class Push(Struct, rename="camel"):
    device_id: Guid
    campaign_type: CampaignType
    campaign_id: int
    status: Annotated[list[Flag], Meta(extra_json_schema={"uniqueItems": True})]


class Token(Struct, rename="camel"):
    device_id: Guid
    token: str
    type: str


FILES: dict[str, Any] = {
    "activities": list[SessionActivities],
    "events": list[DeviceEvents],
    "sessions": list[Session],
    "jobs": list[Job],
    "push_feedback": list[Push],
    "tokens": list[Token],
}
"""What a file holds, by stream."""
