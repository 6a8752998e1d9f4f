"""What export tasks write is the truth, in every form that a file may have."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.datatypes import BY_NAME, DATA_TYPES
from tests.simulator.reading import files_in, records_in, sorted_records

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.simulator.client import Client

EXPORTED = [data_type.name for data_type in DATA_TYPES if data_type.task_path]

FORMS: list[dict[str, Any]] = [
    {},
    {"compression": "gzip", "blobs_per_task": 3},
    {"compression": "zip", "blob_name": "bare"},
    {"encoding": "utf-8-sig", "json_layout": "lines", "blob_name": "date"},
    {"encoding": "utf-16", "json_layout": "concatenated"},
    {"json_layout": "wrapper", "blobs_per_task": 2, "blob_name": "task_hex"},
    {"grouping": "flat", "tags_key": "appInfo", "id_format": "hex"},
    {"no_id": "missing", "time_format": "no_zone"},
    {"no_id": "null", "time_format": "space", "time_digits": 0},
    {"no_id": "empty", "time_format": "offset", "time_digits": 9},
    {"no_id": "mixed", "time_format": "epoch_ms", "time_digits": 7},
    {"extra_fields": True, "user_ids": True, "time_digits": 6},
    {"repeats": 0.2, "clock_error_days": 20.0, "vanishing": 0.5},
]


def truth(client: Client, data_type: str) -> list[dict[str, Any]]:
    records = client.simulator.truth("shop", data_type, date(2016, 5, 1), date(2016, 5, 15))
    if data_type == "push_feedback":
        return [record for record in records if record["campaign_type"] == "Announcement"]
    return records


def fields_of(data_type: str) -> list[str]:
    return [field.name for field in BY_NAME[data_type].fields]


@pytest.mark.parametrize("options", FORMS, ids=repr)
def test_json_holds_the_truth(
    options: dict[str, Any], start: Callable[..., Client], tmp_path: Path
) -> None:
    client = start(**options)
    for data_type in EXPORTED:
        folder = tmp_path / data_type

        answer = client.export(data_type, folder.as_uri())

        assert answer["state"] == "Succeeded", answer
        found = records_in(folder, client.simulator.options, data_type, fields_of(data_type))
        assert sorted_records(found) == sorted_records(truth(client, data_type)), data_type
        assert found, f"a comparison of nothing: {data_type}"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"csv_delimiter": ";", "compression": "gzip", "blobs_per_task": 2},
        {"csv_delimiter": "tab", "encoding": "utf-16", "time_format": "epoch_ms"},
        {"tags_key": "appInfo", "user_ids": True, "extra_fields": True, "no_id": "mixed"},
    ],
    ids=repr,
)
def test_csv_holds_the_truth(
    options: dict[str, Any], start: Callable[..., Client], tmp_path: Path
) -> None:
    client = start(**options)
    for data_type in EXPORTED:
        folder = tmp_path / data_type

        client.export(data_type, folder.as_uri(), exportFormat="CsvBlob")

        found = records_in(
            folder, client.simulator.options, data_type, fields_of(data_type), as_csv=True
        )
        assert sorted_records(found) == sorted_records(truth(client, data_type)), data_type
        assert found, f"a comparison of nothing: {data_type}"


def test_device_files_hold_what_the_api_answers(client: Client, folder: Path) -> None:
    names = client.simulator.write_export("shop", "devices", folder.as_uri())

    devices = json.loads((folder / names[0]).read_text())

    assert len(devices) == len(client.get("/devices").json()["value"]) > 0
    for device in devices:
        assert device == client.get(f"/devices/{device['deviceId']}").json()


def test_the_truth_about_devices_is_what_the_api_answers(client: Client) -> None:
    renamed = {"phone_manufacturer": "phoneManufacturer", "time_zone_offset": "timeZoneOffset"}
    for record in client.simulator.truth("shop", "devices"):
        device = client.get(f"/devices/{record['device_id']}").json()

        assert record["tags"] == device.get("appInfo")
        assert record["native_push_enabled"] == device["meta"]["nativePushEnabled"]
        assert record["country_code"] == device.get("location", {}).get("countrycode")
        for field, name in renamed.items():
            assert record[field] == device["info"].get(name)


@pytest.mark.parametrize(
    ("empty", "content"), [("nothing", None), ("array", "[]"), ("blob", "")]
)
def test_an_empty_export_writes_what_the_option_says(
    empty: str, content: str | None, start: Callable[..., Client], folder: Path
) -> None:
    client = start(empty=empty)

    answer = client.export(
        "events", folder.as_uri(), startDate="2015-01-01", endDate="2015-01-02"
    )

    assert answer["state"] == "Succeeded"
    assert [path.read_text() for path in files_in(folder)] == (
        [] if content is None else [content]
    )


def test_an_empty_csv_export_has_its_header(client: Client, folder: Path) -> None:
    client.export(
        "events",
        folder.as_uri(),
        startDate="2015-01-01",
        endDate="2015-01-02",
        exportFormat="CsvBlob",
    )

    (path,) = files_in(folder)
    assert path.read_text().splitlines() == [
        "deviceId,name,timestamp,infoId,sessionId,locationId,extras"
    ]


@pytest.mark.parametrize(("end_date", "last"), [("inclusive", 5), ("exclusive", 4)])
def test_end_date_counts_as_the_option_says(
    end_date: str, last: int, start: Callable[..., Client], folder: Path
) -> None:
    client = start(end_date=end_date)

    client.export("events", folder.as_uri(), startDate="2016-05-03", endDate="2016-05-05")

    expected = client.simulator.truth(
        "shop", "events", date(2016, 5, 3), date(2016, 5, last + 1)
    )
    found = records_in(folder, client.simulator.options, "events", fields_of("events"))
    assert sorted_records(found) == sorted_records(expected)


def test_a_range_may_be_all_of_time(client: Client, folder: Path) -> None:
    client.export("events", folder.as_uri(), startDate="0001-01-01", endDate="9999-12-31")

    found = records_in(folder, client.simulator.options, "events", fields_of("events"))
    assert sorted_records(found) == sorted_records(client.simulator.truth("shop", "events"))


def test_days_begin_where_the_time_zone_says(
    start: Callable[..., Client], folder: Path
) -> None:
    client = start(utc_offset_minutes=300, end_date="exclusive")

    client.export("events", folder.as_uri(), startDate="2016-05-03", endDate="2016-05-04")

    times = [
        record["timestamp"]
        for record in records_in(folder, client.simulator.options, "events", ["timestamp"])
    ]
    assert "2016-05-02T19" <= min(times) < "2016-05-03T00"
    assert max(times) < "2016-05-03T19"


def test_selection_by_arrival_finds_late_items_in_the_days_when_they_came(
    start: Callable[..., Client], folder: Path
) -> None:
    client = start(selection="arrival", end_date="exclusive", devices=60)

    client.export("events", folder.as_uri(), startDate="2016-05-06", endDate="2016-05-07")

    found = records_in(folder, client.simulator.options, "events", fields_of("events"))
    days = {record["timestamp"][:10] for record in found}
    assert {"2016-05-05", "2016-05-06"} <= days
    # And by arrival every item is exported on exactly one day.
    all_days = folder.parent / "all"
    client.export("events", all_days.as_uri(), startDate="2016-05-01", endDate="2016-05-15")
    everything = records_in(all_days, client.simulator.options, "events", fields_of("events"))
    assert sorted_records(everything) == sorted_records(truth(client, "events"))


def test_push_feedback_by_campaign_is_of_those_campaigns(client: Client, folder: Path) -> None:
    some = client.simulator.truth("shop", "push_feedback")[0]
    answer = client.send(
        "POST",
        "/devices/exportTasks/feedbackByCampaign",
        json={
            "containerUrl": folder.as_uri(),
            "exportFormat": "JsonBlob",
            "campaignType": some["campaign_type"],
            "campaignIds": [some["campaign_id"]],
        },
    )
    assert client.follow(answer.headers["Location"]).json()["state"] == "Succeeded"

    found = records_in(
        folder, client.simulator.options, "push_feedback", fields_of("push_feedback")
    )

    assert some in found
    assert {(one["campaign_type"], one["campaign_id"]) for one in found} == {
        (some["campaign_type"], some["campaign_id"])
    }


def test_push_feedback_by_date_is_of_campaigns_that_were_active(
    client: Client, folder: Path
) -> None:
    campaigns = client.get("/campaigns/announcements").json()["value"]
    first = next(one for one in campaigns if one["activatedDate"] >= "2016-05-02")

    client.export(
        "push_feedback",
        folder.as_uri(),
        campaignWindowStart="2016-04-01T00:00:00Z",
        campaignWindowEnd=first["activatedDate"],
    )

    ids = {
        record["campaign_id"]
        for record in records_in(
            folder, client.simulator.options, "push_feedback", ["campaign_id"]
        )
    }
    assert first["id"] in ids
    assert max(ids) == first["id"]


def test_the_same_export_gives_the_same_bytes(
    start: Callable[..., Client], tmp_path: Path
) -> None:
    contents = []
    for number in range(2):
        folder = tmp_path / str(number)
        client = start(compression="gzip", blobs_per_task=2, time_digits=9)
        client.export("events", folder.as_uri())
        contents.append([path.read_bytes() for path in files_in(folder)])

    assert contents[0] == contents[1]
