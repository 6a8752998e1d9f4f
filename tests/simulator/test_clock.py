from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tap_mobile_engagement.simulator.clock import SimulatorClock, nanoseconds

START = datetime(2016, 5, 15, tzinfo=UTC)


class RealTime:
    """Real time, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_the_clock_runs_with_real_time_and_can_be_advanced() -> None:
    time = RealTime()
    clock = SimulatorClock(START, monotonic=time)

    time.seconds += 5
    clock.advance(days=2, seconds=10)

    assert clock.now() == START + timedelta(days=2, seconds=15)
    assert clock.elapsed() == 2 * 86_400 + 15


def test_a_frozen_calendar_stands_while_the_timers_run() -> None:
    time = RealTime()
    clock = SimulatorClock(START, frozen=True, monotonic=time)

    time.seconds += 5

    assert clock.now() == START
    assert clock.elapsed() == 5
    assert clock.advance(days=1) == START + timedelta(days=1)


def test_the_clock_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="back"):
        SimulatorClock(START).advance(days=-1)


@pytest.mark.parametrize("days", [float("nan"), float("inf"), 1e300, 1e9, 3e6])
def test_the_clock_refuses_what_it_can_not_count_to(days: float) -> None:
    clock = SimulatorClock(START, frozen=True)

    with pytest.raises((ValueError, OverflowError)):
        clock.advance(days=days)

    assert clock.now() == START


def test_nanoseconds_are_exact() -> None:
    assert nanoseconds(datetime(2016, 5, 15, 0, 0, 0, 123457, UTC)) % 10**9 == 123_457_000
