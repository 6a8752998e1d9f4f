"""Warns in time when a SAS will not last as long as the work ahead. No I/O, no clock.

The service gives no estimate of how long an export task takes: minutes or hours. So before the
first task has ended it is held against the longest time that a task may take, afterwards
against the time that tasks have taken so far.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

RUNNING_LOW = (timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))
"""Remaining lives at which a warning is repeated as long as there is work, shortest first."""

_LOOK_AGAIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Work:
    """The work ahead.

    Attributes:
        tasks: Export tasks that have not ended or have not been created yet.
        at_once: How many of them may run at a time.
        longest: How long one may take.
        usual: How long they took so far, on average; None before the first has ended.
    """

    tasks: int
    at_once: int
    longest: timedelta
    usual: timedelta | None = None

    @property
    def takes(self) -> timedelta:
        """How long it takes, as far as can be told: one round of tasks after another."""
        if self.usual is None:
            # How many rounds of the longest time would be far too much; one has to fit.
            return self.longest
        rounds = -(-self.tasks // self.at_once)
        return min(self.usual, self.longest) * rounds


class Lifetimes:
    """Watches when the SAS of each setting ends.

    Args:
        ends: When each ends, aware, by name of the setting; without those that don't say.
    """

    def __init__(self, ends: Mapping[str, datetime]) -> None:
        self._ends = dict(ends)
        self._told: dict[str, list[timedelta]] = {setting: [] for setting in ends}
        self._foretold: set[tuple[str, bool]] = set()
        self._look_at: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether it is time to ask for warnings again; that need not be done all the time."""
        return bool(self._ends) and (self._look_at is None or now >= self._look_at)

    def warnings(self, work: Work, now: datetime) -> Iterator[str]:
        """What has to be said now, each thing once.

        Args:
            work: The work ahead.
            now: The time, aware.
        """
        self._look_at = now + _LOOK_AGAIN
        if not work.tasks:
            return
        for setting, end in self._ends.items():
            left = end - now
            low = next((step for step in RUNNING_LOW if left <= step), None)
            forecast = (setting, work.usual is not None)
            is_short = left < work.takes and forecast not in self._foretold
            is_lower = low is not None and low not in self._told[setting]
            if is_short or is_lower:
                yield _warning(setting, end, left, work)
            if is_short:
                self._foretold.add(forecast)
            if low is not None:
                self._told[setting] += [step for step in RUNNING_LOW if step >= low]


def _warning(setting: str, end: datetime, left: timedelta, work: Work) -> str:
    speed = (
        f"one may take up to {_in_words(work.longest)} (task_timeout_minutes)"
        if work.usual is None
        else f"they took {_in_words(work.usual)} each so far, {work.at_once} at a time"
    )
    return (
        f"The SAS in the setting {setting} ends at {end:%Y-%m-%dT%H:%M:%SZ}, in "
        f"{_in_words(left)}, and {work.tasks} export tasks are still to be done: {speed}. Put "
        "a SAS that lasts longer into the settings; what is done by then stays done, and the "
        "next run goes on from there"
    )


def _in_words(span: timedelta) -> str:
    minutes = max(0, round(span / timedelta(minutes=1)))
    if minutes < 1:
        return "less than a minute"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
