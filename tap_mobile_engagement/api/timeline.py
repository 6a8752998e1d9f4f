"""A picture of a finished run: where the hours went, one bar per export task.

The picture is one SVG file without anything outside of it: any browser shows it. Times are
those at which the tap saw a thing, by its own clock.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from tap_mobile_engagement.api.observer import Observer, What

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tap_mobile_engagement.api.observer import Event

_ROW = 18  # pixels per task
_LEFT = 380  # pixels for the labels
_WIDTH = 900  # pixels for the time
_TOP = 64
_BOTTOM = 28
_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
_MOST_TICKS = 8

_PHASES = {
    "queued": ("#c9ced6", "queued by the service"),
    "running": ("#4c78a8", "running at the service"),
    "waiting": ("#f2cf5b", "written, not yet read"),
    "reading": ("#54a24b", "read by the tap"),
    "failed": ("#e45756", "failed"),
}
_BEGINS = {
    What.CREATED: "queued",
    What.RESUMED: "queued",
    What.STARTED: "running",
    What.SUCCEEDED: "waiting",
    What.READING: "reading",
    What.FAILED: "failed",
    What.READ: "read",
}
_LEAST_WIDTHS = {"reading": 2.0, "failed": 3.0}  # pixels; so that a short end is seen at all

log = logging.getLogger(__name__)


class Timeline(Observer):
    """Collects what happens to export tasks; when the run is over, draws it into a file.

    Args:
        now: The clock.
        path: The file.
    """

    def __init__(self, now: Callable[[], datetime], path: str) -> None:
        self._now = now
        self._path = path
        self._labels: dict[str, str] = {}
        self._times: dict[str, dict[str, datetime]] = {}  # phase → begin, by task

    def happened(self, event: Event) -> None:
        """A phase of a task begins."""
        phase = _BEGINS.get(event.what)
        if phase is None or event.task_id is None:
            return
        app, what = event.export.key.app, str(event.export)
        data_type, _, rest = what.partition(" ")
        label = " ".join(part for part in (data_type, app, rest) if part)
        self._labels.setdefault(event.task_id, label)
        self._times.setdefault(event.task_id, {}).setdefault(phase, event.at)

    def close(self) -> None:
        """Write the picture; no picture is worth a failed run."""
        try:
            Path(self._path).write_text(self.svg(), encoding="utf-8")
        except OSError as error:
            log.warning("The timeline could not be written to %s: %s", self._path, error)

    def svg(self) -> str:
        """The picture."""
        end = self._now()
        begin = min((min(times.values()) for times in self._times.values()), default=end)
        span = max((end - begin).total_seconds(), 1.0)
        height = _TOP + _ROW * len(self._times) + _BOTTOM

        def x(at: datetime) -> float:
            return round(_LEFT + (at - begin).total_seconds() / span * _WIDTH, 1)

        parts = [_head(begin, end, len(self._times), height), *_grid(span, height)]
        for row, (task_id, times) in enumerate(self._times.items()):
            label = self._labels[task_id]
            y = _TOP + row * _ROW
            parts.append(
                f"<g><title>{escape(f'{label}, task {task_id}')}</title>"
                f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">'
                f"{escape(label)}</text>"
            )
            for name, start, until in _phases(times, end):
                width = max(x(until) - x(start), _LEAST_WIDTHS.get(name, 0.5))
                parts.append(
                    f'<rect x="{x(start)}" y="{y + 2}" width="{width:.1f}" '
                    f'height="{_ROW - 5}" fill="{_PHASES[name][0]}"/>'
                )
            parts.append("</g>")
        return "\n".join([*parts, "</svg>\n"])


def _phases(
    times: Mapping[str, datetime], end: datetime
) -> Iterator[tuple[str, datetime, datetime]]:
    """The phases of a task, in order; what has no end yet lasts until ``end``."""
    known = [(name, times[name]) for name in (*_PHASES, "read") if name in times]
    for (name, start), (_, until) in pairwise([*known, ("", end)]):
        if name == "failed":
            yield name, start, start
        elif name != "read":
            yield name, start, until


def _head(begin: datetime, end: datetime, tasks: int, height: int) -> str:
    width = _LEFT + _WIDTH + 20
    title = (
        f"{tasks} export tasks from {begin.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, "
        f"{_duration((end - begin).total_seconds())}"
    )
    legend = []
    x = _LEFT
    for color, words in _PHASES.values():
        legend.append(
            f'<rect x="{x}" y="34" width="10" height="10" fill="{color}"/>'
            f'<text x="{x + 14}" y="43">{words}</text>'
        )
        x += 30 + 7 * len(words)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="system-ui, sans-serif" '
        f'font-size="11" fill="#333">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text x="{_LEFT}" y="22" font-size="14">{escape(title)}</text>\n' + "\n".join(legend)
    )


def _grid(span: float, height: int) -> list[str]:
    """Vertical lines at round times, with their distance from the beginning."""
    step = next((tick for tick in _TICKS if span / tick <= _MOST_TICKS), span / _MOST_TICKS)
    lines = []
    at = 0.0
    while at <= span:
        x = round(_LEFT + at / span * _WIDTH, 1)
        lines.append(
            f'<line x1="{x}" y1="{_TOP - 6}" x2="{x}" y2="{height - _BOTTOM + 4}" '
            f'stroke="#ddd"/><text x="{x}" y="{height - 10}" text-anchor="middle">'
            f"{_duration(at)}</text>"
        )
        at += step
    return lines


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{seconds:.3g} s"
    if minutes < 60:  # noqa: PLR2004  (minutes of an hour)
        return f"{minutes}:{rest:02} min"
    return str(timedelta(minutes=minutes))[:-3] + " h"
