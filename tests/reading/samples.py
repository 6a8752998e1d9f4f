"""One element of each data type as it stands in a file, and the records that it has to give.

The documented forms are written as ``tests/reference`` has them; the others (tags, devices,
errors, crashes) as they are inferred.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DEVICE = "d1000000000000000000000000000001"
SESSION = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
INFO = "1f000000000000000000000000000001"
LOCATION = "10c00000000000000000000000000001"
NO_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Sample:
    """An element and its records.

    Attributes:
        element: As it stands in a file.
        records: Their own fields, without lineage and record id.
    """

    element: dict[str, Any]
    records: list[dict[str, Any]]


def _happened(name: str) -> dict[str, Any]:
    """An item that lacks nothing."""
    return {
        "name": name,
        "timestamp": "2016-05-01T10:20:30.123Z",
        "infoId": INFO,
        "sessionId": SESSION,
        "locationId": LOCATION,
        "extras": {"price": 9.99, "coupon": None, "gift": True},
    }


def _happened_outside(name: str) -> dict[str, Any]:
    """An item outside a session."""
    return {
        "name": name,
        "timestamp": "2016-05-01 12:20:30+02:00",
        "infoId": INFO,
        "sessionId": NO_ID,
        "locationId": NO_ID.replace("-", ""),
    }


def _records(first: str, second: str) -> list[dict[str, Any]]:
    return [
        {
            "device_id": DEVICE,
            "session_id": SESSION,
            "name": first,
            "timestamp": "2016-05-01T10:20:30.123Z",
            "info_id": INFO,
            "location_id": LOCATION,
            "extras": {"coupon": None, "gift": True, "price": 9.99},
        },
        {
            "device_id": DEVICE,
            "session_id": None,
            "name": second,
            "timestamp": "2016-05-01T10:20:30Z",
            "info_id": INFO,
            "location_id": None,
            "extras": None,
        },
    ]


SAMPLES: dict[str, Sample] = {
    "activities": Sample(
        {
            "sessionId": SESSION,
            "activities": [
                {"name": "home", "timestamp": "2016-05-01T10:20:30Z", "extras": {"a": [1]}},
                {"name": "cart", "timestamp": "2016-05-01T10:21:00.5Z"},
            ],
        },
        [
            {
                "session_id": SESSION,
                "name": "home",
                "timestamp": "2016-05-01T10:20:30Z",
                "extras": {"a": [1]},
            },
            {
                "session_id": SESSION,
                "name": "cart",
                "timestamp": "2016-05-01T10:21:00.500Z",
                "extras": None,
            },
        ],
    ),
    "events": Sample(
        {"deviceId": DEVICE, "events": [_happened("buy"), _happened_outside("wake")]},
        _records("buy", "wake"),
    ),
    "errors": Sample(
        {"deviceId": DEVICE, "errors": [_happened("timeout"), _happened_outside("offline")]},
        _records("timeout", "offline"),
    ),
    "crashes": Sample(
        {
            "deviceId": DEVICE,
            "crashes": [
                {
                    "crashId": "c4a50000000000000000000000000001",
                    "timestamp": 1462098030123,
                    "infoId": INFO,
                    "sessionId": SESSION,
                    "locationId": LOCATION,
                    "type": "NullPointerException",
                    "stackTrace": "at a\n\tat b",
                    "extras": {"free": "12 MB"},
                },
                {"timestamp": "2016-05-01"},
            ],
        },
        [
            {
                "device_id": DEVICE,
                "session_id": SESSION,
                "crash_id": "c4a50000000000000000000000000001",
                "timestamp": "2016-05-01T10:20:30.123Z",
                "type": "NullPointerException",
                "stack_trace": "at a\n\tat b",
                "info_id": INFO,
                "location_id": LOCATION,
                "extras": {"free": "12 MB"},
            },
            {
                "device_id": DEVICE,
                "session_id": None,
                "crash_id": None,
                "timestamp": "2016-05-01T00:00:00Z",
                "type": None,
                "stack_trace": None,
                "info_id": None,
                "location_id": None,
                "extras": None,
            },
        ],
    ),
    "jobs": Sample(
        {
            "jobId": "10b00000000000000000000000000001",
            "name": "download",
            "deviceId": DEVICE,
            "infoId": INFO,
            "start": "2016-05-01T10:20:30Z",
            "extras": {"size": 5},
        },
        [
            {
                "job_id": "10b00000000000000000000000000001",
                "device_id": DEVICE,
                "name": "download",
                "started_at": "2016-05-01T10:20:30Z",
                "ended_at": None,
                "info_id": INFO,
                "extras": {"size": 5},
            }
        ],
    ),
    "sessions": Sample(
        {
            "sessionId": SESSION,
            "deviceId": DEVICE,
            "start": "2016-05-01T10:20:30Z",
            "end": "2016-05-01T10:25:30.25Z",
            "infoId": INFO,
            "locationId": LOCATION,
        },
        [
            {
                "session_id": SESSION,
                "device_id": DEVICE,
                "started_at": "2016-05-01T10:20:30Z",
                "ended_at": "2016-05-01T10:25:30.250Z",
                "info_id": INFO,
                "location_id": LOCATION,
            }
        ],
    ),
    "push_feedback": Sample(
        {
            "deviceId": DEVICE,
            "campaignType": "Announcement",
            "campaignId": 17,
            "status": ["Queued", "ContentDisplayed"],
        },
        [
            {
                "device_id": DEVICE,
                "user_id": None,
                "campaign_type": "Announcement",
                "campaign_id": 17,
                "status": ["Queued", "ContentDisplayed"],
            }
        ],
    ),
    "tags": Sample(
        {"deviceId": DEVICE, "tags": {"vip": True, "age": 33}},
        [{"device_id": DEVICE, "tags": {"age": 33, "vip": True}}],
    ),
    "tokens": Sample(
        {"deviceId": DEVICE, "token": "APA91b:x", "type": "gcm"},
        [{"device_id": DEVICE, "token": "APA91b:x", "token_type": "gcm"}],
    ),
    "devices": Sample(
        {
            "deviceId": DEVICE,
            "meta": {
                "firstSeen": 1462098030000,
                "lastSeen": 1462098030123,
                "lastInfo": 1462098030000,
                "nativePushEnabled": True,
            },
            "appInfo": {"vip": "yes"},
            "info": {
                "phoneModel": "Nexus 5",
                "phoneManufacturer": "LGE",
                "firmwareVersion": "6.0.1",
                "firmwareName": "Android",
                "androidAPILevel": 23,
                "carrierCountry": "fr",
                "locale": "fr_FR",
                "carrierName": "Orange",
                "networkType": "mobile",
                "networkSubtype": "LTE",
                "applicationVersionName": "2.1",
                "applicationVersionCode": 21,
                "timeZoneOffset": 120,
                "serviceVersion": "4.2.3",
            },
            "location": {"countrycode": "fr", "region": "Île-de-France", "locality": "Paris"},
        },
        [
            {
                "device_id": DEVICE,
                "first_seen": "2016-05-01T10:20:30Z",
                "last_seen": "2016-05-01T10:20:30.123Z",
                "last_info": "2016-05-01T10:20:30Z",
                "last_location": None,
                "native_push_enabled": True,
                "tags": {"vip": "yes"},
                "android_api_level": 23,
                "application_version_code": 21,
                "application_version_name": "2.1",
                "carrier_country": "fr",
                "carrier_name": "Orange",
                "firmware_name": "Android",
                "firmware_version": "6.0.1",
                "locale": "fr_FR",
                "network_subtype": "LTE",
                "network_type": "mobile",
                "phone_manufacturer": "LGE",
                "phone_model": "Nexus 5",
                "service_version": "4.2.3",
                "time_zone_offset": 120,
                "country_code": "fr",
                "region": "Île-de-France",
                "locality": "Paris",
            }
        ],
    ),
}
