"""The main job, end to end: export tasks of a simulated service into a real PostgreSQL.

It starts the simulator and a PostgreSQL, runs ``meltano run tap-mobile-engagement
target-postgres``, moves the simulator's clock some days on, runs it again, and compares the
warehouse with the simulator's truth after each run. The exit code is 1 if they differ.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day

from scripts.demo import report
from scripts.demo.pipeline import Pipeline, started
from tap_mobile_engagement.simulator import Options

_FIRST_DAY = date(2016, 5, 1)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much the demo exports.

    Attributes:
        devices: Number of devices.
        days: Number of days before the first run.
        more_days: Number of days between the runs.
    """

    devices: int
    days: int
    more_days: int

    @property
    def first_end(self) -> date:
        """The day of the first run, which is not exported."""
        return _FIRST_DAY + timedelta(days=self.days)

    @property
    def second_end(self) -> date:
        """The day of the second run, likewise."""
        return self.first_end + timedelta(days=self.more_days)


def show(scale: Scale, *, keep: bool) -> bool:
    """Run the whole demo and print what came of it.

    Args:
        scale: How much is exported.
        keep: Whether the database runs on.

    Returns:
        Whether the warehouse holds what the simulator's truth says.

    Raises:
        RuntimeError: If a part does not start, or a pipeline fails.
    """
    # At midnight, and standing still: what is there is then exactly what whole days hold.
    midnight = datetime.combine(scale.first_end, time_of_day(), tzinfo=UTC)
    options = Options(devices=scale.devices, first_day=_FIRST_DAY, start=midnight, frozen=True)
    progress = Progress()
    with started(Pipeline, options, keep=keep) as (simulator, pipeline):
        progress("the simulator and a PostgreSQL are running")
        pipeline.run(scale.first_end)
        progress(f"run 1: {_FIRST_DAY} to {scale.first_end}")
        first = pipeline.stage("run 1")
        progress("the warehouse was compared with the truth")
        simulator.clock.advance(days=scale.more_days)
        pipeline.run(scale.second_end)
        progress(f"run 2, {scale.more_days} days later: up to {scale.second_end}")
        second = pipeline.stage("run 2", late=pipeline.late(first, scale.first_end))
        progress("the warehouse was compared with the truth")
        return report.show([first, second])


def main() -> int:
    """Read the command line; the exit code is 1 if warehouse and truth differ."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    # Not every device has been seen by the first run: 1,500 make it more than 1,000.
    parser.add_argument("--devices", type=int, default=1500, help="devices of the app")
    parser.add_argument("--days", type=int, default=21, help="days before the first run")
    parser.add_argument("--more-days", type=int, default=4, help="days between the runs")
    parser.add_argument("--keep", action="store_true", help="leave the database running")
    arguments = vars(parser.parse_args())
    try:
        return 0 if show(keep=arguments.pop("keep"), scale=Scale(**arguments)) else 1
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1


class Progress:
    """Says what was done, and how many seconds it took."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, done: str) -> None:
        """Print what has been done since the last call."""
        now = time.monotonic()
        print(f"{now - self._last:6.1f} s  {done}", flush=True)
        self._last = now


if __name__ == "__main__":
    sys.exit(main())
