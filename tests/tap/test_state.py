"""What STATE messages claim, and what a run makes of the state that it is given."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.datatypes import DATA_TYPES
from tests.support.messages import (
    Messages,
    assert_contains,
    assert_same,
    bookmark,
    own_fields,
    partition,
)
from tests.support.simulated import LeapingTime, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.simulated import Command, StartSimulator

HISTORICAL = [data_type.name for data_type in DATA_TYPES if data_type.historical]


def moves(messages: Messages, stream: str) -> Iterator[tuple[str, Messages]]:
    """Each bookmark that a run sets, with the messages before the STATE that sets it."""
    reached = None
    for position, message in enumerate(messages.all):
        if message["type"] != "STATE":
            continue
        now = bookmark(message["value"], stream)
        if now is not None and now != reached:
            yield now, Messages(messages.all[:position])
        reached = now


@pytest.mark.parametrize("max_concurrent_tasks", [1, 4])
@pytest.mark.parametrize("window_days", [1, 5])
def test_a_bookmark_never_claims_what_is_not_out(
    simulator: Simulator, folder: Path, window_days: int, max_concurrent_tasks: int
) -> None:
    settings = settings_for(
        simulator, folder, window_days=window_days, max_concurrent_tasks=max_concurrent_tasks
    )

    messages = sync(settings, timing=LeapingTime().timing).checked()

    for stream in HISTORICAL:
        bookmarks = []
        for claimed, before in moves(messages, stream):
            bookmarks.append(claimed)
            end = date.fromisoformat(claimed[:10])
            truth = simulator.truth("shop", stream, None, end)
            assert_contains(own_fields(before.records(stream)), truth)
        assert bookmarks == sorted(bookmarks)
        assert len(bookmarks) == (14 if window_days == 1 else 3)


def test_the_bookmark_of_a_later_run_never_claims_what_is_not_out(
    simulator: Simulator, folder: Path
) -> None:
    first = sync(settings_for(simulator, folder)).checked()
    simulator.clock.advance(days=5)

    settings = settings_for(simulator, folder, end_date="2016-05-20", window_days=2)
    second = sync(settings, state=first.state).checked()

    for stream in HISTORICAL:
        for claimed, before in moves(second, stream):
            if claimed > "2016-05-15T00:00:00Z":
                end = date.fromisoformat(claimed[:10])
                truth = simulator.truth("shop", stream, date(2016, 5, 12), end)
                assert_contains(own_fields(before.records(stream)), truth)
            else:  # what it was given
                assert claimed == "2016-05-15T00:00:00Z"


def test_a_task_is_in_the_state_until_its_records_are_out(
    simulator: Simulator, folder: Path
) -> None:
    messages = sync(settings_for(simulator, folder)).checked()

    positions = [n for n, message in enumerate(messages.all) if message["type"] == "STATE"]
    for task in simulator.tasks:
        stream = task.request.data_type
        listing = [
            n
            for n in positions
            if task.id in [each["id"] for each in tasks_in(messages.all[n]["value"], stream)]
        ]
        # Blobs of this simulator are named after their tasks.
        records = [
            n
            for n, message in enumerate(messages.all)
            if message["type"] == "RECORD" and task.id in (message["record"]["blob_name"] or "")
        ]
        assert records, f"task {task.id} ({stream}) brought nothing"
        assert listing, f"task {task.id} ({stream}) was in no state"
        assert listing[0] < records[0]
        # Every STATE between its creation and its last record has it, and none after that.
        first, last = listing[0], records[-1]
        assert listing == [n for n in positions if first <= n < last or n == listing[-1]]
        behind = [n for n in positions if n > last]
        assert not {*listing} & {*behind}
    assert not any(tasks_in(messages.state, data_type.name) for data_type in DATA_TYPES)


def test_the_state_holds_the_range_of_a_task(simulator: Simulator, folder: Path) -> None:
    messages = sync(settings_for(simulator, folder)).checked()

    seen = {each["id"]: each for state in messages.states for each in tasks_in(state, "events")}
    assert {task_id: (each["start"], each["end"]) for task_id, each in seen.items()} == {
        task.id: (str(task.request.start), str(task.request.end))
        for task in simulator.tasks
        if task.request.data_type == "events"
    }


def test_a_state_holds_no_secret(simulator: Simulator, folder: Path) -> None:
    settings = settings_for(simulator, folder)

    messages = sync(settings).checked()

    for state in messages.states:
        text = json.dumps(state)
        assert settings["client_secret"] not in text
        assert "sig=" not in text
        assert simulator.url not in text


# A state that an earlier run left with tasks under way.


def tasks_in(state: dict[str, Any], stream: str) -> list[dict[str, Any]]:
    """The tasks of a stream that a state remembers."""
    found: list[dict[str, Any]] = partition(state, stream).get("tasks", [])
    return found


def interrupted(messages: Messages, stream: str) -> dict[str, Any]:
    """The state of a run that died right after it created its first tasks of a stream."""
    return next(state for state in messages.states if tasks_in(state, stream))


@pytest.mark.parametrize("stream", ["events", "jobs", "tags", "push_feedback"])
def test_a_task_that_is_under_way_is_taken_up_and_not_made_again(
    simulator: Simulator, folder: Path, stream: str
) -> None:
    # Given a run that died when its tasks were created
    settings = settings_for(simulator, folder)
    state = interrupted(sync(settings).checked(), stream)
    left = {task["id"] for task in tasks_in(state, stream)}
    created = len(simulator.tasks)

    # when another one goes on with its state
    messages = sync(settings, state=state).checked()

    # then it reads what those tasks wrote, and creates only what they don't cover.
    again = [task for task in simulator.tasks[created:] if task.request.data_type == stream]
    everything = [
        task for task in simulator.tasks[:created] if task.request.data_type == stream
    ]
    assert len(again) == len(everything) - len(left)
    blobs = {record["blob_name"] for record in messages.records(stream)}
    assert all(any(task_id in blob for blob in blobs) for task_id in left)
    assert_same(own_fields(messages.upserted(stream)), simulator.truth("shop", stream))
    assert tasks_in(messages.state, stream) == []


def test_a_task_is_taken_up_under_its_own_range(simulator: Simulator, folder: Path) -> None:
    # Given a task for the first week
    settings = settings_for(simulator, folder, max_concurrent_tasks=1, window_days=7)
    state = interrupted(sync(settings).checked(), "events")
    (left,) = tasks_in(state, "events")
    assert (left["start"], left["end"]) == ("2016-05-01", "2016-05-08")
    created = len(simulator.tasks)

    # when the next run has other windows, and begins within that week
    settings |= {"window_days": 4, "start_date": "2016-05-03"}
    messages = sync(settings, state=state).checked()

    # then that task keeps its week, and the rest is cut anew.
    ranges = [
        (str(task.request.start), str(task.request.end))
        for task in simulator.tasks[created:]
        if task.request.data_type == "events"
    ]
    assert ranges == [("2016-05-08", "2016-05-12"), ("2016-05-12", "2016-05-15")]
    assert [claimed for claimed, _ in moves(messages, "events")] == [
        "2016-05-08T00:00:00Z",
        "2016-05-12T00:00:00Z",
        "2016-05-15T00:00:00Z",
    ]
    assert_same(own_fields(messages.upserted("events")), simulator.truth("shop", "events"))


def test_a_task_that_the_service_does_not_know_any_more_is_made_again(
    simulator: Simulator, folder: Path
) -> None:
    settings = settings_for(simulator, folder)
    state = interrupted(sync(settings).checked(), "events")
    for task in tasks_in(state, "events"):
        task["id"] = "12345678-1234-4234-8234-123456789012"

    messages = sync(settings, state=state, timing=LeapingTime().timing).checked()

    assert_same(own_fields(messages.upserted("events")), simulator.truth("shop", "events"))
    assert tasks_in(messages.state, "events") == []


def test_a_task_whose_range_is_long_out_leaves_the_state(
    simulator: Simulator, folder: Path
) -> None:
    # Given a state with a bookmark far behind a task that it still remembers
    settings = settings_for(simulator, folder, lookback_days=0)
    finished = sync(settings).checked()
    (left, *_) = tasks_in(interrupted(finished, "events"), "events")
    state = deepcopy(finished.state)
    partition(state, "events")["tasks"] = [left]

    messages = sync(settings, state=state).checked()

    assert messages.records("events") == []
    assert tasks_in(messages.state, "events") == []


def test_a_bookmark_that_is_none_is_refused_before_anything_is_created(
    simulator: Simulator, folder: Path, command: Command
) -> None:
    settings = settings_for(simulator, folder)
    first = sync(settings).checked()
    created = len(simulator.tasks)
    state = deepcopy(first.state)
    partition(state, "events")["replication_key_value"] = "last Tuesday"

    run = command.run(settings=settings, state=state)

    assert run.exit_code == 1
    assert run.stdout == b""
    assert "BAD_STATE" in run.stderr[-1]
    assert len(simulator.tasks) == created


def test_an_empty_state_is_a_first_run(simulator: Simulator, folder: Path) -> None:
    messages = sync(settings_for(simulator, folder), state={}).checked()

    assert_same(own_fields(messages.upserted("events")), simulator.truth("shop", "events"))


def test_the_state_of_a_run_that_waits_remembers_the_task(
    start_simulator: StartSimulator, folder: Path
) -> None:
    simulator = start_simulator(run_seconds=0.2)

    messages = sync(settings_for(simulator, folder)).checked()

    # Before anything of events was out, a STATE named their first task.
    before_records = next(
        Messages(messages.all[:n])
        for n, message in enumerate(messages.all)
        if message["type"] == "RECORD" and message["stream"] == "events"
    )
    assert any(tasks_in(state, "events") for state in before_records.states)
