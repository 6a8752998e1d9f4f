"""Records a second from a file of nested events to messages on standard output.

The contenders run in turn, round after round, each as a process of its own with its output
thrown away; figures are medians over the rounds, whole processes, start-up included::

    python -m benchmarks.record_path [--events 1000000] [--rounds 5]

The SDK's paths get the same records as lines of JSON, already taken out of their groups, which
favours them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Any

SDK_TAP = """
import json, sys
from singer_sdk import Stream, Tap
from tap_mobile_engagement.datatypes import BY_NAME
class Events(Stream):
    name = "events"
    schema = BY_NAME["events"].schema
    primary_keys = ["record_id"]
    def get_records(self, context):
        with open(sys.argv[1], "rb") as file:
            for line in file:
                yield LOADS(line)
class Bench(Tap):
    name = "tap-bench"
    config_jsonschema = {"type": "object", "properties": {}}
    def discover_streams(self):
        return [Events(self)]
LOADS = json.loads
if sys.argv[2] == "msgspec":
    import msgspec
    from singer_sdk.contrib.msgspec import MsgSpecWriter
    LOADS = msgspec.json.Decoder().decode
    Bench.message_writer_class = MsgSpecWriter
    Events.TYPE_CONFORMANCE_LEVEL = Stream.TYPE_CONFORMANCE_LEVEL.NONE
Bench(config={}).sync_all()
"""


def write_events(path: Path, count: int) -> None:
    """Write nested events of about 400 bytes each, the same ones for the same count."""
    draw = random.Random(1)  # noqa: S311  (data to measure with)

    def an_id() -> str:
        return str(uuid.UUID(int=draw.getrandbits(128)))

    def an_event() -> dict[str, Any]:
        return {
            "name": draw.choice(["open", "click", "purchase_item"]),
            "timestamp": f"2016-05-{draw.randint(1, 28):02}T10:{draw.randint(0, 59):02}:"
            f"{draw.randint(0, 59):02}.{draw.randint(0, 999):03}Z",
            "infoId": an_id(),
            "sessionId": an_id(),
            "locationId": an_id(),
            "extras": {
                "screen": f"product/{draw.randint(0, 9999)}",
                "price": round(draw.random() * 100, 2),
                "note": "x" * 100,
            },
        }

    left = count
    with path.open("w") as file:
        separator = "["
        while left:
            size = min(draw.randint(1, 40), left)
            left -= size
            group = {"deviceId": an_id(), "events": [an_event() for _ in range(size)]}
            file.write(separator + json.dumps(group, separators=(",", ":")))
            separator = ","
        file.write("]")


def write_records(messages: Path, path: Path) -> None:
    """Take the records out of the tap's own messages, one to a line."""
    with messages.open("rb") as source, path.open("wb") as file:
        for line in source:
            message = json.loads(line)
            if message["type"] == "RECORD":
                file.write(json.dumps(message["record"]).encode() + b"\n")


def archive_config(folder: Path) -> str:
    """A configuration that reads that folder."""
    path = folder.with_suffix(".config.json")
    path.write_text(json.dumps({"source": "archive", "container_url": folder.as_uri()}))
    return str(path)


def main() -> None:
    """Make the files, run the contenders in turn, print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain, packed = folder / "plain", folder / "packed"
        plain.mkdir()
        packed.mkdir()
        events = plain / "events.json"
        write_events(events, options.events)
        (packed / "events.json.gz").write_bytes(gzip.compress(events.read_bytes(), 6))
        tap = [sys.executable, "-m", "tap_mobile_engagement.tap", "--config"]
        with (folder / "messages").open("wb") as out:
            command = [*tap, archive_config(plain)]
            subprocess.run(command, stdout=out, stderr=subprocess.DEVNULL, check=True)
        lines = folder / "records.ndjson"
        write_records(folder / "messages", lines)
        sdk = [sys.executable, "-W", "ignore", "-c", SDK_TAP, str(lines)]
        contenders = {
            "this tap, plain": [*tap, archive_config(plain)],
            "this tap, gzip": [*tap, archive_config(packed)],
            "singer-sdk, default path": [*sdk, "default"],
            "singer-sdk, msgspec writer, no conformance": [*sdk, "msgspec"],
        }
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(options.rounds):
            for contender, command in contenders.items():
                begin = time.monotonic()
                subprocess.run(
                    command,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    check=True,
                )
                times[contender].append(time.monotonic() - begin)
        size = events.stat().st_size
    report(times, options.events, size)


def report(times: dict[str, list[float]], events: int, size: int) -> None:
    """Print the medians, and the ratios of each round to the SDK's default path."""
    base = times["singer-sdk, default path"]
    print(
        f"{events:,} events, {size / events:.0f} bytes each; Python "
        f"{platform.python_version()}, singer-sdk {version('singer-sdk')}, msgspec "
        f"{version('msgspec')}, {platform.machine()}\n"
    )
    print("| contender | records/s | times the SDK's default path |\n| --- | --- | --- |")
    for contender, seconds in times.items():
        ratio = statistics.median(b / s for b, s in zip(base, seconds, strict=True))
        print(f"| {contender} | {events / statistics.median(seconds):,.0f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
