import threading
from collections.abc import Iterator

import pytest

from tap_mobile_engagement.background import AHEAD, map_in_order


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
    results.close()  # type: ignore[attr-defined]

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
