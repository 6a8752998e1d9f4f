"""Two apps and one container: records of each under its own name, or none at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.simulated import LeapingTime, catalog_of, settings_for, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.messages import Messages
    from tests.support.simulated import StartSimulator, Sync

APPS = ("shop", "news")


def run_for(
    apps: tuple[str, ...], simulator: Simulator, folder: Path, state: Any = None, **more: Any
) -> tuple[Sync, set[str]]:
    """A run for these apps, and those of which it created tasks."""
    before = len(simulator.tasks)
    settings = settings_for(simulator, folder, window_days=14, app_names=[*apps], **more)
    catalog = catalog_of(settings, "events", "jobs")
    run = sync(settings, state=state, catalog=catalog, timing=LeapingTime().timing)
    return run, {task.app for task in simulator.tasks[before:]}


def apps_of_records(messages: Messages) -> set[tuple[str, str]]:
    return {
        (stream, record["app_name"])
        for stream in ("events", "jobs")
        for record in messages.records(stream)
    }


RARE: dict[str, Any] = {
    "start_date": "2016-05-14",
    "poll_interval_seconds": 60,
    "poll_max_interval_seconds": 60,
    "task_timeout_minutes": 5,
}
ALL = {(stream, app) for stream in ("events", "jobs") for app in APPS}


def state_with_task(app: str, simulator: Simulator, folder: Path) -> Any:
    """A state that a run for one app wrote while a task was under way."""
    run, _ = run_for((app,), simulator, folder)
    states = [message["value"] for message in run.messages.of_type("STATE")]
    return next(value for value in states if "tasks" in str(value))


@pytest.mark.parametrize("known", [None, *APPS])
@pytest.mark.parametrize("blob_name", ["task_id", "random"])
def test_two_apps_share_a_container_where_the_names_of_blobs_tell(
    start_simulator: StartSimulator, folder: Path, blob_name: str, known: str | None
) -> None:
    # Given no state, or one that names a task of either app
    simulator = start_simulator(apps=APPS, blob_name=blob_name)
    state = None if known is None else state_with_task(known, simulator, folder)

    # when both are exported
    run, created = run_for(APPS, simulator, folder, state)

    # then all is out under its own name; or nothing, before a task of a second app is created.
    if blob_name == "task_id":
        run.checked()
        assert apps_of_records(run.messages) == ALL
        assert created == {*APPS}
    else:
        assert str(run.failure).count("AMBIGUOUS_BLOBS") == len(ALL)
        assert apps_of_records(run.messages) == set()
        assert created == {known or "shop"}


@pytest.mark.parametrize("blob_name", ["task_id", "random"])
def test_an_app_of_which_the_state_alone_names_a_task_counts_too(
    start_simulator: StartSimulator, folder: Path, blob_name: str
) -> None:
    simulator = start_simulator(apps=APPS, blob_name=blob_name)
    state = state_with_task("news", simulator, folder)

    run, _ = run_for(("shop",), simulator, folder, state)

    if blob_name == "task_id":
        assert apps_of_records(run.checked()) == {("events", "shop"), ("jobs", "shop")}
    else:
        assert str(run.failure).count("AMBIGUOUS_BLOBS") == 2
        assert run.messages.records("events") == []


@pytest.mark.parametrize("fault", ["task_fails", "task_hangs", "task_vanishes"])
@pytest.mark.parametrize("blob_name", ["task_id", "random"])
def test_an_app_whose_tasks_come_to_nothing_keeps_no_other_back(
    start_simulator: StartSimulator, folder: Path, fault: str, blob_name: str
) -> None:
    simulator = start_simulator(
        {"fault": fault, "app": "shop", "times": 0}, apps=APPS, blob_name=blob_name
    )

    run, _ = run_for(APPS, simulator, folder, **RARE)

    failed = str(run.failure)
    assert "events of shop (TASK_" in failed
    assert "jobs of shop (TASK_" in failed
    if blob_name == "task_id":
        assert apps_of_records(run.messages) == {("events", "news"), ("jobs", "news")}
        assert "of news" not in failed
    else:
        assert apps_of_records(run.messages) == set()
        assert failed.count("of news (AMBIGUOUS_BLOBS)") == 2
