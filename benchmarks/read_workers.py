"""What ``read_workers`` gains: the time of the tap with several processes beside that with one.

    python -m benchmarks.read_workers [--workers 2] [--megabytes 400] [--rounds 5]

Files of several forms, each behind two readers of the messages: one that only counts lines, and
one that parses every message, as a target has to at least. Start-up, as measured in each round
with twenty events, is taken off. All runs of a round follow each other, so that what slows one
slows its neighbours.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.archives import archive, installed_tap
from benchmarks.data_types import elements, write_repeated
from benchmarks.environments import ROOT
from benchmarks.events import EVENTS_PER_GROUP, make_groups, write_array
from benchmarks.runs import Run, interleaved, machine, median_ratio, run
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.simulator import Options, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_EVENT_SIZE = 374  # bytes, as they are made
_SLOW = 10  # so much smaller are the files of forms that are read one by one
_SMALL_FILES = 100
_PARSING = ROOT / "benchmarks" / "contenders" / "parsing_reader.py"
_READERS = ("counts", "parses")


class Form(NamedTuple):
    """Some files in a folder.

    Attributes:
        name: What they are, for the table.
        file: One of them.
        lines: The least number of messages in them.
    """

    name: str
    file: Path
    lines: int


def main() -> None:
    """Measure each form with each reader; print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    counts = [1, *options.workers]
    print(f"{options.megabytes} MB; {machine()}\n")
    print(f"| files | reader | with 1 | {' | '.join(f'with {n}' for n in counts[1:])} |")
    print("| --- " * (len(counts) + 2) + "|")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        start, *forms = make_forms(folder, options.megabytes)
        for form in forms:
            for reader in _READERS:
                contenders: dict[str, Callable[[], Run]] = {
                    "start": partial(measured, start, reader, 1)
                }
                for count in counts:
                    contenders[f"{form.name}, {reader}, {count}"] = partial(
                        measured, form, reader, count
                    )
                started, *runs = interleaved(contenders, options.rounds).values()
                print_row(form, reader, started, runs)


def make_forms(folder: Path, megabytes: int) -> list[Form]:
    """The files to read; first those that take next to nothing but start-up."""
    size = megabytes * 1_000_000
    groups = make_groups()
    odd = make_groups(networkOperator="Contoso")

    def events(name: str, file: str, count: int, *, files: int = 1, odd_: bool = False) -> Form:
        count = max(count // files // EVENTS_PER_GROUP, 1) * EVENTS_PER_GROUP
        place = folder / name.replace(" ", "-").replace(",", "")
        place.mkdir()
        for number in range(files):
            path = place / f"{number}-{file}"
            write_array(path, odd if odd_ else groups, count)
        return Form(name, path, count * files)

    count = size // _EVENT_SIZE
    forms = [
        events("start", "events.json", EVENTS_PER_GROUP),
        events("events", "events.json", count),
        events("events, gzip", "events.json.gz", count),
        events(f"events, {_SMALL_FILES} files", "events.json", count, files=_SMALL_FILES),
        events("events, an unknown field", "events.json", count // _SLOW, odd_=True),
    ]
    devices = folder / "devices" / "export.json"
    devices.parent.mkdir()
    with Simulator(Options(devices=1500)) as simulator:
        pool = elements(simulator, BY_NAME["devices"], devices.parent)
    write_repeated(devices, pool, size // _SLOW)
    return [*forms, Form("devices", devices, len(pool))]


def measured(form: Form, reader: str, workers: int) -> Run:
    """Read some files to the end.

    Raises:
        RuntimeError: If a message is missing.
    """
    command = archive(installed_tap(), form.file, read_workers=workers)
    if reader == "parses":
        pipe = '"$0" --config "$1" | exec "$2" "$3"'
        tap, _, config = command
        done = run(["sh", "-c", pipe, tap, config, sys.executable, _PARSING])
        lines = int(done.last)
    else:
        done = run(command)
        lines = done.lines
    if lines < form.lines:
        raise RuntimeError(f"{lines} messages of {form.name}, not {form.lines}")
    return done


def print_row(form: Form, reader: str, started: Sequence[Run], runs: list[list[Run]]) -> None:
    """Print the medians of a form, and how they compare with those of one process."""
    start = statistics.median(each.seconds for each in started)
    net = [[each.seconds - start for each in some] for some in runs]
    alone, *others = net
    cells = [f"{statistics.median(alone):.2f} s"] + [
        f"{statistics.median(other):.2f} s ({median_ratio(alone, other):.2f})"
        for other in others
    ]
    print(f"| {form.name} | {reader} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
