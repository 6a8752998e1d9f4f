"""The life of export tasks."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulator.client import Client
from tests.simulator.reading import files_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_task_is_queued_then_started_then_succeeded(
    start: Callable[..., Client], folder: Path
) -> None:
    client = start(queue_seconds=1000.0, run_seconds=5000.0)
    created = client.create("events", folder.as_uri(), description="mine")
    location = created.headers["Location"]

    states = [created.json()["state"], client.follow(location).json()["state"]]
    client.simulator.clock.advance(seconds=1000)
    states.append(client.follow(location).json()["state"])
    assert files_in(folder) == []
    client.simulator.clock.advance(seconds=5000)
    task = client.follow(location).json()

    assert [*states, task["state"]] == ["Queued", "Queued", "Started", "Succeeded"]
    assert len(files_in(folder)) == 1
    assert task["id"] == created.json()["id"]
    assert task["exportType"] == "Event"
    assert task["description"] == "mine"
    assert task["dateCreated"] < task["dateCompleted"]


def test_durations_are_drawn_from_the_seed(start: Callable[..., Client], folder: Path) -> None:
    def durations() -> list[float]:
        client = start(run_seconds=(100.0, 900.0))
        for _ in range(5):
            client.create("tags", folder.as_uri())
        return [round(task.ends_at - task.starts_at, 6) for task in client.simulator.tasks]

    first, second = durations(), durations()

    assert first == second
    assert len(set(first)) == 5
    assert all(100 <= seconds <= 900 for seconds in first)


def test_an_export_holds_what_is_there_when_it_runs(
    start: Callable[..., Client], folder: Path
) -> None:
    client = start(run_seconds=600.0)
    created = client.create("sessions", folder.as_uri(), endDate="2016-05-20")
    before = len(client.simulator.truth("shop", "sessions"))

    client.simulator.clock.advance(days=3)

    assert client.follow(created.headers["Location"]).json()["state"] == "Succeeded"
    after = len(client.simulator.truth("shop", "sessions"))
    assert before < files_in(folder)[0].read_text().count('"sessionId"') == after


def test_a_container_that_cannot_be_written_fails_the_task(
    client: Client, folder: Path
) -> None:
    blocked = folder / "file"
    blocked.write_text("not a folder")

    task = client.export("events", blocked.as_uri())

    assert task["state"] == "Failed"
    assert "cannot write" in task["errorDetails"]


def test_tasks_are_listed_in_order_and_in_pages(client: Client, folder: Path) -> None:
    made = []
    for _ in range(25):
        made.append(client.create("tags", folder.as_uri()).json()["id"])
        client.simulator.clock.advance(seconds=1)

    by_id = client.get("/devices/exportTasks").json()
    newest = client.get("/devices/exportTasks", orderby="dateCreated desc", top=10).json()
    second = client.follow(newest["nextLink"]).json()
    rest = client.get("/devices/exportTasks", orderby="dateCreated", skip=20, top=40).json()

    assert [task["id"] for task in by_id["value"]] == sorted(made)[:20]
    assert [task["id"] for task in newest["value"]] == made[:-11:-1]
    assert [task["id"] for task in second["value"]] == made[-11:-21:-1]
    assert [task["id"] for task in rest["value"]] == made[20:]
    assert rest["nextLink"] == ""


@pytest.mark.parametrize(
    "query",
    [{"top": 41}, {"top": 0}, {"skip": -1}, {"orderby": "age"}, {"orderby": "taskId up"}],
)
def test_the_list_refuses_what_is_not_documented(client: Client, query: dict[str, Any]) -> None:
    assert client.get("/devices/exportTasks", **query).status_code == 400


def test_a_task_of_another_app_is_not_found(start: Callable[..., Client], folder: Path) -> None:
    client = start(apps=("shop", "news"))
    task = client.export("tags", folder.as_uri())

    other = Client(client.simulator, "news")

    assert other.get(f"/devices/exportTasks/{task['id']}").status_code == 404
    assert other.get("/devices/exportTasks").json()["value"] == []


def test_finished_tasks_are_forgotten_in_time(
    start: Callable[..., Client], folder: Path
) -> None:
    client = start(listed_seconds=3600.0)
    task = client.export("tags", folder.as_uri())

    client.simulator.clock.advance(seconds=3700)

    assert client.get(f"/devices/exportTasks/{task['id']}").status_code == 404
    assert client.get("/devices/exportTasks").json()["value"] == []


@pytest.mark.parametrize("status", [409, 429])
def test_no_more_tasks_than_the_limit(
    start: Callable[..., Client], folder: Path, status: int
) -> None:
    client = start(
        max_tasks=2, too_many_status=status, run_seconds=100.0, retry_after="seconds"
    )
    for _ in range(2):
        assert client.create("tags", folder.as_uri()).status_code == 202

    refused = client.create("tags", folder.as_uri())
    client.simulator.clock.advance(seconds=100)
    client.get("/devices/exportTasks")

    assert refused.status_code == status
    assert refused.headers["Retry-After"] == "2"
    assert client.create("tags", folder.as_uri()).status_code == 202


def test_unfinished_tasks_say_when_to_ask_again(
    start: Callable[..., Client], folder: Path
) -> None:
    client = start(run_seconds=100.0, retry_after="date", retry_after_seconds=7)
    location = client.create("tags", folder.as_uri()).headers["Location"]

    unfinished = client.follow(location)
    client.simulator.clock.advance(seconds=100)
    finished = client.follow(location)

    date, retry = (unfinished.headers[name] for name in ("Date", "Retry-After"))
    assert (parsedate_to_datetime(retry) - parsedate_to_datetime(date)).seconds == 7
    assert "Retry-After" not in finished.headers


@pytest.mark.parametrize("links", ["absolute", "relative"])
def test_the_location_is_as_the_option_says(
    start: Callable[..., Client], folder: Path, links: str
) -> None:
    client = start(links=links)

    location = client.create("tags", folder.as_uri()).headers["Location"]

    assert location.startswith("http://127.0.0.1" if links == "absolute" else "/subscriptions/")
    assert client.follow(location).status_code == 200


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("task_id", "{id}/Tag_{n}.json"),
        ("task_hex", "Tag-{hex}-{n}.json"),
        ("date", "shop/tags/all_all_{n}.json"),
        ("{app}-{date}.{ext}", "shop-2016-05-15.json"),
    ],
)
def test_blobs_are_named_by_the_pattern(
    start: Callable[..., Client], folder: Path, pattern: str, expected: str
) -> None:
    client = start(blob_name=pattern)

    task = client.export("tags", folder.as_uri())

    name = files_in(folder)[0].relative_to(folder).as_posix()
    assert name == expected.format(id=task["id"], hex=task["id"].replace("-", ""), n=0)
    assert client.control("GET", "/tasks").json()[0]["blobs"] == [name]


def test_a_simulator_stops_with_tasks_under_way(
    start: Callable[..., Client], folder: Path
) -> None:
    client = start(run_seconds=1e6)
    client.create("tags", folder.as_uri())

    client.simulator.stop()  # and once more by the fixture: that must do no harm

    assert client.simulator.tasks[0].completed is None
