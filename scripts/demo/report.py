"""The table that a demo prints: rows per stream after each run, truth and warehouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scripts.demo.compare import Comparison

_GAP = "  "
_WIDE_GAP = "    "
_TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Stage:
    """What the warehouse held after one run.

    Attributes:
        title: What to call the run.
        comparisons: Each stream against the truth of that time, in the order to show.
        late: By stream, how many records this run brought for days that were already exported
            before; empty where there was no run before.
    """

    title: str
    comparisons: Sequence[Comparison]
    late: Mapping[str, int]

    @property
    def is_equal(self) -> bool:
        """Whether every stream holds what it should."""
        return all(comparison.is_equal for comparison in self.comparisons)


def table(stages: Sequence[Stage]) -> str:
    """Render stages side by side, one line for each stream, and one for the sums."""
    names = ["stream", *(found.stream for found in stages[0].comparisons), _TOTAL]
    blocks = [_block("", [names], str.ljust)]
    blocks += [_block(f" {stage.title} ", _columns(stage), str.rjust) for stage in stages]
    title, heading, *lines, total = (
        _WIDE_GAP.join(parts).rstrip() for parts in zip(*blocks, strict=True)
    )
    rule = "-" * max(map(len, [heading, *lines, total]))
    return "\n".join([title, heading, rule, *lines, rule, total])


def _columns(stage: Stage) -> list[list[str]]:
    streams = stage.comparisons
    numbers = {
        "truth": [found.truth for found in streams],
        "warehouse": [found.warehouse for found in streams],
    }
    if stage.late:
        numbers["late"] = [stage.late.get(found.stream, 0) for found in streams]
    columns = [
        [name, *(f"{count:,}" for count in counts), f"{sum(counts):,}"]
        for name, counts in numbers.items()
    ]
    verdicts = [_verdict(found.is_equal) for found in streams]
    return [*columns, ["content", *verdicts, _verdict(stage.is_equal)]]


def _verdict(is_equal: bool) -> str:  # noqa: FBT001  (it is what the word says)
    return "same" if is_equal else "DIFFERENT"


def _block(title: str, columns: list[list[str]], align: Callable[[str, int], str]) -> list[str]:
    """Columns as lines of one width, with a title above."""
    widths = [max(map(len, column)) for column in columns]
    lines = [
        _GAP.join(align(cell, width) for cell, width in zip(row, widths, strict=True))
        for row in zip(*columns, strict=True)
    ]
    fill = "-" if title else " "
    return [title.center(len(lines[0]), fill), *lines]


def differences(stages: Sequence[Stage]) -> str:
    """What differs, with a few rows each; empty if nothing does."""
    lines = []
    for stage in stages:
        for found in stage.comparisons:
            if not found.is_equal:
                counts = f"{found.missing:,} missing, {found.unexpected:,} unexpected"
                lines.append(f"{stage.title}, {found.stream}: {counts}")
                lines += [f"    {example}" for example in found.examples]
    return "\n".join(lines)


def show(stages: Sequence[Stage]) -> bool:
    """Print all of it; the answer is whether the warehouse held the truth each time."""
    print(f"\n{table(stages)}\n")
    print("late: arrived after run 1 for days that run 1 had read")
    print(differences(stages) or "Warehouse and truth hold the same records.")
    return all(stage.is_equal for stage in stages)
