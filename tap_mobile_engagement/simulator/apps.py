"""All apps of a simulator, and which of their items an export or a question is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_mobile_engagement.simulator.data import Log, Logs, Span
from tap_mobile_engagement.simulator.snapshots import Snapshots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_mobile_engagement.simulator.options import Options


class App:
    """The data of one app.

    Args:
        options: Seed, numbers and switches.
        name: App resource name.
    """

    def __init__(self, options: Options, name: str) -> None:
        self.name = name
        self.logs = Logs(options, name)
        self.snapshots = Snapshots(options, name, self.logs)

    def by_timestamp(
        self, data_type: str, start: int, end: int, moment: int
    ) -> Iterator[Log] | Iterator[Span]:
        """Items whose timestamp (or start) is in ``[start, end)`` and that arrived by then.

        Args:
            data_type: Name of a historical data type.
            start: First nanosecond since 1970.
            end: First nanosecond beyond.
            moment: What arrives later is not there yet; nanoseconds since 1970.
        """
        for day in self.logs.days_for(start, end, moment):
            for item in self.logs.made_on(data_type, day):
                time = item.start if isinstance(item, Span) else item.timestamp
                if item.arrival <= moment and start <= time < end:
                    yield item

    def by_arrival(
        self, data_type: str, start: int, end: int, moment: int
    ) -> Iterator[Log] | Iterator[Span]:
        """Items that arrived in ``[start, end)``, or whose end did, and by ``moment``."""
        for day in self.logs.days_arriving(start, end, moment):
            for item in self.logs.made_on(data_type, day):
                arrived = start <= item.arrival < end
                if isinstance(item, Span) and item.end is not None:
                    arrived |= start <= item.end_arrival < min(end, moment + 1)
                if arrived and item.arrival <= moment:
                    yield item
