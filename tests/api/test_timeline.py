from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from tap_mobile_engagement.api.observer import Event, What
from tap_mobile_engagement.api.timeline import Timeline

from .fakes import pending

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

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


class Drawn:
    """A timeline and the clock of what happens."""

    def __init__(self) -> None:
        self.clock = Moments()
        self.timeline = Timeline(self.clock, "nowhere.svg")

    def happens(self, what: What, task_id: str = "a", *, app: str = "shop") -> None:
        self.timeline.happened(Event(what, self.clock.at, pending(app=app), task_id, ""))


def test_each_task_has_a_bar_whose_parts_are_as_long_as_its_phases() -> None:
    # given
    drawn = Drawn()
    happened = (What.CREATED, What.STARTED, What.SUCCEEDED, What.READING, What.READ)
    for seconds, what in enumerate(happened):
        drawn.clock.later(10 * seconds)
        drawn.happens(what, app="<shop>")

    # when
    found = bars(drawn.timeline)

    # then
    widths = [width for _, width in found["events <shop> 2016-05-01/2016-05-08"]]
    assert len(widths) == 4
    assert [round(width / widths[0]) for width in widths] == [1, 2, 3, 4]


def test_a_task_that_failed_ends_in_red_and_one_under_way_reaches_the_end() -> None:
    drawn = Drawn()
    drawn.happens(What.CREATED, "a", app="a")
    drawn.happens(What.CREATED, "b", app="b")
    drawn.clock.later(10)
    drawn.happens(What.FAILED, "a", app="a")
    drawn.clock.later(10)

    first, second = bars(drawn.timeline).values()

    assert first[-1][0] == "#e45756"
    assert second[0][1] == round(first[0][1] * 2, 1)


def test_a_run_without_tasks_still_makes_a_picture() -> None:
    assert bars(Drawn().timeline) == {}


def test_what_happens_without_a_task_has_no_bar() -> None:
    drawn = Drawn()
    drawn.timeline.happened(Event(What.FAILED, drawn.clock.at, pending(), None, "no"))

    assert bars(drawn.timeline) == {}


def test_a_picture_that_can_not_be_written_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Timeline(Moments(), str(tmp_path / "no" / "folder.svg")).close()

    assert "could not be written" in caplog.text
