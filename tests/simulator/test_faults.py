"""Faults of requests, tasks and blobs, by a plan that is data."""

from __future__ import annotations

import gzip
import json
import threading
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import requests

from tap_mobile_engagement.simulator.faults import Faults, RequestFault
from tests.simulator.reading import files_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.simulator.client import Client

TASKS = "*/exportTasks/*"


@pytest.mark.parametrize(
    "bad",
    [
        {"fault": "nonsense"},
        {"fault": "slow_answer"},
        {"fault": "cut_answer", "at": "ten"},
        {"fault": "refused", "surprise": 1},
        {"nth": 2},
        "refused",
    ],
    ids=repr,
)
def test_a_plan_that_is_not_understood_is_refused_whole(bad: Any) -> None:
    faults = Faults()

    with pytest.raises(msgspec.ValidationError):
        faults.plan([{"fault": "refused"}, bad])

    assert faults.report() == []


def test_a_fault_strikes_from_the_nth_match_so_many_times() -> None:
    faults = Faults([{"fault": "refused", "path": "*/tags", "nth": 2, "times": 2}])

    strikes = [
        faults.strike(RequestFault, method="POST", path=path) is not None
        for path in ("/tags", "/x", "/tags", "/tags", "/tags")
    ]

    assert strikes == [False, False, True, True, False]
    assert faults.report() == [
        {
            "fault": "refused",
            "nth": 2,
            "times": 2,
            "method": "*",
            "path": "*/tags",
            "matches": 4,
            "strikes": 2,
        }
    ]


def test_of_two_faults_for_the_same_match_the_first_strikes() -> None:
    faults = Faults([{"fault": "refused"}, {"fault": "lost_answer", "times": 2}])

    strikes = [faults.strike(RequestFault, method="GET", path="/") for _ in range(3)]

    assert [type(fault).__name__ for fault in strikes] == ["Refused", "LostAnswer", "NoneType"]
    assert [(one["matches"], one["strikes"]) for one in faults.report()] == [(3, 1), (3, 1)]


def test_faults_are_planned_and_reported_over_http(client: Client) -> None:
    plan = [{"fault": "error_answer", "status": 500, "path": "*/devices", "times": 0}]

    planned = client.control("POST", "/faults", json=plan)
    answers = [client.get("/devices").status_code for _ in range(3)]
    report = client.control("GET", "/faults").json()
    cleared = client.control("DELETE", "/faults").json()

    assert planned.status_code == 200
    assert answers == [500, 500, 500]
    assert report[0]["strikes"] == 3
    assert cleared == []
    assert client.get("/devices").status_code == 200
    assert client.control("POST", "/faults", json=[{"fault": "no"}]).status_code == 400
    assert client.control("POST", "/faults", json=5).status_code == 400


def test_a_lost_answer_leaves_a_task_behind(client: Client, folder: Path) -> None:
    client.simulator.faults.plan([{"fault": "lost_answer", "method": "POST", "path": TASKS}])

    with pytest.raises(requests.ConnectionError):
        client.create("events", folder.as_uri(), description="lost")

    (orphan,) = client.get("/devices/exportTasks").json()["value"]
    assert orphan["description"] == "lost"


def test_a_refused_request_leaves_nothing_behind(client: Client, folder: Path) -> None:
    client.simulator.faults.plan([{"fault": "refused", "method": "POST", "path": TASKS}])

    with pytest.raises(requests.ConnectionError):
        client.create("events", folder.as_uri())

    assert client.simulator.tasks == []


def test_an_answer_is_cut(client: Client) -> None:
    client.simulator.faults.plan([{"fault": "cut_answer", "path": "*/devices", "at": 10}])
    url = f"{client.simulator.url}{client.base}/devices?api-version=2014-12-01"

    with requests.get(url, headers=client.headers, stream=True, timeout=30) as answer:
        assert answer.status_code == 200
        assert int(answer.headers["Content-Length"]) > 10
        with pytest.raises(requests.RequestException, match="10 bytes read"):
            answer.content.decode()

    assert client.get("/devices").status_code == 200


def test_a_slow_answer_takes_its_time(client: Client) -> None:
    client.simulator.faults.plan(
        [{"fault": "slow_answer", "path": "*/devices", "seconds": 0.3}]
    )
    began = time.monotonic()

    assert client.get("/devices").status_code == 200

    assert time.monotonic() - began >= 0.3


def test_a_slow_answer_does_not_keep_the_simulator_from_stopping(client: Client) -> None:
    client.simulator.faults.plan([{"fault": "slow_answer", "path": "*/devices", "seconds": 60}])
    asking = threading.Thread(target=lambda: _ignoring_errors(client), daemon=True)
    asking.start()
    while not client.simulator.faults.report()[0]["strikes"]:
        time.sleep(0.01)
    began = time.monotonic()

    client.simulator.stop()

    asking.join(10)
    assert not asking.is_alive()
    assert time.monotonic() - began < 10


def _ignoring_errors(client: Client) -> None:
    try:
        client.get("/devices")
    except requests.RequestException:
        return


@pytest.mark.parametrize(
    ("form", "content_type", "part"),
    [
        ("json", "application/json", '"code":"Busy"'),
        ("text", "text/plain; charset=utf-8", "try later"),
        ("html", "text/html; charset=utf-8", "<h1>503 Service Unavailable</h1>"),
        ("empty", "text/plain; charset=utf-8", ""),
    ],
)
def test_errors_come_in_every_form(
    client: Client, form: str, content_type: str, part: str
) -> None:
    fault = {"fault": "error_answer", "status": 503, "code": "Busy", "message": "try later"}
    client.simulator.faults.plan([fault | {"body": form, "path": "*/devices"}])

    answer = client.get("/devices")

    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == content_type
    assert part in answer.text
    assert client.get("/devices").status_code == 200


def test_an_error_may_hide_that_the_request_was_carried_out(
    client: Client, folder: Path
) -> None:
    fault = {"fault": "error_answer", "status": 502, "method": "POST", "path": TASKS}
    client.simulator.faults.plan([fault, fault | {"nth": 2, "carried_out": True}])

    statuses = [client.create("tags", folder.as_uri()).status_code for _ in range(2)]

    assert statuses == [502, 502]
    assert len(client.simulator.tasks) == 1


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_comes_in_both_forms(client: Client, *, as_date: bool) -> None:
    fault = {"fault": "error_answer", "status": 429, "retry_after": 17, "as_date": as_date}
    client.simulator.faults.plan([fault])

    headers = client.get("/devices").headers

    if as_date:
        dates = [parsedate_to_datetime(headers[name]) for name in ("Retry-After", "Date")]
        assert (dates[0] - dates[1]).seconds == 17
    else:
        assert headers["Retry-After"] == "17"


def test_a_right_status_may_come_with_another_body(client: Client) -> None:
    client.simulator.faults.plan(
        [
            {"fault": "other_body", "body": "<html>login</html>"},
            {"fault": "other_body", "content_type": "text/plain", "nth": 2},
        ]
    )

    page, mislabelled = client.get("/devices"), client.get("/devices")

    assert (page.status_code, page.text) == (200, "<html>login</html>")
    assert page.headers["Content-Type"].startswith("text/html")
    assert mislabelled.headers["Content-Type"].startswith("text/plain")
    assert json.loads(mislabelled.text)["value"]


@pytest.mark.parametrize("after_writing", [False, True])
def test_a_task_fails(client: Client, folder: Path, *, after_writing: bool) -> None:
    fault = {"fault": "task_fails", "error_details": "quota", "after_writing": after_writing}
    client.simulator.faults.plan([fault | {"data_type": "events"}])

    tags, events = (client.export(name, folder.as_uri()) for name in ("tags", "events"))

    assert tags["state"] == "Succeeded"
    assert (events["state"], events["errorDetails"]) == ("Failed", "quota")
    assert len(files_in(folder)) == 1 + after_writing
    assert client.export("events", folder.as_uri())["state"] == "Succeeded"


@pytest.mark.parametrize("state", ["Queued", "Started"])
def test_a_task_hangs(client: Client, folder: Path, state: str) -> None:
    client.simulator.faults.plan(
        [
            {"fault": "task_hangs", "state": state},
            {"fault": "task_hangs", "state": state, "seconds": 900, "nth": 2},
        ]
    )
    locations = [client.create("tags", folder.as_uri()).headers["Location"] for _ in range(2)]

    before = [client.follow(location).json()["state"] for location in locations]
    client.simulator.clock.advance(days=30)
    after = [client.follow(location).json()["state"] for location in locations]

    assert before == [state, state]
    assert after == [state, "Succeeded"]


def test_a_task_reports_an_unknown_state(client: Client, folder: Path) -> None:
    client.simulator.faults.plan(
        [{"fault": "task_unknown_state", "state": "Paused", "seconds": 60}]
    )
    location = client.create("tags", folder.as_uri()).headers["Location"]

    odd = client.follow(location).json()
    client.simulator.clock.advance(seconds=60)

    assert odd["state"] == "Paused"
    assert "dateCompleted" not in odd
    assert client.follow(location).json()["state"] == "Succeeded"


def test_a_task_vanishes(client: Client, folder: Path) -> None:
    client.simulator.faults.plan([{"fault": "task_vanishes", "seconds": 60}])
    location = client.create("tags", folder.as_uri()).headers["Location"]
    assert client.follow(location).status_code == 200

    client.simulator.clock.advance(seconds=60)

    assert client.follow(location).status_code == 404
    assert client.get("/devices/exportTasks").json()["value"] == []


def test_a_task_is_hidden_at_first(client: Client, folder: Path) -> None:
    client.simulator.faults.plan([{"fault": "task_hidden", "seconds": 60}])
    location = client.create("tags", folder.as_uri()).headers["Location"]
    assert client.follow(location).status_code == 404

    client.simulator.clock.advance(seconds=60)

    assert client.follow(location).status_code == 200


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_of_several_blobs_appears_late(start: Callable[..., Client], folder: Path) -> None:
    client = start(blobs_per_task=3)
    client.simulator.faults.plan([{"fault": "blob_late", "seconds": 60, "nth": 2, "times": 2}])

    task = client.export("events", folder.as_uri())
    early = len(files_in(folder))
    client.simulator.clock.advance(seconds=60)

    assert (task["state"], early) == ("Succeeded", 1)
    wait_for(lambda: len(files_in(folder)) == 3)


def test_a_blob_grows(client: Client, folder: Path) -> None:
    client.simulator.faults.plan([{"fault": "blob_grows", "at": 100, "seconds": 60}])

    client.export("events", folder.as_uri())
    (path,) = files_in(folder)
    first = path.read_bytes()
    client.simulator.clock.advance(seconds=60)

    assert len(first) == 100
    wait_for(lambda: len(path.read_bytes()) > 100)
    assert path.read_bytes().startswith(first)
    assert json.loads(path.read_bytes())


def test_a_blob_is_replaced(client: Client, folder: Path) -> None:
    client.simulator.faults.plan([{"fault": "blob_replaced", "seconds": 60, "text": "[]"}])

    client.export("events", folder.as_uri())
    (path,) = files_in(folder)
    assert json.loads(path.read_bytes())
    client.simulator.clock.advance(seconds=60)

    wait_for(lambda: path.read_bytes() == b"[]")


def test_blobs_are_truncated_and_trailed_by_garbage(client: Client, folder: Path) -> None:
    client.simulator.faults.plan(
        [
            {"fault": "blob_truncated", "at": -1, "data_type": "tags"},
            {"fault": "blob_truncated", "at": 5, "data_type": "tokens"},
            {"fault": "blob_trailing", "text": "]]", "data_type": "jobs"},
        ]
    )
    contents = {}
    for data_type in ("tags", "tokens", "jobs"):
        client.export(data_type, (folder / data_type).as_uri())
        contents[data_type] = files_in(folder / data_type)[0].read_bytes()

    assert json.loads(contents["tags"] + b"]")
    assert len(contents["tokens"]) == 5
    assert contents["jobs"].endswith(b"]]]")


def test_a_gzip_is_truncated(start: Callable[..., Client], folder: Path) -> None:
    client = start(compression="gzip")
    client.simulator.faults.plan([{"fault": "blob_truncated", "at": -10}])

    client.export("events", folder.as_uri())

    with pytest.raises(EOFError):
        gzip.decompress(files_in(folder)[0].read_bytes())


@pytest.mark.parametrize(("at", "position"), [(0, 0), (2, 2), (10**9, -1)])
def test_a_bad_element_is_put_in(client: Client, folder: Path, at: int, position: int) -> None:
    client.simulator.faults.plan([{"fault": "bad_element", "raw": '{"deviceId": 5}', "at": at}])

    client.export("events", folder.as_uri())

    elements = json.loads(files_in(folder)[0].read_bytes())
    assert elements[position] == {"deviceId": 5}
    assert sum(element == {"deviceId": 5} for element in elements) == 1


def test_a_bad_row_is_put_into_csv(client: Client, folder: Path) -> None:
    client.simulator.faults.plan([{"fault": "bad_element", "raw": 'one,"two'}])

    client.export("tags", folder.as_uri(), exportFormat="CsvBlob")

    assert files_in(folder)[0].read_text().splitlines()[1] == 'one,"two'
