"""A storage account: containers of their own for export tasks."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import AccountSasPermissions, ContainerClient, generate_account_sas
from azure.storage.blob import ResourceTypes as Types

from tap_mobile_engagement.api.destinations import AccountStorage
from tap_mobile_engagement.clock import RETRY, Clock
from tap_mobile_engagement.containers.urls import check_container_url
from tap_mobile_engagement.errors import Code, RetryLaterError, SettingsError
from tap_mobile_engagement.redaction import redact
from tests.containers.scripted_storage import Answer, ScriptedStorage
from tests.support.times import FakeTime

if TYPE_CHECKING:
    from tests.support.azurite import Azurite

NOW = datetime.now(UTC).replace(microsecond=0)
A_DAY = timedelta(days=1)


@pytest.fixture
def account(azurite: Azurite) -> AccountStorage:
    return AccountStorage(azurite.connection_string, timedelta(), clock=Clock(lambda: NOW))


@pytest.fixture
def name() -> str:
    """A name that no container has."""
    return f"task-{uuid.uuid4().hex}"


def sas_connection_string(azurite: Azurite) -> str:
    sas = generate_account_sas(
        azurite.account,
        azurite.key,
        resource_types=Types(container=True, object=True),
        permission=AccountSasPermissions(read=True, list=True),
        expiry=NOW + A_DAY,
    )
    return f"BlobEndpoint={azurite.endpoint};SharedAccessSignature={sas}"


def test_what_the_service_writes_into_a_task_container_the_tap_can_read(
    account: AccountStorage, name: str
) -> None:
    task_url = account.new_task_container(name)

    ContainerClient.from_container_url(task_url).upload_blob("events.json", b"[1]")

    container = account.container(name)
    (blob,) = container.list()
    with container.open(blob) as chunks:
        assert b"".join(chunks) == b"[1]"
    assert container.label.endswith(name)


def test_the_services_sas_allows_writing_and_listing_for_its_lifetime_only(
    account: AccountStorage, name: str
) -> None:
    task_url = account.new_task_container(name)

    end = check_container_url(task_url, needs="wl", now=NOW, setting="task")
    assert end == NOW + A_DAY
    service = ContainerClient.from_container_url(task_url)
    service.upload_blob("events.json", b"[1]")
    with pytest.raises(HttpResponseError, match="Authorization"):
        service.download_blob("events.json")


def test_the_secret_of_a_task_container_is_masked(account: AccountStorage, name: str) -> None:
    task_url = account.new_task_container(name)

    (signature,) = parse_qs(urlsplit(task_url).query)["sig"]
    assert signature not in redact(f"made with {signature}")


def test_a_container_that_was_made_but_is_empty_is_taken(
    account: AccountStorage, name: str
) -> None:
    # given a first try whose answer was lost
    account.new_task_container(name)

    account.new_task_container(name)

    assert list(account.container(name).list()) == []


def test_containers_are_deleted_also_if_they_are_gone(
    azurite: Azurite, account: AccountStorage, name: str
) -> None:
    account.new_task_container(name)
    account.check()

    for _ in range(2):
        account.delete_container(name)

    assert not azurite.client(name).exists()


@pytest.mark.parametrize("wrong", ["", "Events", "a/b", "a--b", "x" * 64, "..", "raw?sig=1"])
def test_what_can_be_no_container_is_refused(account: AccountStorage, wrong: str) -> None:
    with pytest.raises(RetryLaterError) as caught:
        account.new_task_container(wrong)

    assert caught.value.code == Code.TASK_LOST


def test_a_connection_string_with_a_sas_instead_of_the_key_is_refused(azurite: Azurite) -> None:
    with pytest.raises(SettingsError, match="storage_connection_string") as caught:
        AccountStorage(sas_connection_string(azurite), timedelta())

    assert caught.value.code == Code.BAD_SETTING


def test_an_endpoint_that_no_container_can_be_below_is_refused_before_one_is_made() -> None:
    with ScriptedStorage(Answer(201)) as storage:
        endpoint = storage.url.partition("/container")[0] + "/folder"
        account = AccountStorage(
            f"AccountName=account;AccountKey=c2VjcmV0;BlobEndpoint={endpoint}", timedelta()
        )

        with pytest.raises(SettingsError, match="storage_connection_string") as caught:
            account.new_task_container("events-1")

    assert caught.value.code == Code.CONTAINER_URL_INVALID
    assert not storage.requests


def test_an_account_that_fails_each_time_does_not_pass_its_check() -> None:
    with ScriptedStorage(Answer(503)) as storage:
        account = AccountStorage(
            "DefaultEndpointsProtocol=http;AccountName=account;AccountKey=c2VjcmV0;"
            f"BlobEndpoint={storage.url.partition('/container')[0]}",
            timedelta(),
            clock=FakeTime().timing,
        )

        with pytest.raises(RetryLaterError) as caught:
            account.check()

    assert caught.value.code == Code.STORAGE_UNAVAILABLE
    assert len(storage.requests) == RETRY.tries


def test_a_wrong_key_is_refused_without_showing_it(azurite: Azurite, name: str) -> None:
    key = "d3Jvbmcta2V5LXdyb25nLWtleQ=="
    account = AccountStorage(azurite.connection_string.replace(azurite.key, key), timedelta())

    with pytest.raises(SettingsError, match="account key") as caught:
        account.new_task_container(name)

    assert caught.value.code == Code.CONTAINER_ACCESS_DENIED
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://account.blob.core.windows.net",
        "AccountName=a",
        "AccountKey=c2VjcmV0a2V5",
        "AccountName=a;AccountKey=not base64 c2VjcmV0a2V5!",
        "DefaultEndpointsProtocol=https;AccountKey=c2VjcmV0a2V5",
    ],
)
def test_what_is_no_connection_string_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(SettingsError, match="storage_connection_string") as caught:
        AccountStorage(text, timedelta())

    assert caught.value.code == Code.BAD_SETTING
    assert "c2VjcmV0a2V5" not in str(caught.value)
    assert caught.value.__suppress_context__
