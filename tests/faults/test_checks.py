"""Tests of a configuration: what is wrong is told, and no export task is created."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.errors import Code
from tests.faults.commands import command_line
from tests.support.meltano import TAP
from tests.support.meltano import settings as meltano_settings
from tests.support.simulated import settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.meltano import MeltanoProject
    from tests.support.simulated import Command

PATIENCE = 60.0  # seconds, on a busy machine


def test_a_right_configuration_passes_and_no_task_is_created(
    simulator: Simulator, folder: Path, command: Command
) -> None:
    run = command.run("--test", settings=settings_for(simulator, folder))

    assert run.exit_code == 0
    assert run.messages.records("devices")
    assert run.messages.of_type("SCHEMA", "campaigns") == []  # it is off
    assert simulator.tasks == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_secret": "wrong"}, Code.AUTH_FAILED),
        ({"app_names": ["shop", "chop"]}, Code.APP_NOT_FOUND),
        ({"container_url": "file:///nowhere"}, Code.CONTAINER_NOT_FOUND),
    ],
)
def test_a_check_that_fails_ends_the_test_of_a_configuration(
    simulator: Simulator, folder: Path, command: Command, changes: dict[str, Any], code: Code
) -> None:
    run = command.run("--test", settings=settings_for(simulator, folder, **changes))

    assert run.exit_code == 1
    assert code in run.stderr[-1]
    assert simulator.tasks == []


def test_a_sas_that_has_expired_ends_it_too(simulator: Simulator, command: Command) -> None:
    url = "http://127.0.0.1:9/account/container?sv=2020&sr=c&sp=rwl&se=2020-01-01&sig=s3cr3t"

    run = command.run("--test", settings=settings_for(simulator, url))

    assert run.exit_code == 1
    assert Code.SAS_EXPIRED in run.stderr[-1]
    assert "s3cr3t" not in "\n".join(run.stderr)


def test_a_sync_stops_at_the_first_check_that_fails(
    simulator: Simulator, folder: Path, command: Command
) -> None:
    run = command.run(settings=settings_for(simulator, folder, client_secret="wrong"))

    assert run.exit_code == 1
    assert Code.AUTH_FAILED in run.stderr[-1]
    assert "Traceback" not in "\n".join(run.stderr)
    assert simulator.tasks == []


@contextmanager
def terminal() -> Iterator[int]:
    """The end of a terminal that a program writes to; what it writes is read, and dropped."""
    reader, writer = os.openpty()
    drain = threading.Thread(target=_drop_all, args=(reader,), daemon=True)
    drain.start()
    try:
        yield writer
    finally:
        os.close(writer)
        drain.join(PATIENCE)
        os.close(reader)


def _drop_all(reader: int) -> None:
    with suppress(OSError):  # the other end is closed
        while os.read(reader, 65536):
            pass


@contextmanager
def file(folder: Path) -> Iterator[int]:
    with (folder / "log.txt").open("wb") as log:
        yield log.fileno()


@pytest.mark.parametrize("outputs", ["two pipes", "one pipe", "one file", "one terminal"])
def test_a_run_is_a_run_wherever_its_output_goes(
    simulator: Simulator, folder: Path, tmp_path: Path, outputs: str
) -> None:
    # Given Meltano's environment, but nothing of Meltano that started the tap
    line = command_line(settings_for(simulator, folder), folder.parent)
    env = {**os.environ, "MELTANO_PROJECT_ROOT": str(folder)}

    with ExitStack() as stack:
        match outputs:
            case "one file":
                stdout = stderr = stack.enter_context(file(tmp_path))
            case "one terminal":
                stdout = stderr = stack.enter_context(terminal())
            case _:
                stdout = subprocess.PIPE
                stderr = subprocess.STDOUT if outputs == "one pipe" else subprocess.PIPE
        done = subprocess.run(
            line, stdout=stdout, stderr=stderr, env=env, check=False, timeout=PATIENCE
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
    invoked = meltano_project.run("invoke", TAP, "--test", env=right)

    assert good.exit_code == 0, good.stderr
    assert invoked.exit_code == 0, invoked.stderr
    assert "Plugin configuration is valid" in good.stdout
    assert bad.exit_code == 1
    assert Code.AUTH_FAILED in bad.stderr + bad.stdout
    assert simulator.tasks == []
