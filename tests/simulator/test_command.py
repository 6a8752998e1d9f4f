"""The command: a simulator in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import requests
from click.testing import CliRunner

from tap_mobile_engagement.simulator import Options
from tap_mobile_engagement.simulator.__main__ import main
from tap_mobile_engagement.simulator.options import described

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "tap_mobile_engagement.simulator"]


def test_it_serves_until_it_is_terminated(tmp_path: Path) -> None:
    plan = tmp_path / "faults.json"
    plan.write_text(json.dumps([{"fault": "task_fails", "data_type": "jobs"}]))
    arguments = [
        *("--port", "0", "--app", "shop", "--app", "news", "--devices", "3"),
        *("--start", "2016-06-01T12:00", "--queue-seconds", "1,2.5", "--frozen"),
        *("--first-day", "2016-05-20", "--time-format", "space", "--too-many-status", "409"),
        *("--faults", str(plan)),
    ]
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            options = requests.get(f"{url}/_simulator/options", timeout=30).json()
            clock = requests.get(f"{url}/_simulator/clock", timeout=30).json()
            faults = requests.get(f"{url}/_simulator/faults", timeout=30).json()
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(30)

    assert code == 0
    assert options["apps"] == ["shop", "news"]
    assert options["queue_seconds"] == [1.0, 2.5]
    assert options["first_day"] == "2016-05-20"
    assert (options["time_format"], options["too_many_status"]) == ("space", 409)
    assert clock == {"now": "2016-06-01T12:00:00.000Z"}
    assert [fault["fault"] for fault in faults] == ["task_fails"]


def test_every_option_is_on_the_command_line_with_its_default() -> None:
    parameters = {parameter.name: parameter for parameter in main.params}

    for name, _, default, _ in described():
        assert parameters[name].default == default

    help_text = CliRunner().invoke(main, ["--help"], terminal_width=200).output
    assert "--retry-after [none|seconds|date]" in help_text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--devices", "-1"],
        ["--queue-seconds", "soon"],
        ["--start", "yesterday"],
        ["--first-day", "1.5.2016"],
        ["--time-format", "other"],
        ["--blob-name", "{nothing}"],
    ],
    ids=" ".join,
)
def test_a_bad_option_is_one_clear_line(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, ["--port", "0", *arguments])

    assert result.exit_code == 2
    assert result.output.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize("plan", ["{", "5", '[{"fault": "nonsense"}]'])
def test_a_bad_plan_of_faults_is_one_clear_line(tmp_path: Path, plan: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(plan)

    result = CliRunner().invoke(main, ["--port", "0", "--faults", str(file)])

    assert result.exit_code == 2
    assert result.output.splitlines()[-1].startswith("Error: ")


def test_defaults_are_valid() -> None:
    assert Options() == Options(**{name: default for name, _, default, _ in described()})
