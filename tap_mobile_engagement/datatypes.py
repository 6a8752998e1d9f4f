"""The one table of data types; schemas, parser, simulator and docs are derived from it.

Each data type has a *record Struct*: the fields of one leaf item as the tap emits it, in the
order in which they are emitted, each with its description and its kind. A *kind* says how a
source value is read (an id, a time, a text ...); the *source names* say where in the file it
is found. Facts about the files come from Microsoft's JSON Schema of the export files and from
the REST API's description; where those are silent the field is nullable, so that the tap works
whichever way it turns out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct


class Kind(StrEnum):
    """How a source value is read, and what it is in a record."""

    ID = "id"  # a GUID or 32 hex digits, as it came; empty and all-zero ids become null
    TEXT = "text"
    TIME = "time"  # in a file ISO 8601 text or integer milliseconds since 1970, UTC
    INTEGER = "integer"
    BOOLEAN = "boolean"
    OBJECT = "object"
    FLAGS = "flags"  # an array of strings


_JSON_TYPES: dict[Kind, dict[str, Any]] = {
    Kind.ID: {"type": "string"},
    Kind.TEXT: {"type": "string"},
    Kind.TIME: {"type": "string", "format": "date-time"},
    Kind.INTEGER: {"type": "integer"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.OBJECT: {"type": "object", "additionalProperties": True},
    Kind.FLAGS: {"type": "array", "items": {"type": "string"}},
}


def _is(kind: Kind, description: str, *sources: str) -> Meta:
    """Describe a field: its kind, what it holds, its names in the files (the usual first).

    A source name with a dot is a path into a nested object.
    """
    return Meta(description=description, extra={"kind": kind, "sources": sources})


# What several data types have in common.
_SessionId = Annotated[
    str | None,
    _is(Kind.ID, "Session in which it happened; null outside a session.", "sessionId"),
]
_InfoId = Annotated[
    str | None, _is(Kind.ID, "Id of the technical data that was current then.", "infoId")
]
_LocationId = Annotated[
    str | None, _is(Kind.ID, "Id of the location that was current then.", "locationId")
]
_Extras = Annotated[
    dict[str, Any] | None, _is(Kind.OBJECT, "Extra data attached by the application.", "extras")
]
_StartedAt = Annotated[str | None, _is(Kind.TIME, "When it began.", "start", "startedAt")]
_EndedAt = Annotated[
    str | None,
    _is(Kind.TIME, "When it ended; null while it has no known end.", "end", "endedAt"),
]
_DeviceKey = Annotated[str, _is(Kind.ID, "Device.", "deviceId")]
_Tags = Annotated[
    dict[str, Any] | None,
    _is(Kind.OBJECT, "Tags (app info) of the device, as keys and values.", "tags", "appInfo"),
]


class Activity(Struct, gc=False):
    """One screen or page that a user visited, within a session."""

    session_id: _SessionId
    name: Annotated[str, _is(Kind.TEXT, "Name of the activity.", "name")]
    timestamp: Annotated[str, _is(Kind.TIME, "When it was entered.", "timestamp")]
    extras: _Extras


class Event(Struct, gc=False):
    """One instant action on a device."""

    device_id: Annotated[str | None, _is(Kind.ID, "Device that sent the event.", "deviceId")]
    session_id: _SessionId
    name: Annotated[str, _is(Kind.TEXT, "Name of the event.", "name")]
    timestamp: Annotated[str, _is(Kind.TIME, "When it happened.", "timestamp")]
    info_id: _InfoId
    location_id: _LocationId
    extras: _Extras


class Error(Struct, gc=False):
    """One problem that the application reported; assumed to be laid out as an event."""

    device_id: Annotated[str | None, _is(Kind.ID, "Device that sent the error.", "deviceId")]
    session_id: _SessionId
    name: Annotated[str, _is(Kind.TEXT, "Name of the error.", "name")]
    timestamp: Annotated[str, _is(Kind.TIME, "When it happened.", "timestamp")]
    info_id: _InfoId
    location_id: _LocationId
    extras: _Extras


class Crash(Struct, gc=False):
    """One crash of the application; its layout is inferred, so nearly all is nullable."""

    device_id: Annotated[str | None, _is(Kind.ID, "Device on which it crashed.", "deviceId")]
    session_id: _SessionId
    crash_id: Annotated[
        str | None, _is(Kind.ID, "The kind of crash; many occurrences share it.", "crashId")
    ]
    timestamp: Annotated[str, _is(Kind.TIME, "When it crashed.", "timestamp")]
    type: Annotated[str | None, _is(Kind.TEXT, "Type of the crash.", "type")]
    stack_trace: Annotated[str | None, _is(Kind.TEXT, "Stack trace.", "stackTrace")]
    info_id: _InfoId
    location_id: _LocationId
    extras: _Extras


class Job(Struct, gc=False):
    """One action with a duration, on a device."""

    job_id: Annotated[str, _is(Kind.ID, "The job.", "jobId")]
    device_id: Annotated[str | None, _is(Kind.ID, "Device that ran the job.", "deviceId")]
    name: Annotated[str, _is(Kind.TEXT, "Name of the job.", "name")]
    started_at: _StartedAt
    ended_at: _EndedAt
    info_id: _InfoId
    extras: _Extras


class Session(Struct, gc=False):
    """One use of the application, from opening to leaving it."""

    session_id: Annotated[str, _is(Kind.ID, "The session.", "sessionId")]
    device_id: Annotated[str | None, _is(Kind.ID, "Device on which it took place.", "deviceId")]
    started_at: _StartedAt
    ended_at: _EndedAt
    info_id: _InfoId
    location_id: _LocationId


class PushFeedback(Struct, gc=False):
    """What became of one push campaign on one device."""

    device_id: _DeviceKey
    user_id: Annotated[
        str | None,
        _is(Kind.TEXT, "User id, where the export names one (an assumption).", "userId"),
    ]
    campaign_type: Annotated[
        str, _is(Kind.TEXT, "Announcement, DataPush, NativePush or Poll.", "campaignType")
    ]
    campaign_id: Annotated[int, _is(Kind.INTEGER, "Campaign, within its type.", "campaignId")]
    status: Annotated[
        list[str], _is(Kind.FLAGS, "All that happened to it, as flags.", "status")
    ]


class DeviceTags(Struct, gc=False):
    """The tags (app info) of one device."""

    device_id: _DeviceKey
    tags: _Tags


class Token(Struct, gc=False):
    """One native push token of a device."""

    device_id: _DeviceKey
    token: Annotated[str, _is(Kind.TEXT, "The push token.", "token")]
    token_type: Annotated[
        str | None, _is(Kind.TEXT, "The push service it belongs to.", "type", "tokenType")
    ]


class Device(Struct, gc=False):
    """One device, as the devices API answers: last technical data, location and tags."""

    device_id: _DeviceKey
    first_seen: Annotated[
        str | None,
        _is(Kind.TIME, "When it first used the application.", "meta.firstSeen", "firstSeen"),
    ]
    last_seen: Annotated[
        str | None,
        _is(Kind.TIME, "When it last used the application.", "meta.lastSeen", "lastSeen"),
    ]
    last_info: Annotated[
        str | None,
        _is(Kind.TIME, "When its technical data arrived.", "meta.lastInfo", "lastInfo"),
    ]
    last_location: Annotated[
        str | None,
        _is(Kind.TIME, "When its location arrived.", "meta.lastLocation", "lastLocation"),
    ]
    native_push_enabled: Annotated[
        bool | None,
        _is(
            Kind.BOOLEAN,
            "Whether it can be reached by native push.",
            "meta.nativePushEnabled",
            "nativePushEnabled",
        ),
    ]
    tags: _Tags
    android_api_level: Annotated[
        int | None,
        _is(Kind.INTEGER, "Android API level.", "info.androidAPILevel", "androidAPILevel"),
    ]
    application_version_code: Annotated[
        int | None,
        _is(
            Kind.INTEGER,
            "Version code of the application.",
            "info.applicationVersionCode",
            "applicationVersionCode",
        ),
    ]
    application_version_name: Annotated[
        str | None,
        _is(
            Kind.TEXT,
            "Version name of the application.",
            "info.applicationVersionName",
            "applicationVersionName",
        ),
    ]
    carrier_country: Annotated[
        str | None,
        _is(Kind.TEXT, "Country of the carrier.", "info.carrierCountry", "carrierCountry"),
    ]
    carrier_name: Annotated[
        str | None, _is(Kind.TEXT, "Name of the carrier.", "info.carrierName", "carrierName")
    ]
    firmware_name: Annotated[
        str | None, _is(Kind.TEXT, "Name of the firmware.", "info.firmwareName", "firmwareName")
    ]
    firmware_version: Annotated[
        str | None,
        _is(Kind.TEXT, "Version of the firmware.", "info.firmwareVersion", "firmwareVersion"),
    ]
    locale: Annotated[str | None, _is(Kind.TEXT, "Locale code.", "info.locale", "locale")]
    network_subtype: Annotated[
        str | None,
        _is(Kind.TEXT, "Sub-type of the network.", "info.networkSubtype", "networkSubtype"),
    ]
    network_type: Annotated[
        str | None, _is(Kind.TEXT, "Type of the network.", "info.networkType", "networkType")
    ]
    phone_manufacturer: Annotated[
        str | None,
        _is(Kind.TEXT, "Manufacturer.", "info.phoneManufacturer", "phoneManufacturer"),
    ]
    phone_model: Annotated[
        str | None, _is(Kind.TEXT, "Model.", "info.phoneModel", "phoneModel")
    ]
    service_version: Annotated[
        str | None,
        _is(Kind.TEXT, "Version of the SDK.", "info.serviceVersion", "serviceVersion"),
    ]
    time_zone_offset: Annotated[
        int | None,
        _is(
            Kind.INTEGER,
            "Minutes from UTC, daylight saving included.",
            "info.timeZoneOffset",
            "timeZoneOffset",
        ),
    ]
    country_code: Annotated[
        str | None,
        _is(Kind.TEXT, "ISO 3166 code of the country.", "location.countrycode", "countryCode"),
    ]
    region: Annotated[
        str | None, _is(Kind.TEXT, "Region within the country.", "location.region", "region")
    ]
    locality: Annotated[
        str | None, _is(Kind.TEXT, "Town or city.", "location.locality", "locality")
    ]


class Campaign(Struct, gc=False):
    """One push campaign, as the campaigns API lists it."""

    campaign_type: Annotated[
        str, _is(Kind.TEXT, "Announcement, DataPush, NativePush or Poll.", "campaignType")
    ]
    campaign_id: Annotated[int, _is(Kind.INTEGER, "Campaign, within its type.", "id")]
    name: Annotated[str | None, _is(Kind.TEXT, "Name of the campaign.", "name")]
    state: Annotated[
        str | None, _is(Kind.TEXT, "draft, scheduled, in-progress or finished.", "state")
    ]
    activated_at: Annotated[
        str | None, _is(Kind.TIME, "When it was activated, if it was.", "activatedDate")
    ]
    finished_at: Annotated[
        str | None, _is(Kind.TIME, "When it was finished, if it was.", "finishedDate")
    ]
    # Texts: without a time zone they are meant in the zone of each device, whatever they say.
    start_time: Annotated[
        str | None, _is(Kind.TEXT, "When it was to start, as it came.", "startTime")
    ]
    end_time: Annotated[
        str | None, _is(Kind.TEXT, "When it was to end, as it came.", "endTime")
    ]
    time_zone: Annotated[
        str | None,
        _is(Kind.TEXT, "Zone of start and end; null: that of each device.", "timezone"),
    ]


class ExportTask(Struct, gc=False):
    """One export task, as the service lists it."""

    task_id: Annotated[str, _is(Kind.ID, "The export task.", "id")]
    state: Annotated[str, _is(Kind.TEXT, "Queued, Started, Succeeded or Failed.", "state")]
    export_type: Annotated[str | None, _is(Kind.TEXT, "What it exports.", "exportType")]
    created_at: Annotated[str | None, _is(Kind.TIME, "When it was created.", "dateCreated")]
    completed_at: Annotated[
        str | None, _is(Kind.TIME, "When it ended; null while it has not.", "dateCompleted")
    ]
    description: Annotated[
        str | None, _is(Kind.TEXT, "What its creator called it.", "description")
    ]
    error_details: Annotated[
        str | None, _is(Kind.TEXT, "Why it failed, if it did.", "errorDetails")
    ]


class Lineage(Struct, gc=False):
    """Where a record comes from; on every record, before its own fields."""

    app_name: Annotated[
        str, _is(Kind.TEXT, "App resource name; empty in an archive without a label.")
    ]
    blob_name: Annotated[
        str | None, _is(Kind.TEXT, "Blob that held the record; null if no blob did.")
    ]
    exported_until: Annotated[
        str,
        _is(
            Kind.TIME,
            "End of the exported date window, time of the snapshot, or arrival of the blob.",
        ),
    ]
    unknown_fields: Annotated[
        dict[str, Any] | None,
        _is(Kind.OBJECT, "Source fields that this schema does not name, as they came."),
    ]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record Struct, as the schemas and the parser need it.

    Attributes:
        name: Name in the record.
        kind: How its source value is read.
        nullable: Whether a record may hold null there.
        description: What it holds.
        sources: Its names in the files; one with a dot is a path into a nested object.
    """

    name: str
    kind: Kind
    nullable: bool
    description: str
    sources: tuple[str, ...]

    @property
    def json_schema(self) -> dict[str, Any]:
        """The field's JSON Schema, with its description."""
        schema = dict(_JSON_TYPES[self.kind])
        if self.nullable:
            schema["type"] = [schema["type"], "null"]
        return {**schema, "description": self.description}


def fields_of(struct: type[Struct]) -> tuple[Field, ...]:
    """Read the field descriptions off a record Struct, in the order of emission."""
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, msgspec.inspect.StructType)  # noqa: S101  (for the type checker)
    found = []
    for field in info.fields:
        meta = field.type
        assert isinstance(meta, msgspec.inspect.Metadata)  # noqa: S101
        extra = meta.extra or {}
        nullable = isinstance(meta.type, msgspec.inspect.UnionType)
        description = (meta.extra_json_schema or {})["description"]
        found.append(Field(field.name, extra["kind"], nullable, description, extra["sources"]))
    return tuple(found)


LINEAGE = fields_of(Lineage)
RECORD_ID = Field(
    "record_id",
    Kind.ID,
    nullable=False,
    description="32 hex digits: a hash over app, data type and the item's own content.",
    sources=(),
)


@dataclass(frozen=True)
class DataType:
    """One kind of data that Mobile Engagement holds about an app.

    Attributes:
        name: Name of the stream.
        record: The record Struct of one leaf item.
        keys: Primary key of the stream.
        export_type: ``exportType`` of its export tasks; None where there is no such task.
        task_path: Last part of the URL that creates an export task; likewise.
        historical: Whether an export task covers a date range (otherwise it is a snapshot).
        group_key: Record field that a file gives once per group of items, if it groups them.
        group_list: Name in the file of the list that holds a group's items.
    """

    name: str
    record: type[Struct]
    keys: tuple[str, ...]
    export_type: str | None = None
    task_path: str | None = None
    historical: bool = False
    group_key: str | None = None
    group_list: str | None = None

    def __hash__(self) -> int:
        """By name, for it is a key of caches that are asked for every file."""
        return hash(self.name)

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the item itself, without lineage and record id."""
        return fields_of(self.record)

    @cached_property
    def alike(self) -> frozenset[str]:
        """Names of the data types, its own among them, that flat rows can't tell apart."""
        return frozenset(
            other.name
            for other in DATA_TYPES
            if [field.sources for field in other.fields]
            == [field.sources for field in self.fields]
        )

    @property
    def has_record_id(self) -> bool:
        """Whether its items have no id of their own, so that the tap makes one."""
        return self.keys == (RECORD_ID.name,)

    @cached_property
    def record_fields(self) -> tuple[Field, ...]:
        """All fields of an emitted record, in order."""
        return (*LINEAGE, *((RECORD_ID,) if self.has_record_id else ()), *self.fields)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The Singer schema of the stream, a JSON Schema."""
        return {
            "type": "object",
            "description": (self.record.__doc__ or "").strip(),
            "properties": {field.name: field.json_schema for field in self.record_fields},
            "required": list(self.keys),
        }


_BY_RECORD_ID = (RECORD_ID.name,)

DATA_TYPES: tuple[DataType, ...] = (
    DataType(
        "activities", Activity, _BY_RECORD_ID, "Activity", "activities", historical=True,
        group_key="session_id", group_list="activities",
    ),
    DataType(
        "events", Event, _BY_RECORD_ID, "Event", "events", historical=True,
        group_key="device_id", group_list="events",
    ),
    DataType("jobs", Job, ("app_name", "job_id"), "Job", "jobs", historical=True),
    DataType(
        "errors", Error, _BY_RECORD_ID, "Error", "errors", historical=True,
        group_key="device_id", group_list="errors",
    ),
    DataType("sessions", Session, ("app_name", "session_id"), "Session", "sessions",
             historical=True),
    DataType(
        "crashes", Crash, _BY_RECORD_ID, "Crash", "crashes", historical=True,
        group_key="device_id", group_list="crashes",
    ),
    DataType(
        "push_feedback", PushFeedback,
        ("app_name", "device_id", "campaign_type", "campaign_id"), "Push", "feedbackByDate",
    ),
    DataType("tags", DeviceTags, ("app_name", "device_id"), "Tag", "tags"),
    DataType("devices", Device, ("app_name", "device_id")),
    DataType("tokens", Token, ("app_name", "device_id", "token"), "Token", "tokens"),
)  # fmt: skip

LISTED_TYPES: tuple[DataType, ...] = (
    DataType("campaigns", Campaign, ("app_name", "campaign_type", "campaign_id")),
    DataType("export_tasks", ExportTask, ("app_name", "task_id")),
)
"""What the service lists beside its data: no file holds it, its streams are off at first."""

BY_NAME: dict[str, DataType] = {data_type.name: data_type for data_type in DATA_TYPES}

CampaignType = Literal["Announcement", "DataPush", "NativePush", "Poll"]
CAMPAIGN_TYPES: tuple[CampaignType, ...] = get_args(CampaignType)
ExportFormat = Literal["JsonBlob", "CsvBlob"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
