"""A whole pipeline: nested events of an archive through the tap into a real target.

The pipelines run in turn, round after round, each into an empty warehouse::

    make setup
    python -m benchmarks.into_postgres [--events 1000000] [--rounds 2]

For each it prints the time to the end of the target, and the CPU time of both processes, which
depends less on what else the machine does. PostgreSQL's own work comes on top. The tap alone,
with its messages thrown away, is the bound that no target can beat; the floor is COPY of the
same rows, by psql, into a table with the same key, which no pipeline into PostgreSQL can beat.
It fails if a target holds another number of events than the file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.events import EVENTS_PER_GROUP, make_groups
from benchmarks.runs import machine
from tests.support.meltano import ROOT
from tests.support.postgres import Postgres, programs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.postgres import Database

_TOOLS = Path(os.environ.get("TAP_TOOLS_DIR") or ROOT / ".tools")
_SCHEMA = "mobile_engagement"
_PATTERN = "public.events_as_loaded"
_TAP = (sys.executable, "-m", "tap_mobile_engagement")
_POSTGRES = str(_TOOLS / "meltano-plugins/loaders/target-postgres/venv/bin/target-postgres")
_JSONL = str(_TOOLS / "target-jsonl/bin/target-jsonl")
_PSQL = str(programs() / "bin" / "psql")
_ID_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The tap, and what its messages go to.

    Attributes:
        name: What the table calls it.
        target: Command of the target; None to throw the messages away; psql does without a
            tap.
        batches: Whether the tap writes BATCH files.
        settings: Settings of the target that are not its defaults.
    """

    name: str
    target: str | None
    batches: bool = False
    settings: tuple[tuple[str, Any], ...] = ()


_COPY = ("use_copy", True)
PIPELINES = (
    Pipeline("the tap alone", None),
    Pipeline("target-jsonl, RECORD", _JSONL),
    Pipeline("target-postgres, RECORD", _POSTGRES),
    Pipeline("target-postgres, RECORD, COPY", _POSTGRES, settings=(_COPY,)),
    Pipeline(
        "target-postgres, RECORD, COPY, not validated",
        _POSTGRES,
        settings=(_COPY, ("validate_records", False)),
    ),
    Pipeline("target-postgres, BATCH, COPY", _POSTGRES, batches=True, settings=(_COPY,)),
    Pipeline("the floor: COPY of the same rows", _PSQL),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """One run, in seconds.

    Attributes:
        whole: From the start to the end of the last process.
        tap: CPU time of the tap.
        target: CPU time of the target.
    """

    whole: float
    tap: float
    target: float


class Bench:
    """An archive of one file, and an empty warehouse for each run.

    Args:
        folder: For all files.
        database: The warehouse.
        events: How many the file holds.
    """

    def __init__(self, folder: Path, database: Database, events: int) -> None:
        self._folder = folder
        self._database = database
        self._events = events
        self._rows_file = folder / "rows"
        self._lines = folder / "jsonl"
        self._lines.mkdir()
        archive = folder / "archive"
        archive.mkdir()
        self._archive = archive.as_uri()
        self.size = _write_events(archive / "events.json", events)

    def run(self, pipeline: Pipeline) -> Figures:
        """Run a pipeline, count what came of it, and empty the warehouse again.

        Raises:
            RuntimeError: If a process failed, or not every event is there.
        """
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            commands = self._commands(pipeline, Path(name))
            log = Path(name) / "log"
            figures = _run(commands, log, with_tap=pipeline.target != _PSQL)
        rows = self._rows(pipeline)
        if rows != self._events:
            message = f"{pipeline.name}: {rows:,} rows of {self._events:,} events"
            raise RuntimeError(message)
        if pipeline.target == _POSTGRES and not self._rows_file.exists():
            self._keep_rows()
        self._database.query(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")
        for path in self._lines.iterdir():
            path.unlink()
        return figures

    def _keep_rows(self) -> None:
        """Keep the rows of a target, and a table with the same columns and key, for psql."""
        copy = f"\\copy {_SCHEMA}.events TO '{self._rows_file}'"
        subprocess.run([_PSQL, "-q", self._database.url, "-c", copy], check=True)
        self._database.query(f"CREATE TABLE {_PATTERN} (LIKE {_SCHEMA}.events INCLUDING ALL)")

    def _commands(self, pipeline: Pipeline, folder: Path) -> list[list[str]]:
        if pipeline.target == _PSQL:
            self._database.query(f"CREATE SCHEMA {_SCHEMA}")
            self._database.query(
                f"CREATE TABLE {_SCHEMA}.events (LIKE {_PATTERN} INCLUDING ALL)"
            )
            copy = f"\\copy {_SCHEMA}.events FROM '{self._rows_file}'"
            return [[_PSQL, "-q", self._database.url, "-c", copy]]
        tap: dict[str, Any] = {"source": "archive", "container_url": self._archive}
        if pipeline.batches:
            tap["batch_config"] = {"storage": {"root": (folder / "batches").as_uri()}}
        commands = [[*_TAP, "--config", _file(folder / "tap.json", tap)]]
        if pipeline.target is not None:
            target: dict[str, Any] = dict(pipeline.settings)
            if pipeline.target == _JSONL:
                target |= {"destination_path": str(self._lines), "do_timestamp_file": False}
            else:
                url = self._database.sqlalchemy_url
                target |= {"sqlalchemy_url": url, "default_target_schema": _SCHEMA}
            config = _file(folder / "target.json", target)
            commands.append([pipeline.target, "--config", config])
        return commands

    def _rows(self, pipeline: Pipeline) -> int:
        if pipeline.target is None:
            return self._events
        if pipeline.target == _JSONL:
            with (self._lines / "events.jsonl").open("rb") as lines:
                return sum(1 for _ in lines)
        ((rows,),) = self._database.query(f"SELECT count(*) FROM {_SCHEMA}.events")  # noqa: S608
        return int(rows)


def _write_events(path: Path, count: int) -> int:
    """Write events in one array on one line; return its bytes.

    The pool of groups comes round again and again, so each group gets a device id of its own:
    the same event of the same device would have the same key, and be one row.
    """
    pool = make_groups().nested
    begin = pool[0].index(b":") + 2  # of the device's id, the first value of each group
    with path.open("wb") as file:
        size = 0
        for number in range(count // EVENTS_PER_GROUP):
            group = pool[number % len(pool)]
            device = f"{number + 1:0{_ID_DIGITS}x}".encode()
            size += file.write(b"," if number else b"[")
            size += file.write(group[:begin] + device + group[begin + _ID_DIGITS :])
        return size + file.write(b"]")


def _file(path: Path, content: dict[str, Any]) -> str:
    path.write_text(json.dumps(content))
    return str(path)


def _run(commands: Sequence[Sequence[str]], log: Path, *, with_tap: bool) -> Figures:
    """Run commands with a pipe between each and the next.

    Args:
        commands: The commands.
        log: What they log goes there.
        with_tap: Whether the first is the tap.

    Raises:
        RuntimeError: If one fails; the message ends with what they logged.
    """
    with log.open("wb") as errors, ExitStack() as started:
        begin = time.monotonic()
        processes: list[subprocess.Popen[bytes]] = []
        for number, command in enumerate(commands):
            before = processes[-1].stdout if processes else None
            is_last = number == len(commands) - 1
            out = subprocess.DEVNULL if is_last else subprocess.PIPE
            process = subprocess.Popen(command, stdin=before, stdout=out, stderr=errors)
            started.callback(process.kill)  # (for an interruption: none is left behind)
            processes.append(process)
            if before is not None:
                before.close()  # or the tap would never learn that its target has gone
        seconds = [_wait(process) for process in processes]
        whole = time.monotonic() - begin
    if any(process.returncode for process in processes):
        raise RuntimeError(log.read_text(errors="replace")[-4000:])
    tap = seconds.pop(0) if with_tap else 0
    return Figures(whole, tap, sum(seconds))


def _wait(process: subprocess.Popen[bytes]) -> float:
    """Wait for the end of a process; return its CPU time."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Run the pipelines in turn, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    events = options.events // EVENTS_PER_GROUP * EVENTS_PER_GROUP
    runs: dict[str, list[Figures]] = {pipeline.name: [] for pipeline in PIPELINES}
    with tempfile.TemporaryDirectory() as folder, Postgres() as postgres:
        bench = Bench(Path(folder), postgres.new_database(), events)
        print(f"{events:,} events, {bench.size / events:.0f} bytes each; {machine()}")
        for number in range(options.rounds):
            for pipeline in PIPELINES:
                figures = bench.run(pipeline)
                runs[pipeline.name].append(figures)
                print(f"round {number + 1}: {pipeline.name}: {figures}", flush=True)
    _report(runs, events)


def _report(runs: dict[str, list[Figures]], events: int) -> None:
    base = statistics.median(each.whole for each in runs["target-postgres, RECORD"])
    print(
        "\n| pipeline | seconds | rows/s | times RECORD | CPU s, tap | CPU s, target "
        "|\n| --- | --- | --- | --- | --- | --- |"
    )
    for name, figures in runs.items():
        whole = statistics.median(each.whole for each in figures)
        tap = statistics.median(each.tap for each in figures)
        target = statistics.median(each.target for each in figures)
        print(
            f"| {name} | {whole:.1f} | {events / whole:,.0f} | {base / whole:.2f} | "
            f"{tap:.1f} | {target:.1f} |"
        )


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"Failed: {error}")
