import signal
import threading
import time

import pytest

from tap_mobile_engagement.clock import Clock, RunStopped


def test_a_pause_lasts_as_long_as_it_should() -> None:
    began = time.monotonic()

    Clock().pause(0.15)

    assert 0.15 <= time.monotonic() - began < 5


@pytest.mark.parametrize("seconds", [0, -5])
def test_no_pause_takes_no_time(seconds: float) -> None:
    began = time.monotonic()

    Clock().pause(seconds)

    assert time.monotonic() - began < 1


def test_a_stop_by_another_thread_ends_a_pause() -> None:
    clock = Clock()
    threading.Timer(0.05, setattr, (clock, "is_stopped", True)).start()
    began = time.monotonic()

    with pytest.raises(RunStopped):
        clock.pause(60)

    assert time.monotonic() - began < 5
    assert clock.is_stopped


def test_a_stop_by_a_signal_handler_ends_a_pause() -> None:
    clock = Clock()
    before = signal.signal(signal.SIGALRM, lambda *_: setattr(clock, "is_stopped", True))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        began = time.monotonic()
        with pytest.raises(RunStopped):
            clock.pause(60)
    finally:
        signal.signal(signal.SIGALRM, before)

    assert time.monotonic() - began < 5


def test_no_pause_begins_after_a_stop() -> None:
    clock = Clock()
    clock.is_stopped = True

    with pytest.raises(RunStopped):
        clock.pause(60)


def test_a_stop_is_not_taken_for_a_failure() -> None:
    assert not issubclass(RunStopped, Exception)


def test_the_clock_is_in_utc() -> None:
    offset = Clock().now().utcoffset()

    assert offset is not None
    assert not offset
