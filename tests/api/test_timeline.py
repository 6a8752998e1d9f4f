from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tap_mobile_engagement.api.observer import Observer, What
from tap_mobile_engagement.state import TaskEntry

from .fakes import pending

if TYPE_CHECKING:
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"


class Moments:
    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def later(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Drawn:
    """A run of which a picture is drawn, and its clock."""

    def __init__(self, folder: Path) -> None:
        self.clock = Moments()
        self.path = folder / "timeline.svg"
        self.observer = Observer(self.clock, timeline_path=str(self.path))

    def happens(
        self, what: What, task_id: str | None = "a", *, app: str = "shop", state: str = ""
    ) -> None:
        entry = None if task_id is None else TaskEntry(id=task_id, created=self.clock.at)
        self.observer.happened(what, pending(app=app, task=entry), state)

    @property
    def bars(self) -> dict[str, list[tuple[str, float]]]:
        """Label → colours and widths, in order of time."""
        self.observer.close()
        picture = ET.fromstring(self.path.read_text())
        found = {}
        for group in picture.iter(f"{SVG}g"):
            rects = [
                (r.attrib["fill"], float(r.attrib["width"])) for r in group.iter(f"{SVG}rect")
            ]
            found[group.findtext(f"{SVG}text") or ""] = rects
        return found


def test_each_task_has_a_bar_whose_parts_are_as_long_as_its_phases(tmp_path: Path) -> None:
    # given
    drawn = Drawn(tmp_path)
    states = ((What.STATE, "Started"), (What.STATE, "Succeeded"))
    happened = ((What.CREATED, ""), *states, (What.READING, ""), (What.READ, ""))
    for seconds, (what, state) in enumerate(happened):
        drawn.clock.later(10 * seconds)
        drawn.happens(what, app="<shop>", state=state)

    # when
    found = drawn.bars

    # then
    widths = [width for _, width in found["<shop>: events 2016-05-01/2016-05-08"]]
    assert len(widths) == 4
    assert [round(width / widths[0]) for width in widths] == [1, 2, 3, 4]


def test_a_task_that_failed_ends_in_red_and_one_under_way_reaches_the_end(
    tmp_path: Path,
) -> None:
    drawn = Drawn(tmp_path)
    drawn.happens(What.CREATED, "a", app="a")
    drawn.happens(What.CREATED, "b", app="b")
    drawn.clock.later(10)
    drawn.happens(What.FAILED, "a", app="a")
    drawn.clock.later(10)

    first, second = drawn.bars.values()

    assert first[-1][0] == "#e45756"
    assert second[0][1] == round(first[0][1] * 2, 1)


def test_a_run_without_tasks_still_makes_a_picture(tmp_path: Path) -> None:
    assert Drawn(tmp_path).bars == {}


def test_what_happens_without_a_task_has_no_bar(tmp_path: Path) -> None:
    drawn = Drawn(tmp_path)
    drawn.happens(What.FAILED, None)

    assert drawn.bars == {}


@pytest.mark.parametrize("kind", ["missing folder", "pipe"])
def test_a_picture_that_can_not_be_written_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    os.mkfifo(tmp_path / "timeline.svg")  # which is never read
    Drawn(tmp_path / "no" / "folder" if kind == "missing folder" else tmp_path).observer.close()

    assert "could not be written" in caplog.text
