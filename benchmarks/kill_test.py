"""Kill runs of the tap at random moments, many times, and count what it costs.

    python -m benchmarks.kill_test --runs 200
    python -m benchmarks.kill_test --runs 20 --target postgres
    python -m benchmarks.kill_test --runs 20 --account

Every seed is a service, a container and a target of its own. The tap is killed (SIGKILL) one
to three times, by the clock, after so many bytes of output, or between the creation of an
export task and its answer; a quarter of the kills take the target along. Then one run may end,
and the target is held against the truth. What is printed at the end is how many export tasks
were created beside the least possible.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.killing import Outcome, survive
from tests.faults.postgres_target import PostgresTarget
from tests.support.azurite import Azurite
from tests.support.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the kill test; the exit code tells whether every seed ended with the truth."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200, help="how many seeds")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--account", action="store_true", help="a container per task")
    parser.add_argument("--target", choices=("small", "postgres"), default="small")
    options = parser.parse_args(arguments)
    seeds = range(options.first_seed, options.first_seed + options.runs)
    began = time.monotonic()
    outcomes, failed = [], []
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres()) if options.target == "postgres" else None
        account = stack.enter_context(Azurite()).connection_string if options.account else None
        for seed in seeds:
            try:
                outcomes.append(_survive(seed, postgres, account))
                print(outcomes[-1], flush=True)
            except AssertionError as error:
                failed.append(seed)
                print(f"seed {seed}: LOST: {error}", flush=True)
    _report(outcomes, failed, time.monotonic() - began)
    return 1 if failed else 0


def _survive(seed: int, postgres: Postgres | None, account: str | None) -> Outcome:
    with tempfile.TemporaryDirectory() as name:
        container = Path(name) / "container"
        container.mkdir()
        if postgres is None:
            return survive(seed, container, account=account)
        target = PostgresTarget(postgres.new_database(), Path(name), seed)
        return survive(seed, container, target, account=account)


def _report(outcomes: Sequence[Outcome], failed: Sequence[int], seconds: float) -> None:
    kills = [kill for outcome in outcomes for kill in outcome.kills]
    tasks = sum(outcome.tasks for outcome in outcomes)
    least = sum(outcome.least for outcome in outcomes)
    alone = [each for each in outcomes if not any("target" in kill for kill in each.kills)]
    print(
        f"{len(outcomes)} seeds ended with the truth, {len(failed)} did not {list(failed)}; "
        f"{len(kills)} kills, {sum('target' in kill for kill in kills)} of them with the "
        f"target, {sum('POST' in kill for kill in kills)} between a POST and its answer; "
        f"{seconds:.0f} s"
    )
    print(f"Export tasks with a date range: {tasks} created, {least} at least")
    print(
        f"Where the target survived ({len(alone)} seeds): "
        f"{sum(each.tasks for each in alone)} created, "
        f"{sum(each.least for each in alone)} at least"
    )


if __name__ == "__main__":
    sys.exit(main())
