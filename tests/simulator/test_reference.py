"""The simulator against what is documented of the service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.datatypes import CAMPAIGN_TYPES
from tests.reference.checks import check_answer, check_file
from tests.reference.files import FILES
from tests.simulator.reading import files_in
from tests.simulator.test_files import EXPORTED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.simulator.client import Client


@pytest.mark.parametrize("links", ["absolute", "relative"])
@pytest.mark.parametrize("data_type", EXPORTED)
def test_answers_about_tasks_are_as_documented(
    start: Callable[..., Client], folder: Path, data_type: str, links: str
) -> None:
    client = start(links=links, run_seconds=60.0)

    created = client.create(data_type, folder.as_uri(), description="mine")
    client.create(data_type, folder.as_uri())
    started = client.follow(created.headers["Location"])
    client.simulator.clock.advance(seconds=60)
    succeeded = client.follow(created.headers["Location"])
    listed = client.get("/devices/exportTasks", top=1)

    for answer in (created, started, succeeded, listed):
        check_answer(answer)
    assert started.json()["state"] == "Started"
    assert succeeded.json()["state"] == "Succeeded"


def test_a_failed_task_is_as_documented(client: Client, folder: Path) -> None:
    client.simulator.faults.plan([{"fault": "task_fails"}])
    created = client.create("tags", folder.as_uri())

    failed = client.follow(created.headers["Location"])

    check_answer(failed)
    assert failed.json()["errorDetails"]


def test_feedback_by_campaign_is_as_documented(client: Client, folder: Path) -> None:
    asked = {
        "containerUrl": folder.as_uri(),
        "exportFormat": "JsonBlob",
        "campaignType": "Poll",
        "campaignIds": [1],
    }

    check_answer(client.send("POST", "/devices/exportTasks/feedbackByCampaign", json=asked))


def test_answers_about_devices_and_campaigns_are_as_documented(
    start: Callable[..., Client],
) -> None:
    client = start(device_page=3)
    listed = client.get("/devices")

    check_answer(listed)
    for device in listed.json()["value"]:
        check_answer(client.get(f"/devices/{device['deviceId']}"))
    for kind in ("announcements", "polls", "dataPushes", "nativePushes"):
        check_answer(client.get(f"/campaigns/{kind}"))
        check_answer(client.get(f"/campaigns/{kind}", top=1))


def test_errors_are_as_documented(client: Client) -> None:
    for answer in (
        client.get("/devices/0"),
        client.get("/devices/exportTasks/0"),
        client.get("/devices/exportTasks", top=99),
        client.create("events", "nonsense"),
        client.send("GET", "/devices", headers={}),
    ):
        assert answer.status_code >= 400
        check_answer(answer)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"id_format": "hex", "time_format": "offset", "time_digits": 9},
        {"time_format": "space", "time_digits": 0, "extra_fields": True},
        {"time_format": "no_zone", "time_digits": 6, "repeats": 0.1, "clock_error_days": 30.0},
    ],
    ids=repr,
)
@pytest.mark.parametrize("data_type", FILES)
def test_export_files_are_as_documented(
    start: Callable[..., Client], tmp_path: Path, data_type: str, options: dict[str, Any]
) -> None:
    client = start(**options)
    kinds: list[dict[str, str]] = [{}]
    if data_type == "push_feedback":
        kinds = [{"campaignType": kind} for kind in CAMPAIGN_TYPES]
    for number, kind in enumerate(kinds):
        folder = tmp_path / str(number)
        client.export(data_type, folder.as_uri(), **kind)

        elements = json.loads(files_in(folder)[0].read_text())

        assert elements
        check_file(data_type, elements)
