"""An incremental sync: the second run continues where the first one ended."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator


def sync(
    folder: Path, settings: dict[str, Any], state: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Run the tap; all messages that it wrote."""
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "state.json").write_text(json.dumps(state or {}))
    done = subprocess.run(
        ["tap-mobile-engagement", "--config", "config.json", "--state", "state.json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def events(messages: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows that an upserting target has of the events."""
    return {
        message["record"]["record_id"]: message["record"]
        for message in messages
        if message["type"] == "RECORD" and message["stream"] == "events"
    }


def test_the_second_run_brings_what_is_new(
    simulator: Simulator, tap_settings: dict[str, Any], tmp_path: Path
) -> None:
    first = sync(tmp_path, {**tap_settings, "end_date": "2016-05-15"})
    assert len(events(first)) == len(simulator.truth("shop", "events"))

    simulator.clock.advance(days=3)
    state = [message["value"] for message in first if message["type"] == "STATE"][-1]
    second = sync(tmp_path, {**tap_settings, "end_date": "2016-05-18"}, state)

    assert min(row["timestamp"] for row in events(second).values()) >= "2016-05-12"
    rows = events(first) | events(second)
    assert len(rows) == len(simulator.truth("shop", "events"))
