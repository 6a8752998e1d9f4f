from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

from tap_mobile_engagement.api.timeline import Timeline

SVG = "{http://www.w3.org/2000/svg}"


class Moments:
    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def later(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def bars(timeline: Timeline) -> dict[str, list[tuple[str, float]]]:
    """Label → colours and widths, in order of time."""
    picture = ET.fromstring(timeline.svg())
    found = {}
    for group in picture.iter(f"{SVG}g"):
        rects = [(r.attrib["fill"], float(r.attrib["width"])) for r in group.iter(f"{SVG}rect")]
        found[group.findtext(f"{SVG}text") or ""] = rects
    return found


def test_each_task_has_a_bar_whose_parts_are_as_long_as_its_phases() -> None:
    # given
    clock = Moments()
    timeline = Timeline(clock)
    timeline.created("events <shop>", "a")
    clock.later(10)
    timeline.started("a")
    clock.later(20)
    timeline.succeeded("a")
    clock.later(30)
    timeline.reading("a")
    clock.later(40)
    timeline.read("a")

    # when
    found = bars(timeline)

    # then
    widths = [width for _, width in found["events <shop>"]]
    assert len(widths) == 4
    assert [round(width / widths[0]) for width in widths] == [1, 2, 3, 4]


def test_a_task_that_failed_ends_in_red_and_one_under_way_reaches_the_end() -> None:
    clock = Moments()
    timeline = Timeline(clock)
    timeline.created("events", "a")
    timeline.created("jobs", "b")
    clock.later(10)
    timeline.failed("a")
    clock.later(10)

    found = bars(timeline)

    assert found["events"][-1][0] == "#e45756"
    assert found["jobs"][0][1] == round(found["events"][0][1] * 2, 1)


def test_a_run_without_tasks_still_makes_a_picture() -> None:
    assert bars(Timeline(Moments())) == {}


def test_a_task_that_is_taken_up_keeps_its_first_bar() -> None:
    timeline = Timeline(Moments())
    timeline.created("events", "a")
    timeline.created("events again", "a")

    assert list(bars(timeline)) == ["events"]
