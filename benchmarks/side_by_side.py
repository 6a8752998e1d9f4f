"""Run the tap with more and more export tasks at once, and time it against what is possible.

    python -m benchmarks.side_by_side
    python -m benchmarks.side_by_side --limits 16 --apps 3 --place account
    python -m benchmarks.side_by_side --limits 8 --run 1,9 --timeline timeline.svg

The simulator queues each task for some seconds and runs it for some more; six historical
streams have eight date ranges each, and the snapshots come on top: 54 tasks per app. The tap
is a process of its own, timed from its start to its end. Two bounds stand beside it. *Work*
is the seconds of all tasks divided by the limit. *Rounds* is the best that tasks of these
durations can do when they are created in this order and none waits for anything but room:
with 54 equal tasks, 16 at once, the fourth round is paid in full though only six tasks are
left for it.

For the time from the end of a task to its first record only tasks count that the reader was
waiting for, with all that comes before them already read.
"""

from __future__ import annotations

import argparse
import heapq
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tap_mobile_engagement.simulator import Options, Simulator
from tests.support.azurite import Azurite
from tests.support.simulated import COMMAND, SMALL, settings_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_mobile_engagement.simulator.options import Seconds

_FIRST_DAY = date(2016, 5, 1)
_RANGES = 8
_WINDOW_DAYS = 7
_PLACES = ("folder", "account")
_LOGGED = re.compile(r"export task (\S+) (?:\(\w+\) is (Succeeded)|(created):)")
_BLOB = re.compile(rb'"blob_name":"([^"/]+)/')  # the simulator names blobs after their task


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tap once for each limit and place, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--limits", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--place", choices=_PLACES, nargs="+", default=[*_PLACES])
    parser.add_argument("--apps", type=int, default=1)
    parser.add_argument("--queue", type=_seconds, default=2.0, help="N or MIN,MAX")
    parser.add_argument("--run", type=_seconds, default=5.0, help="N or MIN,MAX")
    parser.add_argument("--poll", type=float, nargs=2, default=[0.2, 0.3], help="pauses")
    parser.add_argument("--devices", type=int, default=SMALL["devices"], help="per app")
    parser.add_argument("--timeline", type=Path, help="a file for the picture of the last run")
    parser.add_argument("--log", type=Path, help="a file for what the runs log")
    options = parser.parse_args(arguments)
    print(_HEAD, flush=True)
    for place in options.place:
        for limit in options.limits:
            print(_row(place, limit, _run(options, place, limit)), flush=True)
    return 0


def _seconds(text: str) -> Seconds:
    least, _, largest = text.partition(",")
    return (float(least), float(largest)) if largest else float(least)


# One run.


@dataclass
class Seen:
    """What was seen of one run; all times are of the monotonic clock.

    Attributes:
        began: When the process was started.
        ended: When it had ended.
        durations: Seconds of each task at the service, in order of creation.
        completed: When each task had succeeded at the service.
        created: When the tap logged that a task was created.
        noticed: When the tap logged that a task had succeeded.
        first: When the first record of a task arrived, in order of arrival.
        last: When its last one did.
    """

    began: float = 0.0
    ended: float = 0.0
    durations: list[float] = field(default_factory=list)
    completed: dict[str, float] = field(default_factory=dict)
    created: dict[str, float] = field(default_factory=dict)
    noticed: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def read_records(self, stream: IO[bytes]) -> None:
        """Take note of every record, to the end of the stream."""
        for line in stream:
            if line.startswith(b'{"type":"RECORD"') and (named := _BLOB.search(line)):
                task, now = named[1].decode(), time.monotonic()
                self.first.setdefault(task, now)
                self.last[task] = now

    def read_log(self, stream: IO[bytes], copy: IO[bytes] | None) -> None:
        """Take note of what is logged of tasks, to the end of the stream."""
        for line in stream:
            if told := _LOGGED.search(line.decode()):
                times = self.noticed if told[2] else self.created
                times.setdefault(told[1], time.monotonic())
            if copy is not None:
                copy.write(line)

    def waited_for(self) -> list[str]:
        """Tasks that ended when all records of the exports before them were out."""
        order = [*self.first]
        return [
            task for before, task in pairwise(order) if self.completed[task] > self.last[before]
        ]


def _run(options: argparse.Namespace, place: str, limit: int) -> Seen:
    """Run the tap once against a new service and an empty container."""
    start = datetime.combine(
        _FIRST_DAY + timedelta(days=_RANGES * _WINDOW_DAYS), datetime.min.time(), UTC
    )
    changes: dict[str, Any] = {
        "start": start,
        "devices": options.devices,
        "apps": tuple(f"shop-{number + 1}" for number in range(options.apps)),
        "queue_seconds": options.queue,
        "run_seconds": options.run,
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        simulator = stack.enter_context(Simulator(Options(**{**SMALL, **changes})))
        settings = settings_for(
            simulator,
            None,
            window_days=_WINDOW_DAYS,
            max_concurrent_tasks=limit,
            poll_interval_seconds=options.poll[0],
            poll_max_interval_seconds=options.poll[1],
        )
        if options.timeline:
            settings["timeline_path"] = str(options.timeline.resolve())
        if place == "account":
            azurite = stack.enter_context(Azurite())
            settings["storage_connection_string"] = azurite.connection_string
        else:
            (folder / "container").mkdir()
            settings["container_url"] = (folder / "container").as_uri()
        configuration = folder / "configuration.json"
        configuration.write_text(json.dumps(settings))
        log = stack.enter_context(options.log.open("ab")) if options.log else None
        seen = _watch([str(COMMAND), "--config", str(configuration)], log)
        zero = time.monotonic() - simulator.clock.elapsed()
        for task in simulator.tasks:
            seen.completed[task.id] = zero + task.completed_at
            seen.durations.append(task.ends_at - task.created_at)
    return seen


def _watch(command: list[str], log: IO[bytes] | None) -> Seen:
    """Run a command to its end.

    Raises:
        subprocess.CalledProcessError: If it failed.
    """
    seen = Seen(began=time.monotonic())
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=-1
    ) as process:
        assert process.stdout is not None  # noqa: S101  (both are pipes)
        assert process.stderr is not None  # noqa: S101
        watcher = threading.Thread(target=seen.read_log, args=(process.stderr, log))
        watcher.start()
        seen.read_records(process.stdout)
        process.wait()
        seen.ended = time.monotonic()
        watcher.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seen


# What it means.

_HEAD = (
    "| container | limit | tasks | work | rounds | measured | / work | / rounds "
    "| start | end | to first record | since noticed |\n" + "| --- " * 12 + "|"
)


def _row(place: str, limit: int, seen: Seen) -> str:
    work = sum(seen.durations) / limit
    rounds = rounds_of(seen.durations, limit)
    seconds = seen.ended - seen.began
    tasks = seen.waited_for()
    cells = [
        place,
        limit,
        len(seen.durations),
        f"{work:.1f} s",
        f"{rounds:.1f} s",
        f"{seconds:.1f} s",
        f"{seconds / work:.2f}",
        f"{seconds / rounds:.2f}",
        f"{min(seen.created.values()) - seen.began:.1f} s",
        f"{seen.ended - max(seen.completed.values()):.1f} s",
        _delays(seen, seen.completed, tasks),
        _delays(seen, seen.noticed, tasks),
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def _delays(seen: Seen, since: dict[str, float], tasks: list[str]) -> str:
    """Median and largest of the times to the first record, and of how many tasks."""
    delays = [seen.first[task] - since[task] for task in tasks]
    if not delays:
        return "none"
    return f"{statistics.median(delays):.2f} s, at most {max(delays):.2f} s of {len(delays)}"


def rounds_of(durations: Sequence[float], limit: int) -> float:
    """How long tasks take in this order, each begun as soon as there is room for it."""
    free_at = [0.0] * limit
    for duration in durations:
        heapq.heapreplace(free_at, free_at[0] + duration)
    return max(free_at)


if __name__ == "__main__":
    sys.exit(main())
