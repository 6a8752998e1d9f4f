"""Many small requests side by side, their results in order, and only so many at a time."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 4
"""Results held ready per worker, so that one slow request does not idle the others."""


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Iterator[Result]:
    """Apply a function to items in threads, and yield the results in the items' order.

    No more than ``AHEAD`` items per worker are taken before their results are asked for, so
    memory is bounded however long the items are. When one fails, or the caller stops reading,
    what has not begun is dropped.

    Args:
        function: Called in a thread, with one item.
        items: Read in the calling thread.
        workers: Threads; at least one.

    Raises:
        BaseException: What the function raised, in the place of the result.
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
