"""Work in other threads, whose results are waited for until the run is stopped.

A system call that a network stalls can't be ended, so it is made in a daemon thread.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, TypeVar

from tap_mobile_engagement.clock import SLICE, RunStopped

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from tap_mobile_engagement.clock import Clock

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 4  # results held ready per worker, so that one slow request idles no other
MOST_CHUNKS = 128  # of one file that may be fetched ahead of its reader


def interruptible(
    call: Callable[[], Result], clock: Clock, *, grace: float = 0.0, limit: float = 0.0
) -> Result:
    """What a call in a thread of its own returns or raises.

    A stop ends the wait for it after ``grace`` seconds (RunStopped), and so does the ``limit``
    in seconds, unless it is 0 (TimeoutError).
    """
    clock.check()
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001  (raised again where it is waited for)
            outcome.set_exception(error)

    threading.Thread(target=run, name="request", daemon=True).start()
    began = time.monotonic()
    stopped_at: float | None = None
    while not wait([outcome], SLICE).done:
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

    An exception is raised in the place of its result. Then, or when the caller stops
    reading, what has not begun is dropped.
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
    fetch: Callable[[], Generator[bytes]], clock: Clock, *, most: int = MOST_CHUNKS
) -> Iterator[Iterator[bytes]]:
    """Chunks that a thread fetches while the reader works; at most ``most`` wait for it.

    Before the reader has taken any, it is one: the reader may want the head alone.
    """
    queue: Queue[bytes | BaseException | None] = Queue(1)
    is_over = threading.Event()

    def put(item: bytes | BaseException | None) -> bool:
        while not is_over.is_set():
            with suppress(Full):
                queue.put(item, timeout=SLICE)
                return True
        return False

    def run() -> None:
        end: BaseException | None = None
        try:
            with closing(fetch()) as chunks:
                for chunk in chunks:
                    if not put(chunk):
                        return
        except BaseException as error:  # noqa: BLE001  (raised again where it is read)
            end = error
        put(end)

    threading.Thread(target=run, name="download", daemon=True).start()
    try:
        yield _taken(queue, clock, most)
    finally:
        is_over.set()


def _taken(
    queue: Queue[bytes | BaseException | None], clock: Clock, most: int
) -> Iterator[bytes]:
    while True:
        clock.check()  # also while there is no end of small chunks, without a whole element
        try:
            item = queue.get(timeout=SLICE)
        except Empty:
            continue
        if not isinstance(item, bytes):
            if item is not None:
                raise item
            return
        queue.maxsize = min(2 * queue.maxsize, most)
        yield item
