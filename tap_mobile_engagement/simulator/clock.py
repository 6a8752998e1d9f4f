"""The simulator's clock: a calendar that can be moved forward, and timers that run with it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NANOSECONDS = 1_000_000_000
DAY = 86_400 * NANOSECONDS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(9990, 1, 1, tzinfo=UTC)  # some years before the last that a calendar knows


def nanoseconds(moment: datetime) -> int:
    """Nanoseconds since 1970 of an aware date-time, exactly (no detour over floats)."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1_000


class SimulatorClock:
    """Calendar and timers of one simulator.

    The calendar (:meth:`now`) decides which data is there and stands in every answer. It may be
    frozen, so that a whole run of a tap sees the same data. The timers (:meth:`elapsed`) of
    export tasks and tokens run with real time even then, so that no task hangs; a test that
    must not wait gives its tasks long durations and advances the clock over them.

    Args:
        start: Where the calendar starts; aware.
        frozen: Whether the calendar moves only when it is advanced.
        monotonic: Source of real time, in seconds.
    """

    def __init__(
        self,
        start: datetime,
        *,
        frozen: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start = start.astimezone(UTC)
        self._frozen = frozen
        self._monotonic = monotonic
        self._began = monotonic()
        self._advanced = timedelta()
        self.changed = threading.Condition()
        """Notified when the clock is advanced; what waits for a timer waits on this."""

    def elapsed(self) -> float:
        """Seconds on the timers: real time since the start, and all that was advanced."""
        return self._monotonic() - self._began + self._advanced.total_seconds()

    def now(self) -> datetime:
        """The date and time by the calendar, in UTC."""
        if self._frozen:
            return self._start + self._advanced
        return self._start + timedelta(seconds=self.elapsed())

    def advance(self, *, days: float = 0, seconds: float = 0) -> datetime:
        """Move calendar and timers forward.

        Returns:
            The new date and time.

        Raises:
            ValueError: If that would move the clock back, or beyond all calendars.
            OverflowError: Likewise.
        """
        step = timedelta(days=days, seconds=seconds)
        if step < timedelta():
            raise ValueError("the clock can't go back")
        with self.changed:
            if step > _LAST - self.now():
                raise ValueError(f"the clock ends in {_LAST.year}")
            self._advanced += step
            self.changed.notify_all()
        return self.now()
