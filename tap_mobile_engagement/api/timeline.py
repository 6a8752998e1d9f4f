"""A picture (SVG) of a finished run: where the hours went, one bar per export task."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html import escape
from itertools import pairwise

_ROW = 18  # pixels per task
_LEFT = 380  # pixels for the labels
_WIDTH = 900  # pixels for the time
_TOP = 64
_BOTTOM = 28
_PARTS = 8  # of the time, between two lines of the grid
_LEAST_WIDTH = 2.0  # pixels; so that a short phase is seen at all

PHASES = {
    "queued": ("#c9ced6", "queued by the service"),
    "running": ("#4c78a8", "running at the service"),
    "waiting": ("#f2cf5b", "written, not yet read"),
    "reading": ("#54a24b", "read by the tap"),
    "failed": ("#e45756", "failed"),
}
"""The colour of each phase of a task, and what it is; a task that is done is "read"."""


def in_words(duration: timedelta) -> str:
    """A duration in whole seconds, as hours, minutes and seconds."""
    return str(timedelta(seconds=int(duration.total_seconds())))


class Timeline:
    """Collects when the phases of export tasks begin, and draws them."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._times: dict[str, dict[str, datetime]] = {}  # phase → begin, by task

    def begins(self, phase: str, task_id: str, label: str, at: datetime) -> None:
        """A phase of a task begins: one of :data:`PHASES`, or "read"."""
        self._labels.setdefault(task_id, label)
        self._times.setdefault(task_id, {}).setdefault(phase, at)

    def svg(self, end: datetime) -> str:
        """The picture of a run that ended then."""
        begin = min((min(times.values()) for times in self._times.values()), default=end)
        span = max((end - begin).total_seconds(), 1.0)
        height = _TOP + _ROW * len(self._times) + _BOTTOM
        parts = [_head(begin, end, len(self._times), height), *_grid(span, height)]
        for row, (task_id, times) in enumerate(self._times.items()):
            label, y = self._labels[task_id], _TOP + row * _ROW
            parts.append(f"<g>{_text(_LEFT - 8, y + 12, label, anchor='end')}")
            known = [(name, times[name]) for name in (*PHASES, "read") if name in times]
            for (name, start), (_, until) in pairwise([*known, ("", end)]):
                if name == "read":
                    continue
                last = start if name == "failed" else until
                left, right = (
                    _LEFT + (at - begin).total_seconds() / span * _WIDTH for at in (start, last)
                )
                width = max(right - left, _LEAST_WIDTH)
                parts.append(_rect(left, y + 2, width, _ROW - 5, PHASES[name][0]))
            parts.append("</g>")
        return "\n".join([*parts, "</svg>\n"])


def _text(x: float, y: int, text: str, *, anchor: str = "start", size: int = 11) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(text)}</text>"
    )


def _rect(x: float, y: int, width: float, height: int, color: str) -> str:
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" fill="{color}"/>'


def _head(begin: datetime, end: datetime, tasks: int, height: int) -> str:
    width = _LEFT + _WIDTH + 20
    title = (
        f"{tasks} export tasks from {begin.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, "
        f"{in_words(end - begin)}"
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="system-ui, sans-serif" fill="#333">'
    )
    parts = [svg, _rect(0, 0, width, height, "#fff"), _text(_LEFT, 22, title, size=14)]
    x = _LEFT
    for color, words in PHASES.values():
        parts += [_rect(x, 34, 10, 10, color), _text(x + 14, 43, words)]
        x += 30 + 7 * len(words)
    return "\n".join(parts)


def _grid(span: float, height: int) -> list[str]:
    lines = []
    for number in range(_PARTS + 1):
        x = _LEFT + number / _PARTS * _WIDTH
        words = in_words(timedelta(seconds=number / _PARTS * span))
        lines += [
            _rect(x, _TOP - 6, 1, height - _BOTTOM + 10 - _TOP, "#ddd"),
            _text(x, height - 10, words, anchor="middle"),
        ]
    return lines
