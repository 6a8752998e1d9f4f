"""The REST API: authentication, errors, lists, paging; not the life of export tasks."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.simulator.client import TIMEOUT, Client, body

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_token_is_as_documented(start: Callable[..., Client]) -> None:
    client = start(token_seconds=3599.0)

    token = client.token().json()

    assert token["token_type"] == "Bearer"
    assert token["expires_in"] == "3599"
    now = int(client.simulator.clock.now().timestamp())
    assert token["expires_on"] == str(now + 3599)


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "somebody"}, 400, "unauthorized_client"),
        ({"tenant": "elsewhere"}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"resource": "https://graph.example/"}, 400, "invalid_resource"),
    ],
)
def test_wrong_credentials_are_refused(
    client: Client, change: dict[str, str], status: int, error: str
) -> None:
    answer = client.token(**change)

    assert answer.status_code == status
    assert answer.json()["error"] == error
    assert answer.json()["error_description"].startswith("AADSTS")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_no_answer_without_a_token(client: Client, headers: dict[str, str]) -> None:
    answer = client.send("GET", "/devices", headers=headers)

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "AuthenticationFailed"


def test_a_token_expires(start: Callable[..., Client]) -> None:
    client = start(token_seconds=60.0)
    assert client.get("/devices").status_code == 200

    client.simulator.clock.advance(seconds=61)

    assert client.get("/devices").status_code == 401


@pytest.mark.parametrize(
    ("old", "new"),
    [("/apps/shop", "/apps/none"), ("contoso/apps", "none/apps"), ("MobileEngagement/", "x/")],
)
def test_unknown_places_are_not_found(client: Client, old: str, new: str) -> None:
    client.base = client.base.replace(old, new, 1)

    answer = client.get("/devices")

    assert answer.status_code == 404
    assert answer.json()["error"]["message"]


def test_the_api_version_is_asked_for(client: Client) -> None:
    url = f"{client.simulator.url}{client.base}/devices"

    missing = requests.get(url, headers=client.headers, timeout=TIMEOUT)
    wrong = requests.get(
        url, headers=client.headers, params={"api-version": "2016-01-01"}, timeout=TIMEOUT
    )

    assert missing.status_code == wrong.status_code == 400
    assert missing.json()["error"]["code"] == "MissingApiVersionParameter"
    assert wrong.json()["error"]["code"] == "InvalidApiVersionParameter"


def test_every_answer_is_dated_by_the_simulator(client: Client) -> None:
    client.simulator.clock.advance(days=1)

    for path in ("/devices", "/nothing"):
        date = parsedate_to_datetime(client.get(path).headers["Date"])
        assert date == client.simulator.clock.now().replace(microsecond=0)


BAD_BODIES: list[tuple[str, dict[str, Any]]] = [
    ("events", {"startDate": "2016-05-01T00:00:00Z"}),
    ("events", {"startDate": "2016-02-30"}),
    ("events", {"startDate": "2016-05-20"}),
    ("events", {"startDate": None}),
    ("events", {"exportFormat": "XmlBlob"}),
    ("events", {"surprise": 1}),
    ("events", {"description": 5}),
    ("tags", {"startDate": "2016-05-01"}),
    ("push_feedback", {"campaignType": "announcements"}),
    ("push_feedback", {"campaignWindowStart": "2016-05-01"}),
    ("push_feedback", {"campaignWindowEnd": "2016-04-01T00:00:00Z"}),
    ("events", {"containerUrl": "https://account.blob.core.windows.net/container"}),
    ("events", {"containerUrl": "https://account.blob.core.windows.net/?sv=1&sig=x"}),
    ("events", {"containerUrl": "https://account.blob.core.windows.net/c/blob?sv=1&sig=x"}),
    ("events", {"containerUrl": "http://127.0.0.1:10000/container?sv=1&sig=x"}),
    ("events", {"containerUrl": "account/container"}),
    ("events", {"containerUrl": "file:///"}),
    ("events", {"containerUrl": "https://[broken/container?sig=x"}),
]


@pytest.mark.parametrize(("data_type", "change"), BAD_BODIES, ids=repr)
def test_bad_bodies_are_refused_before_a_task_exists(
    client: Client, folder: Path, data_type: str, change: dict[str, Any]
) -> None:
    answer = client.create(data_type, folder.as_uri(), **change)

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["code"] == "BadRequest"
    assert client.simulator.tasks == []


@pytest.mark.parametrize("missing", ["containerUrl", "exportFormat", "startDate", "endDate"])
def test_missing_fields_are_refused(client: Client, folder: Path, missing: str) -> None:
    incomplete = body("events", folder.as_uri())
    del incomplete[missing]

    answer = client.send("POST", "/devices/exportTasks/events", json=incomplete)

    assert answer.status_code == 400
    assert missing in answer.json()["error"]["message"]


def test_there_is_no_export_of_anything_else(client: Client, folder: Path) -> None:
    asked = body("tags", folder.as_uri())

    assert client.send("POST", "/devices/exportTasks/devices", json=asked).status_code == 404


def test_links_work_for_names_that_need_quoting(
    start: Callable[..., Client], folder: Path
) -> None:
    client = start(apps=("Café & shop #1",), device_page=1)
    client.base = client.base.replace("/shop", "/Caf%C3%A9%20%26%20shop%20%231")

    location = client.create("tags", folder.as_uri()).headers["Location"]
    next_link = client.get("/devices").json()["nextLink"]

    assert client.follow(location).json()["state"] == "Succeeded"
    assert len(client.follow(next_link).json()["value"]) == 1


@pytest.mark.parametrize("text", ["", "[]", "{", '"text"'])
def test_a_body_that_is_no_object_is_refused(client: Client, text: str) -> None:
    answer = client.send("POST", "/devices/exportTasks/tags", data=text)

    assert answer.status_code == 400


@pytest.mark.parametrize("ids", [None, [], ["1"], [True], 1])
def test_campaign_ids_are_integers(client: Client, folder: Path, ids: Any) -> None:
    asked = {
        "containerUrl": folder.as_uri(),
        "exportFormat": "JsonBlob",
        "campaignType": "Poll",
        "campaignIds": ids,
    }

    answer = client.send("POST", "/devices/exportTasks/feedbackByCampaign", json=asked)

    assert answer.status_code == 400


def test_the_longest_range_is_an_option(start: Callable[..., Client], folder: Path) -> None:
    client = start(max_range_days=7)

    assert client.create("events", folder.as_uri()).status_code == 400
    assert client.create("events", folder.as_uri(), endDate="2016-05-08").status_code == 202


@pytest.mark.parametrize("links", ["absolute", "relative"])
def test_devices_come_in_pages_without_gap_or_overlap(
    start: Callable[..., Client], links: str
) -> None:
    client = start(devices=30, device_page=7, links=links)
    pages = [client.get("/devices").json()]
    while link := pages[-1].get("nextLink"):
        assert link.startswith("http://127.0.0.1" if links == "absolute" else "/subscriptions")
        pages.append(client.follow(link).json())

    ids = [device["deviceId"] for page in pages for device in page["value"]]

    assert [len(page["value"]) for page in pages[:-1]] == [7] * (len(pages) - 1)
    assert ids == [record["device_id"] for record in client.simulator.truth("shop", "devices")]


def test_devices_can_be_cut_and_selected(client: Client) -> None:
    first, second, *_ = client.get("/devices", top=2).json()["value"]

    later = client.get("/devices", filter=f"deviceId gt '{first['deviceId']}'", top=1).json()
    tagged = client.get("/devices", select="appInfo").json()["value"]
    seen = client.get("/devices", select="meta/firstSeen").json()["value"]

    assert later["value"] == [second]
    assert all(device.keys() == {"deviceId", "appInfo"} for device in tagged)
    assert all(device["meta"].keys() == {"firstSeen"} for device in seen)
    assert client.get("/devices", filter="lastModified gt 1L").status_code == 400
    assert client.get("/devices", select="info").status_code == 400


def test_an_unknown_device_is_not_found(client: Client) -> None:
    assert client.get("/devices/00000000000000000000000000000000").status_code == 404


def test_campaigns_are_listed_filtered_sorted_and_paged(client: Client) -> None:
    everything = client.get("/campaigns/polls").json()
    page = client.get("/campaigns/polls", top=1, orderby="id desc").json()
    rest = client.follow(page["nextLink"]).json()
    finished = client.get("/campaigns/polls", filter="state eq 'finished'").json()["value"]
    found = client.get("/campaigns/polls", search="#2").json()["value"]

    assert "nextLink" not in everything
    ids = [one["id"] for one in everything["value"]]
    assert ids == list(range(1, len(ids) + 1))
    assert page["value"] == everything["value"][-1:]
    assert rest["value"] == everything["value"][-2:-1]
    assert {one["state"] for one in finished} == {"finished"}
    assert [one["id"] for one in found] == [2]
    assert client.get("/campaigns/nonsense").status_code == 400
    assert client.get("/campaigns/polls", filter="id eq 1").status_code == 400


def test_the_clock_is_steered_over_http(client: Client) -> None:
    before = len(client.control("GET", "/truth/shop/events").json())

    moved = client.control("POST", "/clock", json={"advance_days": 3, "advance_seconds": 1})
    after = client.control("GET", "/truth/shop/events?counts=true").json()["count"]

    assert moved.json() == {"now": "2016-05-18T00:00:01.000Z"}
    assert client.control("GET", "/clock").json() == moved.json()
    assert after > before


@pytest.mark.parametrize("bad", [{"advance_days": -1}, {"days": 1}, {"advance_days": "x"}, []])
def test_the_clock_refuses_what_it_does_not_understand(client: Client, bad: Any) -> None:
    assert client.control("POST", "/clock", json=bad).status_code == 400


def test_the_truth_over_http_is_the_truth(client: Client) -> None:
    records = client.control("GET", "/truth/shop/events?start=2016-05-02&end=2016-05-04").json()

    assert {record["timestamp"][:10] for record in records} == {"2016-05-02", "2016-05-03"}
    assert client.control("GET", "/truth/shop/nonsense").status_code == 404
    assert client.control("GET", "/truth/nobody/events").status_code == 404
    assert client.control("GET", "/truth/shop/events?start=monday").status_code == 400


def test_export_files_can_be_had_without_a_task(client: Client, folder: Path) -> None:
    asked = {"app": "shop", "data_type": "devices", "container_url": folder.as_uri()}

    answer = client.control("POST", "/exports", json=asked)

    assert [(folder / name).exists() for name in answer.json()["blobs"]] == [True]
    assert client.simulator.tasks == []
    assert client.control("POST", "/exports", json={}).status_code == 400


def test_the_options_are_told(client: Client) -> None:
    options = client.control("GET", "/options").json()

    assert options["devices"] == 12
    assert options["start"] == "2016-05-15T00:00:00.000Z"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("[::1]:8377", 200),
        ("localhost:8377", 200),
        ("simulator", 200),
        ("host.docker.internal:8377", 200),
        ("rebinding.example:8377", 421),
        ("127.0.0.1.rebinding.example", 421),
        ("localhost.rebinding.example", 421),
    ],
)
def test_a_page_of_a_stranger_can_not_steer_it(client: Client, host: str, status: int) -> None:
    # Given a name that a web page has pointed to this machine
    url = f"{client.simulator.url}/_simulator/clock"

    answer = requests.get(url, headers={"Host": host}, timeout=TIMEOUT)

    assert answer.status_code == status


@pytest.mark.parametrize("export_format", ["XmlBlob", "", None, 7, ["JsonBlob"]])
def test_its_own_endpoint_takes_known_formats_alone(
    client: Client, folder: Path, export_format: object
) -> None:
    asked = {
        "app": "shop",
        "data_type": "events",
        "container_url": folder.as_uri(),
        "export_format": export_format,
    }

    answer = requests.post(
        f"{client.simulator.url}/_simulator/exports", json=asked, timeout=TIMEOUT
    )

    assert answer.status_code == 400
    assert not [*folder.iterdir()]
