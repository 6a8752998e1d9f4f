"""A container in Blob Storage: listing, checking, and what refusals mean."""

from __future__ import annotations

import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
import pytest

from tap_mobile_engagement.clock import Clock
from tap_mobile_engagement.containers import open_container
from tap_mobile_engagement.containers.azure import AzureContainer
from tap_mobile_engagement.errors import Code, RetryLaterError, SettingsError
from tap_mobile_engagement.redaction import install_log_redaction
from tests.support.times import FakeTime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_mobile_engagement.containers import Blob
    from tests.support.azurite import Azurite

AN_HOUR = timedelta(hours=1)


@pytest.fixture
def name(azurite: Azurite) -> str:
    """An empty container."""
    return azurite.new_container()


@pytest.fixture
def log_factory() -> Iterator[None]:
    """Puts back how log records are made."""
    before = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(before)


def read(container: AzureContainer, blob: Blob) -> bytes:
    with container.open(blob) as chunks:
        return b"".join(chunks)


def refusal_of(action: object) -> SettingsError:
    assert callable(action)
    with pytest.raises(SettingsError) as caught:
        action()
    return caught.value


def test_blobs_are_listed_with_name_size_and_arrival(azurite: Azurite, name: str) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    azurite.upload(name, "2016/05/events.json", b"[1, 2]")
    container = AzureContainer.from_url(azurite.sas_url(name))

    (blob,) = container.list()

    assert blob.name == "2016/05/events.json"
    assert blob.size == 6
    assert before < blob.arrived < datetime.now(UTC) + timedelta(seconds=2)
    assert blob.arrived.utcoffset() == timedelta(0)
    assert blob.etag
    assert '"' not in blob.etag


def test_a_blob_can_be_read_from_any_byte_on(azurite: Azurite, name: str) -> None:
    azurite.upload(name, "a", b"012345")
    container = AzureContainer.from_url(azurite.sas_url(name))
    container.request_bytes = 2
    (blob,) = container.list()
    for start in range(6):
        with container.open(blob, start) as chunks:
            assert b"".join(chunks) == b"012345"[start:]


def test_only_names_with_the_prefix_are_listed(azurite: Azurite, name: str) -> None:
    for blob_name in ("events/1", "events/2", "jobs/1"):
        azurite.upload(name, blob_name, b"[]")
    container = AzureContainer.from_url(azurite.sas_url(name))

    assert [blob.name for blob in container.list("events/")] == ["events/1", "events/2"]


def test_an_unusual_name_is_read_by_the_name_under_which_it_was_listed(
    azurite: Azurite, name: str
) -> None:
    unusual = "für alle/100% & 2?=#+~'.json"
    azurite.upload(name, unusual, b"[1]")
    container = AzureContainer.from_url(azurite.sas_url(name))

    (blob,) = container.list()

    assert blob.name == unusual
    assert read(container, blob) == b"[1]"


def test_the_label_is_the_url_without_its_sas(azurite: Azurite, name: str) -> None:
    container = open_container(azurite.sas_url(name))

    assert container.label == f"{azurite.endpoint}/{name}"


def test_a_url_whose_signature_was_copied_unquoted_still_works(
    azurite: Azurite, name: str
) -> None:
    # given a signature with a plus sign, which one in three has
    ends = (AN_HOUR + timedelta(seconds=n) for n in range(1000))
    url = next(u for end in ends if "%2B" in (u := azurite.sas_url(name, expires_in=end)))

    container = AzureContainer.from_url(url.replace("%2B", "+"))

    container.check()


def test_the_check_passes_with_the_right_to_list(azurite: Azurite, name: str) -> None:
    AzureContainer.from_url(azurite.sas_url(name, "l")).check()


@pytest.mark.parametrize("ask", ["check", "list"])
def test_without_the_right_to_list_that_right_is_named(
    azurite: Azurite, name: str, ask: str
) -> None:
    container = AzureContainer.from_url(azurite.sas_url(name, "r"))

    error = refusal_of(lambda: list(getattr(container, ask)() or ()))

    assert error.code == Code.SAS_PERMISSION_MISSING
    assert "list" in str(error)
    assert f"container={azurite.endpoint}/{name}" in str(error)


def test_without_the_right_to_read_that_right_is_named(azurite: Azurite, name: str) -> None:
    azurite.upload(name, "events.json", b"[1]")
    container = AzureContainer.from_url(azurite.sas_url(name, "l"))
    (blob,) = container.list()

    error = refusal_of(lambda: read(container, blob))

    assert error.code == Code.SAS_PERMISSION_MISSING
    assert "read" in str(error)
    assert "blob=events.json" in str(error)


def test_a_sas_that_has_ended_is_told_with_its_end(azurite: Azurite, name: str) -> None:
    container = AzureContainer.from_url(azurite.sas_url(name, expires_in=-AN_HOUR))

    error = refusal_of(container.check)

    assert error.code == Code.SAS_EXPIRED
    assert f"{datetime.now(UTC) - AN_HOUR:%Y-%m-%dT}" in str(error)


def test_the_servers_clock_counts_where_this_machines_is_behind(
    azurite: Azurite, name: str
) -> None:
    container = AzureContainer.from_url(
        azurite.sas_url(name, expires_in=-AN_HOUR),
        clock=Clock(lambda: datetime(2016, 5, 8, tzinfo=UTC)),
    )

    assert refusal_of(container.check).code == Code.SAS_EXPIRED


def test_a_forged_sas_is_refused_without_its_signature_in_the_message(
    azurite: Azurite, name: str
) -> None:
    signature = "Zm9yZ2VkLWZvcmdlZC1mb3JnZWQtZm9yZ2VkLQ=="
    base = azurite.sas_url(name).partition("&sig=")[0]
    container = AzureContainer.from_url(f"{base}&sig={quote(signature, safe='')}")

    error = refusal_of(container.check)

    assert error.code == Code.CONTAINER_ACCESS_DENIED
    assert "request=" in str(error)
    assert signature not in str(error)


def test_a_container_that_is_not_there_is_not_found(azurite: Azurite) -> None:
    container = AzureContainer.from_url(azurite.sas_url("nobody-made-it"))

    assert refusal_of(container.check).code == Code.CONTAINER_NOT_FOUND


def test_a_listing_asks_for_its_pages_one_by_one(
    azurite: Azurite,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # given pages of two blobs, and the log that has a line for each request
    for number in range(5):
        azurite.upload(name, f"{number}", b"[]")
    container = AzureContainer.from_url(azurite.sas_url(name))
    small_pages = partial(container.client.list_blobs, results_per_page=2)
    monkeypatch.setattr(container.client, "list_blobs", small_pages)

    caplog.set_level(logging.DEBUG, logger="urllib3.connectionpool")
    caplog.clear()

    listing = container.list()
    assert caplog.text.count("comp=list") == 0
    assert next(listing).name == "0"
    assert caplog.text.count("comp=list") == 1
    assert [blob.name for blob in listing] == ["1", "2", "3", "4"]
    assert caplog.text.count("comp=list") == 3


def test_a_host_that_does_not_answer_is_told_after_one_short_pause() -> None:
    time = FakeTime()
    container = AzureContainer.from_url(
        "http://127.0.0.1:9/account/raw?sv=2020-02-10&sr=c&sp=rl&se=2100-01-01&sig=c2VjcmV0",
        clock=time.timing,
    )

    with pytest.raises(RetryLaterError) as caught:
        container.check()

    assert caught.value.code == Code.STORAGE_UNAVAILABLE
    assert time.pauses == [1]
    assert "c2VjcmV0" not in str(caught.value)


def test_a_changed_blob_object_of_the_wrong_version_is_refused(
    azurite: Azurite, name: str
) -> None:
    azurite.upload(name, "events.json", b"[1]")
    container = AzureContainer.from_url(azurite.sas_url(name))
    (blob,) = container.list()

    with pytest.raises(RetryLaterError) as caught:
        read(container, msgspec.structs.replace(blob, etag="0x8D000000000"))

    assert caught.value.code == Code.BLOB_CHANGED


@pytest.mark.usefixtures("log_factory")
def test_no_log_of_any_library_holds_the_signature(
    azurite: Azurite, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    install_log_redaction()
    caplog.set_level(logging.DEBUG)
    azurite.upload(name, "events.json", b"[1]")
    url = azurite.sas_url(name)
    (signature,) = parse_qs(urlsplit(url).query)["sig"]
    caplog.clear()
    container = AzureContainer.from_url(url)

    for blob in container.list():
        read(container, blob)

    assert "GET" in caplog.text  # the libraries do log their requests
    assert signature not in caplog.text
    assert quote(signature, safe="") not in caplog.text


def test_the_azure_sdk_is_not_loaded_before_it_is_needed() -> None:
    program = (
        "import sys, tap_mobile_engagement.tap, tap_mobile_engagement.containers as c; "
        "import tap_mobile_engagement.sources.archive; "
        "c.open_container('file:///'); "
        "assert 'azure.storage.blob' not in sys.modules; "
        "import tap_mobile_engagement.containers.azure; "
        "assert 'azure.storage.blob' in sys.modules"
    )

    done = subprocess.run([sys.executable, "-c", program], check=False)

    assert done.returncode == 0
