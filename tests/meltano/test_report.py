from __future__ import annotations

from scripts.demo.compare import Comparison
from scripts.demo.report import Stage, differences, table


def same(stream: str, count: int) -> Comparison:
    return Comparison(stream, truth=count, warehouse=count, missing=0, unexpected=0)


def test_the_table_shows_counts_sums_and_the_verdict() -> None:
    first = Stage("run 1", [same("events", 1000), same("jobs", 2)], {})
    second = Stage("run 2", [same("events", 1500), same("jobs", 3)], {"events": 12})

    shown = table([first, second])

    assert [line.split() for line in shown.splitlines() if line.strip("-")][1:] == [
        ["stream", "truth", "warehouse", "content", "truth", "warehouse", "late", "content"],
        ["events", "1,000", "1,000", "same", "1,500", "1,500", "12", "same"],
        ["jobs", "2", "2", "same", "3", "3", "0", "same"],
        ["total", "1,002", "1,002", "same", "1,503", "1,503", "12", "same"],
    ]
    assert differences([first, second]) == ""


def test_a_stream_that_differs_is_named_with_its_examples() -> None:
    lost = Comparison("events", 1, 0, missing=1, unexpected=0, examples=("missing: this",))
    stage = Stage("run 1", [lost, same("jobs", 2)], {})

    lines = table([stage]).splitlines()

    assert not stage.is_equal
    assert lines[3].split() == ["events", "1", "0", "DIFFERENT"]
    assert lines[4].split() == ["jobs", "2", "2", "same"]
    assert lines[-1].split() == ["total", "3", "2", "DIFFERENT"]
    assert differences([stage]).splitlines() == [
        "run 1, events: 1 missing, 0 unexpected",
        "    missing: this",
    ]
