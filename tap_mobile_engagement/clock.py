"""The clock, and waits that a stop of the run ends: pauses, retries, and work in threads."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import inf
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any, TypeVar

import backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from tap_mobile_engagement.errors import TapError

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

SLICE = 0.1  # seconds; how long a stop may go unnoticed
AHEAD = 4  # results held ready per worker, so that one slow request idles no other
MOST_CHUNKS = 128  # of one file that may be fetched ahead of its reader
_MOST_STEPS = 250  # enough to grow from a nanosecond to centuries by a fifth each time
_PATIENCE = 900.0  # seconds; a longer pause that a service asks for is not waited for


class RunStopped(BaseException):
    """The run was asked to stop; no ``Exception``, which a stream's failure would be."""


class Clock:
    """The clock of a run, in UTC; ``is_stopped`` holds no lock, so a signal may set it."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.now = now
        self.is_stopped = False

    def check(self) -> None:
        """Raise RunStopped if the run is asked to stop."""
        if self.is_stopped:
            raise RunStopped

    def pause(self, seconds: float) -> None:
        """Wait for that many seconds; raise RunStopped if the run is asked to stop."""
        until = time.monotonic() + seconds
        self.check()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, SLICE))
            self.check()


def read_time(text: str, read: Callable[[str], datetime] = datetime.fromisoformat) -> datetime:
    """A time in ISO 8601, in UTC, which is its zone if it has none; raises ValueError."""
    try:
        time_ = read(text)
        return time_.astimezone(UTC) if time_.tzinfo else time_.replace(tzinfo=UTC)
    except (TypeError, OverflowError, IndexError) as error:
        raise ValueError(str(error)) from None


def read_http_date(text: str | None) -> datetime | None:
    """A date of an HTTP header, in UTC; None where it is none."""
    with suppress(ValueError):
        return read_time(text, parsedate_to_datetime) if text else None
    return None


class PassingError(Exception):
    """A failure that may pass: the error after the last try, and a short reason for the log."""

    def __init__(self, error: TapError, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.error = error
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Schedule:
    """Pauses in seconds; a ``Retry-After`` overrides them, but is at least the first."""

    first: float
    largest: float
    growth: float = 1.2

    def pause(self, step: int, *, retry_after: float | None = None) -> float:
        """Seconds of the pause with that number, or what the service asked for."""
        if retry_after is not None:
            return max(retry_after, self.first)
        return min(self.first * self.growth ** min(step, _MOST_STEPS), self.largest)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and at what pace a request is tried."""

    tries: int = 8  # in two minutes; Azure moves a broken part of its storage in half of one
    schedule: Schedule = Schedule(first=1, largest=60, growth=2)

    def call(self, attempt: Callable[[], Result], *, clock: Clock, name: str) -> Result:
        """What an attempt returns; it is made again while it raises :class:`PassingError`."""

        def pause(details: Any) -> None:
            passing, step = details["exception"], details["tries"] - 1
            seconds = self.schedule.pause(step, retry_after=passing.retry_after)
            log.warning("%s: %s; trying again in %.3g s", name, passing, seconds)
            clock.pause(seconds)

        try:
            return backoff.on_exception(
                backoff.constant,
                PassingError,
                interval=0,  # a stop would not end its own sleep
                jitter=None,
                max_tries=self.tries,
                giveup=lambda passing: (passing.retry_after or 0) > _PATIENCE,
                on_backoff=pause,
                on_giveup=lambda details: details["exception"].error.at(tries=details["tries"]),
                logger=None,
            )(attempt)()
        except PassingError as passing:
            # Without its cause: messages of the network's libraries hold URLs.
            raise passing.error from None


RETRY = Retry()  # for all requests of a run
RETRY_ONCE = Retry(tries=2)  # for requests whose outcome a person waits for


def interruptible(
    call: Callable[[], Result], clock: Clock, *, grace: float = 0.0, limit: float = inf
) -> Result:
    """What a call in a daemon thread returns or raises, because no stop ends a system call.

    The wait ends ``grace`` seconds after a stop, or at the ``limit`` with a TimeoutError.
    """
    clock.check()
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001  (raised again where it is waited for)
            outcome.set_exception(error)

    threading.Thread(target=run, name="request", daemon=True).start()
    began, ends_at = time.monotonic(), inf
    while not wait([outcome], SLICE).done:
        if clock.is_stopped:
            ends_at = min(ends_at, time.monotonic() + grace)
        if time.monotonic() >= ends_at:
            raise RunStopped
        if time.monotonic() >= began + limit:
            raise TimeoutError(f"no end after {limit:.0f} s")
    return outcome.result()


def map_in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Generator[Result]:
    """The results of a function in the items' order, from threads; errors in their place."""
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
    fetch: Callable[[], Generator[bytes]], clock: Clock
) -> Iterator[Iterator[bytes]]:
    """Chunks that a thread fetches while the reader works; one before it has taken any."""
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
                all(map(put, chunks))  # until the reader takes no more
        except BaseException as error:  # noqa: BLE001  (raised again where it is read)
            end = error
        put(end)

    def take() -> bytes | None:
        item: bytes | BaseException | None = b""
        while item == b"":
            clock.check()  # also while there is no end of small chunks
            with suppress(Empty):
                item = queue.get(timeout=SLICE)
        if isinstance(item, BaseException):
            raise item
        queue.maxsize = min(2 * queue.maxsize, MOST_CHUNKS)
        return item

    threading.Thread(target=run, name="download", daemon=True).start()
    try:
        yield iter(take, None)
    finally:
        is_over.set()
