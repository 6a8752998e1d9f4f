"""Records a second from a file of nested events to messages: this tap and its peers.

    python -m benchmarks.compare [--events 1000000] [--rounds 5]

Each contender has an environment of its own and is a whole process, started anew in each
round; its messages go through a pipe to this process, which counts them. Rounds are
interleaved. Each round also starts every contender on twenty events, so that start-up can be
told from work. Peers that read neither a top-level array nor groups get the same events as
JSON lines, each with its device id and under the names of the records: less to read and less
to do, which favours them. They make no record ids either.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jsonschema

from benchmarks.archives import archive, installed_tap
from benchmarks.environments import ROOT, python_with
from benchmarks.events import EVENTS_PER_GROUP, make_groups, write_array, write_lines
from benchmarks.ready_service import ready_service
from benchmarks.runs import Run, interleaved, machine, median, median_ratio, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CONTENDERS = ROOT / "benchmarks" / "contenders"
TAP = "this tap, plain JSON in a folder"
DEFAULT = "singer-sdk, default path"
PACKAGES = ("singer-sdk", "msgspec", "dlt", "airbyte-cdk", "singer-python", "orjson")


class Contender(NamedTuple):
    """A way to read the events.

    Attributes:
        read: Reads all of them.
        start: Reads twenty: next to nothing but start-up.
    """

    read: Callable[[], Run]
    start: Callable[[], Run]


@dataclass(frozen=True, slots=True)
class Files:
    """The same events in each form."""

    plain: Path
    packed: Path
    lines: Path


def write_files(folder: Path, events: int) -> Files:
    """Write them."""
    groups = make_groups()
    files = Files(
        folder / "plain" / "events.json",
        folder / "packed" / "events.json.gz",
        folder / "lines" / "events.jsonl",
    )
    for path in (files.plain, files.packed, files.lines):
        path.parent.mkdir(parents=True)
    write_array(files.plain, groups, events)
    write_array(files.packed, groups, events)
    write_lines(files.lines, groups, events)
    return files


def contenders(many: Files, few: Files) -> dict[str, Contender]:
    """Everything that is compared, the floors last."""
    tap = installed_tap()
    sdk = python_with("sdk", "singer-sdk[msgspec]")

    def reads(form: str, before: Sequence[str | Path], *after: str) -> Contender:
        commands = ([*before, getattr(files, form), *after] for files in (many, few))
        return Contender(*(partial(run, command) for command in commands))

    def floor(way: str) -> Contender:
        return reads("plain", [python_with("floors"), CONTENDERS / "floors.py"], way)

    return {
        TAP: Contender(*(partial(run, archive(tap, files.plain)) for files in (many, few))),
        "this tap, gzip in a folder": Contender(
            *(partial(run, archive(tap, files.packed)) for files in (many, few))
        ),
        "this tap, an export task": Contender(
            *(partial(run_task, tap, files.plain) for files in (many, few))
        ),
        DEFAULT: reads("lines", [sdk, CONTENDERS / "sdk.py"]),
        "singer-sdk, msgspec, no conformance": reads(
            "lines", [sdk, CONTENDERS / "sdk.py"], "--fast"
        ),
        "airbyte-cdk, file-based, JSON lines": reads(
            "lines", [python_with("airbyte"), CONTENDERS / "airbyte_files.py"]
        ),
        "singer-python, a loop": reads(
            "lines", [python_with("singer-python"), CONTENDERS / "singer_python.py"]
        ),
        "dlt, filesystem into parquet": reads(
            "lines", [python_with("dlt"), CONTENDERS / "dlt_filesystem.py"]
        ),
        "floor: msgspec with types, parse and encode": floor("typed"),
        "floor: orjson, parse and encode": floor("orjson"),
        "floor: bytes through a pipe": floor("pipe"),
    }


def run_task(tap: Path, events: Path) -> Run:
    """A run of the tap against a service whose one task writes that file at once."""
    with ready_service(events) as files:
        return run([tap, *(f"--{name}={path}" for name, path in files.items())])


def check_messages(events: Path, count: int) -> None:
    """Every message of the tap is whole, and one record in a thousand fits its schema.

    Raises:
        RuntimeError: If there are not as many records as events.
    """
    process = subprocess.Popen(
        archive(installed_tap(), events), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None  # noqa: S101  (it was asked for)
    records, schema = 0, jsonschema.Draft7Validator({})
    with process.stdout as lines:
        for message in map(json.loads, lines):
            if message["type"] == "SCHEMA" and message["stream"] == "events":
                schema = jsonschema.Draft7Validator(message["schema"])
            elif message["type"] == "RECORD":
                records += 1
                if records % 1000 == 1:
                    schema.validate(message["record"])
    if process.wait() or records != count:
        raise RuntimeError(f"{records} records of {count} events")


def expect(contender: str, done: Run, events: int) -> None:
    """Raise RuntimeError if a contender lost events; bytes through a pipe are no records."""
    if done.last.startswith(b"rows: "):
        found = int(done.last.removeprefix(b"rows: "))
    else:
        found = done.lines
    if found < events and "pipe" not in contender:
        raise RuntimeError(f"{contender}: {found} records of {events}")


def report(
    all_runs: Mapping[str, Sequence[Run]], starts: Mapping[str, Sequence[Run]], events: int
) -> None:
    """Print the table in Markdown."""
    print(
        "| contender | records/s | start-up | net of it | CPU | peak memory | tap is faster |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    base = [each.seconds for each in all_runs[TAP]]
    net_base = _net(all_runs[TAP], starts[TAP])
    for name, runs in all_runs.items():
        middle, start = median(runs), median(starts[name])
        net = _net(runs, starts[name])
        times = median_ratio(base, [each.seconds for each in runs])
        net_times = median_ratio(net_base, net)
        print(
            f"| {name} | {events / middle.seconds:,.0f} | {start.seconds:.2f} s "
            f"| {events / sorted(net)[len(net) // 2]:,.0f} | {middle.cpu:.1f} s "
            f"| {middle.peak / 1e6:.0f} MB | {times:.1f} ({net_times:.1f}) |"
        )


def _net(runs: Sequence[Run], starts: Sequence[Run]) -> list[float]:
    return [one.seconds - start.seconds for one, start in zip(runs, starts, strict=True)]


def main() -> None:
    """Make the files, run the contenders in turn, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        many = write_files(Path(name) / "many", options.events)
        few = write_files(Path(name) / "few", EVENTS_PER_GROUP)
        size = many.plain.stat().st_size / options.events
        check_messages(many.plain, options.events)
        entries = contenders(many, few)
        starts = interleaved({k: each.start for k, each in entries.items()}, options.rounds)
        runs = interleaved({k: each.read for k, each in entries.items()}, options.rounds)
    for contender, done in runs.items():
        for each in done:
            expect(contender, each, options.events)
    print(f"{options.events:,} events of {size:.0f} bytes; {machine()}; {versions()}\n")
    report(runs, starts, options.events)


def versions() -> str:
    """The contenders' versions, as installed."""
    found = {}
    folder = ROOT / "requirements"
    for path in (folder / "constraints.txt", *folder.glob("bench-*.txt")):
        for line in path.read_text().splitlines():
            package, _, version = line.partition("==")
            found[package.partition("[")[0]] = version
    return ", ".join(f"{package} {found[package]}" for package in PACKAGES)


if __name__ == "__main__":
    main()
