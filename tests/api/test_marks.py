from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import chain, repeat

import pytest

from tap_mobile_engagement.api.marks import RunMark, find_orphan
from tap_mobile_engagement.api.tasks import ExportTask
from tap_mobile_engagement.state import Window

WEEK = Window(date(2016, 5, 1), date(2016, 5, 8))
MARK = RunMark("5f2a", 1, "events", WEEK)
NEWEST = datetime(2016, 6, 1, tzinfo=UTC)


def task(
    description: str | None, *, age: timedelta = timedelta(), export_type: str = "Event"
) -> ExportTask:
    return ExportTask(
        id="t1",
        state="Queued",
        export_type=export_type,
        created=NEWEST - age,
        description=description,
    )


def found(tasks: Iterable[ExportTask]) -> ExportTask | None:
    return find_orphan(tasks, MARK, "Event", age=timedelta(seconds=30))


def test_a_mark_names_run_number_and_range() -> None:
    push = RunMark("5f2a", 2, "push_feedback", WEEK, "Poll")

    assert str(MARK) == "tap-mobile-engagement 5f2a/1 events 2016-05-01/2016-05-08"
    assert str(push) == "tap-mobile-engagement 5f2a/2 push_feedback Poll 2016-05-01/2016-05-08"
    assert str(RunMark("5f2a", 3, "tags")) == "tap-mobile-engagement 5f2a/3 tags"


@pytest.mark.parametrize("description", [str(MARK), f"  {MARK}  ", f"{MARK} (by the portal)"])
def test_the_task_with_the_mark_is_the_orphan(description: str | None) -> None:
    orphan = task(description)

    assert found([task("another's"), orphan]) is orphan


@pytest.mark.parametrize(
    "other",
    [
        task(None),
        task("somebody else's events"),
        task(str(RunMark("5f2a", 11, "events", WEEK))),
        task(str(RunMark("77aa", 1, "events", WEEK))),
        task(str(MARK), export_type="Job"),
    ],
)
def test_no_other_task_is_adopted(other: ExportTask) -> None:
    # It may write to another container: its files would be missed, and nobody would know.
    assert found([other]) is None


def test_a_clock_of_the_service_that_is_years_off_does_not_matter() -> None:
    # NEWEST is ten years before the run.
    orphan = task(str(MARK))

    assert found([orphan]) is orphan


def test_the_search_ends_where_tasks_get_too_old() -> None:
    endless = repeat(task("another's", age=timedelta(hours=2)))

    assert find_orphan(chain([task("new")], endless), MARK, "Event", age=timedelta()) is None


def test_tasks_a_little_out_of_order_do_not_end_the_search() -> None:
    orphan = task(str(MARK))

    assert found([task("new"), task("old", age=timedelta(minutes=10)), orphan]) is orphan
