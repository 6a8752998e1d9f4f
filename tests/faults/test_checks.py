"""Tests of a configuration: a verdict per check, and no export task."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.errors import Code
from tests.faults.commands import command_line
from tests.support.meltano import TAP
from tests.support.meltano import settings as meltano_settings
from tests.support.messages import Messages
from tests.support.simulated import settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.meltano import MeltanoProject
    from tests.support.simulated import Command

PATIENCE = 60.0  # seconds, on a busy machine


def verdicts(lines: list[str]) -> list[str]:
    return [line.partition("Check of ")[2] for line in lines if "Check of " in line]


def test_every_check_has_its_verdict_and_no_task_is_created(
    simulator: Simulator, folder: Path, command: Command
) -> None:
    run = command.run("--test", settings=settings_for(simulator, folder))

    assert run.exit_code == 0
    assert verdicts(run.stderr) == [
        "the SAS in container_url: passed",
        "listing of the container: passed",
        "the credentials: passed",
        "app shop: passed",
    ]
    assert run.messages.records("devices")
    assert simulator.tasks == []


@pytest.mark.parametrize(
    ("changes", "failed", "code"),
    [
        ({"client_secret": "wrong"}, "the credentials", Code.AUTH_FAILED),
        ({"app_names": ["shop", "chop"]}, "app chop", Code.APP_NOT_FOUND),
        (
            {"container_url": "file:///nowhere"},
            "listing of the container",
            Code.CONTAINER_NOT_FOUND,
        ),
    ],
)
def test_a_check_that_fails_hides_none_of_the_others(
    simulator: Simulator,
    folder: Path,
    command: Command,
    *,
    changes: dict[str, Any],
    failed: str,
    code: Code,
) -> None:
    run = command.run("--test", settings=settings_for(simulator, folder, **changes))

    told = verdicts(run.stderr)
    assert run.exit_code == 1
    assert [line for line in told if line.startswith(f"{failed}: FAILED: {code}")]
    assert [line for line in told if line.endswith(": passed")]
    assert len(told) >= 4
    assert code in run.stderr[-1]
    assert simulator.tasks == []


def test_a_sas_that_has_expired_is_one_verdict_among_others(
    simulator: Simulator, command: Command
) -> None:
    url = "http://127.0.0.1:9/account/container?sv=2020&sr=c&sp=rwl&se=2020-01-01&sig=s3cr3t"

    run = command.run("--test", settings=settings_for(simulator, url))

    told = verdicts(run.stderr)
    assert told[0].startswith("the SAS in container_url: FAILED: SAS_EXPIRED")
    assert "the credentials: passed" in told
    assert "s3cr3t" not in "\n".join(run.stderr)


def test_a_sync_stops_at_the_first_check_that_fails(
    simulator: Simulator, folder: Path, command: Command
) -> None:
    run = command.run(settings=settings_for(simulator, folder, client_secret="wrong"))

    assert run.exit_code == 1
    assert Code.AUTH_FAILED in run.stderr[-1]
    assert "Traceback" not in "\n".join(run.stderr)
    assert simulator.tasks == []


def test_what_looks_like_meltano_config_test_creates_no_task(
    simulator: Simulator, folder: Path
) -> None:
    # Given Meltano's environment, and one pipe for both outputs as it tests a configuration
    done = subprocess.run(
        command_line(settings_for(simulator, folder), folder.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "MELTANO_PROJECT_ROOT": str(folder)},
        check=False,
        timeout=PATIENCE,
    )

    lines = done.stdout.splitlines(keepends=True)
    messages = Messages.parse(b"".join(line for line in lines if line.startswith(b"{")))
    assert done.returncode == 0
    assert messages.records("devices")
    assert simulator.tasks == []


def test_a_sync_under_meltano_is_a_sync(simulator: Simulator, folder: Path) -> None:
    done = subprocess.run(
        command_line(settings_for(simulator, folder), folder.parent),
        capture_output=True,
        env={**os.environ, "MELTANO_PROJECT_ROOT": str(folder)},
        check=False,
        timeout=PATIENCE,
    )

    assert done.returncode == 0
    assert len(simulator.tasks) > 0


@pytest.mark.meltano
def test_meltano_config_test(
    simulator: Simulator, folder: Path, meltano_project: MeltanoProject
) -> None:
    right = meltano_settings(TAP, **settings_for(simulator, folder))
    wrong = meltano_settings(TAP, **settings_for(simulator, folder, client_secret="wrong"))

    good = meltano_project.run("config", "test", TAP, env=right)
    bad = meltano_project.run("config", "test", TAP, env=wrong)

    assert good.exit_code == 0, good.stderr
    assert "Plugin configuration is valid" in good.stdout
    assert bad.exit_code == 1
    assert Code.AUTH_FAILED in bad.stderr + bad.stdout
    assert simulator.tasks == []
