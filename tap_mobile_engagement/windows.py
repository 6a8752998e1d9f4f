"""Date ranges and bookmarks: half-open ranges of whole days in UTC. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The days from ``start`` up to but not including ``end``, in UTC.

    Raises:
        ValueError: If it would hold no day.
    """

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError(f"an empty date window: {self.start} to {self.end}")

    def __str__(self) -> str:
        """As in logs and state: ``2016-05-01/2016-05-08``, the end not included."""
        return f"{self.start}/{self.end}"

    @property
    def days(self) -> int:
        """How many days it holds; at least one."""
        return (self.end - self.start).days

    @property
    def exported_until(self) -> str:
        """Its end as a bookmark: RFC 3339, midnight UTC."""
        return bookmark_at(self.end)

    def halves(self) -> tuple[Window, Window] | None:
        """Split it at the middle day; None where it is a single day."""
        if self.days == 1:
            return None
        middle = self.start + timedelta(days=self.days // 2)
        return Window(self.start, middle), Window(middle, self.end)


def tile(start: date, end: date, days: int) -> Iterator[Window]:
    """Cut ``[start, end)`` into windows of the given number of days, in order.

    The last window is shorter where the range is not a multiple; an empty or reversed range
    has no window.

    Raises:
        ValueError: If ``days`` is not positive.
    """
    if days < 1:
        raise ValueError(f"a date window needs at least one day, not {days}")
    step = timedelta(days=days)
    while start < end:
        until = min(start + step, end)
        yield Window(start, until)
        start = until


def bookmark_at(day: date) -> str:
    """The bookmark for everything before that day: RFC 3339, midnight UTC."""
    return f"{day.isoformat()}T00:00:00Z"


def first_day(bookmark: str | None, *, start_date: date, lookback_days: int) -> date:
    """The day on which a run begins.

    Args:
        bookmark: What the state holds, RFC 3339; None on a first run.
        start_date: The first day that the settings ask for; never passed backwards.
        lookback_days: Days to export again for late data.

    Raises:
        ValueError: If the bookmark is not a date-time.
    """
    if bookmark is None:
        return start_date
    reached = datetime.fromisoformat(bookmark)
    if reached.tzinfo is not None:
        reached = reached.astimezone(UTC)
    # A bookmark within a day covers only the days before that one.
    try:
        again_from = reached.date() - _ONE_DAY * lookback_days
    except OverflowError:
        return start_date
    return max(start_date, again_from)


def midnight(day: date) -> datetime:
    """The beginning of that day in UTC."""
    return datetime.combine(day, time(), tzinfo=UTC)
