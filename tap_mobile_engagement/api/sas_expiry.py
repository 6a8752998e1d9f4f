"""Warns in time when a SAS will not last as long as the work ahead.

Until the first task has ended, the longest time of a task counts, afterwards the usual one.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tap_mobile_engagement.api.progress import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_mobile_engagement.api.progress import Summary

RUNNING_LOW = (timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1))
"""Remaining lives at which a warning is repeated as long as there is work, shortest first."""

_PAUSE = timedelta(minutes=1)  # between two looks

log = logging.getLogger(__name__)


class SasExpiry:
    """Warns before a SAS ends; ``ends`` has the times, aware, of the settings that say one."""

    def __init__(self, ends: Mapping[str, datetime | None]) -> None:
        self._ends = {setting: end for setting, end in ends.items() if end is not None}
        self._lowest: dict[str, timedelta] = {}  # that was warned of
        self._forecast: set[tuple[str, bool]] = set()
        self._look_at: datetime | None = None

    def progressed(self, summary: Summary, now: datetime) -> None:
        """Log the warnings that are due; once a minute is enough."""
        if self._ends and (self._look_at is None or now >= self._look_at):
            self._look_at = now + _PAUSE
            for warning in self.warnings(summary, now):
                log.warning(warning)

    def warnings(self, summary: Summary, now: datetime) -> Iterator[str]:
        """The warnings that are due now, each once."""
        if not summary.to_be_done:
            return
        for setting, end in self._ends.items():
            left = end - now
            low = next((step for step in RUNNING_LOW if left <= step), timedelta.max)
            forecast = (setting, summary.usual_time is not None)
            is_short = left < summary.rounds_take and forecast not in self._forecast
            is_lower = low < self._lowest.get(setting, timedelta.max)
            if is_short or is_lower:
                yield _warning(setting, end, left, summary)
            if is_short:
                self._forecast.add(forecast)
            if is_lower:
                self._lowest[setting] = low


def _warning(setting: str, end: datetime, left: timedelta, summary: Summary) -> str:
    speed = (
        f"one may take up to {in_words(summary.longest)} (task_timeout_minutes)"
        if summary.usual_time is None
        else f"they took {in_words(summary.usual_time)} each so far, {summary.limit} at a time"
    )
    return (
        f"The SAS in the setting {setting} ends at {end:%Y-%m-%dT%H:%M:%SZ}, in "
        f"{in_words(max(left, timedelta()))}, and {summary.to_be_done} export tasks are "
        f"still to be done: {speed}. Put a SAS that lasts longer into the settings; what is "
        "done by then stays done, and the next run continues from there"
    )
