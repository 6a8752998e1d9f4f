"""Exports into Blob Storage, and reading from it through a proxy that breaks things."""

from __future__ import annotations

import gzip
import json
import time
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient

from tap_mobile_engagement.simulator import BlobProxy
from tests.simulator.client import TIMEOUT, Client
from tests.simulator.reading import sorted_records
from tests.simulator.test_files import truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.azurite import Azurite


@pytest.fixture
def proxy(azurite: Azurite) -> Iterator[BlobProxy]:
    with BlobProxy(f"http://127.0.0.1:{azurite.port}") as running:
        yield running


def test_an_export_is_written_with_the_sas_that_the_task_was_given(
    client: Client, azurite: Azurite
) -> None:
    container = azurite.new_container()

    task = client.export("sessions", azurite.sas_url(container, "wl"))

    assert task["state"] == "Succeeded", task
    with azurite.client(container) as inside:
        (name,) = inside.list_blob_names()
        elements = json.loads(inside.download_blob(name).readall())
    assert name.startswith(task["id"])
    assert len(elements) == len(truth(client, "sessions"))


@pytest.mark.parametrize(
    ("permissions", "expires_in"), [("rl", timedelta(hours=1)), ("wl", timedelta(hours=-1))]
)
def test_a_sas_that_does_not_allow_it_fails_the_task(
    client: Client, azurite: Azurite, permissions: str, expires_in: timedelta
) -> None:
    url = azurite.sas_url(azurite.new_container(), permissions, expires_in=expires_in)

    task = client.export("sessions", url)

    assert task["state"] == "Failed"
    assert "403" in task["errorDetails"]
    assert "sig=" not in task["errorDetails"]


def test_a_storage_that_is_not_there_fails_the_task(client: Client) -> None:
    task = client.export("tags", "http://127.0.0.1:1/account/container?sv=1&sp=w&sig=secret")

    assert task["state"] == "Failed"
    assert "reached" in task["errorDetails"]
    assert "secret" not in task["errorDetails"]


def test_a_proxy_without_faults_changes_nothing(
    client: Client, azurite: Azurite, proxy: BlobProxy
) -> None:
    container = azurite.new_container()
    url = proxy.through(azurite.sas_url(container, "rwl"))
    blob = bytes(range(256)) * 40_000

    task = client.export("events", url)
    with ContainerClient.from_container_url(url) as inside:
        inside.upload_blob("größe/a b.bin", blob)
        names = set(inside.list_blob_names())
        content = inside.download_blob("größe/a b.bin").readall()

    assert task["state"] == "Succeeded", task
    assert names == {f"{task['id']}/Event_0.json", "größe/a b.bin"}
    assert content == blob


def plain(url: str, blob: str, **headers: str) -> requests.Response:
    """Read a blob without any library that would mend what is broken."""
    base, _, query = url.partition("?")
    return requests.get(f"{base}/{blob}?{query}", headers=headers, stream=True, timeout=TIMEOUT)


def test_a_connection_is_cut_at_a_byte(azurite: Azurite, proxy: BlobProxy) -> None:
    container = azurite.new_container()
    azurite.upload(container, "blob", b"x" * 1_000_000)
    url = proxy.through(azurite.sas_url(container, "r"))
    proxy.faults.plan([{"fault": "storage_cut", "at": 70_000, "nth": 2}])

    lengths = []
    for _ in range(3):
        with plain(url, "blob") as answer:
            assert answer.headers["Content-Length"] == "1000000"
            lengths.append(_read_all(answer))

    assert lengths == [1_000_000, 70_000, 1_000_000]


def _read_all(answer: requests.Response) -> int:
    length = 0
    try:
        for chunk in answer.iter_content(1000):
            length += len(chunk)
    except requests.RequestException:
        return length
    return length


@pytest.mark.parametrize("status", [403, 412, 500])
def test_the_nth_range_of_a_blob_is_refused(
    azurite: Azurite, proxy: BlobProxy, status: int
) -> None:
    container = azurite.new_container()
    azurite.upload(container, "folder/blob", b"0123456789")
    url = proxy.through(azurite.sas_url(container, "rl"))
    fault: dict[str, Any] = {"fault": "storage_error", "status": status, "code": "Why"}
    proxy.faults.plan([fault | {"blob": "folder/*", "nth": 2}])

    answers = []
    for start in (0, 4, 8):
        with plain(url, "folder/blob", Range=f"bytes={start}-{start + 3}") as answer:
            answers.append((answer.status_code, answer.content))

    assert answers[0] == (206, b"0123")
    assert answers[1][0] == status
    assert b"<Code>Why</Code>" in answers[1][1]
    assert answers[2] == (206, b"89")


def test_a_storage_that_is_not_there_does_not_answer() -> None:
    with BlobProxy("http://127.0.0.1:1") as proxy, pytest.raises(requests.ConnectionError):
        requests.get(f"{proxy.url}/account/container/blob", timeout=TIMEOUT)


def test_listing_and_writing_are_struck_apart_from_reading(
    azurite: Azurite, proxy: BlobProxy
) -> None:
    url = proxy.through(azurite.sas_url(azurite.new_container(), "rwl"))
    proxy.faults.plan(
        [
            {"fault": "storage_error", "status": 403, "operation": "list"},
            {"fault": "storage_slow", "seconds": 0.2, "operation": "write"},
        ]
    )
    began = time.monotonic()
    with ContainerClient.from_container_url(url, retry_total=0) as inside:
        inside.upload_blob("blob", b"content")
        assert time.monotonic() - began >= 0.2
        with pytest.raises(HttpResponseError, match="injected"):
            list(inside.list_blob_names())
        assert list(inside.list_blob_names()) == ["blob"]


def test_a_large_export_reaches_the_container_whole(
    start: Callable[..., Client], azurite: Azurite
) -> None:
    client = start(devices=300, events_per_session=10.0, compression="gzip", blobs_per_task=2)
    container = azurite.new_container()

    # The task may take longer to write than a question about it waits.
    client.create("events", azurite.sas_url(container, "wl"))
    deadline = time.monotonic() + 2 * TIMEOUT
    while client.simulator.tasks[0].completed is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)

    expected = client.simulator.truth("shop", "events", date(2016, 5, 1), date(2016, 5, 15))
    assert len(client.simulator.tasks[0].blobs) == 2
    assert sorted_records(_events(azurite, container)) == sorted_records(
        {"device_id": one["device_id"], "name": one["name"]} for one in expected
    )


def _events(azurite: Azurite, container: str) -> Iterator[dict[str, Any]]:
    with azurite.client(container) as inside:
        for name in inside.list_blob_names():
            for group in json.loads(gzip.decompress(inside.download_blob(name).readall())):
                for event in group["events"]:
                    yield {"device_id": group["deviceId"], "name": event["name"]}
