"""Listings from a storage that answers by a script: what is taken, and what is refused."""

from __future__ import annotations

import gzip

import pytest

from tap_mobile_engagement.containers import storage as requests_to_storage
from tap_mobile_engagement.containers.azure import AzureContainer
from tap_mobile_engagement.errors import Code, RetryLaterError, SettingsError
from tests.containers.scripted_storage import Answer, ScriptedStorage
from tests.support.times import FakeTime

BLOB = (
    "<Blob><Name>{name}</Name><Properties><Last-Modified>Sun, 08 May 2016 10:00:00 GMT"
    "</Last-Modified><Etag>0x8D</Etag><Content-Length>3</Content-Length>"
    "<BlobType>BlockBlob</BlobType></Properties></Blob>"
)


def page(*names: str, marker: str = "", padding: int = 0) -> Answer:
    blobs = "".join(BLOB.format(name=name) for name in names)
    body = (
        f'<EnumerationResults ServiceEndpoint="s" ContainerName="c"><Blobs>{blobs}</Blobs>'
        f"<NextMarker>{marker}</NextMarker></EnumerationResults>{' ' * padding}"
    )
    return Answer(200, body.encode(), {"Content-Type": "application/xml"})


def listed(storage: ScriptedStorage) -> list[str]:
    container = AzureContainer.from_url(storage.url, clock=FakeTime().timing)
    return [blob.name for blob in container.list()]


def test_pages_are_read_up_to_the_one_without_a_marker() -> None:
    with ScriptedStorage(page("a", marker="1"), page(marker="2"), page("b")) as storage:
        assert listed(storage) == ["a", "b"]


@pytest.mark.parametrize("markers", [["1"], ["1", "2", "1"]])
def test_a_listing_that_leads_back_to_itself_ends(markers: list[str]) -> None:
    pages = [page("a", marker=marker) for marker in markers]
    with (
        ScriptedStorage(*pages) as storage,
        pytest.raises(RetryLaterError, match="leads back") as caught,
    ):
        listed(storage)

    assert caught.value.code == Code.STORAGE_UNAVAILABLE


@pytest.mark.parametrize("lost", ["Name", "Last-Modified", "Etag", "Content-Length"])
def test_a_blob_of_which_something_is_missing_is_no_listing(lost: str) -> None:
    right = page("a")
    cut = right.body.replace(f"<{lost}>".encode(), b"<x>").replace(
        f"</{lost}>".encode(), b"</x>"
    )
    with (
        ScriptedStorage(Answer(200, cut, right.headers)) as storage,
        pytest.raises(RetryLaterError, match="can't be understood") as caught,
    ):
        listed(storage)

    assert caught.value.code == Code.STORAGE_UNAVAILABLE


def test_an_answer_beyond_the_limits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests_to_storage, "ANSWER_BYTES", 100_000)
    with ScriptedStorage(page("a", padding=50_000)) as storage:
        assert listed(storage) == ["a"]
    with (
        ScriptedStorage(page("a", padding=100_000)) as storage,
        pytest.raises(RetryLaterError, match="does not end"),
    ):
        listed(storage)
    monkeypatch.setattr(requests_to_storage, "ANSWER_SECONDS", 0)
    with (
        ScriptedStorage(page("a", padding=50_000)) as storage,
        pytest.raises(RetryLaterError, match="does not end"),
    ):
        listed(storage)


def test_an_answer_that_is_compressed_is_refused_unread() -> None:
    answer = Answer(200, gzip.compress(bytes(1 << 20)), {"Content-Encoding": "gzip"})
    with ScriptedStorage(answer) as storage, pytest.raises(RetryLaterError, match="compressed"):
        listed(storage)

    assert {request["Accept-Encoding"] for request in storage.requests} == {"identity"}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_refused_and_the_sas_stays_here(status: int) -> None:
    with ScriptedStorage(page("a")) as elsewhere:
        answer = Answer(status, headers={"Location": elsewhere.url})
        with (
            ScriptedStorage(answer) as storage,
            pytest.raises(SettingsError, match="redirects") as caught,
        ):
            listed(storage)

    assert caught.value.code == Code.CONTAINER_URL_INVALID
    assert elsewhere.requests == []
    assert len(storage.requests) == 1
