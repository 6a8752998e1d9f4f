"""What workers decode comes out as it does without them: records, order, counts, errors."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.datatypes import BY_NAME, DATA_TYPES
from tap_mobile_engagement.emit import Envelope, FastPath, direct_path
from tap_mobile_engagement.errors import TapError
from tap_mobile_engagement.reading.arrays import Block
from tap_mobile_engagement.reading.parts import Origin, PartRecords
from tap_mobile_engagement.reading.recognise import read_blocks
from tap_mobile_engagement.reading.rejects import BadRecords
from tap_mobile_engagement.simulator import Options, Simulator
from tap_mobile_engagement.workers import path as parallel
from tap_mobile_engagement.workers import pool as pool_module
from tap_mobile_engagement.workers.path import ParallelPath
from tap_mobile_engagement.workers.pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.emit import RecordPath
    from tap_mobile_engagement.reading.arrays import Parse
    from tap_mobile_engagement.workers.jobs import Setup
    from tap_mobile_engagement.workers.pool import Handed

PIECE = 2_000  # bytes of a file that come at once, so that even a small one has many blocks
JOB = 5_000  # bytes: several blocks
EVENTS = BY_NAME["events"]


class Lines:
    """Where records go; without a time of extraction."""

    def __init__(self) -> None:
        self.envelope = Envelope(b"<", None)
        self.lines: list[bytes] = []

    def write(self, lines: bytes, count: int) -> None:
        some = lines.splitlines()
        assert len(some) == count > 0
        self.lines += some


class WatchedPool(WorkerPool):
    """Counts the jobs that workers did."""

    done = 0

    def hand_out(self, setup: Setup, blocks: Sequence[Block]) -> Handed:
        handed = super().hand_out(setup, blocks)
        self.done += handed.worker is not None
        return handed


@pytest.fixture(scope="module")
def pool() -> Iterator[WatchedPool]:
    """Two workers, for all tests that do them no harm."""
    with closing(WatchedPool(2)) as pool:
        yield pool


@pytest.fixture(autouse=True)
def small_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "JOB_SIZE", JOB)


@dataclass
class Outcome:
    """All that can be seen of how a file was read."""

    lines: list[bytes]
    counted: int = 0
    repaired: int = 0
    bad: int = 0
    letters: bytes = b""
    error: str = ""
    where: dict[str, Any] = field(default_factory=dict)


@dataclass
class Reading:
    """How a file is read.

    Attributes:
        folder: For a dead letter file.
        data_type: What it holds.
        skip: Whether bad records are skipped.
        selected: Names of the fields to write; None for all.
    """

    folder: Path
    data_type: DataType = EVENTS
    skip: bool = True
    selected: list[str] | None = None

    def of(self, content: bytes, pool: WorkerPool | None = None) -> Outcome:
        """What becomes of a file, with workers or without."""
        pieces = (content[at : at + PIECE] for at in range(0, len(content), PIECE))
        return self.of_blocks(lambda parse: read_blocks(pieces, parse=parse), pool)

    def of_blocks(
        self, blocks: Callable[[Parse | None], Iterable[Block]], pool: WorkerPool | None = None
    ) -> Outcome:
        """What becomes of some blocks, with workers or without."""
        letters = self.folder / "letters.ndjson"
        letters.unlink(missing_ok=True)
        bad = BadRecords(
            self.data_type.name, skip=self.skip, most=50, dead_letter_path=str(letters)
        )
        records = PartRecords(
            Origin(self.data_type, "shop", "a “b”.json", "2016-05-08T00:00:00Z"), bad
        )
        output = Lines()
        outcome = Outcome(output.lines)
        path = self._path(output, pool)
        try:
            for count in path.emit(blocks(path.parse), records):
                outcome.counted += count
                assert outcome.counted == len(output.lines)
        except TapError as error:
            outcome.error, outcome.where = str(error), error.where
        bad.close()
        outcome.repaired, outcome.bad = records.repaired, bad.count
        outcome.letters = letters.read_bytes() if letters.exists() else b""
        return outcome

    def _path(self, output: Lines, pool: WorkerPool | None) -> RecordPath:
        fields = self.selected or [each.name for each in self.data_type.record_fields]
        if pool is None:
            return direct_path(self.data_type, output, fields)
        return ParallelPath(self.data_type, output, fields, pool)


def event(number: int, **more: Any) -> dict[str, Any]:
    return {
        "name": f"event “{number}”",
        "timestamp": f"2016-05-01T00:{number // 60 % 60:02}:{number % 60:02}Z",
        "extras": {"b": number, "a": "x" * (number % 90)},
        **more,
    }


def group(number: int, *events: dict[str, Any]) -> dict[str, Any]:
    return {"deviceId": f"device {number}", "events": [*events]}


def flat(number: int, **more: Any) -> dict[str, Any]:
    return {"deviceId": f"device {number}", **event(7, **more)}


def array(*elements: Any) -> bytes:
    return json.dumps(elements, ensure_ascii=False).encode()


GROUPS = [group(n, event(n), event(n + 1), event(n + 2)) for n in range(300)]
ODD = [group(n, event(n, more={"n": n})) if n % 5 == 0 else GROUPS[n] for n in range(300)]
TWINS = [group(n, event(1), event(1), event(n)) for n in range(300)]
BAD = [group(n, event(n), event(n, name=7 if n % 40 == 39 else "a")) for n in range(300)]
FLAT = [flat(n // 9) for n in range(400)]
MIXED = [element for n in range(100) for element in (flat(1), flat(1), ODD[n], flat(1))]
HUGE = [*GROUPS[:50], group(0, *(event(n) for n in range(90_000))), *GROUPS[50:]]
# Less than a worker may get at once, but more when each of them is a line of its own.
LONG = [*GROUPS[:50], group(0, *[{"name": "", "timestamp": 0}] * 40_000), *GROUPS[50:]]
LONE_SURROGATE = array(*GROUPS).replace(b"event", rb"\ud800vent")
NOT_UTF8 = array(*GROUPS).replace("“22".encode(), b"\xff22")

FILES = {
    "groups": array(*GROUPS),
    "unknown fields": array(*ODD),
    "identical items": array(*TWINS),
    "bad records": array(*BAD),
    "flat rows": array(*FLAT),
    "groups among rows": array(*MIXED),
    "one huge element": array(*HUGE),
    "one element of many items": array(*LONG),
    "half a character": LONE_SURROGATE,
    "not UTF-8": NOT_UTF8,
    "lines of JSON": "\n".join(map(json.dumps, GROUPS)).encode(),
    "wrapped": b'{"events": ' + array(*GROUPS) + b"}",
    "elements that are none": array(*GROUPS[:90], 1, None, "a", *GROUPS[90:]),
    "cut off": array(*GROUPS)[:-500],
    "an element that is no JSON": array(*GROUPS).replace(b'"device 150"', b"device", 1),
    "an open string": array(*GROUPS).replace(b'"device 150"', b'"device 150', 1),
    "something behind it": array(*GROUPS) + b"x",
    "empty groups": array(*(group(n) for n in range(2_000))),
    "small": array(*GROUPS[:3]),
    "empty": b"[]",
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES.keys())
@pytest.mark.parametrize("bad_records", ["skip", "fail"])
def test_a_file_comes_out_as_without_workers(
    content: bytes, bad_records: str, pool: WatchedPool, tmp_path: Path
) -> None:
    reading = Reading(tmp_path, skip=bad_records == "skip")

    assert reading.of(content, pool) == reading.of(content)


def test_rows_do_not_go_on_from_before_a_group(pool: WatchedPool, tmp_path: Path) -> None:
    rows = Block(array(*[flat(1)] * 40), 1)
    groups = Block(array(*[group(1, event(n, more=1)) for n in range(40)]), 10_000)
    reading = Reading(tmp_path)

    with_workers = reading.of_blocks(lambda _: [rows, groups, rows], pool)

    assert with_workers == reading.of_blocks(lambda _: [rows, groups, rows])
    assert with_workers.lines[:40] == with_workers.lines[-40:]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """Writes files with fields that nobody documented, and items that occur twice."""
    simulator = Simulator(
        Options(devices=200, crashes_per_session=0.2, extra_fields=True, repeats=0.1)
    )
    yield simulator
    simulator.stop()


@pytest.mark.parametrize("data_type", DATA_TYPES, ids=[each.name for each in DATA_TYPES])
@pytest.mark.parametrize("choice", ["all fields", "some fields"])
def test_every_data_type_comes_out_as_without_workers(
    data_type: DataType,
    choice: str,
    pool: WatchedPool,
    simulator: Simulator,
    tmp_path: Path,
) -> None:
    names = simulator.write_export("shop", data_type.name, tmp_path.as_uri())
    content = b"".join((tmp_path / name).read_bytes() for name in names)
    own = [field.name for field in data_type.record_fields]
    fields = [name for at, name in enumerate(own) if name in data_type.keys or at % 2]
    selected = fields if choice == "some fields" else None
    done = pool.done
    reading = Reading(tmp_path, data_type, selected=selected)

    with_workers = reading.of(content, pool)

    assert pool.done > done
    assert with_workers == reading.of(content)
    assert with_workers.counted > 50


@pytest.mark.parametrize(
    "name", ["groups", "unknown fields", "identical items", "lines of JSON"]
)
def test_workers_do_all_but_the_rest(
    name: str, pool: WatchedPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    emit_block = FastPath.emit_block

    def watched(path: FastPath, block: Block, records: PartRecords) -> int:
        sizes.append(len(block.data))
        return emit_block(path, block, records)

    monkeypatch.setattr(FastPath, "emit_block", watched)

    Reading(tmp_path).of(FILES[name], pool)

    assert sum(sizes) < JOB < len(FILES[name])


def test_a_job_of_tiny_blocks_fits_into_a_pipe(
    pool: WatchedPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    hand_out = WorkerPool.hand_out

    def watched(self: WorkerPool, setup: Setup, blocks: Sequence[Block]) -> Handed:
        sizes.append(len(blocks))
        return hand_out(self, setup, blocks)

    monkeypatch.setattr(WorkerPool, "hand_out", watched)
    monkeypatch.setattr(parallel, "JOB_SIZE", 60_000)
    large, tiny = Block(array(*GROUPS), 1), Block(b'[{"events":[]}]', 1)
    blocks = [large, *[tiny] * 5_500]
    reading = Reading(tmp_path)

    with_workers = reading.of_blocks(lambda _: blocks, pool)

    assert with_workers == reading.of_blocks(lambda _: blocks)
    assert sizes[:2] == [1, parallel.MOST_BLOCKS]
    assert max(sizes) == parallel.MOST_BLOCKS


def test_a_small_file_is_not_worth_a_worker(tmp_path: Path) -> None:
    with closing(WatchedPool(2)) as pool:
        Reading(tmp_path).of(FILES["small"], pool)

        assert pool._workers is None


def test_who_wants_no_more_leaves_the_workers_free_for_the_next(
    pool: WatchedPool, tmp_path: Path
) -> None:
    reading = Reading(tmp_path)
    path = ParallelPath(EVENTS, Lines(), ["record_id", "name"], pool)
    records = PartRecords(Origin(EVENTS, "shop", None, ""), BadRecords("events"))
    pieces = [FILES["groups"][at : at + PIECE] for at in range(0, len(FILES["groups"]), PIECE)]

    with closing(path.emit(read_blocks(pieces), records)) as counts:
        next(counts)

    assert reading.of(FILES["identical items"], pool) == reading.of(FILES["identical items"])


# Workers that fail: nothing is lost.


def killed(pool: WorkerPool, number: int) -> None:
    assert pool._workers
    process = pool._workers[number]._process
    process.kill()
    process.wait()


@pytest.mark.parametrize("victims", [[0], [0, 1]], ids=["one of two", "both"])
@pytest.mark.parametrize("after", [1, 7, 40])
def test_what_a_killed_worker_had_is_decoded_here(
    victims: list[int], after: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Murderous(WatchedPool):
        def hand_out(self, setup: Setup, blocks: Sequence[Block]) -> Handed:
            handed = super().hand_out(setup, blocks)
            if self.done == after:
                self.done += 1
                for victim in victims:
                    killed(self, victim)
            return handed

    reading = Reading(tmp_path)
    with closing(Murderous(2)) as pool:
        assert reading.of(FILES["groups"], pool) == reading.of(FILES["groups"])
        assert reading.of(FILES["cut off"], pool) == reading.of(FILES["cut off"])

    told = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert told == [
        "A process for decoding ended (exit code -9); what it had is decoded here"
    ] * len(victims)


def test_a_tap_that_can_start_no_process_decodes_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no python"))
    reading = Reading(tmp_path)

    with closing(WatchedPool(2)) as pool:
        assert reading.of(FILES["groups"], pool) == reading.of(FILES["groups"])
        assert pool.done == 0

    assert "Only 0 of 2 processes for decoding could be started" in caplog.text


def test_a_system_without_files_in_memory_has_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    reading = Reading(tmp_path)

    with closing(WatchedPool(2)) as pool:
        assert reading.of(FILES["groups"], pool) == reading.of(FILES["groups"])
        assert pool.done > 0


def test_a_worker_that_does_not_end_is_made_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_PATIENCE", 0.1)
    pool = WatchedPool(1)
    Reading(tmp_path).of(FILES["groups"], pool)
    assert pool._workers
    process = pool._workers[0]._process
    process.send_signal(signal.SIGSTOP)

    pool.close()

    assert process.returncode == -signal.SIGKILL


def test_a_worker_ends_when_the_pool_is_closed(tmp_path: Path) -> None:
    pool = WatchedPool(2)
    Reading(tmp_path).of(FILES["groups"], pool)
    assert pool._workers
    processes = [worker._process for worker in pool._workers]
    assert [process.poll() for process in processes] == [None, None]

    pool.close()

    assert [process.returncode for process in processes] == [0, 0]
