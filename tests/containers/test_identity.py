"""A container whose URL carries no SAS is read as an identity of Microsoft Entra ID."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from tap_mobile_engagement.archive import Archive
from tap_mobile_engagement.containers import open_container
from tap_mobile_engagement.containers.azure import AzureContainer
from tap_mobile_engagement.errors import Code, SettingsError
from tap_mobile_engagement.redaction import redact
from tests.support.packaging import run
from tests.support.simulated import COMMAND

if TYPE_CHECKING:
    from pathlib import Path

    from azure.core.credentials import TokenCredential

    from tests.support.azurite import Azurite

EVENTS = b'[{"deviceId": "d1", "events": [{"name": "a", "timestamp": "2016-05-01"}]}]'


def jwt(**changes: Any) -> str:
    """A token as Entra ID gives it, save for its signature."""
    now = int(time.time())
    claims = {
        "aud": "https://storage.azure.com",
        "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + 3600,
    } | changes
    parts = ({"alg": "RS256", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()) for part in parts]
    return b".".join([*(part.rstrip(b"=") for part in encoded), b"c2lnbmF0dXJl"]).decode()


class Credential:
    """Gives one token, and remembers what was asked for."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        self.scopes += scopes
        return AccessToken(self.token, int(time.time()) + 3600)


class NoCredential:
    """Says why it gives no token, as the SDK's own say it: in several lines."""

    def get_token(self, *_: str, **__: object) -> AccessToken:
        raise ClientAuthenticationError("no token today:\n\tplease sign in")


@pytest.fixture
def url(https_azurite: Azurite) -> str:
    """The URL of a container with a blob of 3 MB and one with events."""
    name = https_azurite.new_container()
    https_azurite.upload(name, "2016/big", b"x" * 3_000_000)
    https_azurite.upload(name, "events.json", EVENTS)
    return f"{https_azurite.endpoint}/{name}"


def opened(url: str, credential: TokenCredential) -> AzureContainer:
    container = AzureContainer.from_url(url, credential=credential)
    container.request_bytes = 1_000_000
    return container


def test_blobs_are_listed_and_read(url: str) -> None:
    credential = Credential(jwt())
    container = opened(url, credential)
    container.check()

    contents = {}
    for blob in container.list():
        with container.open(blob) as chunks:
            contents[blob.name] = b"".join(chunks)

    assert contents == {"2016/big": b"x" * 3_000_000, "events.json": EVENTS}
    assert {*credential.scopes} == {"https://storage.azure.com/.default"}
    assert container.label == url
    assert redact(f"sent {credential.token}") == "sent ***"


def test_the_library_reads_with_an_identity_too(url: str) -> None:
    with Archive(url, credential=Credential(jwt())) as archive:
        (file,) = archive.files("events")
        with archive.open(file) as chunks:
            assert b"".join(chunks) == EVENTS


@pytest.mark.parametrize(
    "changes", [{"exp": 1500000000}, {"aud": "https://management.azure.com"}], ids=str
)
def test_a_token_that_the_storage_refuses_is_told_with_the_role(
    url: str, changes: dict[str, Any]
) -> None:
    container = opened(url, Credential(jwt(**changes)))

    with pytest.raises(SettingsError) as caught:
        container.check()

    assert caught.value.code == Code.CONTAINER_ACCESS_DENIED
    assert "Storage Blob Data Reader" in str(caught.value)
    assert f"container={url}" in str(caught.value)


def test_a_credential_that_gives_no_token_is_told_on_one_line(url: str) -> None:
    container = opened(url, NoCredential())

    with pytest.raises(SettingsError) as caught:
        container.check()

    assert caught.value.code == Code.AUTH_FAILED
    assert "no token today: please sign in" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sas_goes_before_an_identity(azurite: Azurite) -> None:
    container = open_container(
        azurite.sas_url(azurite.new_container()), credential=NoCredential()
    )

    container.check()


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)

    with pytest.raises(SettingsError) as caught:
        open_container("https://exports.blob.core.windows.net/raw")

    assert caught.value.code == Code.CONTAINER_URL_INVALID
    assert "pip install 'tap-mobile-engagement[identity]'" in str(caught.value)
    assert "no SAS" in str(caught.value)


def environment(folder: Path, az: str) -> dict[str, str]:
    """An environment whose ``az`` is this script."""
    program = folder / "az"
    program.write_text(f"#!/bin/sh\n{az}\n")
    program.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    # Of all that the SDK looks through, what asks ``az``: the rest asks the network.
    return {**os.environ, "PATH": path, "AZURE_TOKEN_CREDENTIALS": "AzureCliCredential"}


def test_the_tap_reads_as_the_identity_of_the_environment(url: str, tmp_path: Path) -> None:
    token = {"accessToken": jwt(), "expiresOn": "2100-01-01 00:00:00.000000"}
    env = environment(tmp_path, f"echo '{json.dumps(token)}'")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"source": "archive", "container_url": url}))

    written = run(COMMAND, "--config", config, env=env)

    messages = map(json.loads, written.splitlines())
    records = [each["record"] for each in messages if each["type"] == "RECORD"]
    assert [record["name"] for record in records] == ["a"]


def test_a_failed_sign_in_is_one_line(url: str, tmp_path: Path) -> None:
    env = environment(tmp_path, "echo 'ERROR: Please run az login' >&2; exit 1")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"source": "archive", "container_url": url}))

    done = subprocess.run(
        [COMMAND, "--config", config], env=env, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "AUTH_FAILED" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
