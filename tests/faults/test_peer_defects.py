"""The seven defects that were found in tools of the same kind: none of them is here."""

from __future__ import annotations

import gzip
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.errors import Code
from tests.reading.arrays import read_blocks
from tests.support.messages import assert_same, bookmark, own_fields, partition
from tests.support.simulated import LeapingTime, catalog_of, settings_for, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.simulated import StartSimulator, Sync

ONE_TASK: dict[str, Any] = {"window_days": 14, "lookback_days": 0}
TWO_DAYS: dict[str, Any] = {"window_days": 2, "lookback_days": 0, "start_date": "2016-05-13"}


def sync_events(
    simulator: Simulator,
    folder: Path,
    *,
    state: dict[str, Any] | None = None,
    leaps: bool = False,
    **changes: Any,
) -> Sync:
    settings = settings_for(simulator, folder, **{**ONE_TASK, **changes})
    timing = LeapingTime().timing if leaps else None
    return sync(settings, state=state, catalog=catalog_of(settings, "events"), timing=timing)


def assert_nothing_claimed(run: Sync, code: Code) -> None:
    assert run.failure is not None
    assert code in str(run.failure)
    assert not any(bookmark(state, "events") for state in run.messages.states)


# 1. Half a gzip file, or one of two members, read without an error.


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9, 0.999])
def test_1_half_a_gzip_file_is_an_error(
    start_simulator: StartSimulator, folder: Path, kept: float
) -> None:
    size = len(
        next(
            path for path in _exported(start_simulator(compression="gzip"), folder / "whole")
        ).read_bytes()
    )
    fault = {"fault": "blob_truncated", "data_type": "events", "at": int(size * kept)}
    simulator = start_simulator(fault, compression="gzip")
    (folder / "half").mkdir()

    run = sync_events(simulator, folder / "half")

    assert_nothing_claimed(run, Code.BLOB_TRUNCATED)


def _exported(simulator: Simulator, folder: Path) -> list[Path]:
    folder.mkdir()
    sync_events(simulator, folder).checked()
    return [path for path in folder.rglob("*") if path.is_file()]


def test_1_every_member_of_a_gzip_file_is_read() -> None:
    content = b'[{"deviceId":"a"},{"deviceId":"b"}]'
    packed = gzip.compress(content[:20]) + gzip.compress(content[20:])

    elements = [bytes(e) for block in read_blocks([packed]) for e in block.elements()]

    assert elements == [b'{"deviceId":"a"}', b'{"deviceId":"b"}']


# 2. One broken line ends the file quietly, and the stream reports success.


@pytest.mark.parametrize("layout", ["array", "lines"])
def test_2_a_broken_element_ends_no_file_quietly(
    start_simulator: StartSimulator, folder: Path, layout: str
) -> None:
    fault = {"fault": "bad_element", "data_type": "events", "raw": "{'a'}", "at": 1}
    simulator = start_simulator(fault, json_layout=layout)

    run = sync_events(simulator, folder)

    assert run.failure is not None
    assert not any(bookmark(state, "events") for state in run.messages.states)


def test_2_nor_when_it_is_skipped(start_simulator: StartSimulator, folder: Path) -> None:
    fault = {"fault": "bad_element", "data_type": "events", "raw": '{"deviceId": [1]}', "at": 1}
    simulator = start_simulator(fault)

    messages = sync_events(simulator, folder, bad_records="skip").checked()

    truth = simulator.truth("shop", "events")
    assert_same(own_fields(messages.upserted("events")), truth)


# 3. A poll time-out taken as "no data"; a failed report retried for ever without a pause.


def test_3_a_time_out_is_not_an_empty_export(
    start_simulator: StartSimulator, folder: Path
) -> None:
    simulator = start_simulator({"fault": "task_hangs", "data_type": "events", "times": 0})

    run = sync_events(simulator, folder, leaps=True, task_timeout_minutes=1, **TWO_DAYS)

    assert_nothing_claimed(run, Code.TASK_TIMEOUT)


def test_3_a_task_that_fails_is_tried_a_few_times_with_pauses(
    start_simulator: StartSimulator, folder: Path
) -> None:
    simulator = start_simulator({"fault": "task_fails", "data_type": "events", "times": 0})
    time = LeapingTime()
    settings = settings_for(
        simulator, folder, **TWO_DAYS, poll_interval_seconds=10, poll_max_interval_seconds=300
    )
    began = time.now()

    run = sync(settings, catalog=catalog_of(settings, "events"), timing=time.timing)

    assert_nothing_claimed(run, Code.TASK_FAILED)
    assert len(simulator.tasks) <= 3 * 3  # two days, then each half of them
    assert (time.now() - began).total_seconds() >= 2 * 10 * len(simulator.tasks) / 3


# 4. A state that the poller does not know: polls without a pause, or for ever.


def test_4_an_unknown_state_keeps_its_polling_pace_and_ends(
    start_simulator: StartSimulator, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    look = {"fault": "slow_answer", "method": "GET", "path": "*/exportTasks/*-*", "times": 0}
    caplog.set_level(logging.INFO)
    simulator = start_simulator(
        {"fault": "task_unknown_state", "data_type": "events", "times": 0},
        {**look, "seconds": 0.0},
    )

    run = sync_events(
        simulator,
        folder,
        leaps=True,
        task_timeout_minutes=30,
        poll_interval_seconds=60,
        poll_max_interval_seconds=60,
        **TWO_DAYS,
    )

    assert_nothing_claimed(run, Code.UNKNOWN_TASK_STATE)
    assert simulator.faults.report()[1]["strikes"] <= 31
    assert caplog.text.count("is Suspended") == 1


# 5. A saved task id resumed under another window than its own.


def test_5_a_task_is_resumed_under_its_own_range(
    start_simulator: StartSimulator, folder: Path
) -> None:
    # Given a task of an earlier run over four days, that still works
    simulator = start_simulator(run_seconds=0.5)
    settings = settings_for(simulator, folder, window_days=4, lookback_days=0)
    earlier = sync(
        {**settings, "end_date": "2016-05-05", "task_timeout_minutes": 1},
        catalog=catalog_of(settings, "events"),
    ).checked()
    state = next(state for state in earlier.states if partition(state, "events").get("tasks"))
    (task,) = partition(state, "events")["tasks"]

    # when a run with another window takes it up
    settings["window_days"] = 6
    later = sync(settings, state=state, catalog=catalog_of(settings, "events")).checked()

    # then its records are claimed for its range, and nothing beyond it is left out.
    resumed = [r for r in later.records("events") if task["id"] in r["blob_name"]]
    assert {record["exported_until"] for record in resumed} == {"2016-05-05T00:00:00Z"}
    assert_same(own_fields(later.upserted("events")), simulator.truth("shop", "events"))


# 6. A partial download reported as success; a SAS that ends in the middle, or in the log:
# test_storage_faults.py and test_secrets.py, against a real storage.


@pytest.mark.parametrize("missing", [1, 2, 1000])
def test_6_a_partial_file_is_never_a_success(
    start_simulator: StartSimulator, folder: Path, missing: int
) -> None:
    fault = {"fault": "blob_truncated", "data_type": "events", "at": -missing}

    run = sync_events(start_simulator(fault), folder)

    assert_nothing_claimed(run, Code.BLOB_TRUNCATED)


# 7. A task whose creation failed is skipped; the answer lost, and nobody knows of the task.


def test_7_a_range_whose_task_could_not_be_created_is_not_skipped(
    start_simulator: StartSimulator, folder: Path
) -> None:
    fault = {"fault": "error_answer", "status": 400, "nth": 2, "method": "POST"}
    simulator = start_simulator({**fault, "path": "*/exportTasks/events"})
    options: dict[str, Any] = {"window_days": 5, "max_concurrent_tasks": 1}

    first = sync_events(simulator, folder, **options)
    second = sync_events(simulator, folder, state=first.messages.state, **options).checked()

    assert bookmark(first.messages.state, "events") == "2016-05-06T00:00:00Z"
    both = first.messages + second
    assert_same(own_fields(both.upserted("events")), simulator.truth("shop", "events"))


def test_7_a_task_whose_answer_was_lost_is_found(
    start_simulator: StartSimulator, folder: Path
) -> None:
    fault = {"fault": "lost_answer", "method": "POST", "path": "*/exportTasks/events"}
    simulator = start_simulator(fault)

    messages = sync_events(simulator, folder).checked()

    assert len(simulator.tasks) == 1
    assert_same(own_fields(messages.upserted("events")), simulator.truth("shop", "events"))
