"""Runs that are killed at random moments: in the end the target has exactly what is true.

How many seeds are tried is 20, or what the environment variable KILL_TEST_RUNS says.
`python -m benchmarks.kill_test` runs many more, also through target-postgres.
"""

from __future__ import annotations

import os
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.faults.killing import survive
from tests.faults.postgres_target import PostgresTarget
from tests.faults.upserting import UpsertingTarget

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.azurite import Azurite
    from tests.support.postgres import Database

RUNS = int(os.environ.get("KILL_TEST_RUNS", "20"))
LEAST_TASKS = 1.1  # times the least number of export tasks


@pytest.mark.parametrize("seed", range(RUNS))
def test_a_run_that_is_killed_loses_nothing(tmp_path: Path, seed: int) -> None:
    outcome = survive(seed, tmp_path)

    assert outcome.kills
    assert outcome.tasks >= outcome.least


@pytest.mark.azurite
def test_with_a_container_per_task_hardly_a_task_is_made_in_vain(
    tmp_path: Path, azurite: Azurite
) -> None:
    outcomes = [
        survive(seed, tmp_path, account=azurite.connection_string)
        for seed in range(2000, 2000 + RUNS // 2)
    ]

    # (a target that dies with the tap may lose states, and what they knew)
    alone = [each for each in outcomes if not any("target" in kill for kill in each.kills)]
    least = sum(each.least for each in alone)
    assert sum(each.tasks for each in alone) <= LEAST_TASKS * least


@pytest.mark.meltano
@pytest.mark.postgres
@pytest.mark.parametrize("seed", [1001, 1002])
def test_nor_does_it_with_a_real_target(tmp_path: Path, database: Database, seed: int) -> None:
    container = tmp_path / "container"
    container.mkdir()

    outcome = survive(seed, container, PostgresTarget(database, tmp_path, seed))

    assert outcome.kills


def test_the_small_target_keeps_a_state_back_until_its_records_are_stored() -> None:
    row = b'{"app_name":"a","device_id":"d","token":"t"}'
    record = b'{"type":"RECORD","stream":"tokens","record":%b}\n' % row
    state = b'{"type":"STATE","value":{"n":1}}\n'

    cut = UpsertingTarget(Random(1))  # noqa: S311
    cut.take(record + state + record[:20])
    whole = UpsertingTarget(Random(1))  # noqa: S311
    whole.take(record + state)

    assert cut.state is None or len(cut.rows("tokens")) == 1
    assert whole.state == {"n": 1}
    assert len(whole.rows("tokens")) == 1
