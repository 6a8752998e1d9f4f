from __future__ import annotations

import logging
import os
import pty
import sys
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from tap_mobile_engagement.api.observer import Observer, What
from tests.support.times import FakeTime

from .fakes import pending

if TYPE_CHECKING:
    import pytest


def test_lines_at_growing_intervals_say_what_is_done_and_how_long_it_took(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    time = FakeTime()
    observer = Observer(lambda: time.now)
    for _ in range(2):
        observer.happened(What.READ, pending())

    for _ in range(360 * 4):
        observer.progressed(running=2, unread=7)
        time.now += timedelta(seconds=10)

    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "Export tasks: 2 of 9 read, 2 running; 0:00:30 elapsed"
    elapsed = [line.split("; ")[1].split(" ")[0] for line in lines]
    assert elapsed[:5] == ["0:00:30", "0:01:30", "0:03:30", "0:07:30", "0:15:30"]
    assert len(elapsed) < 20


def test_without_a_terminal_there_are_lines() -> None:
    assert Observer(lambda: FakeTime().now)._live is None


def read_all(terminal: int) -> str:
    """All that was shown on a terminal: what is written arrives in pieces, a little later."""
    shown = b""
    with suppress(OSError):  # how Linux says that nobody has it open any more
        while piece := os.read(terminal, 100_000):
            shown += piece
    return shown.decode()


def test_on_a_terminal_there_is_a_bar_and_the_log_goes_above_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a terminal
    ours, theirs = pty.openpty()
    terminal = os.fdopen(theirs, "w")
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    handler = logging.StreamHandler(terminal)
    logging.getLogger().addHandler(handler)

    # when
    progress = Observer(lambda: FakeTime().now)._live
    assert progress is not None
    progress.show(2, 9, 2)
    logging.getLogger().warning("a line of the log")
    progress.show(3, 9, 2)
    progress.close()

    # then
    logging.getLogger().removeHandler(handler)
    stream_is_back = handler.stream is terminal
    terminal.close()
    shown = read_all(ours)
    os.close(ours)
    assert "3/9" in shown
    assert "a line of the log" in shown
    assert stream_is_back
