"""The record path that has blocks decoded by worker processes."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING

from tap_mobile_engagement.emit import direct_path
from tap_mobile_engagement.errors import TapError
from tap_mobile_engagement.workers.jobs import Setup
from tap_mobile_engagement.workers.pool import Handed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.emit import Counts, LineOutput
    from tap_mobile_engagement.reading.arrays import Block, Parse
    from tap_mobile_engagement.reading.parts import PartRecords
    from tap_mobile_engagement.workers.pool import WorkerPool

JOB_SIZE = 512 * 1024
"""Bytes of blocks that a worker gets at once, so that it is woken less often than by each.

What is less is decoded here, unless a worker is at it anyway.
"""

MOST_BLOCKS = 1_000
"""Blocks in one job, so that what is said of them fits into a pipe.

Beside an element that is no JSON each element is a block of its own.
"""


class ParallelPath:
    """Writes the records of blocks that workers decode, in the order of the blocks.

    A worker makes the same lines of a block as :func:`~tap_mobile_engagement.emit.direct_path`
    does here, or leaves it to be read here. So nothing else differs: bad records, counts and
    errors come up here, and in order.

    Args:
        data_type: What the records are.
        output: Where they go.
        selected: Names of the fields to write.
        pool: The workers.
    """

    parse: Parse | None = None  # blocks are parsed elsewhere

    def __init__(
        self,
        data_type: DataType,
        output: LineOutput,
        selected: Sequence[str],
        pool: WorkerPool,
    ) -> None:
        self._output = output
        self._selected = selected
        self._pool = pool
        self._here = direct_path(data_type, output, selected)

    def emit(self, blocks: Iterable[Block], records: PartRecords) -> Counts:
        """Write the records of the blocks of one part, in order; see ``RecordPath``."""
        setup = self._setup(records)
        with closing(self._handed_out(setup, blocks)) as handed:
            for some in handed:
                for block, lines in zip(some.blocks, some.collect(), strict=True):
                    if lines is None:
                        yield self._here.emit_block(block, records)
                        continue
                    content, encoded = lines
                    if encoded.count:
                        self._output.write(content, encoded.count)
                    records.passed_over(repaired=encoded.repaired, end_a_run=encoded.end_a_run)
                    yield encoded.count

    def _setup(self, records: PartRecords) -> Setup:
        origin, envelope = records.origin, self._output.envelope
        return Setup(
            origin.data_type.name,
            origin.app_name,
            origin.blob_name,
            origin.exported_until,
            (*self._selected,),
            envelope.opening,
            envelope.ending,
        )

    def _handed_out(
        self, setup: Setup, blocks: Iterable[Block]
    ) -> Generator[Handed, None, None]:
        """All blocks in order, some at a time; so many are handed out as workers can have.

        What reading the blocks raises comes behind them.
        """
        waiting: deque[Handed] = deque()
        try:
            try:
                for some in _jobs(blocks):
                    if len(waiting) == self._pool.capacity:
                        yield waiting.popleft()
                    is_job = waiting or sum(len(block.data) for block in some) >= JOB_SIZE
                    waiting.append(self._pool.hand_out(setup, some) if is_job else Handed(some))
            except TapError:
                while waiting:
                    yield waiting.popleft()
                raise
            while waiting:
                yield waiting.popleft()
        finally:  # nobody wants the rest, but the workers are to be free again
            for handed in waiting:
                handed.collect()


def _jobs(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """The blocks by the job; the last may be smaller."""
    some: list[Block] = []
    size = 0
    try:
        for block in blocks:
            some.append(block)
            size += len(block.data)
            if size >= JOB_SIZE or len(some) == MOST_BLOCKS:
                yield some
                some, size = [], 0
    except TapError:
        if some:
            yield some
        raise
    if some:
        yield some
