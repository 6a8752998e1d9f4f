"""Time and memory of the tap by the size of one array: neither may grow faster than the array.

    python -m benchmarks.scaling [--events 10000 1000000] [--rounds 3] [--forms gzip]

Three forms of it: plain JSON, gzip, and JSON in which every event has a field that nobody
documented. Start-up, as measured with twenty
events, is taken off the time.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.archives import archive, installed_tap
from benchmarks.events import EVENTS_PER_GROUP, make_groups, write_array
from benchmarks.runs import Run, machine, median, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.events import Groups

_SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
_FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("events.json", {}),
    "gzip": ("events.json.gz", {}),
    "unknown field": ("events.json", {"networkOperator": "Contoso"}),
}


def main() -> None:
    """Measure each form in each size; print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, nargs="+", default=_SIZES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--forms", choices=_FORMS, nargs="+", default=[*_FORMS])
    options = parser.parse_args()
    print(f"{machine()}\n")
    print("| form | events | size | seconds | events/s | MB/s | peak memory |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for form in options.forms:
        name, more = _FORMS[form]
        groups = make_groups(**more)
        _, start = measure(name, groups, EVENTS_PER_GROUP, options.rounds)
        for count in options.events:
            size, runs = measure(name, groups, count, options.rounds)
            seconds = median(runs).seconds - median(start).seconds
            peak = max(each.peak for each in runs)
            print(
                f"| {form} | {count:,} | {size / 1e6:,.1f} MB | {seconds:.2f} "
                f"| {count / seconds:,.0f} | {size / 1e6 / seconds:,.0f} "
                f"| {peak / 1e6:.1f} MB |",
                flush=True,
            )


def measure(name: str, groups: Groups, count: int, rounds: int) -> tuple[int, Sequence[Run]]:
    """The uncompressed bytes of so many events, and runs of the tap that read them.

    Raises:
        RuntimeError: If an event is missing.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "container" / name
        path.parent.mkdir()
        size = write_array(path, groups, count)
        command = archive(installed_tap(), path)
        runs = [run(command) for _ in range(rounds)]
    for each in runs:
        if each.lines < count:
            raise RuntimeError(f"{each.lines} lines for {count} events")
    return size, runs


if __name__ == "__main__":
    main()
