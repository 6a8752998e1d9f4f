"""Work in other threads, whose results are waited for until the run is stopped.

A system call that a network stalls can't be ended, so it is made in a daemon thread.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, TypeVar

from tap_mobile_engagement.clock import RunStopped

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from tap_mobile_engagement.clock import Clock

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 4
"""Results held ready per worker, so that one slow request does not idle the others."""

BUDGET = 32 * 1024 * 1024
"""Bytes of one file that may be fetched ahead of its reader."""

_FIRST_BYTES = 256 * 1024  # fetched before the reader has taken any: it may want the head alone
_SLICE = 0.1  # seconds; how long a stop may go unnoticed


def interruptible(
    call: Callable[[], Result], clock: Clock, *, grace: float = 0.0, limit: float = 0.0
) -> Result:
    """What a call in a thread of its own returns or raises.

    A stop ends the wait for it after ``grace`` seconds (RunStopped), and so does the ``limit``
    in seconds, unless it is 0 (TimeoutError).
    """
    clock.check()
    outcome: Future[Result] = Future()
    done = threading.Event()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001  (raised again where it is waited for)
            outcome.set_exception(error)
        done.set()

    threading.Thread(target=run, name="request", daemon=True).start()
    began = time.monotonic()
    stopped_at: float | None = None
    while not done.wait(_SLICE):
        now = time.monotonic()
        if clock.stop.is_set():
            stopped_at = stopped_at or now
            if now >= stopped_at + grace:
                raise RunStopped
        if limit and now >= began + limit:
            raise TimeoutError(f"no end after {limit:.0f} s")
    return outcome.result()


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Iterator[Result]:
    """Apply a function to items in threads, and yield the results in the items' order.

    No more than ``AHEAD`` items per worker are taken ahead. An exception of the function is
    raised in the place of its result. Then, or when the caller stops reading, what has not
    begun is dropped.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="requests")
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= workers * AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def fetched_ahead(
    fetch: Callable[[], Generator[bytes]], clock: Clock, *, budget: int = BUDGET
) -> Iterator[Iterator[bytes]]:
    """Chunks that a thread fetches while the reader works.

    At most ``budget`` bytes wait for the reader, and at least one chunk. ``fetch`` begins the
    download; it is closed in the thread that reads it.
    """
    queue = _ChunkQueue(clock, budget)

    def run() -> None:
        error: BaseException | None = None
        try:
            with closing(fetch()) as chunks:
                for chunk in chunks:
                    if not queue.put(chunk):
                        return
        except BaseException as raised:  # noqa: BLE001  (raised again where it is read)
            error = raised
        queue.end(error)

    threading.Thread(target=run, name="download", daemon=True).start()
    try:
        yield queue.taken()
    finally:
        queue.end()


class _ChunkQueue:
    """Passes chunks from the thread that fetches them to the one that reads them."""

    def __init__(self, clock: Clock, budget: int) -> None:
        self._clock = clock
        self._budget = budget
        self._changed = threading.Condition()
        self._chunks: deque[bytes] = deque()
        self._size = 0  # of the chunks that wait
        self._taken = 0  # bytes that the reader has had
        self._is_over = False  # all is fetched, or the reader wants no more
        self._error: BaseException | None = None

    def put(self, chunk: bytes) -> bool:
        """Wait for room and add a chunk; False if the reader wants no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self._has_room(len(chunk)))
            self._chunks.append(chunk)
            self._size += len(chunk)
            self._changed.notify_all()
            return not self._is_over

    def _has_room(self, size: int) -> bool:
        room = min(self._budget, _FIRST_BYTES + 4 * self._taken)
        return not self._size or self._size + size <= room

    def end(self, error: BaseException | None = None) -> None:
        with self._changed:
            self._is_over, self._error = True, error
            self._changed.notify_all()

    def taken(self) -> Iterator[bytes]:
        while True:
            with self._changed:
                while not self._chunks and not self._is_over:
                    self._changed.wait(_SLICE)
                    self._clock.check()
                if not self._chunks:
                    if self._error is not None:
                        raise self._error
                    return
                chunk = self._chunks.popleft()
                self._size -= len(chunk)
                self._taken += len(chunk)
                self._changed.notify_all()
            yield chunk
