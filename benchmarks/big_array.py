"""Reads one array of gigabytes, on one line, and shows that its size costs no memory.

    python benchmarks/big_array.py --gigabytes 2

It writes a file of nested events to a temporary folder, plain and gzip, and has each read by a
process of its own: cut into blocks; to typed records, as files that are what the documentation
says; to records the tolerant way, as all others. For each it prints the peak memory of that
process and how many megabytes of JSON it read per second. It fails if an event is missing, or
if a process took more memory than ``--limit``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.reading.elements import decode_element
from tap_mobile_engagement.reading.recognise import read_blocks
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.reading.typed import TypedReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_mobile_engagement.reading.arrays import Block

_MEGABYTE = 1_000_000
_GROUPS = 500  # different ones, about 4 MB: more than gzip looks back
_EVENTS_PER_GROUP = 20
_CHUNK_SIZE = 4 * 1024 * 1024  # as azure-storage-blob hands them out
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes
_SEED = 2016


def main() -> None:
    options = _options()
    if options.read:
        print(json.dumps(_read(options.read, until=options.until)))
        return
    with tempfile.TemporaryDirectory(prefix="big-array-") as folder:
        path = Path(folder) / "events.json"
        size, events = _write(path, int(options.gigabytes * 1_000_000_000))
        packed = _compress(path)
        print(f"{size / _MEGABYTE:,.0f} MB in one line, {events:,} events")
        print(f"{'file':6} {'until':8} {'MB/s':>8} {'seconds':>8} {'peak memory':>12}")
        peaks = []
        for file in (path, packed):
            for until in _STEPS:
                figures = _measure(file, until)
                if figures["events"] != events:
                    _fail(f"{file.name}: {figures['events']:,} events instead of {events:,}")
                peaks.append(figures["peak"])
                form = "gzip" if file is packed else "plain"
                seconds = figures["seconds"]
                print(
                    f"{form:6} {until:8} {size / _MEGABYTE / seconds:8,.0f} {seconds:8.1f} "
                    f"{figures['peak'] / _MEGABYTE:9,.1f} MB"
                )
    if max(peaks) > options.limit * _MEGABYTE:
        _fail(f"more than {options.limit} MB of memory")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2, help="size of the array (2)")
    parser.add_argument("--limit", type=int, default=150, help="megabytes of memory (150)")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--until", choices=_STEPS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _fail(reason: str) -> NoReturn:
    print(f"Failed: {reason}", file=sys.stderr)
    sys.exit(1)


# The file.


def _write(path: Path, size: int) -> tuple[int, int]:
    """Write an array of at least that many bytes; return its bytes and events."""
    chance = random.Random(_SEED)  # noqa: S311  (the same file each time)
    groups = [_group(chance) for _ in range(_GROUPS)]
    written = count = 0
    with path.open("wb") as file:
        while written < size:
            written += file.write(b"," if count else b"[")
            written += file.write(groups[count % len(groups)])
            count += 1
        written += file.write(b"]")
    return written, count * _EVENTS_PER_GROUP


def _group(chance: random.Random) -> bytes:
    """One device and its events, about 400 bytes each."""

    def some_id() -> str:
        return f"{chance.getrandbits(128):032x}"

    def some_time() -> str:
        return f"2016-05-{chance.randint(1, 31):02}T{chance.randrange(24):02}:20:30.125Z"

    events = [
        {
            "name": chance.choice(("purchase", "add to cart", "search", "share")),
            "timestamp": some_time(),
            "infoId": some_id(),
            "sessionId": some_id(),
            "locationId": some_id(),
            "extras": {
                "product": f"article {chance.randrange(10_000)}",
                "price": chance.randrange(100_000) / 100,
                "comment": '"quoted", and },{ in the text',
                "reference": some_id() + some_id(),
            },
        }
        for _ in range(_EVENTS_PER_GROUP)
    ]
    return json.dumps({"deviceId": some_id(), "events": events}).encode()


def _compress(path: Path) -> Path:
    packed = path.with_suffix(".json.gz")
    with path.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
        while chunk := source.read(_CHUNK_SIZE):
            target.write(chunk)
    return packed


# The reading, in a process of its own.


def _measure(path: Path, until: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--read", str(path), "--until", until]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    figures: dict[str, Any] = json.loads(answer.stdout)
    return figures


def _read(path: Path, *, until: str) -> dict[str, Any]:
    """Read a file; return its events, the seconds it took, and the peak memory in bytes."""
    began = time.perf_counter()
    blocks = read_blocks(_chunks(path))
    events = _STEPS[until](blocks)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
    return {"events": events, "seconds": seconds, "peak": peak}


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_SIZE):
            yield chunk


def _count_in_blocks(blocks: Iterator[Block]) -> int:
    return sum(len(block.elements()) for block in blocks) * _EVENTS_PER_GROUP


def _count_typed(blocks: Iterator[Block]) -> int:
    reader = TypedReader(BY_NAME["events"])
    return sum(len((reader.read(block) or _refuse("not typed", block))[0]) for block in blocks)


def _count_records(blocks: Iterator[Block]) -> int:
    reader = RecordReader(BY_NAME["events"], "app", _refuse)
    return sum(
        1
        for block in blocks
        for element in block.elements()
        for _ in reader.leaves(decode_element(bytes(element)).value)
    )


def _refuse(reason: str, item: Any) -> NoReturn:
    raise ValueError(reason, item)


_STEPS = {"blocks": _count_in_blocks, "typed": _count_typed, "records": _count_records}

if __name__ == "__main__":
    main()
