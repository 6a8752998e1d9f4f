"""A picture of a finished run: where the hours went, one bar per export task.

The picture is one SVG file without anything outside of it: any browser shows it. Times are
those at which the tap saw a thing, by its own clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

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
_LEAST_WIDTHS = {"reading": 2.0, "failed": 3.0}  # pixels; so that a short end is seen at all


@dataclass(slots=True)
class Bar:
    """The life of one export task, as the tap saw it.

    Attributes:
        label: Data type, app and range.
        task_id: The task.
        created: When it was asked for, or taken up.
        started: When it was first seen running.
        succeeded: When it was seen to have succeeded.
        read_from: When its first byte was asked for.
        read_to: When its last record was out.
        failed: When it was seen to have failed.
    """

    label: str
    task_id: str
    created: datetime
    started: datetime | None = None
    succeeded: datetime | None = None
    read_from: datetime | None = None
    read_to: datetime | None = None
    failed: datetime | None = None

    def phases(self, end: datetime) -> list[tuple[str, datetime, datetime]]:
        """What it did from when to when, in order; what has no end yet lasts until ``end``."""
        marks = [
            ("queued", self.created),
            ("running", self.started),
            ("waiting", self.succeeded),
            ("reading", self.read_from),
        ]
        last = self.failed or self.read_to or end
        known = [(name, at) for name, at in marks if at is not None]
        ends = [*(at for _, at in known[1:]), last]
        spans = [(name, at, until) for (name, at), until in zip(known, ends, strict=True)]
        if self.failed:
            spans.append(("failed", self.failed, self.failed))
        return spans


@dataclass(slots=True)
class Timeline:
    """Collects what happens to export tasks, and draws it.

    Attributes:
        now: The clock.
        bars: By task id, in order of creation.
    """

    now: Callable[[], datetime]
    bars: dict[str, Bar] = field(default_factory=dict)

    def created(self, label: str, task_id: str) -> None:
        """A task was created, or one of an earlier run taken up."""
        self.bars.setdefault(task_id, Bar(label, task_id, self.now()))

    def started(self, task_id: str) -> None:
        """A task was seen running."""
        bar = self.bars[task_id]
        bar.started = bar.started or self.now()

    def succeeded(self, task_id: str) -> None:
        """A task was seen to have succeeded."""
        self.bars[task_id].succeeded = self.now()

    def failed(self, task_id: str) -> None:
        """A task came to no good end."""
        self.bars[task_id].failed = self.now()

    def reading(self, task_id: str) -> None:
        """What a task wrote is being read."""
        self.bars[task_id].read_from = self.now()

    def read(self, task_id: str) -> None:
        """All records of a task are out."""
        self.bars[task_id].read_to = self.now()

    def write(self, path: str) -> None:
        """Write the picture to a file.

        Raises:
            OSError: If the file can't be written.
        """
        Path(path).write_text(self.svg(), encoding="utf-8")

    def svg(self) -> str:
        """The picture."""
        end = self.now()
        bars = list(self.bars.values())
        begin = min((bar.created for bar in bars), default=end)
        span = max((end - begin).total_seconds(), 1.0)
        height = _TOP + _ROW * len(bars) + _BOTTOM

        def x(at: datetime) -> float:
            return round(_LEFT + (at - begin).total_seconds() / span * _WIDTH, 1)

        parts = [_head(begin, end, len(bars), height), *_grid(span, height)]
        for row, bar in enumerate(bars):
            y = _TOP + row * _ROW
            parts.append(
                f"<g><title>{escape(f'{bar.label}, task {bar.task_id}')}</title>"
                f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">'
                f"{escape(bar.label)}</text>"
            )
            for name, start, until in bar.phases(end):
                width = max(x(until) - x(start), _LEAST_WIDTHS.get(name, 0.5))
                color = _PHASES[name][0]
                parts.append(
                    f'<rect x="{x(start)}" y="{y + 2}" width="{width:.1f}" '
                    f'height="{_ROW - 5}" fill="{color}"/>'
                )
            parts.append("</g>")
        return "\n".join([*parts, "</svg>\n"])


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
