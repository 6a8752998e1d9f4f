"""Files of nested events to measure with, always the same ones.

A pool of devices with their events is made once and written over and over: that is fast, and
the pool is larger than what gzip looks back at or a block holds. Peers that read no arrays of
groups get the same events as JSON lines, each with its device id and under the names that the
records have: less to read and less to do than the array takes.
"""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENTS_PER_GROUP = 20
_GROUPS = 500  # different ones: about 4 MB
_SEED = 2016
_GZIP_LEVEL = 6
_NAMES = ("purchase", "add to cart", "search", "share")
_COLUMNS = {
    "name": "name",
    "timestamp": "timestamp",
    "infoId": "info_id",
    "sessionId": "session_id",
    "locationId": "location_id",
    "extras": "extras",
}


@dataclass(frozen=True, slots=True)
class Groups:
    """The pool, encoded.

    Attributes:
        nested: Each device with its events, as an element of an export file.
        lines: The same events as JSON lines.
    """

    nested: list[bytes]
    lines: list[bytes]


def make_groups(**more: Any) -> Groups:
    """The pool of devices with their events, about 400 bytes each.

    Args:
        more: Fields for every event, beyond those that are documented.
    """
    chance = random.Random(_SEED)  # noqa: S311  (the same file each time)
    groups = [_group(chance) for _ in range(_GROUPS)]
    for group in groups:
        for event in group["events"]:
            event.update(more)
    return Groups([_encode(group) for group in groups], [_lines(group) for group in groups])


def write_array(path: Path, groups: Groups, count: int) -> int:
    """Write so many events as one array on one line, as an export does.

    Args:
        path: Where to; a name that ends in ``.gz`` makes it gzip.
        groups: The pool.
        count: How many events; a multiple of ``EVENTS_PER_GROUP``.

    Returns:
        Its uncompressed bytes.
    """
    with _open(path) as file:
        size = 0
        for number, group in enumerate(_cycle(groups.nested, count // EVENTS_PER_GROUP)):
            size += file.write((b"," if number else b"[") + group)
        return size + file.write(b"]")


def write_lines(path: Path, groups: Groups, count: int) -> int:
    """Write so many events as JSON lines; return the bytes."""
    with _open(path) as file:
        return sum(map(file.write, _cycle(groups.lines, count // EVENTS_PER_GROUP)))


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "wb", _GZIP_LEVEL))
    return path.open("wb")


def _cycle(groups: list[bytes], count: int) -> Iterator[bytes]:
    return (groups[number % len(groups)] for number in range(count))


def _group(chance: random.Random) -> dict[str, Any]:
    """One device and its events."""
    return {
        "deviceId": _some_id(chance),
        "events": [_event(chance) for _ in range(EVENTS_PER_GROUP)],
    }


def _event(chance: random.Random) -> dict[str, Any]:
    day, hour, minute = chance.randint(1, 31), chance.randrange(24), chance.randrange(60)
    second, millisecond = chance.randrange(60), chance.randrange(1, 1000)
    time = f"2016-05-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"
    return {
        "name": chance.choice(_NAMES),
        "timestamp": time,
        "infoId": _some_id(chance),
        "sessionId": _some_id(chance),
        "locationId": _some_id(chance),
        "extras": {
            "product": f"article {chance.randrange(10_000)}",
            "price": chance.randrange(100_000) / 100,
            "comment": '"quoted", and },{ in the text',
            "reference": _some_id(chance) + _some_id(chance),
        },
    }


def _some_id(chance: random.Random) -> str:
    return f"{chance.getrandbits(128):032x}"


def _lines(group: dict[str, Any]) -> bytes:
    rows = (
        {
            "device_id": group["deviceId"],
            **{_COLUMNS.get(key, key): event[key] for key in event},
        }
        for event in group["events"]
    )
    return b"".join(_encode(row) + b"\n" for row in rows)


def _encode(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
