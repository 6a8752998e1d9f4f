"""The one retry: what is tried again, after which pauses, and when it ends."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_mobile_engagement.clock import Clock, PassingError, Retry, RunStopped, Schedule
from tap_mobile_engagement.errors import Code, RetryLaterError
from tests.support.times import FakeTime

SCHEDULE = Schedule(first=5, largest=300)


class Request:
    """Fails as often as it is told, each time with another error."""

    def __init__(self, *failures: float | None) -> None:
        self.failures = [*failures]
        self.attempts = 0

    def __call__(self) -> int:
        self.attempts += 1
        if self.failures:
            what = f"attempt {self.attempts} failed"
            error = RetryLaterError(Code.SERVICE_UNAVAILABLE, what)
            raise PassingError(error, what, retry_after=self.failures.pop(0))
        return self.attempts


def test_what_may_pass_is_tried_again_after_growing_pauses() -> None:
    time = FakeTime()
    request = Request(None, None, None)

    assert Retry().call(request, clock=time.timing, name="the service") == 4
    assert time.pauses == [1, 2, 4]


def test_the_last_error_is_raised_when_all_tries_are_used_up() -> None:
    request = Request(*[None] * 100)

    with pytest.raises(RetryLaterError, match="attempt 3 failed"):
        Retry(tries=3).call(request, clock=FakeTime().timing, name="the service")
    assert request.attempts == 3


def test_a_pause_that_was_asked_for_wins_unless_it_is_too_long() -> None:
    time = FakeTime()
    request = Request(70, 1000)

    with pytest.raises(RetryLaterError, match="attempt 2 failed"):
        Retry().call(request, clock=time.timing, name="the service")
    assert time.pauses == [70]


def test_a_stop_ends_a_pause() -> None:
    clock = Clock()
    threading.Timer(0.2, setattr, (clock, "is_stopped", True)).start()
    began = time.monotonic()

    with pytest.raises(RunStopped):
        Retry().call(Request(60), clock=clock, name="the service")

    assert time.monotonic() - began < 10


class TestSchedule:
    def test_pauses_grow_from_the_first_to_the_largest(self) -> None:
        schedule = Schedule(first=2, largest=10, growth=2)

        assert [schedule.pause(step) for step in range(5)] == [2, 4, 8, 10, 10]

    @given(seconds=st.floats(30, 1500))
    def test_an_end_is_seen_soon_in_proportion_to_what_it_took(self, seconds: float) -> None:
        # With the pauses of the settings' defaults, before they reach the largest.
        schedule = Schedule(first=5, largest=300)
        seen_at, step = 0.0, 0
        while seen_at < seconds:
            seen_at += schedule.pause(step)
            step += 1

        assert seen_at - seconds <= 0.2 * seconds + 5

    def test_retry_after_wins_in_both_directions(self) -> None:
        assert SCHEDULE.pause(0, retry_after=1000) == 1000
        assert SCHEDULE.pause(50, retry_after=7) == 7

    @pytest.mark.parametrize("asked", [0, 0.001])
    def test_retry_after_can_not_make_the_tap_spin(self, asked: float) -> None:
        assert SCHEDULE.pause(9, retry_after=asked) == SCHEDULE.first

    @given(
        first=st.floats(0.001, 100),
        more=st.floats(0, 1e6),
        step=st.integers(0, 10**9),
    )
    def test_a_pause_never_shrinks_and_stays_in_bounds(
        self, first: float, more: float, step: int
    ) -> None:
        schedule = Schedule(first=first, largest=first + more)

        assert first <= schedule.pause(step) <= schedule.pause(step + 1) <= first + more
