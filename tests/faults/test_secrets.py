"""A whole sync at DEBUG, with every failure that talks to a server: no secret gets out."""

from __future__ import annotations

import os
import secrets
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tap_mobile_engagement.simulator import BlobProxy
from tests.faults.commands import command_line
from tests.support.simulated import settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.azurite import Azurite
    from tests.support.simulated import StartSimulator

pytestmark = pytest.mark.azurite

PATIENCE = 180.0  # seconds, on a busy machine
CLIENT_SECRET = "marked+client/secret=~1"
ACCESS_TOKEN = "marked-access.token_of-these.tests"
_POST = {"method": "POST", "path": "*/exportTasks/*"}

# What the service or the storage does, so that every kind of error is told.
FAULTS: dict[str, list[dict[str, Any]]] = {
    "nothing": [],
    "lost answer": [{"fault": "lost_answer", **_POST}],
    "refused": [{"fault": "error_answer", "status": 400, "message": "{url}", **_POST}],
    "token refused": [
        {"fault": "error_answer", "status": 401, "path": "*/oauth2/*", "times": 0}
    ],
    "service down": [{"fault": "refused", "path": "*/exportTasks/*-*", "nth": 2, "times": 3}],
    "task fails": [{"fault": "task_fails", "error_details": "can't write {url}", "times": 3}],
    "truncated": [{"fault": "blob_truncated", "at": -3}],
    "bad record": [{"fault": "bad_element", "raw": '{"deviceId": [1]}', "times": 0}],
}
STORAGE_FAULTS: dict[str, list[dict[str, Any]]] = {
    "storage refuses": [{"fault": "storage_error", "status": 403, "times": 0}],
    "storage breaks": [{"fault": "storage_cut", "at": 10, "times": 2}],
    "listing refused": [
        {"fault": "storage_error", "status": 403, "operation": "list", "times": 0}
    ],
}


@pytest.fixture(autouse=True)
def marked_access_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every access token of a simulator is one that can be looked for."""
    monkeypatch.setattr(secrets, "token_urlsafe", lambda _: ACCESS_TOKEN)


def run_at_debug(settings: dict[str, Any], folder: Path) -> str:
    """All that a run writes to both outputs, at the level that tells most."""
    done = subprocess.run(
        command_line({**settings, "window_days": 14}, folder),
        capture_output=True,
        env={
            **os.environ,
            "LOGLEVEL": "DEBUG",
            "TAP_MOBILE_ENGAGEMENT_LOGLEVEL": "DEBUG",
            "PYTHONASYNCIODEBUG": "1",
        },
        check=False,
        timeout=PATIENCE,
    )
    output = (done.stdout + done.stderr).decode(errors="replace")
    assert "DEBUG" in output
    return output


def spellings(secret: str) -> Iterator[str]:
    """A secret as it may stand in a text, in whole or in its greater part."""
    for spelling in (secret, quote(secret, safe=""), quote(quote(secret, safe=""), safe="")):
        yield spelling
        yield spelling[: len(spelling) * 3 // 4]


def assert_hidden(output: str, *more: str) -> None:
    for secret in (CLIENT_SECRET, ACCESS_TOKEN, *more):
        for spelling in spellings(secret):
            at = output.find(spelling)
            assert at < 0, f"a secret is told: {output[max(0, at - 300) : at]}<HERE>"


def with_url(faults: list[dict[str, Any]], url: str) -> list[dict[str, Any]]:
    """The plan, with the container's URL in what the service says, as some services do."""
    return [
        {
            name: value.format(url=url) if name in {"message", "error_details"} else value
            for name, value in fault.items()
        }
        for fault in faults
    ]


@pytest.mark.parametrize("name", FAULTS)
def test_no_secret_gets_out_by_way_of_the_service(
    start_simulator: StartSimulator, azurite: Azurite, tmp_path: Path, name: str
) -> None:
    url = azurite.sas_url(azurite.new_container(), "rwl")
    simulator = start_simulator(*with_url(FAULTS[name], url), client_secret=CLIENT_SECRET)

    output = run_at_debug(settings_for(simulator, url), tmp_path)

    (signature,) = parse_qs(urlsplit(url).query)["sig"]
    assert_hidden(output, signature)


@pytest.mark.parametrize("name", STORAGE_FAULTS)
def test_no_secret_gets_out_by_way_of_the_storage(
    start_simulator: StartSimulator, azurite: Azurite, tmp_path: Path, name: str
) -> None:
    url = azurite.sas_url(azurite.new_container(), "rwl")
    simulator = start_simulator(client_secret=CLIENT_SECRET)
    faults = STORAGE_FAULTS[name]
    with BlobProxy(azurite.endpoint.rpartition("/")[0], faults=faults) as proxy:
        settings = settings_for(simulator, proxy.through(url), task_container_url=url)
        output = run_at_debug(settings, tmp_path)

    (signature,) = parse_qs(urlsplit(url).query)["sig"]
    assert_hidden(output, signature)


def test_no_account_key_gets_out(
    start_simulator: StartSimulator, azurite: Azurite, tmp_path: Path
) -> None:
    simulator = start_simulator(client_secret=CLIENT_SECRET)
    settings = settings_for(
        simulator, None, storage_connection_string=azurite.connection_string
    )

    output = run_at_debug(settings, tmp_path)

    assert "sig=" not in output.replace("sig=***", "")
    assert_hidden(output, azurite.key, azurite.connection_string)
