"""Wrong settings and rights that are missing: one clear message, before anything is created."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.simulated import settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.azurite import Azurite
    from tests.support.simulated import Command, Run

ACCOUNT_ALONE = "https://account.blob.core.windows.net/?sv=2024-11-04&sp=rwl&sig=c2VjcmV0c2ln"

# Of each kind: what is wrong, the code, and words that the message must have.
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "a bad date": ({"start_date": "2016-13-01"}, "BAD_SETTING", "start_date: 2016-05-01"),
    "the end before the start": ({"end_date": "2016-04-01"}, "BAD_SETTING", "end_date"),
    "no container at all": ({"container_url": None}, "BAD_SETTING", "container_url"),
    "a bad window": ({"window_days": 0}, "BAD_SETTING", "window_days"),
    "a URL without a container": (
        {"container_url": ACCOUNT_ALONE},
        "CONTAINER_URL_INVALID",
        "https://ACCOUNT.blob.core.windows.net/CONTAINER?sv=",
    ),
    "a folder that is not there": (
        {"container_url": "file:///nowhere/at/all"},
        "CONTAINER_NOT_FOUND",
        "there is no such folder",
    ),
    "an unknown app": ({"app_names": ["shop", "chop"]}, "APP_NOT_FOUND", "app=chop"),
    "a wrong secret": (
        {"client_secret": "not-the-right-one"},
        "AUTH_FAILED",
        "Check tenant_id, client_id and client_secret",
    ),
    "no folder for dead letters": (
        {"bad_records": "skip", "dead_letter_path": "/nowhere/at/all.ndjson"},
        "BAD_SETTING",
        "dead_letter_path",
    ),
    "an unknown tenant": ({"tenant_id": "nobody.example"}, "AUTH_FAILED", "tenant_id"),
}


def complaints(run: Run) -> list[str]:
    """The messages of a run that are no mere information, without time and logger."""
    parts = [line.split(" | ", 3) for line in run.stderr]
    assert all(len(part) == 4 for part in parts), f"not all lines are of a log: {run.stderr}"
    return [part[3] for part in parts if part[1].strip() != "INFO"]


def assert_refused(run: Run, simulator: Simulator, code: str, words: str) -> None:
    """One message, exit code 1, nothing written, and nothing created."""
    (message,) = complaints(run)
    assert message.startswith(f"{code}: ")
    assert words in message
    assert run.exit_code == 1
    assert run.stdout == b""
    assert simulator.tasks == []


@pytest.mark.parametrize("kind", WRONG)
def test_a_run_with_a_wrong_setting_ends_in_one_message(
    simulator: Simulator, folder: Path, command: Command, kind: str
) -> None:
    changes, code, words = WRONG[kind]

    run = command.run(settings={**settings_for(simulator, folder), **changes})

    assert_refused(run, simulator, code, words)


@pytest.mark.parametrize("kind", WRONG)
def test_a_test_of_a_wrong_setting_ends_in_its_message(
    simulator: Simulator, folder: Path, command: Command, kind: str
) -> None:
    changes, code, words = WRONG[kind]

    run = command.run("--test", settings={**settings_for(simulator, folder), **changes})

    # A test gives its verdict on each check, and the last line says what to do.
    assert complaints(run)[-1].startswith(f"{code}: ")
    assert words in complaints(run)[-1]
    assert run.exit_code == 1
    assert run.stdout == b""
    assert simulator.tasks == []


def test_every_setting_that_is_wrong_is_named(
    simulator: Simulator, folder: Path, command: Command
) -> None:
    settings = settings_for(simulator, folder, start_date="soon", window_days=-1, api_url="x")

    run = command.run(settings=settings)

    assert [message.split()[3] for message in complaints(run)] == [
        "api_url",
        "start_date",
        "window_days",
    ]
    assert run.exit_code == 1


# Of each kind: the permissions of the SAS, the hours that it has left, the code, and words.
POOR_SAS = {
    "expired": ("rwl", -1, "SAS_EXPIRED", "container_url"),
    "no list": ("rw", 1, "SAS_PERMISSION_MISSING", "list"),
    "no read": ("wl", 1, "SAS_PERMISSION_MISSING", "read"),
    "no write": ("rl", 1, "SAS_PERMISSION_MISSING", "write"),
}


@pytest.mark.parametrize("arguments", [(), ("--test",)], ids=["run", "test"])
@pytest.mark.parametrize("kind", POOR_SAS)
def test_a_sas_that_does_not_allow_enough_is_refused(
    simulator: Simulator,
    azurite: Azurite,
    command: Command,
    kind: str,
    arguments: tuple[str, ...],
) -> None:
    permissions, hours, code, words = POOR_SAS[kind]
    container = azurite.new_container()
    url = azurite.sas_url(container, permissions, expires_in=timedelta(hours=hours))

    run = command.run(*arguments, settings=settings_for(simulator, url))

    assert complaints(run)[-1].startswith(f"{code}: ")
    assert words in complaints(run)[-1]
    assert arguments or len(complaints(run)) == 1  # a test tells of each check first
    assert run.exit_code == 1
    assert simulator.tasks == []
    signature = url.rpartition("sig=")[2]
    assert signature not in "\n".join(run.stderr)


def test_rights_that_only_the_storage_knows_of_are_checked_too(
    simulator: Simulator, azurite: Azurite, command: Command
) -> None:
    # Given a SAS that looks right, but was signed by another key
    url = azurite.sas_url(azurite.new_container(), "rwl")
    forged = url.rpartition("sig=")[0] + "sig=bm90IHRoZSByaWdodCBvbmUuLi4uLi4uLi4uLi4uLg%3D%3D"

    run = command.run(settings=settings_for(simulator, forged))

    assert_refused(run, simulator, "CONTAINER_ACCESS_DENIED", "denies access")


def test_a_container_that_is_not_there_is_refused(
    simulator: Simulator, azurite: Azurite, command: Command
) -> None:
    run = command.run(settings=settings_for(simulator, azurite.sas_url("not-there", "rwl")))

    assert_refused(run, simulator, "CONTAINER_NOT_FOUND", "not-there")


def test_a_test_of_right_settings_passes_and_creates_no_task(
    simulator: Simulator, folder: Path, command: Command
) -> None:
    run = command.run("--test", settings=settings_for(simulator, folder))

    assert complaints(run) == []
    assert run.exit_code == 0
    assert simulator.tasks == []
