"""Every schema is derived from one table, and is what was promised to the outside."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from tap_mobile_engagement.datatypes import (
    BY_NAME,
    CAMPAIGN_TYPES,
    DATA_TYPES,
    EXPORT_FORMATS,
    LISTED_TYPES,
    Kind,
)

TEXT = {"type": "string"}
TEXT_OR_NULL = {"type": ["string", "null"]}
TIME = {"type": "string", "format": "date-time"}
TIME_OR_NULL = {"type": ["string", "null"], "format": "date-time"}
INTEGER = {"type": "integer"}
INTEGER_OR_NULL = {"type": ["integer", "null"]}
FLAG_OR_NULL = {"type": ["boolean", "null"]}
OBJECT_OR_NULL = {"type": ["object", "null"], "additionalProperties": True}
TEXTS = {"type": "array", "items": {"type": "string"}}

LINEAGE = {
    "app_name": TEXT,
    "blob_name": TEXT_OR_NULL,
    "exported_until": TIME,
    "unknown_fields": OBJECT_OR_NULL,
}
HAPPENED = {
    "record_id": TEXT,
    "device_id": TEXT_OR_NULL,
    "session_id": TEXT_OR_NULL,
    "name": TEXT,
    "timestamp": TIME,
    "info_id": TEXT_OR_NULL,
    "location_id": TEXT_OR_NULL,
    "extras": OBJECT_OR_NULL,
}

# The contract, field by field and in order.
KEYS = {
    "activities": ["record_id"],
    "events": ["record_id"],
    "jobs": ["app_name", "job_id"],
    "errors": ["record_id"],
    "sessions": ["app_name", "session_id"],
    "crashes": ["record_id"],
    "push_feedback": ["app_name", "device_id", "campaign_type", "campaign_id"],
    "tags": ["app_name", "device_id"],
    "devices": ["app_name", "device_id"],
    "tokens": ["app_name", "device_id", "token"],
    "campaigns": ["app_name", "campaign_type", "campaign_id"],
    "export_tasks": ["app_name", "task_id"],
}
FIELDS: dict[str, dict[str, Any]] = {
    "activities": {
        "record_id": TEXT,
        "session_id": TEXT_OR_NULL,
        "name": TEXT,
        "timestamp": TIME,
        "extras": OBJECT_OR_NULL,
    },
    "events": HAPPENED,
    "jobs": {
        "job_id": TEXT,
        "device_id": TEXT_OR_NULL,
        "name": TEXT,
        "started_at": TIME_OR_NULL,
        "ended_at": TIME_OR_NULL,
        "info_id": TEXT_OR_NULL,
        "extras": OBJECT_OR_NULL,
    },
    "errors": HAPPENED,
    "sessions": {
        "session_id": TEXT,
        "device_id": TEXT_OR_NULL,
        "started_at": TIME_OR_NULL,
        "ended_at": TIME_OR_NULL,
        "info_id": TEXT_OR_NULL,
        "location_id": TEXT_OR_NULL,
    },
    "crashes": {
        "record_id": TEXT,
        "device_id": TEXT_OR_NULL,
        "session_id": TEXT_OR_NULL,
        "crash_id": TEXT_OR_NULL,
        "timestamp": TIME,
        "type": TEXT_OR_NULL,
        "stack_trace": TEXT_OR_NULL,
        "info_id": TEXT_OR_NULL,
        "location_id": TEXT_OR_NULL,
        "extras": OBJECT_OR_NULL,
    },
    "push_feedback": {
        "device_id": TEXT,
        "user_id": TEXT_OR_NULL,
        "campaign_type": TEXT,
        "campaign_id": INTEGER,
        "status": TEXTS,
    },
    "tags": {"device_id": TEXT, "tags": OBJECT_OR_NULL},
    "devices": {
        "device_id": TEXT,
        "first_seen": TIME_OR_NULL,
        "last_seen": TIME_OR_NULL,
        "last_info": TIME_OR_NULL,
        "last_location": TIME_OR_NULL,
        "native_push_enabled": FLAG_OR_NULL,
        "tags": OBJECT_OR_NULL,
        "android_api_level": INTEGER_OR_NULL,
        "application_version_code": INTEGER_OR_NULL,
        "application_version_name": TEXT_OR_NULL,
        "carrier_country": TEXT_OR_NULL,
        "carrier_name": TEXT_OR_NULL,
        "firmware_name": TEXT_OR_NULL,
        "firmware_version": TEXT_OR_NULL,
        "locale": TEXT_OR_NULL,
        "network_subtype": TEXT_OR_NULL,
        "network_type": TEXT_OR_NULL,
        "phone_manufacturer": TEXT_OR_NULL,
        "phone_model": TEXT_OR_NULL,
        "service_version": TEXT_OR_NULL,
        "time_zone_offset": INTEGER_OR_NULL,
        "country_code": TEXT_OR_NULL,
        "region": TEXT_OR_NULL,
        "locality": TEXT_OR_NULL,
    },
    "tokens": {"device_id": TEXT, "token": TEXT, "token_type": TEXT_OR_NULL},
    "campaigns": {
        "campaign_type": TEXT,
        "campaign_id": INTEGER,
        "name": TEXT_OR_NULL,
        "state": TEXT_OR_NULL,
        "activated_at": TIME_OR_NULL,
        "finished_at": TIME_OR_NULL,
        "start_time": TEXT_OR_NULL,
        "end_time": TEXT_OR_NULL,
        "time_zone": TEXT_OR_NULL,
    },
    "export_tasks": {
        "task_id": TEXT,
        "state": TEXT,
        "export_type": TEXT_OR_NULL,
        "created_at": TIME_OR_NULL,
        "completed_at": TIME_OR_NULL,
        "description": TEXT_OR_NULL,
        "error_details": TEXT_OR_NULL,
    },
}
HISTORICAL = {"activities", "events", "jobs", "errors", "sessions", "crashes"}
# As the service's REST API names them.
EXPORT_TASKS = {
    "activities": ("Activity", "activities"),
    "events": ("Event", "events"),
    "jobs": ("Job", "jobs"),
    "errors": ("Error", "errors"),
    "sessions": ("Session", "sessions"),
    "crashes": ("Crash", "crashes"),
    "push_feedback": ("Push", "feedbackByDate"),
    "tags": ("Tag", "tags"),
    "tokens": ("Token", "tokens"),
}
# As Microsoft's JSON Schema of the export files has them; errors and crashes are inferred.
GROUPS = {
    "activities": ("session_id", "activities"),
    "events": ("device_id", "events"),
    "errors": ("device_id", "errors"),
    "crashes": ("device_id", "crashes"),
}


ALL = {data_type.name: data_type for data_type in (*DATA_TYPES, *LISTED_TYPES)}


def test_there_are_ten_streams_of_data_and_two_of_lists_in_their_order() -> None:
    assert list(ALL) == list(KEYS) == list(FIELDS)
    assert [data_type.name for data_type in LISTED_TYPES] == ["campaigns", "export_tasks"]
    assert {data_type.name: data_type for data_type in DATA_TYPES} == BY_NAME


@pytest.mark.parametrize("stream", FIELDS)
def test_the_schema_has_the_promised_fields_in_order(stream: str) -> None:
    properties = ALL[stream].schema["properties"]

    without_words = {
        name: {key: value for key, value in schema.items() if key != "description"}
        for name, schema in properties.items()
    }

    assert without_words == LINEAGE | FIELDS[stream]
    assert list(without_words) == [*LINEAGE, *FIELDS[stream]]


@pytest.mark.parametrize("stream", FIELDS)
def test_the_schema_is_valid_and_every_field_is_described(stream: str) -> None:
    schema = ALL[stream].schema

    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["description"].endswith(".")
    for name, field in schema["properties"].items():
        assert field["description"].endswith("."), name


@pytest.mark.parametrize("stream", FIELDS)
def test_keys_are_required_and_never_null(stream: str) -> None:
    data_type = ALL[stream]

    assert list(data_type.keys) == KEYS[stream]
    assert data_type.schema["required"] == KEYS[stream]
    for key in data_type.keys:
        assert "null" not in data_type.schema["properties"][key]["type"]


@pytest.mark.parametrize("stream", FIELDS)
def test_a_record_id_is_made_where_there_is_no_other_key(stream: str) -> None:
    assert ALL[stream].has_record_id == (KEYS[stream] == ["record_id"])
    assert ("record_id" in FIELDS[stream]) == (KEYS[stream] == ["record_id"])


@pytest.mark.parametrize("stream", FIELDS)
def test_the_export_task_of_a_data_type(stream: str) -> None:
    data_type = ALL[stream]

    assert (data_type.export_type, data_type.task_path) == EXPORT_TASKS.get(
        stream, (None, None)
    )
    assert data_type.historical == (stream in HISTORICAL)
    assert (data_type.group_key, data_type.group_list) == GROUPS.get(stream, (None, None))


@pytest.mark.parametrize("stream", FIELDS)
def test_every_field_of_an_item_has_a_place_in_the_files(stream: str) -> None:
    fields = ALL[stream].fields

    for field in fields:
        assert field.sources, field.name
        assert isinstance(field.kind, Kind)
    first_names = [field.sources[0] for field in fields]
    assert len(set(first_names)) == len(first_names)


def test_a_schema_can_be_changed_without_changing_the_next_one() -> None:
    """Fields of one kind share nothing: the SDK and stream maps alter schemas in place."""
    crashes, events = BY_NAME["crashes"], BY_NAME["events"]
    extras = crashes.fields[-1].json_schema

    extras["type"].append("string")
    extras["additionalProperties"] = False

    assert events.schema["properties"]["extras"]["type"] == ["object", "null"]
    assert events.schema["properties"]["extras"]["additionalProperties"] is True


def test_what_the_service_offers_to_choose_from() -> None:
    assert CAMPAIGN_TYPES == ("Announcement", "DataPush", "NativePush", "Poll")
    assert EXPORT_FORMATS == ("JsonBlob", "CsvBlob")
