"""A stream that fails: the others go on, its bookmark stays, and the last line names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.datatypes import DATA_TYPES
from tests.support.messages import assert_same, bookmark, own_fields, partition
from tests.support.simulated import settings_for, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.simulated import Command, StartSimulator

STREAMS = [data_type.name for data_type in DATA_TYPES]

# Of the second of two weeks: what is wrong with its file, and the code of the failure.
BAD_FILES: dict[str, tuple[dict[str, Any], str]] = {
    "cut off": ({"fault": "blob_truncated", "at": -30}, "BLOB_TRUNCATED"),
    "with garbage behind it": ({"fault": "blob_trailing"}, "BLOB_CORRUPT"),
    "with a bad item": (
        {"fault": "bad_element", "raw": '{"deviceId": "x", "events": [{"name": 7}]}'},
        "BAD_RECORD",
    ),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_it_fails_alone_and_the_next_run_goes_on_there(
    start_simulator: StartSimulator, folder: Path, command: Command, kind: str
) -> None:
    # Given a service whose file for the second week of events is bad
    fault, code = BAD_FILES[kind]
    simulator = start_simulator({**fault, "data_type": "events", "nth": 2})
    settings = settings_for(simulator, folder)

    # when the tap runs
    run = command.run(settings=settings)

    # then the last line names the stream and the code, and all others are done;
    assert run.exit_code == 1
    assert "events" in run.stderr[-1]
    assert code in run.stderr[-1]
    assert not any("Traceback" in line for line in run.stderr)
    messages = run.messages
    for stream in {*STREAMS} - {"events"}:
        truth = simulator.truth("shop", stream)
        assert_same(own_fields(messages.upserted(stream)), truth)

    # its bookmark stands behind the first week, and the bad export is asked for anew.
    assert bookmark(messages.state, "events") == "2016-05-08T00:00:00Z"
    assert "tasks" not in partition(messages.state, "events")
    second = sync({**settings, "lookback_days": 0}, state=messages.state).checked()
    everything = (messages + second).upserted("events")
    assert_same(own_fields(everything), simulator.truth("shop", "events"))


def test_what_is_wrong_is_told_with_all_that_one_needs_to_find_it(
    start_simulator: StartSimulator, folder: Path, command: Command
) -> None:
    fault = {"fault": "blob_truncated", "data_type": "jobs", "at": -10, "times": 0}
    simulator = start_simulator(fault)

    run = command.run(settings=settings_for(simulator, folder))

    task = next(task for task in simulator.tasks if task.request.data_type == "jobs")
    (blob,) = task.blobs
    told = next(line for line in run.stderr if "BLOB_TRUNCATED" in line)
    for place in (
        "app=shop",
        "stream=jobs",
        "range=2016-05-01/2016-05-08",
        f"task={task.id}",
        f"blob={blob}",
        "offset=",
    ):
        assert place in told


def test_tasks_that_fail_again_and_again_fail_their_stream(
    start_simulator: StartSimulator, folder: Path, command: Command
) -> None:
    fault = {
        "fault": "task_fails",
        "data_type": "tags",
        "error_details": "The quota of the account is used up.",
        "times": 0,
    }
    simulator = start_simulator(fault)

    run = command.run(settings=settings_for(simulator, folder))

    assert run.exit_code == 1
    assert "tags" in run.stderr[-1]
    assert "TASK_FAILED" in run.stderr[-1]
    assert any("The quota of the account is used up." in line for line in run.stderr)
    assert run.messages.records("tags") == []
    assert run.messages.records("tokens")
    tried = [task for task in simulator.tasks if task.request.data_type == "tags"]
    assert 1 < len(tried) < 10


def test_several_failures_are_all_named(
    start_simulator: StartSimulator, folder: Path, command: Command
) -> None:
    simulator = start_simulator(
        {"fault": "blob_truncated", "data_type": "tokens", "at": -5, "times": 0},
        {"fault": "blob_trailing", "data_type": "crashes", "times": 0},
    )

    run = command.run(settings=settings_for(simulator, folder))

    last = run.stderr[-1]
    assert run.exit_code == 1
    for named in ("crashes", "BLOB_CORRUPT", "tokens", "BLOB_TRUNCATED"):
        assert named in last
    assert bookmark(run.messages.state, "crashes") is None


def test_an_item_that_is_bad_may_be_skipped(
    start_simulator: StartSimulator, folder: Path, tmp_path: Path
) -> None:
    bad = '{"deviceId": "x", "events": [{"name": 7}]}'
    fault = {"fault": "bad_element", "data_type": "events", "raw": bad, "at": 1}
    simulator = start_simulator(fault)
    letters = tmp_path / "letters.ndjson"
    settings = settings_for(
        simulator, folder, bad_records="skip", dead_letter_path=str(letters)
    )

    messages = sync(settings).checked()

    assert_same(own_fields(messages.upserted("events")), simulator.truth("shop", "events"))
    assert bookmark(messages.state, "events") == "2016-05-15T00:00:00Z"
    assert len(letters.read_text().splitlines()) == 1
