"""The README's quick starts, run as they stand by a user who has nothing of this project."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tap_mobile_engagement.datatypes import DATA_TYPES
from tap_mobile_engagement.simulator import Options, Simulator
from tests.docs.pages import ROOT, commands_on
from tests.docs.shell import outputs_of
from tests.support.messages import Messages

if TYPE_CHECKING:
    from pathlib import Path

README = "README.md"
SHOWN_FOLDER = "/data/mobile-engagement"
MOST_WORDS = 1000


def test_it_is_read_in_three_minutes() -> None:
    assert len((ROOT / README).read_text(encoding="utf-8").split()) < MOST_WORDS


@pytest.mark.packaging
def test_export_files_become_counts_of_events(
    tmp_path: Path, folder: Path, newcomer: dict[str, str]
) -> None:
    # Given a folder of export files
    with Simulator(Options(frozen=True)) as simulator:
        for data_type in DATA_TYPES:
            simulator.write_export("shop", data_type.name, folder.as_uri())
        expected = Counter(event["name"] for event in simulator.truth("shop", "events"))

    # when the commands run there,
    shown = commands_on(README, "Quick start: export files")
    printed = outputs_of(shown, tmp_path, newcomer, {SHOWN_FOLDER: str(folder)})

    # then the last one has counted every event.
    rows = re.findall(r"│ (.+?) +│ +(\d+) │", printed[-1])
    assert {name: int(count) for name, count in rows} == expected


@pytest.mark.packaging
def test_the_export_api_can_be_tried_with_the_simulator(
    tmp_path: Path, newcomer: dict[str, str]
) -> None:
    # Given a free port
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])

    # when the commands run with it,
    shown = commands_on(README, "Quick start: the export API")
    start = "mobile-engagement-simulator"
    replaced = {f"{start} ": f"{start} --port {port} ", "8377": port}
    outputs_of(shown, tmp_path, newcomer, replaced)

    # then the file holds what the service has.
    messages = Messages.parse((tmp_path / "messages.jsonl").read_bytes())
    with Simulator(Options(frozen=True)) as simulator:
        truth = simulator.truth("shop", "events")
    assert len(messages.upserted("events")) == len(truth)
    assert json.loads((tmp_path / "config.json").read_text())["app_names"] == ["shop"]
