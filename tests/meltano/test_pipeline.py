"""The main job: export tasks into PostgreSQL through ``meltano run``, and again later."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from scripts.demo import report
from scripts.demo.pipeline import TARGET, Pipeline
from tap_mobile_engagement.datatypes import DATA_TYPES
from tap_mobile_engagement.simulator import Options, Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.meltano import MeltanoProject
    from tests.support.postgres import Database

pytestmark = [pytest.mark.meltano, pytest.mark.postgres]

FIRST_DAY = date(2016, 5, 1)
FIRST_END = FIRST_DAY + timedelta(days=7)
SECOND_END = FIRST_END + timedelta(days=2)
LOOKBACK = timedelta(days=3)  # the default
HISTORICAL = {data_type.name for data_type in DATA_TYPES if data_type.historical}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    midnight = datetime(FIRST_END.year, FIRST_END.month, FIRST_END.day, tzinfo=UTC)
    options = Options(
        apps=("shop", "news"), devices=20, first_day=FIRST_DAY, start=midnight, frozen=True
    )
    with Simulator(options) as simulator:
        yield simulator


@pytest.fixture
def pipeline(
    simulator: Simulator, database: Database, meltano_project: MeltanoProject, tmp_path: Path
) -> Pipeline:
    container = tmp_path / "container"
    container.mkdir()
    return Pipeline(simulator, database, meltano_project, container)


def test_two_runs_bring_exactly_the_truth_of_their_time(
    pipeline: Pipeline, simulator: Simulator, meltano_project: MeltanoProject
) -> None:
    pipeline.run(FIRST_END)

    first = pipeline.stage("run 1")
    assert report.differences([first]) == ""
    assert {found.stream for found in first.comparisons if found.truth} == {
        data_type.name for data_type in DATA_TYPES
    }
    assert bookmarks(meltano_project) == {
        (stream, app): f"{FIRST_END}T00:00:00Z"
        for stream in HISTORICAL
        for app in ("shop", "news")
    }

    tasks_before = len(simulator.tasks)
    simulator.clock.advance(days=2)
    pipeline.run(SECOND_END)

    second = pipeline.stage("run 2", late=pipeline.late(first, FIRST_END))
    assert report.differences([second]) == ""
    assert sum(second.late.values()) > 0, "nothing came late, so the lookback was not tried"
    assert set(bookmarks(meltano_project).values()) == {f"{SECOND_END}T00:00:00Z"}
    again_from = {
        task.request.start for task in simulator.tasks[tasks_before:] if task.request.start
    }
    assert min(again_from) == FIRST_END - LOOKBACK


def test_a_failed_run_tells_why_and_leaves_nothing(
    pipeline: Pipeline, simulator: Simulator, meltano_project: MeltanoProject
) -> None:
    with pytest.raises(RuntimeError, match="AUTH_FAILED") as failure:
        pipeline.run(FIRST_END, tap={"client_secret": "not-the-right-one"})

    assert "exit code 1" in str(failure.value)
    assert "not-the-right-one" not in str(failure.value)
    assert simulator.tasks == []
    assert meltano_project.state(TARGET) == {}


def bookmarks(project: MeltanoProject) -> dict[tuple[str, str], str]:
    """The bookmark of every historical stream and app."""
    return {
        (stream, partition["context"]["app_name"]): partition["replication_key_value"]
        for stream, state in project.state(TARGET)["bookmarks"].items()
        if stream in HISTORICAL
        for partition in state["partitions"]
    }
