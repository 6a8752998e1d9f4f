"""Megabytes a second of the tap by data type, beside those of events.

    python -m benchmarks.data_types [--megabytes 200] [--rounds 3]

For each data type the simulator writes an export, whose elements are repeated up to the size.
Where items have no id of their own they are more than a block holds, for identical items in one
block are numbered, which is slower. Start-up, as measured
with an empty array, is taken off the time.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.archives import archive, installed_tap
from benchmarks.runs import interleaved, machine, median, run
from tap_mobile_engagement.datatypes import DATA_TYPES
from tap_mobile_engagement.reading.cutting import BLOCK_SIZE
from tap_mobile_engagement.simulator import Options, Simulator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_mobile_engagement.datatypes import DataType

_DATA = Options(devices=1500, errors_per_session=1.0, crashes_per_session=1.0, frozen=True)
_LEAST_POOL = 4 * BLOCK_SIZE


def main() -> None:
    """Measure each data type; print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        files = {each.name: folder / each.name / "export.json" for each in DATA_TYPES}
        with Simulator(_DATA) as simulator:
            for data_type in DATA_TYPES:
                path = files[data_type.name]
                path.parent.mkdir()
                pool = elements(simulator, data_type, path.parent)
                write_repeated(path, pool, options.megabytes * 1_000_000)
        empty = folder / "empty" / "export.json"
        empty.parent.mkdir()
        empty.write_text("[]")
        tap = installed_tap()
        paths = {"": empty, **files}
        commands = {kind: partial(run, archive(tap, path)) for kind, path in paths.items()}
        runs = interleaved(commands, options.rounds)
        sizes = {kind: path.stat().st_size / 1e6 for kind, path in files.items()}
    start = median(runs.pop("")).seconds
    seconds = {kind: median(each).seconds - start for kind, each in runs.items()}
    rates = {kind: sizes[kind] / seconds[kind] for kind in runs}
    print(f"{options.megabytes} MB each; {machine()}; start-up {start:.2f} s\n")
    print("| stream | records/s | MB/s | beside events | peak memory |")
    print("| --- | --- | --- | --- | --- |")
    for kind, each in runs.items():
        print(
            f"| {kind} | {median(each).lines / seconds[kind]:,.0f} | {rates[kind]:,.0f} "
            f"| {rates[kind] / rates['events']:.2f} | {median(each).peak / 1e6:.0f} MB |"
        )


def elements(simulator: Simulator, data_type: DataType, folder: Path) -> Sequence[msgspec.Raw]:
    """The elements of an export of everything that the simulator has of a data type.

    Raises:
        RuntimeError: If there are too few to measure with.
    """
    (app,) = simulator.options.apps
    pool: list[msgspec.Raw] = []
    for blob in simulator.write_export(app, data_type.name, folder.as_uri()):
        path = folder / blob
        content = path.read_bytes()
        path.unlink()
        pool += [raw.copy() for raw in msgspec.json.decode(content, type=list[msgspec.Raw])]
    if data_type.has_record_id and sum(len(bytes(raw)) for raw in pool) < _LEAST_POOL:
        raise RuntimeError(f"{data_type.name}: {len(pool)} elements are too few")
    return pool


def write_repeated(path: Path, pool: Sequence[msgspec.Raw], size: int) -> None:
    """Write the elements over and over, as one array of at least that many bytes."""
    written = 0
    with path.open("wb") as file:
        for number, element in enumerate(cycle(pool)):
            written += file.write(b"," if number else b"[")
            written += file.write(element)
            if written >= size:
                break
        file.write(b"]")


if __name__ == "__main__":
    main()
