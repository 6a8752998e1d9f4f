import threading
import time
from collections.abc import Generator, Iterator

import pytest

from tap_mobile_engagement import clock as module
from tap_mobile_engagement.clock import (
    AHEAD,
    Clock,
    RunStopped,
    fetched_ahead,
    interruptible,
    map_in_order,
)
from tap_mobile_engagement.errors import Code, RetryLaterError


def test_results_come_in_the_order_of_the_items_whatever_the_order_of_work() -> None:
    later_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:  # the first one finishes last
            assert later_done.wait(10)
        if item == 5:
            later_done.set()
        return item * 2

    assert [*map_in_order(work, range(6), workers=2)] == [0, 2, 4, 6, 8, 10]


def test_items_are_taken_only_as_needed() -> None:
    taken = []

    def endless() -> Iterator[int]:
        number = 0
        while True:
            taken.append(number)
            yield number
            number += 1

    results = map_in_order(lambda item: item, endless(), workers=3)
    assert [next(results) for _ in range(10)] == [*range(10)]
    results.close()

    assert len(taken) <= 10 + 3 * AHEAD


def test_no_more_work_than_workers_at_a_time() -> None:
    lock, running, most = threading.Lock(), 0, 0
    all_at_work = threading.Barrier(3)

    def work(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        all_at_work.wait(10)  # passes only when three are at work together
        with lock:
            running -= 1

    assert len([*map_in_order(work, range(12), workers=3)]) == 12

    assert most == 3


def test_a_failure_comes_in_the_place_of_its_result_and_stops_the_rest() -> None:
    done = []

    def work(item: int) -> int:
        done.append(item)
        if item == 2:
            raise ValueError("two")
        return item

    results = map_in_order(work, range(1000), workers=1)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)

    assert len(done) <= 3 + AHEAD


class Network:
    """Chunks that are counted as they are fetched."""

    def __init__(self, chunks: list[bytes], error: Exception | None = None) -> None:
        self.chunks = chunks
        self.error = error
        self.given = 0
        self.closed = threading.Event()
        self.has_given_all = threading.Event()

    def fetch(self) -> Generator[bytes]:
        try:
            for chunk in self.chunks:
                self.given += 1
                if self.given == len(self.chunks):
                    self.has_given_all.set()
                yield chunk
            if self.error:
                raise self.error
        finally:
            self.closed.set()


@pytest.mark.parametrize("most", [1, 2, 200])
def test_all_chunks_come_in_order_however_many_wait(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(module, "MOST_CHUNKS", most)
    network = Network([bytes([n]) * 50 for n in range(100)])

    with fetched_ahead(network.fetch, Clock()) as chunks:
        assert [*chunks] == network.chunks


def test_chunks_are_fetched_before_they_are_asked_for() -> None:
    network = Network([b"x" * 50])

    with fetched_ahead(network.fetch, Clock()):
        assert network.has_given_all.wait(10)


def test_no_more_is_fetched_than_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CHUNKS", 4)
    network = Network([b"x" * 50] * 100)

    with fetched_ahead(network.fetch, Clock()) as chunks:
        taken = [next(chunks) for _ in range(10)]

    assert network.closed.wait(10), "the download continues though nobody reads it"
    assert len(taken) == 10
    assert network.given <= 10 + 4 + 1


def test_little_is_fetched_of_a_file_whose_head_alone_is_read() -> None:
    network = Network([b"x" * 50_000] * 100)

    with fetched_ahead(network.fetch, Clock()) as chunks:
        next(chunks)
        time.sleep(0.1)

    assert network.closed.wait(10)
    assert network.given < 15


def test_an_error_reaches_the_reader_behind_what_came_before_it() -> None:
    network = Network([b"a", b"b"], RetryLaterError(Code.STORAGE_UNAVAILABLE, "gone"))

    with fetched_ahead(network.fetch, Clock()) as chunks:
        assert [next(chunks), next(chunks)] == [b"a", b"b"]
        with pytest.raises(RetryLaterError, match="gone"):
            next(chunks)


@pytest.fixture
def stalled() -> Iterator[threading.Event]:
    """A network that stalls until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def test_a_stop_ends_the_wait_for_a_download_that_stalls(stalled: threading.Event) -> None:
    clock = Clock()

    def fetch() -> Generator[bytes]:
        stalled.wait()
        yield b"late"

    with fetched_ahead(fetch, clock) as chunks:
        threading.Timer(0.2, setattr, (clock, "is_stopped", True)).start()
        with pytest.raises(RunStopped):
            next(chunks)


def test_a_stop_ends_a_download_that_crawls_in_small_chunks() -> None:
    clock = Clock()
    network = Network([b" "] * 100)

    with fetched_ahead(network.fetch, clock) as chunks:
        next(chunks)
        clock.is_stopped = True
        with pytest.raises(RunStopped):
            list(chunks)


def test_a_stop_ends_the_wait_for_a_call_that_stalls(stalled: threading.Event) -> None:
    clock = Clock()
    threading.Timer(0.2, setattr, (clock, "is_stopped", True)).start()

    with pytest.raises(RunStopped):
        interruptible(stalled.wait, clock)


def test_a_call_that_has_begun_is_waited_for_a_moment_beyond_a_stop() -> None:
    clock = Clock()

    def request() -> str:
        clock.is_stopped = True
        time.sleep(0.3)
        return "created"

    assert interruptible(request, clock, grace=10) == "created"


def test_no_call_begins_after_a_stop() -> None:
    clock = Clock()
    clock.is_stopped = True

    with pytest.raises(RunStopped):
        interruptible(lambda: pytest.fail("it was called"), clock, grace=10)


def test_what_a_call_raises_is_raised() -> None:
    def request() -> None:
        raise TimeoutError("of the call itself")

    with pytest.raises(TimeoutError, match="of the call itself"):
        interruptible(request, Clock())
