"""Date ranges and bookmarks: half-open ranges of whole days in UTC. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from tap_mobile_engagement.errors import Code, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

REPLICATION_KEY = "exported_until"
"""The record field that bookmarks of historical streams are values of."""

_CONTAINERS = "read_containers"
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
    while start < end:
        until = start + timedelta(days=min(days, (end - start).days))
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
        DataError: ``BAD_STATE`` if the bookmark is not a date-time.
    """
    if bookmark is None:
        return start_date
    reached = instant(bookmark)
    # A bookmark within a day covers only the days before that one.
    try:
        again_from = reached.date() - _ONE_DAY * lookback_days
    except OverflowError:
        return start_date
    return max(start_date, again_from)


class PartitionState:
    """The state of one partition: its bookmark, and the export tasks that are under way.

    It wraps the dictionary that the SDK keeps, so what is changed here is in the next STATE
    message. Other keys in it are left alone.

    Args:
        values: The SDK's dictionary for one partition.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    @property
    def bookmark(self) -> str | None:
        """The end of the last range whose records are all out; None before the first."""
        return self._values.get("replication_key_value")

    def advance(self, window: Window) -> None:
        """Note that all records of a window are out. The bookmark never goes back.

        Raises:
            DataError: ``BAD_STATE`` if the bookmark that is there is not a date-time.
        """
        if self.advance_to(window.exported_until):
            self._values["date_range"] = {
                "start": window.start.isoformat(),
                "end": window.end.isoformat(),
            }

    def advance_to(self, bookmark: str) -> bool:
        """Move the bookmark, unless it stands there or further on; tell whether it moved.

        Raises:
            DataError: ``BAD_STATE`` if the bookmark that is there is not a date-time.
        """
        reached = self.bookmark
        moves = reached is None or instant(bookmark) > instant(reached)
        if moves:
            self._values["replication_key"] = REPLICATION_KEY
            self._values["replication_key_value"] = bookmark
        return moves

    @property
    def archive(self) -> Any:
        """What is noted of the files of an archive; None before the first."""
        return self._values.get("archive")

    def note_archive(self, notes: dict[str, Any]) -> None:
        """Note which files of an archive are out."""
        self._values["archive"] = notes

    def note_container(self, name: str) -> None:
        """Note that a task's own container was read, and may go once this state came back.

        Containers of a run are numbered, ``PREFIX-7``: a range of them is one entry, so that
        the state stays small however many there are.
        """
        prefix, _, number = name.rpartition("-")
        ranges = self._container_ranges()
        if ranges and ranges[-1][0] == prefix and ranges[-1][2] + 1 == int(number):
            ranges[-1][2] += 1
        else:
            ranges.append([prefix, int(number), int(number)])
        self._values[_CONTAINERS] = ranges

    def take_containers(self) -> list[str]:
        """The containers that were read before this state came back; it forgets them.

        Raises:
            DataError: ``BAD_STATE`` where the entry can't be read.
        """
        ranges = self._container_ranges()
        self._values.pop(_CONTAINERS, None)
        return [
            f"{prefix}-{number}"
            for prefix, first, last in ranges
            for number in range(first, last + 1)
        ]

    def _container_ranges(self) -> list[Any]:
        ranges = self._values.get(_CONTAINERS) or []
        try:
            return [[*entry] for entry in msgspec.convert(ranges, list[tuple[str, int, int]])]
        except msgspec.ValidationError as error:
            raise DataError(
                Code.BAD_STATE,
                f"the state names containers in a form that can't be read: {error}",
                next_step=f"Remove {_CONTAINERS} from the state; those containers then stay",
            ) from error

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """The export tasks under way, as they stand in the state."""
        return [*(self._values.get("tasks") or [])]

    def remember_task(self, task: dict[str, Any]) -> None:
        """Note a task that was created, so that another run picks it up; replaces its entry."""
        others = [known for known in self.tasks if known["id"] != task["id"]]
        self._values["tasks"] = [*others, task]

    def forget_task(self, task_id: str) -> None:
        """Drop a task: its records are out, or its range has to be exported again."""
        left = [known for known in self.tasks if known["id"] != task_id]
        if left:
            self._values["tasks"] = left
        else:
            self._values.pop("tasks", None)


def instant(bookmark: str) -> datetime:
    """Read a bookmark, in UTC. It comes from a file that people may edit.

    Raises:
        DataError: ``BAD_STATE`` if it is not a date-time.
    """
    try:
        moment = datetime.fromisoformat(bookmark)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        raise DataError(
            Code.BAD_STATE,
            f"the bookmark {bookmark!r} in the state is no date-time",
            next_step="Mend replication_key_value in the state, or remove it to begin anew",
        ) from None


def midnight(day: date) -> datetime:
    """The beginning of that day in UTC."""
    return datetime.combine(day, time(), tzinfo=UTC)
