"""Downloads from a storage that answers by a script: what is taken, retried, or refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tap_mobile_engagement.containers import Blob
from tap_mobile_engagement.containers.azure import AzureContainer
from tap_mobile_engagement.errors import Code, DataError, RetryLaterError, TapError
from tests.containers.scripted_storage import Answer, ScriptedStorage
from tests.support.times import FakeTime

BLOB = Blob("events.json", 10, "0x8D", datetime(2026, 5, 8, tzinfo=UTC))


def read(container: AzureContainer, blob: Blob) -> bytes:
    with container.open(blob) as chunks:
        return b"".join(chunks)


def whole(body: bytes = b"0123456789") -> Answer:
    return Answer(200, body, {"ETag": '"0x8D"'})


def part(
    start: int,
    body: bytes,
    *,
    total: int = 10,
    etag: str = '"0x8D"',
    claimed: int | None = None,
) -> Answer:
    """A range of the blob, with the length that it claims to have."""
    length = len(body) if claimed is None else claimed
    headers = {
        "ETag": etag,
        "Content-Range": f"bytes {start}-{start + length - 1}/{total}",
        "Content-Length": str(length),
    }
    return Answer(206, body, headers)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_storage_that_is_busy_is_asked_again(status: int) -> None:
    time = FakeTime()
    busy = Answer(status, b"<html>busy</html>", {"Content-Type": "text/html"})
    with ScriptedStorage(busy, busy, part(0, b"0123456789")) as storage:
        container = AzureContainer.from_url(storage.url, clock=time.timing)

        assert read(container, BLOB) == b"0123456789"

    assert time.pauses == [1, 2]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, Code.STORAGE_UNAVAILABLE),
        (401, Code.CONTAINER_ACCESS_DENIED),
        (403, Code.CONTAINER_ACCESS_DENIED),
        (404, Code.BLOB_MISSING),
        (409, Code.BLOB_ARCHIVED),
        (501, Code.STORAGE_UNAVAILABLE),
    ],
)
def test_what_another_try_would_not_mend_is_told_at_once(status: int, code: Code) -> None:
    headers = {"x-ms-error-code": "SomeWord", "x-ms-request-id": "4711"}
    script = (part(0, b"0123"), Answer(status, b"<html>no</html>", headers))
    time = FakeTime()
    with ScriptedStorage(*script) as storage:
        container = AzureContainer.from_url(storage.url, clock=time.timing)

        with pytest.raises(TapError) as caught:
            read(container, BLOB)

    assert caught.value.code == code
    assert f"status={status}, reason=SomeWord, request=4711" in str(caught.value)
    assert "offset=4" in str(caught.value)
    assert len(time.pauses) == 1  # after the answer that came short


def test_a_range_that_comes_short_goes_on_behind_it() -> None:
    script = (part(0, b"0123"), part(4, b"456789"))
    with ScriptedStorage(*script) as storage:
        container = AzureContainer.from_url(storage.url, clock=FakeTime().timing)

        assert read(container, BLOB) == b"0123456789"

    assert [request["Range"] for request in storage.requests] == ["bytes=0-9", "bytes=4-9"]
    assert {request["If-Match"] for request in storage.requests} == {'"0x8D"'}


def test_a_body_shorter_than_it_claims_is_never_taken_for_whole() -> None:
    with ScriptedStorage(part(0, b"0123", claimed=10)) as storage:
        container = AzureContainer.from_url(storage.url, clock=FakeTime().timing)

        with pytest.raises(RetryLaterError) as caught:
            read(container, BLOB)

    assert caught.value.code == Code.STORAGE_UNAVAILABLE


def test_a_server_that_sends_all_instead_of_a_range_will_do() -> None:
    with ScriptedStorage(whole()) as storage:
        container = AzureContainer.from_url(storage.url)
        container.request_bytes = 4

        assert read(container, BLOB) == b"0123456789"

    assert len(storage.requests) == 1


def test_an_answer_that_begins_elsewhere_is_not_taken() -> None:
    with ScriptedStorage(part(0, b"0123"), part(0, b"456789")) as storage:
        container = AzureContainer.from_url(storage.url, clock=FakeTime().timing)

        with pytest.raises(RetryLaterError, match="begins at byte 0, not at 4") as caught:
            read(container, BLOB)

    assert caught.value.code == Code.STORAGE_UNAVAILABLE


@pytest.mark.parametrize(
    "answer",
    [
        part(0, b"01234567", total=8),
        part(0, b"0123456789", total=12),
        whole(b"01234567"),
        whole(b"0123456789AB"),
        part(0, b"0123456789AB", total=10),
    ],
)
def test_a_blob_of_another_length_than_listed_is_truncated(answer: Answer) -> None:
    with ScriptedStorage(answer) as storage:
        container = AzureContainer.from_url(storage.url, clock=FakeTime().timing)

        with pytest.raises(DataError) as caught:
            read(container, BLOB)

    assert caught.value.code == Code.BLOB_TRUNCATED
    assert "10 bytes" in str(caught.value)


def test_an_answer_of_another_version_is_not_taken() -> None:
    with ScriptedStorage(part(0, b"0123456789", etag='"0x8E"')) as storage:
        container = AzureContainer.from_url(storage.url, clock=FakeTime().timing)

        with pytest.raises(RetryLaterError) as caught:
            read(container, BLOB)

    assert caught.value.code == Code.BLOB_CHANGED
