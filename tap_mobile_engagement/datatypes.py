"""The one table of data types; schemas, parser, simulator and docs are derived from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, get_args


class Kind(StrEnum):
    """How a source value is read, and what it is in a record."""

    ID = "id"  # a GUID or 32 hex digits, as it came; empty and all-zero ids become null
    TEXT = "text"
    TIME = "time"  # in a file ISO 8601 text or integer milliseconds since 1970, UTC
    INTEGER = "integer"
    BOOLEAN = "boolean"
    OBJECT = "object"
    FLAGS = "flags"  # an array of strings


ID, TEXT, TIME, INTEGER, BOOLEAN, OBJECT, FLAGS = Kind

_JSON_TYPES: dict[Kind, dict[str, Any]] = {
    ID: {"type": "string"},
    TEXT: {"type": "string"},
    TIME: {"type": "string", "format": "date-time"},
    INTEGER: {"type": "integer"},
    BOOLEAN: {"type": "boolean"},
    OBJECT: {"type": "object", "additionalProperties": True},
    FLAGS: {"type": "array", "items": {"type": "string"}},
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record; ``sources`` are its names in the files, or dotted paths."""

    name: str
    kind: Kind
    nullable: bool
    description: str
    sources: tuple[str, ...]

    @property
    def json_schema(self) -> dict[str, Any]:
        """The field's JSON Schema, with its description."""
        schema = {**_JSON_TYPES[self.kind], "description": self.description}
        return schema | ({"type": [schema["type"], "null"]} if self.nullable else {})


def _field(
    name: str, kind: Kind, description: str, *sources: str, required: bool = False
) -> Field:
    """A field whose name in the files is the record's in camel case, unless it is given."""
    return Field(name, kind, not required, description, sources or (_camel_case(name),))


def _of_device(part: str, name: str, kind: Kind, words: str, source: str = "") -> Field:
    """A field that the devices API gives within ``meta``, ``info`` or ``location``."""
    source = source or _camel_case(name)
    return _field(name, kind, words, f"{part}.{source}", source)


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.title() for other in others)


_APP = "App resource name; empty in an archive without a label."
_UNTIL = "End of the exported date window, time of the snapshot, or arrival of the blob."
_UNKNOWN = "Source fields that this schema does not name, as they came."
LINEAGE = (
    _field("app_name", TEXT, _APP, required=True),
    _field("blob_name", TEXT, "Blob that held the record; null if no blob did."),
    _field("exported_until", TIME, _UNTIL, required=True),
    _field("unknown_fields", OBJECT, _UNKNOWN),
)
"""Where a record comes from: on every record, before its own fields."""

_ID = "32 hex digits: a hash over app, data type and the item's own content."
RECORD_ID = _field("record_id", ID, _ID, required=True)
_BY_RECORD_ID = (RECORD_ID.name,)
_BY_DEVICE = ("app_name", "device_id")


@dataclass(frozen=True)
class DataType:
    """One kind of data that Mobile Engagement holds about an app, and the stream of it."""

    name: str
    description: str
    fields: tuple[Field, ...]  # of the item itself, without lineage and record id
    export_type: str | None = None  # of its export tasks, if there are any
    keys: tuple[str, ...] = _BY_RECORD_ID
    group_key: str | None = None  # that a file gives once per group of items, if it groups them

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def task_path(self) -> str | None:
        """Last part of the URL that creates an export task, if there is one."""
        path = "feedbackByDate" if self.export_type == "Push" else self.name
        return path if self.export_type else None

    @cached_property
    def historical(self) -> bool:
        """Whether an export task covers a date range (otherwise it is a snapshot)."""
        return bool(self.export_type) and any(field.kind is TIME for field in self.fields)

    @property
    def group_list(self) -> str | None:
        """Name in the file of the list that holds a group's items."""
        return self.name if self.group_key else None

    @cached_property
    def alike(self) -> frozenset[str]:
        """Names of the data types, its own among them, that flat rows can't tell apart."""
        sources = {each.name: [field.sources for field in each.fields] for each in DATA_TYPES}
        return frozenset(name for name in sources if sources[name] == sources[self.name])

    @property
    def has_record_id(self) -> bool:
        """Whether its items have no id of their own, so that the tap makes one."""
        return self.keys == _BY_RECORD_ID

    @cached_property
    def record_fields(self) -> tuple[Field, ...]:
        """All fields of an emitted record, in order."""
        return (*LINEAGE, *((RECORD_ID,) if self.has_record_id else ()), *self.fields)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The Singer schema of the stream, a JSON Schema."""
        return {
            "type": "object",
            "description": self.description,
            "properties": {field.name: field.json_schema for field in self.record_fields},
            "required": list(self.keys),
        }


def _type(name: str, description: str, more: dict[str, Any], *fields: Field) -> DataType:
    return DataType(name, description, fields, **more)


_SESSION = _field("session_id", ID, "Session in which it happened; null outside a session.")
_INFO = _field("info_id", ID, "Id of the technical data that was current then.")
_LOCATION = _field("location_id", ID, "Id of the location that was current then.")
_EXTRAS = _field("extras", OBJECT, "Extra data attached by the application.")
_CONTEXT = (_INFO, _LOCATION, _EXTRAS)
_STARTED = _field("started_at", TIME, "When it began.", "start", "startedAt")
_END = "When it ended; null while it has no known end."
_ENDED = _field("ended_at", TIME, _END, "end", "endedAt")
_SPAN = (_STARTED, _ENDED, _INFO)
_DEVICE = _field("device_id", ID, "Device.", required=True)
_TAG = "Tags (app info) of the device, as keys and values."
_TAGS = _field("tags", OBJECT, _TAG, "tags", "appInfo")
_TYPE = "Announcement, DataPush, NativePush or Poll."
_CAMPAIGN_TYPE = _field("campaign_type", TEXT, _TYPE, required=True)


def _happened(what: str) -> tuple[Field, ...]:
    """The fields of events; those of errors are assumed to be the same."""
    return (
        _field("device_id", ID, f"Device that sent the {what}."),
        _SESSION,
        _field("name", TEXT, f"Name of the {what}.", required=True),
        _field("timestamp", TIME, "When it happened.", required=True),
        *_CONTEXT,
    )


_DEVICE_FIELDS = (
    _DEVICE,
    _of_device("meta", "first_seen", TIME, "When it first used the application."),
    _of_device("meta", "last_seen", TIME, "When it last used the application."),
    _of_device("meta", "last_info", TIME, "When its technical data arrived."),
    _of_device("meta", "last_location", TIME, "When its location arrived."),
    _of_device("meta", "native_push_enabled", BOOLEAN, "Whether native push can reach it."),
    _TAGS,
    _of_device("info", "android_api_level", INTEGER, "Android API level.", "androidAPILevel"),
    _of_device("info", "application_version_code", INTEGER, "Version code of the application."),
    _of_device("info", "application_version_name", TEXT, "Version name of the application."),
    _of_device("info", "carrier_country", TEXT, "Country of the carrier."),
    _of_device("info", "carrier_name", TEXT, "Name of the carrier."),
    _of_device("info", "firmware_name", TEXT, "Name of the firmware."),
    _of_device("info", "firmware_version", TEXT, "Version of the firmware."),
    _of_device("info", "locale", TEXT, "Locale code."),
    _of_device("info", "network_subtype", TEXT, "Sub-type of the network."),
    _of_device("info", "network_type", TEXT, "Type of the network."),
    _of_device("info", "phone_manufacturer", TEXT, "Manufacturer."),
    _of_device("info", "phone_model", TEXT, "Model."),
    _of_device("info", "service_version", TEXT, "Version of the SDK."),
    _of_device("info", "time_zone_offset", INTEGER, "Minutes from UTC, with daylight saving."),
    _field("country_code", TEXT, "ISO 3166 country.", "location.countrycode", "countryCode"),
    _of_device("location", "region", TEXT, "Region within the country."),
    _of_device("location", "locality", TEXT, "Town or city."),
)


DATA_TYPES: tuple[DataType, ...] = (
    _type(
        "activities",
        "One screen or page that a user visited, within a session.",
        {"export_type": "Activity", "group_key": "session_id"},
        _SESSION,
        _field("name", TEXT, "Name of the activity.", required=True),
        _field("timestamp", TIME, "When it was entered.", required=True),
        _EXTRAS,
    ),
    _type(
        "events",
        "One instant action on a device.",
        {"export_type": "Event", "group_key": "device_id"},
        *_happened("event"),
    ),
    _type(
        "jobs",
        "One action with a duration, on a device.",
        {"export_type": "Job", "keys": ("app_name", "job_id")},
        _field("job_id", ID, "The job.", required=True),
        _field("device_id", ID, "Device that ran the job."),
        _field("name", TEXT, "Name of the job.", required=True),
        *_SPAN,
        _EXTRAS,
    ),
    _type(
        "errors",
        "One problem that the application reported; assumed to be laid out as an event.",
        {"export_type": "Error", "group_key": "device_id"},
        *_happened("error"),
    ),
    _type(
        "sessions",
        "One use of the application, from opening to leaving it.",
        {"export_type": "Session", "keys": ("app_name", "session_id")},
        _field("session_id", ID, "The session.", required=True),
        _field("device_id", ID, "Device on which it took place."),
        *_SPAN,
        _LOCATION,
    ),
    _type(
        "crashes",
        "One crash of the application; its layout is inferred, so nearly all is nullable.",
        {"export_type": "Crash", "group_key": "device_id"},
        _field("device_id", ID, "Device on which it crashed."),
        _SESSION,
        _field("crash_id", ID, "The kind of crash; many occurrences share it."),
        _field("timestamp", TIME, "When it crashed.", required=True),
        _field("type", TEXT, "Type of the crash."),
        _field("stack_trace", TEXT, "Stack trace."),
        *_CONTEXT,
    ),
    _type(
        "push_feedback",
        "What became of one push campaign on one device.",
        {"export_type": "Push", "keys": (*_BY_DEVICE, "campaign_type", "campaign_id")},
        _DEVICE,
        _field("user_id", TEXT, "User id, where the export names one (an assumption)."),
        _CAMPAIGN_TYPE,
        _field("campaign_id", INTEGER, "Campaign, within its type.", required=True),
        _field("status", FLAGS, "All that happened to it, as flags.", required=True),
    ),
    DataType("tags", "The tags (app info) of one device.", (_DEVICE, _TAGS), "Tag", _BY_DEVICE),
    _type(
        "devices",
        "One device, as the devices API answers: last technical data, location and tags.",
        {"keys": _BY_DEVICE},
        *_DEVICE_FIELDS,
    ),
    _type(
        "tokens",
        "One native push token of a device.",
        {"export_type": "Token", "keys": ("app_name", "device_id", "token")},
        _DEVICE,
        _field("token", TEXT, "The push token.", required=True),
        _field("token_type", TEXT, "The push service it belongs to.", "type", "tokenType"),
    ),
)

LISTED_TYPES: tuple[DataType, ...] = (
    _type(
        "campaigns",
        "One push campaign, as the campaigns API lists it.",
        {"keys": ("app_name", "campaign_type", "campaign_id")},
        _CAMPAIGN_TYPE,
        _field("campaign_id", INTEGER, "Campaign, within its type.", "id", required=True),
        _field("name", TEXT, "Name of the campaign."),
        _field("state", TEXT, "draft, scheduled, in-progress or finished."),
        _field("activated_at", TIME, "When it was activated, if it was.", "activatedDate"),
        _field("finished_at", TIME, "When it was finished, if it was.", "finishedDate"),
        # Texts: without a time zone they are meant in the zone of each device.
        _field("start_time", TEXT, "When it was to start, as it came."),
        _field("end_time", TEXT, "When it was to end, as it came."),
        _field("time_zone", TEXT, "Zone of both; null: that of each device.", "timezone"),
    ),
    _type(
        "export_tasks",
        "One export task, as the service lists it.",
        {"keys": ("app_name", "task_id")},
        _field("task_id", ID, "The export task.", "id", required=True),
        _field("state", TEXT, "Queued, Started, Succeeded or Failed.", required=True),
        _field("export_type", TEXT, "What it exports."),
        _field("created_at", TIME, "When it was created.", "dateCreated"),
        _field("completed_at", TIME, "When it ended; null while it has not.", "dateCompleted"),
        _field("description", TEXT, "What its creator called it."),
        _field("error_details", TEXT, "Why it failed, if it did."),
    ),
)
"""What the service lists beside its data: no file holds it, its streams are off at first."""

BY_NAME: dict[str, DataType] = {data_type.name: data_type for data_type in DATA_TYPES}

CampaignType = Literal["Announcement", "DataPush", "NativePush", "Poll"]
CAMPAIGN_TYPES: tuple[CampaignType, ...] = get_args(CampaignType)
ExportFormat = Literal["JsonBlob", "CsvBlob"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
