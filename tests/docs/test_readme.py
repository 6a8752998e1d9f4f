"""The README's quick starts, run as they stand."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml

from tests.docs.pages import blocks, commands, commands_on
from tests.support.messages import Messages
from tests.support.packaging import run
from tests.support.simulated import COMMAND
from tests.support.tools import installed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

README = "README.md"
SHOWN_URL = "http://127.0.0.1:8065"
SHOWN_FOLDER = "/tmp/exports"  # noqa: S108  (what the page says)
PATIENCE_SECONDS = 60


@contextmanager
def simulator_as_shown() -> Iterator[str]:
    """The simulator with the options of the README, on a free port; yields its URL."""
    (line,) = (
        command.text
        for command in commands_on(README)
        if command.text.startswith("mobile-engagement-simulator")
    )
    arguments = ["0" if part == "8065" else part for part in shlex.split(line)[1:]]
    program = [sys.executable, "-m", "tap_mobile_engagement.simulator"]
    with subprocess.Popen(
        [*program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_SECONDS)


def environment(url: str, folder: Path) -> dict[str, str]:
    """The settings of the quick start: those of meltano.yml, and what is exported for a try."""
    (config,) = (
        yaml.safe_load(block.text)["config"]
        for block in blocks("yaml", page=README)
        if "config:" in block.text
    )
    env = {
        f"TAP_MOBILE_ENGAGEMENT_{name.upper()}": value
        if isinstance(value, str)
        else json.dumps(value)
        for name, value in config.items()
    }
    for command in commands_on(README):
        if set_ := re.fullmatch(r"export (\w+)=(.*)", command.text):
            (value,) = shlex.split(set_[2])
            env[set_[1]] = value.replace(SHOWN_URL, url).replace(SHOWN_FOLDER, str(folder))
    # What the page leaves out: its export tasks are done at once, so why wait.
    return env | {
        "TAP_MOBILE_ENGAGEMENT_POLL_INTERVAL_SECONDS": "0.05",
        "PATH": "/usr/bin:/bin",
    }


def test_the_export_api_can_be_tried_with_the_simulator(folder: Path) -> None:
    # (`meltano run` with these settings is tests/meltano; here it is the tap itself.)
    with simulator_as_shown() as url:
        env = environment(url, folder)
        run(str(COMMAND), "--config", "ENV", "--test", cwd=folder, env=env)
        output = run(str(COMMAND), "--config", "ENV", cwd=folder, env=env)

        def truth(app: str) -> int:
            address = f"{url}/_simulator/truth/{app}/events?counts=true"
            count: int = requests.get(address, timeout=PATIENCE_SECONDS).json()["count"]
            return count

        expected = {app: truth(app) for app in ("shop-android", "shop-ios")}

    rows = Messages.parse(output.encode()).upserted("events")
    assert Counter(row["app_name"] for row in rows) == expected


@pytest.mark.targets
def test_export_files_that_are_there_go_into_target_jsonl(folder: Path, tmp_path: Path) -> None:
    # Given the configuration of the README, and files where it looks for them
    config: dict[str, Any]
    (config,) = (
        json.loads(block.text)
        for block in blocks("json", page=README)
        if '"archive"' in block.text
    )
    (line,) = (
        command.text
        for block in blocks("console", page=README)
        for command in commands(block)
        if "target-jsonl" in command.text
    )
    assert config["container_url"].startswith("file:///")
    (tmp_path / "config.json").write_text(
        json.dumps(config | {"container_url": folder.as_uri()})
    )
    (folder / "tags.csv").write_text("deviceId;tags\n4fd34e1c;plan=gold\n")

    # when its command runs,
    target = installed("target-jsonl/bin/target-jsonl")
    path = f"{COMMAND.parent}:{target.parent}:/usr/bin:/bin"
    run("bash", "-c", f"set -o pipefail; {line}", cwd=tmp_path, env={"PATH": path})

    # then the target has written what is in the files.
    (name,) = tmp_path.glob("tags*.jsonl")
    (row,) = map(json.loads, name.read_text().splitlines())
    assert row["tags"] == {"plan": "gold"}
