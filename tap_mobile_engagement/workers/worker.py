"""The worker process: takes blocks, gives back their records as lines.

It knows nothing but what a job tells it. Whatever it can't do alone it leaves to the tap: what
to do about a bad record, and ids that depend on what came before. So it can fail or vanish at
any time, and nothing is lost.
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import IO, TYPE_CHECKING, Any, NoReturn

import msgspec

from tap_mobile_engagement.datatypes import DATA_TYPES, LISTED_TYPES
from tap_mobile_engagement.emit import Envelope, direct_path
from tap_mobile_engagement.reading.arrays import Block
from tap_mobile_engagement.reading.parts import Origin, PartRecords
from tap_mobile_engagement.reading.rejects import BadRecords
from tap_mobile_engagement.workers.jobs import (
    SLOT_SIZE,
    Answer,
    Encoded,
    Job,
    Setup,
    keep_freed_memory,
    receive,
    send,
)

if TYPE_CHECKING:
    from tap_mobile_engagement.emit import BlockPath

_BY_NAME = {data_type.name: data_type for data_type in (*DATA_TYPES, *LISTED_TYPES)}
_jobs = msgspec.msgpack.Decoder(Job)


class _LeftToTheTap(Exception):  # noqa: N818  (it is no error)
    """A block holds what a worker can't decide."""


class _NotHere(BadRecords):
    """Leaves every bad record to the tap, which counts them and knows what is to be done."""

    def reject(self, reason: str, item: Any, *, blob: str | None, offset: int) -> NoReturn:
        del item, blob, offset
        raise _LeftToTheTap(reason)


class _Lines:
    """Collects the lines of one block."""

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        self.pieces: list[bytes] = []

    def write(self, lines: bytes, count: int) -> None:
        del count
        self.pieces.append(lines)


class BlockEncoder:
    """Encodes the records of the blocks of one part.

    Args:
        setup: What the blocks have in common.
    """

    def __init__(self, setup: Setup) -> None:
        data_type = _BY_NAME[setup.data_type]
        self._origin = Origin(data_type, setup.app_name, setup.blob_name, setup.exported_until)
        self._lines = _Lines(Envelope(setup.opening, setup.ending))
        self._path: BlockPath = direct_path(data_type, self._lines, setup.selected)
        self._not_here = _NotHere(data_type.name)

    def encode(self, data: bytes, room: int) -> tuple[bytes, Encoded] | None:
        """The records of a block as lines.

        Args:
            data: A JSON array of elements.
            room: Bytes that the lines may have.

        Returns:
            None if the tap has to read the block itself.
        """
        self._lines.pieces.clear()
        records = PartRecords(self._origin, self._not_here)
        try:
            count = self._path.emit_block(Block(data, 0), records)
        except Exception:  # noqa: BLE001  (the tap reads it again, and says what is wrong)
            return None
        lines = b"".join(self._lines.pieces)
        if records.depend_on_order or len(lines) > room:
            return None
        return lines, Encoded(len(lines), count, records.repaired, records.end_a_run)


def work(memory: mmap.mmap, jobs: IO[bytes], answers: int) -> None:
    """Do jobs until the tap has no more, or has ended.

    Args:
        memory: Holds the blocks, and then the lines.
        jobs: Where jobs come from.
        answers: File descriptor to which the answers go.
    """
    encoder: BlockEncoder | None = None
    while (job := receive(jobs, _jobs)) is not None:
        if job.setup is not None:
            encoder = BlockEncoder(job.setup)
        assert encoder is not None  # noqa: S101  (the first job brings a setup)
        send(answers, _done(job, encoder, memory))


def _done(job: Job, encoder: BlockEncoder, memory: mmap.mmap) -> Answer:
    block_at = job.at
    lines_at = job.at + sum(job.sizes)
    end = job.at + SLOT_SIZE
    encoded: list[Encoded | None] = []
    for size in job.sizes:
        found = encoder.encode(memory[block_at : block_at + size], end - lines_at)
        block_at += size
        if found is None:
            encoded.append(None)
            continue
        lines, block = found
        memory[lines_at : lines_at + block.size] = lines
        lines_at += block.size
        encoded.append(block)
    return Answer(encoded)


def main(memory: int) -> None:
    """Work as a process: jobs come by standard input, answers go to standard output.

    Args:
        memory: File descriptor of the memory that is shared with the tap.
    """
    keep_freed_memory()
    try:
        work(mmap.mmap(memory, 0), sys.stdin.buffer, sys.stdout.fileno())
    except BrokenPipeError:
        os._exit(0)  # the tap is gone, and there is nobody to tell
