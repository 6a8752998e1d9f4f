"""Downloads: every byte of one version of a blob exactly once, or an error."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from azure.storage.blob import AccessPolicy, ContainerSasPermissions, ContentSettings

from tap_mobile_engagement.api.destinations import AccountStorage
from tap_mobile_engagement.clock import Clock
from tap_mobile_engagement.containers import CHUNK_BYTES
from tap_mobile_engagement.containers.azure import AzureContainer
from tap_mobile_engagement.errors import (
    Code,
    DataError,
    RetryLaterError,
    SettingsError,
)
from tests.support.proxy import CuttingProxy
from tests.support.times import FakeTime

if TYPE_CHECKING:
    from tap_mobile_engagement.containers import Blob
    from tests.support.azurite import Azurite

MIB = 1024 * 1024
ALL_PAUSES = (1, 2, 4, 8, 16, 32, 60)


@pytest.fixture
def name(azurite: Azurite) -> str:
    """An empty container."""
    return azurite.new_container()


def read(container: AzureContainer, blob: Blob) -> bytes:
    with container.open(blob) as chunks:
        return b"".join(chunks)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES + 1, 40_000_000])
def test_content_comes_exactly_and_in_chunks(azurite: Azurite, name: str, size: int) -> None:
    content = os.urandom(size)
    azurite.upload(name, "events.json", content)
    container = AzureContainer.from_url(azurite.sas_url(name))
    (blob,) = container.list()

    with container.open(blob) as chunks:
        found = list(chunks)

    assert b"".join(found) == content
    assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in found)


@pytest.mark.parametrize("size", [4 * MIB - 1, 4 * MIB, 4 * MIB + 1])
def test_content_comes_exactly_where_requests_meet(
    azurite: Azurite, name: str, size: int
) -> None:
    content = os.urandom(size)
    azurite.upload(name, "events.json", content)
    container = AzureContainer.from_url(azurite.sas_url(name))
    container.request_bytes = MIB
    (blob,) = container.list()

    assert read(container, blob) == content


def test_a_blob_is_read_with_an_account_key(azurite: Azurite, name: str) -> None:
    azurite.upload(name, "für alle.json", b"[1]")
    container = AccountStorage(azurite.connection_string, timedelta()).container(name)
    (blob,) = container.list()

    assert read(container, blob) == b"[1]"


def test_a_blob_that_says_it_is_compressed_comes_as_it_is_stored(
    azurite: Azurite, name: str
) -> None:
    stored = b"\x1f\x8b not decompressed on the way"
    azurite.client(name).upload_blob(
        "events.json", stored, content_settings=ContentSettings(content_encoding="gzip")
    )
    container = AzureContainer.from_url(azurite.sas_url(name))
    (blob,) = container.list()

    assert read(container, blob) == stored


def test_a_connection_cut_in_the_middle_goes_on_behind_the_last_byte(
    azurite: Azurite, name: str
) -> None:
    # given connections that break after 3 MB, after some bytes, and before the first
    content = os.urandom(10_000_000)
    azurite.upload(name, "events.json", content)
    time = FakeTime()
    (blob,) = AzureContainer.from_url(azurite.sas_url(name)).list()

    with CuttingProxy(azurite.port, [3_000_000, 5_000, 0]) as proxy:
        container = AzureContainer.from_url(
            proxy.in_front_of(azurite.sas_url(name)), clock=time.timing
        )
        found = read(container, blob)

    assert found == content
    assert proxy.connections == 4
    assert time.pauses == [1, 1, 2]  # progress forgives what failed before


def test_a_connection_that_never_lives_long_gets_the_blob_through(
    azurite: Azurite, name: str
) -> None:
    # given many more cuts than tries, but always with some progress in between
    content = os.urandom(20_000_000)
    azurite.upload(name, "events.json", content)
    time = FakeTime()
    (blob,) = AzureContainer.from_url(azurite.sas_url(name)).list()

    with CuttingProxy(azurite.port, [1_500_000] * 20) as proxy:
        container = AzureContainer.from_url(
            proxy.in_front_of(azurite.sas_url(name)), clock=time.timing
        )
        assert read(container, blob) == content

    assert len(time.pauses) > len(ALL_PAUSES)
    assert set(time.pauses) == {1}


def test_a_storage_that_stays_away_is_told_when_the_tries_are_used_up(
    azurite: Azurite, name: str
) -> None:
    azurite.upload(name, "events.json", b"[1]")
    time = FakeTime()
    (blob,) = AzureContainer.from_url(azurite.sas_url(name)).list()

    with CuttingProxy(azurite.port, [0] * 100) as proxy:
        container = AzureContainer.from_url(
            proxy.in_front_of(azurite.sas_url(name)), clock=time.timing
        )
        with pytest.raises(RetryLaterError) as caught:
            read(container, blob)

    assert caught.value.code == Code.STORAGE_UNAVAILABLE
    assert tuple(time.pauses) == ALL_PAUSES


def test_a_listing_survives_a_connection_that_breaks(azurite: Azurite, name: str) -> None:
    azurite.upload(name, "events.json", b"[1]")

    for cut in (0, 10, 100, 200, 400, 600):  # before, in and behind the headers
        with CuttingProxy(azurite.port, [cut, cut]) as proxy:
            container = AzureContainer.from_url(
                proxy.in_front_of(azurite.sas_url(name)), clock=FakeTime().timing
            )
            assert [blob.name for blob in container.list()] == ["events.json"]
            assert proxy.connections == 3


@pytest.mark.parametrize("cut", [0, 10, 100, 200, 300, 400, 500, 600, 700])
def test_a_download_survives_a_connection_that_breaks_within_the_headers(
    azurite: Azurite, name: str, cut: int
) -> None:
    azurite.upload(name, "events.json", b"[1]" * 1000)
    (blob,) = AzureContainer.from_url(azurite.sas_url(name)).list()

    with CuttingProxy(azurite.port, [cut, cut]) as proxy:
        container = AzureContainer.from_url(
            proxy.in_front_of(azurite.sas_url(name)), clock=FakeTime().timing
        )
        assert read(container, blob) == b"[1]" * 1000
        assert proxy.connections == 3


def test_a_blob_overwritten_during_the_download_is_detected(
    azurite: Azurite, name: str
) -> None:
    azurite.upload(name, "events.json", bytes(3 * MIB))
    container = AzureContainer.from_url(azurite.sas_url(name))
    container.request_bytes = MIB
    (blob,) = container.list()

    with container.open(blob) as chunks:
        next(chunks)
        azurite.upload(name, "events.json", bytes(3 * MIB))
        with pytest.raises(RetryLaterError) as caught:
            list(chunks)

    assert caught.value.code == Code.BLOB_CHANGED
    assert "blob=events.json" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[1]"])
def test_a_blob_overwritten_before_the_download_gives_nothing(
    azurite: Azurite, name: str, content: bytes
) -> None:
    azurite.upload(name, "events.json", content)
    container = AzureContainer.from_url(azurite.sas_url(name))
    (blob,) = container.list()
    azurite.upload(name, "events.json", b"[1, 2]")

    with container.open(blob) as chunks, pytest.raises(RetryLaterError) as caught:
        next(chunks)

    assert caught.value.code == Code.BLOB_CHANGED


def test_a_blob_that_is_gone_is_told(azurite: Azurite, name: str) -> None:
    azurite.upload(name, "events.json", b"[1]")
    container = AzureContainer.from_url(azurite.sas_url(name))
    (blob,) = container.list()
    azurite.client(name).delete_blob("events.json")

    with pytest.raises(RetryLaterError) as caught:
        read(container, blob)

    # (Azurite 3.37 answers 412 for a version of what does not exist)
    assert caught.value.code in {Code.BLOB_MISSING, Code.BLOB_CHANGED}


def test_a_blob_in_the_archive_tier_is_known_from_the_listing_and_from_the_answer(
    azurite: Azurite, name: str
) -> None:
    azurite.upload(name, "events.json", b"[1]")
    azurite.client(name).get_blob_client("events.json").set_standard_blob_tier("Archive")
    container = AzureContainer.from_url(azurite.sas_url(name))
    (blob,) = container.list()

    assert blob.problem is not None
    for listed in (blob, msgspec.structs.replace(blob, problem=None)):
        with pytest.raises(DataError, match=r"archive tier.*blob=events\.json") as caught:
            read(container, listed)
        assert caught.value.code == Code.BLOB_ARCHIVED


@pytest.mark.parametrize(
    ("minutes_later", "code"),
    [(0, Code.CONTAINER_ACCESS_DENIED), (61, Code.SAS_EXPIRED)],
)
def test_a_right_that_ends_during_the_download_is_told_with_the_way_on(
    azurite: Azurite, name: str, minutes_later: int, code: Code
) -> None:
    # given a SAS whose policy can be taken away
    azurite.upload(name, "events.json", bytes(3 * MIB))
    policy = AccessPolicy(permission=ContainerSasPermissions(read=True, list=True))
    azurite.client(name).set_container_access_policy({"reader": policy})
    now = [datetime.now(UTC)]
    container = AzureContainer.from_url(
        azurite.sas_url(name, None, policy="reader"),
        clock=Clock(lambda: now[0]),
    )
    container.request_bytes = MIB
    (blob,) = container.list()

    with container.open(blob) as chunks:
        next(chunks)
        azurite.client(name).set_container_access_policy({})
        now[0] += timedelta(minutes=minutes_later)
        with pytest.raises(SettingsError) as caught:
            list(chunks)

    assert caught.value.code == code
    if code == Code.SAS_EXPIRED:
        assert "new SAS" in str(caught.value)
        assert "continues where this run stopped" in str(caught.value)


def test_several_threads_read_from_one_container_at_once(azurite: Azurite, name: str) -> None:
    contents = {f"{number}.json": os.urandom(1_000_000 + number) for number in range(16)}
    for blob_name, content in contents.items():
        azurite.upload(name, blob_name, content)
    container = AzureContainer.from_url(azurite.sas_url(name))
    container.request_bytes = 100_000
    blobs = list(container.list())

    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda blob: read(container, blob), blobs)

    assert {blob.name: content for blob, content in zip(blobs, found, strict=True)} == contents


def test_a_download_given_up_early_leaves_the_container_usable(
    azurite: Azurite, name: str
) -> None:
    content = os.urandom(8 * MIB)
    azurite.upload(name, "events.json", content)
    container = AzureContainer.from_url(azurite.sas_url(name))
    (blob,) = container.list()

    for _ in range(20):
        with container.open(blob) as chunks:
            next(chunks)

    assert read(container, blob) == content
