"""Date ranges and bookmarks: half-open ranges of whole days in UTC. No I/O, no clock."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tap_mobile_engagement.clock import read_time
from tap_mobile_engagement.errors import Code, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPLICATION_KEY = "exported_until"  # the field that bookmarks of historical streams are of
MOST_EMPTY = 50  # empty tasks that a state remembers one by one; older ones become a range
TASK_ID = "[0-9A-Za-z][0-9A-Za-z._~-]{0,127}"  # a GUID, or what can't change a URL's meaning


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The days from ``start`` up to but not including ``end``, in UTC; at least one."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError(f"an empty date window: {self.start} to {self.end}")

    def __str__(self) -> str:
        return f"{self.start}/{self.end}"

    @property
    def days(self) -> int:
        """How many days it holds; at least one."""
        return (self.end - self.start).days

    @property
    def exported_until(self) -> str:
        """Its end as a bookmark."""
        return bookmark_at(self.end)

    def halves(self) -> tuple[Window, Window] | None:
        """Split it at the middle day; None where it is a single day."""
        middle = self.start + timedelta(days=self.days // 2)
        return (Window(self.start, middle), Window(middle, self.end)) if self.days > 1 else None


def tile(start: date, end: date, days: int) -> Iterator[Window]:
    """Cut ``[start, end)`` into windows of that many days; the last may be shorter."""
    while start < end:
        until = start + timedelta(days=min(days, (end - start).days))
        yield Window(start, until)
        start = until


def bookmark_at(day: date) -> str:
    """The bookmark for everything before that day: RFC 3339, midnight UTC."""
    return f"{day.isoformat()}T00:00:00Z"


def first_day(bookmark: str | None, *, start_date: date, lookback_days: int) -> date:
    """The day on which a run begins: the bookmark's, less the lookback; raises BAD_STATE."""
    if bookmark is not None:
        with suppress(OverflowError):
            return max(start_date, instant(bookmark).date() - timedelta(days=lookback_days))
    return start_date


class TaskEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a state remembers of an export task, enough to resume it for the same range."""

    id: Annotated[str, Meta(pattern=rf"^{TASK_ID}\Z")]
    created: Annotated[datetime, Meta(tz=True)]  # when it was requested, by the tap's clock
    start: date | None = None  # None, as the end, for a snapshot
    end: date | None = None
    campaign_type: str | None = None
    container: str | None = None
    empty: bool = False  # so its blobs are looked for once more

    def __post_init__(self) -> None:
        if (self.start is None) != (self.end is None):
            raise ValueError("half a date window")
        _ = self.window  # refuses an empty one

    @property
    def window(self) -> Window | None:
        """The window that it was created for."""
        return Window(self.start, self.end) if self.start and self.end else None


class PartitionState:
    """The state of one partition, in ``values``, the SDK's dictionary."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    @property
    def bookmark(self) -> str | None:
        """The end of the last range whose records are all out; None before the first."""
        return self.values.get("replication_key_value")

    def advance(self, window: Window) -> None:
        """Note that all records of a window are out. The bookmark never goes back."""
        if self.advance_to(window.exported_until):
            self.values["date_range"] = msgspec.to_builtins(window)

    def advance_to(self, bookmark: str) -> bool:
        """Move the bookmark forward, never back; tell whether it moved. Raises BAD_STATE."""
        if self.bookmark is not None and instant(bookmark) <= instant(self.bookmark):
            return False
        self.values["replication_key"] = REPLICATION_KEY
        self.values["replication_key_value"] = bookmark
        return True

    def note_container(self, name: str) -> None:
        """Note that a task's container, ``PREFIX-7``, was read: a later run may delete it."""
        prefix, _, text = name.rpartition("-")
        number = int(text)
        ranges = self.values.setdefault("read_containers", [])
        if ranges and (ranges[-1][0], ranges[-1][2] + 1) == (prefix, number):
            ranges[-1][2] = number
        else:
            ranges.append([prefix, number, number])

    def take_containers(self) -> list[str]:
        """The containers that were read before this state came back; it forgets them."""
        return [
            f"{prefix}-{number}"
            for prefix, first, last in self.values.pop("read_containers", None) or []
            for number in range(first, last + 1)
        ]

    @property
    def tasks(self) -> list[TaskEntry]:
        """The export tasks that are under way, or that came out empty."""
        return msgspec.convert(self.values.get("tasks") or [], list[TaskEntry])

    def remember_task(self, task: TaskEntry) -> None:
        """Note a task that was created or came out empty, in the place of its entry."""
        tasks = [known for known in self.tasks if known.id != task.id] + [task]
        for oldest in [known for known in tasks if known.empty][:-MOST_EMPTY]:
            tasks.remove(oldest)
            if new := oldest.window:
                known = self.empty_range or new
                hull = Window(min(known.start, new.start), max(known.end, new.end))
                self.values["empty_range"] = msgspec.to_builtins(hull)
        self.values["tasks"] = msgspec.to_builtins(tasks)

    def forget_task(self, task_id: str) -> None:
        """Drop a task: its records are out, or its range has to be exported again."""
        left = [known for known in self.tasks if known.id != task_id]
        self.values.pop("tasks", None)
        if left:
            self.values["tasks"] = msgspec.to_builtins(left)

    @property
    def empty_range(self) -> Window | None:
        """Days that came out empty, and that the next run exports once more as one range."""
        return msgspec.convert(self.values.get("empty_range"), Window | None)

    def settle_empty(self, window: Window) -> bool:
        """Take days that were exported again off the empty range; False if it lacks them."""
        known = self.empty_range
        if known is None or not known.start <= window.start < known.end:
            return False
        del self.values["empty_range"]
        if window.end < known.end:
            left = Window(window.end, known.end)
            self.values["empty_range"] = msgspec.to_builtins(left)
        return True


def apps_with_tasks(state: Mapping[str, Any], since: datetime) -> set[str]:
    """The apps of which a state names a task in a shared container, not older than that."""
    return {
        partition["context"].get("app_name", "")
        for stream in state.get("bookmarks", {}).values()
        for partition in stream.get("partitions", [])
        for task in PartitionState(partition).tasks
        if task.container is None and task.created >= since
    }


def instant(bookmark: str) -> datetime:
    """Read a bookmark, which people may edit, in UTC; DataError BAD_STATE if it is none."""
    try:
        return read_time(bookmark)
    except ValueError:
        raise DataError(
            Code.BAD_STATE,
            f"the bookmark {bookmark!r} in the state is no date-time",
            next_step="Correct replication_key_value in the state, or remove it to begin anew",
        ) from None
