from __future__ import annotations

import logging
import os
import pty
import sys
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from tap_mobile_engagement.api.observer import (
    LiveProgress,
    ProgressLines,
    Summary,
    new_progress,
)

if TYPE_CHECKING:
    import pytest


def summary(minutes: float = 0, *, read: int = 2) -> Summary:
    return Summary(running=2, read=read, total=9, elapsed=timedelta(minutes=minutes))


def test_the_line_says_what_is_done_and_how_long_it_took() -> None:
    assert str(summary(75)) == "Export tasks: 2 of 9 read, 2 running; 1:15:00 elapsed"


def test_lines_come_at_growing_intervals(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    lines = ProgressLines()

    for second in range(0, 3_600 * 4, 10):
        lines.show(summary(second / 60))

    elapsed = [record.getMessage().split("; ")[1].split(" ")[0] for record in caplog.records]
    assert elapsed[:5] == ["0:00:30", "0:01:30", "0:03:30", "0:07:30", "0:15:30"]
    assert len(elapsed) < 20


def test_without_a_terminal_there_are_lines() -> None:
    assert isinstance(new_progress(), ProgressLines)


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
    progress = new_progress()
    progress.show(summary())
    logging.getLogger().warning("a line of the log")
    progress.show(summary(read=3))
    progress.close()

    # then
    logging.getLogger().removeHandler(handler)
    stream_is_back = handler.stream is terminal
    terminal.close()
    shown = read_all(ours)
    os.close(ours)
    assert isinstance(progress, LiveProgress)
    assert "3/9" in shown
    assert "a line of the log" in shown
    assert stream_is_back
