"""What no tap can be faster than: parse and encode the same events, and nothing else.

    python floors.py FILE typed|orjson|pipe

``typed`` and ``orjson`` read the array of groups in blocks that are cut without being checked,
and encode the items as they came: no field is renamed, no group key, no id, no message is
added. ``pipe`` hands on the bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK_SIZE = 64 * 1024
BETWEEN = b']},{"deviceId"'


class Event(msgspec.Struct, gc=False):
    """One event of a group."""

    name: str
    timestamp: str
    infoId: str  # noqa: N815  (as in the file)
    sessionId: str  # noqa: N815
    locationId: str  # noqa: N815
    extras: dict[str, Any]


class Group(msgspec.Struct, gc=False):
    """One device and its events."""

    deviceId: str  # noqa: N815
    events: list[Event]


_groups = msgspec.json.Decoder(list[Group])
_encoder = msgspec.json.Encoder()


def typed(block: bytes) -> bytes:
    """By msgspec with types."""
    groups = _groups.decode(block)
    return _encoder.encode_lines([event for group in groups for event in group.events])


def by_orjson(block: bytes) -> bytes:
    """By orjson, each event for itself."""
    groups = orjson.loads(block)
    option = orjson.OPT_APPEND_NEWLINE
    return b"".join([orjson.dumps(e, option=option) for g in groups for e in g["events"]])


def blocks(path: Path) -> Iterator[bytes]:
    """The array in arrays of whole groups."""
    rest = b""
    with path.open("rb") as file:
        while chunk := file.read(BLOCK_SIZE):
            buffer = rest + chunk
            cut = buffer.rfind(BETWEEN)
            if cut >= 0:
                yield buffer[: cut + 2] + b"]"
                rest = b"[" + buffer[cut + 3 :]
            else:
                rest = buffer
    yield rest


def main() -> None:
    """Write what the chosen way makes of the file."""
    path, way = Path(sys.argv[1]), sys.argv[2]
    out = sys.stdout.buffer
    if way == "pipe":
        with path.open("rb") as file:
            while chunk := file.read(BLOCK_SIZE):
                out.write(chunk)
        return
    encode: Callable[[bytes], bytes] = {"typed": typed, "orjson": by_orjson}[way]
    for block in blocks(path):
        out.write(encode(block))


if __name__ == "__main__":
    main()
