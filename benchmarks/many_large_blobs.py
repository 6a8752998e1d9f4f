"""Let many export tasks with large blobs finish at once, and take the tap's peak memory.

    python -m benchmarks.many_large_blobs
    python -m benchmarks.many_large_blobs --tasks 4 --megabytes 50 --place shared

The simulator runs one task for each date range of the events, all at once. While they run, this
script puts a large blob where each of them writes, as the service would: one that is uploaded
once to a Blob Storage emulator on disk, and copied there within it. So the tap fetches over a
network what comes next while it reads. Its messages go nowhere; its peak memory is what the
system has noted of the process (Linux), its records are those of the lines that reconcile them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from azure.storage.blob import ContainerClient

from tap_mobile_engagement.simulator import Options, Simulator
from tests.support.azurite import Azurite
from tests.support.simulated import COMMAND, SMALL, catalog_of, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MEGABYTE = 1_000_000
_LARGE = "large.json"
_RUN_SECONDS = 20.0  # time enough to put a blob there before its task has succeeded
_RECORDS = re.compile(rb"Read an export: .* bytes=(\d+) records=(\d+) ")
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
_PLACES = ("account", "shared")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tap once, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=16, help="so many at once, too")
    parser.add_argument("--megabytes", type=int, default=200, help="of each large blob")
    parser.add_argument("--place", choices=_PLACES, default="account")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        storage = stack.enter_context(Azurite(folder / "azurite"))
        large = _upload(storage, options.megabytes * _MEGABYTE)
        first_day = Options().first_day
        simulator = stack.enter_context(
            Simulator(
                Options(
                    **SMALL
                    | {
                        "start": datetime.combine(
                            first_day + timedelta(days=options.tasks),
                            datetime.min.time(),
                            UTC,
                        ),
                        "run_seconds": _RUN_SECONDS,
                    }
                )
            )
        )
        settings = settings_for(
            simulator, None, window_days=1, max_concurrent_tasks=options.tasks
        )
        if options.place == "account":
            settings["storage_connection_string"] = storage.connection_string
        else:
            settings["container_url"] = storage.sas_url(storage.new_container(), "rwl")
        stack.enter_context(_placing(simulator, large))
        run = _run(settings, folder)
    print(
        f"{options.tasks} tasks with blobs of {options.megabytes} MB, container: "
        f"{options.place}: {run.records:,} records, {run.size / _MEGABYTE:,.0f} MB, "
        f"{run.seconds:.0f} s, peak memory {run.peak / _MEGABYTE:.0f} MB"
    )
    whole = run.size >= options.tasks * options.megabytes * _MEGABYTE
    return 0 if whole and run.exit_code == 0 else 1


# The service's part.


def _upload(storage: Azurite, size: int) -> str:
    """Put a blob of about that many bytes into a container of its own; its URL, with a SAS."""
    container = storage.new_container()
    storage.client(container).upload_blob(_LARGE, _array(size), max_concurrency=2)
    base, _, sas = storage.sas_url(container, "r").partition("?")
    return f"{base}/{_LARGE}?{sas}"


def _array(size: int) -> Iterator[bytes]:
    """An array of events in groups, piece by piece."""
    groups = [
        {
            "deviceId": f"00000000-0000-0000-0000-{device:012}",
            "events": [
                {
                    "name": "purchase_item",
                    "timestamp": f"2016-05-01T10:{device % 60:02}:{number:02}.123Z",
                    "infoId": f"10000000-0000-0000-0000-{number:012}",
                    "sessionId": f"20000000-0000-0000-0000-{device:012}",
                    "locationId": None,
                    "extras": {"screen": f"product/{number}", "note": "x" * 100},
                }
                for number in range(20)
            ],
        }
        for device in range(100)
    ]
    piece = json.dumps(groups).encode()[1:-1]
    yield b"["
    yield piece
    for _ in range(size // len(piece)):
        yield b"," + piece
    yield b"]"


@contextmanager
def _placing(simulator: Simulator, large: str) -> Iterator[None]:
    """Put the large blob where each task of a simulator writes, as soon as there is one."""
    ended = threading.Event()

    def place() -> None:
        served = 0
        while not ended.wait(0.05):
            for task in simulator.tasks[served:]:
                url = task.request.container_url
                with ContainerClient.from_container_url(url) as container:
                    blob = container.get_blob_client(f"{task.id}/{_LARGE}")
                    blob.start_copy_from_url(large)
                served += 1

    thread = threading.Thread(target=place)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


# The tap's part.


@dataclass
class Run:
    """What became of the tap's process."""

    exit_code: int = 0
    seconds: float = 0.0
    peak: int = 0  # bytes
    size: int = 0
    records: int = 0
    log: list[bytes] = field(default_factory=list)

    def read_log(self, stream: IO[bytes]) -> None:
        """Add up what was read, to the end of the stream."""
        for line in stream:
            self.log.append(line)
            if told := _RECORDS.search(line):
                self.size += int(told[1])
                self.records += int(told[2])


def _run(settings: dict[str, Any], folder: Path) -> Run:
    options = []
    for name, content in {
        "config": settings,
        "catalog": catalog_of(settings, "events"),
    }.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(content))
        options += [f"--{name}", str(path)]
    run = Run()
    began = time.monotonic()
    with subprocess.Popen(
        [str(COMMAND), *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None  # noqa: S101  (it is a pipe)
        reader = threading.Thread(target=run.read_log, args=(process.stderr,))
        reader.start()
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            # The system's own high-water mark: looking now and then misses nothing but the end.
            if noted := _PEAK.search(status.read_text()):
                run.peak = int(noted[1]) * 1024
            time.sleep(0.05)
        reader.join()
    run.seconds = time.monotonic() - began
    run.exit_code = process.returncode
    if run.exit_code:
        sys.stderr.buffer.writelines(run.log[-20:])
    return run


if __name__ == "__main__":
    sys.exit(main())
