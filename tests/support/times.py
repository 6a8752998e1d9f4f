"""A clock that only moves when something waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tap_mobile_engagement.clock import Clock

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class FakeTime:
    """A clock that may stop the run: a pause moves it and takes no time."""

    def __init__(self) -> None:
        self.now = START
        self.pauses: list[float] = []
        self.stop_at: datetime | None = None

    @property
    def timing(self) -> Clock:
        return _Moved(self)


class _Moved(Clock):
    def __init__(self, time: FakeTime) -> None:
        self._time = time
        super().__init__(lambda: time.now)

    @property
    def is_stopped(self) -> bool:
        return self._time.stop_at is not None and self.now() >= self._time.stop_at

    @is_stopped.setter
    def is_stopped(self, value: bool) -> None:
        """Nothing: the time says it."""

    def pause(self, seconds: float) -> None:
        self._time.now += timedelta(seconds=max(seconds, 0.0))
        if seconds > 0:
            self._time.pauses.append(seconds)
        self.check()
