"""A clock that only moves when something waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tap_mobile_engagement.clock import Clock

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class FakeTime:
    """A clock and a stop flag: a wait moves the clock and takes no time."""

    def __init__(self) -> None:
        self.now = START
        self.pauses: list[float] = []
        self.stop_at: datetime | None = None

    def is_set(self) -> bool:
        return self.stop_at is not None and self.now >= self.stop_at

    def wait(self, timeout: float, /) -> bool:
        self.now += timedelta(seconds=timeout)
        if timeout:
            self.pauses.append(timeout)
        return self.is_set()

    @property
    def timing(self) -> Clock:
        return Clock(now=lambda: self.now, stop=self)
