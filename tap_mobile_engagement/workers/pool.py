"""The worker processes of a run, as the tap sees them."""

from __future__ import annotations

import logging
import mmap
import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, NamedTuple

import msgspec

from tap_mobile_engagement.workers.jobs import (
    SLOT_SIZE,
    Answer,
    Job,
    keep_freed_memory,
    receive,
    send,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_mobile_engagement.reading.arrays import Block
    from tap_mobile_engagement.workers.jobs import Encoded, Setup

DEPTH = 2
"""Jobs that a worker may have: one to do, and one to go on with at once."""

_NAME = "tap-mobile-engagement"
_logger = logging.getLogger(_NAME)
_MODULE = "tap_mobile_engagement.workers"
_PATIENCE = 5.0  # seconds; a worker that nobody talks to ends at once

_decoder = msgspec.msgpack.Decoder(Answer)


class Lines(NamedTuple):
    """The records of one block.

    Attributes:
        content: Whole lines.
        block: What is to be known of them.
    """

    content: bytes
    block: Encoded


@dataclass(frozen=True, slots=True)
class Handed:
    """Some blocks that a worker has, or none could take.

    Attributes:
        blocks: The blocks.
        worker: Who has them; None if they are to be read here.
    """

    blocks: Sequence[Block]
    worker: _Worker | None = None

    def collect(self) -> Sequence[Lines | None]:
        """The records of each block; None for one that has to be read here.

        To be called once, and in the order in which blocks were handed out.
        """
        found = self.worker.collect() if self.worker else None
        return found or [None] * len(self.blocks)


class WorkerPool:
    """Encodes blocks in so many processes; starts them when there is something to do.

    What a worker had that ended unasked is read here, so nothing depends on any of them.

    Args:
        count: How many processes.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._workers: list[_Worker] | None = None

    @property
    def capacity(self) -> int:
        """Jobs that may be under way at once."""
        return self._count * DEPTH

    def hand_out(self, setup: Setup, blocks: Sequence[Block]) -> Handed:
        """Give blocks to a worker, if there is one that can take them.

        Args:
            setup: What they have in common; the same object for all of one part.
            blocks: Some blocks, in order.
        """
        if self._workers is None:
            self._workers = self._started()
        if sum(len(block.data) for block in blocks) > SLOT_SIZE:
            return Handed(blocks)
        at_work = [worker for worker in self._workers if worker.load < DEPTH]
        worker = min(at_work, key=lambda each: each.load, default=None)
        if worker is None or not worker.take(setup, blocks):
            return Handed(blocks)
        return Handed(blocks, worker)

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers or ():
            worker.close()
        self._workers = None

    def _started(self) -> list[_Worker]:
        workers: list[_Worker] = []
        if os.name != "posix":
            _logger.warning("This system has no memory to share: read_workers is taken as 1")
            return workers
        keep_freed_memory()
        try:
            while len(workers) < self._count:
                workers.append(_Worker())
        except OSError as error:
            _logger.warning(
                "Only %d of %d processes for decoding could be started: %s",
                len(workers),
                self._count,
                error.strerror,
            )
        return workers


class _Worker:
    """One worker process, and the memory that it shares with the tap."""

    def __init__(self) -> None:
        with _memory_file(SLOT_SIZE * DEPTH) as file, _signals_blocked():
            self._memory = mmap.mmap(file.fileno(), SLOT_SIZE * DEPTH)
            self._process = subprocess.Popen(  # noqa: S603  (all of it is ours)
                # Not with the folder that the tap runs in on its path, unless the tap has it.
                [sys.executable, "-P", "-m", _MODULE, str(file.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(file.fileno(),),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        assert self._process.stdin  # noqa: S101  (both for the type checker)
        assert self._process.stdout  # noqa: S101
        self._jobs, self._answers = self._process.stdin, self._process.stdout
        self._free = deque(range(0, SLOT_SIZE * DEPTH, SLOT_SIZE))
        self._taken: deque[tuple[int, int]] = deque()  # slots, and where blocks end in them
        self._setup: Setup | None = None
        self._lost = False

    @property
    def load(self) -> int:
        """Jobs that it can't be given any more of its ``DEPTH``."""
        return DEPTH if self._lost else len(self._taken)

    def take(self, setup: Setup, blocks: Sequence[Block]) -> bool:
        """Let it encode some blocks; return whether it could be told."""
        slot = end = self._free.popleft()
        for block in blocks:
            start, end = end, end + len(block.data)
            self._memory[start:end] = block.data
        self._taken.append((slot, end))
        sizes = [len(block.data) for block in blocks]
        job = Job(slot, sizes, None if setup is self._setup else setup)
        self._setup = setup
        try:
            send(self._jobs.fileno(), job)
        except OSError:
            self._lose()
            return False
        return True

    def collect(self) -> Sequence[Lines | None] | None:
        """Wait for its answer to the oldest job; None if it ended instead."""
        answer = None if self._lost else receive(self._answers, _decoder)
        if answer is None:
            self._lose()
            return None
        slot, at = self._taken.popleft()
        self._free.append(slot)
        found: list[Lines | None] = []
        for block in answer.blocks:
            if block is None:
                found.append(None)
                continue
            found.append(Lines(self._memory[at : at + block.size], block))
            at += block.size
        return found

    def close(self) -> None:
        """End it: it has no more jobs then."""
        self._jobs.close()
        self._answers.close()
        self._wait()
        self._memory.close()

    def _lose(self) -> None:
        if not self._lost:
            self._lost = True
            _logger.warning(
                "A process for decoding ended (exit code %d); what it had is decoded here",
                self._wait(),
            )

    def _wait(self) -> int:
        """Its exit code, when it has ended, or was made to."""
        try:
            return self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Let processes that are started have the signals blocked that ask a run to end.

    They go to all processes at once where a terminal or a service manager sends them. It is
    for the tap to see to it that its workers end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _memory_file(size: int) -> IO[bytes]:
    """A file without a name, for memory that processes share."""
    if hasattr(os, "memfd_create"):
        file: IO[bytes] = os.fdopen(os.memfd_create(_NAME), "r+b", buffering=0)
    else:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (it is handed on)
    file.truncate(size)
    return file
