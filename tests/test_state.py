"""Date windows and bookmarks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.inputs import checked_state
from tap_mobile_engagement.state import (
    MOST_EMPTY,
    PartitionState,
    TaskEntry,
    Window,
    bookmark_at,
    first_day,
    tile,
)

ONE_DAY = timedelta(days=1)
MAY = Window(date(2016, 5, 1), date(2016, 5, 8))

unhurried = settings(deadline=None)
ranges = st.tuples(st.dates(), st.dates()).map(sorted)
near_ranges = st.builds(
    lambda start, days: (start, start + days * ONE_DAY),
    st.dates(max_value=date(9990, 1, 1)),
    st.integers(1, 400),
)
windows = st.builds(
    lambda start, days: Window(start, start + days * ONE_DAY),
    st.dates(max_value=date(9990, 1, 1)),
    st.integers(1, 1000),
)


# Tiling a range.


@unhurried
@given(near_ranges, st.integers(1, 1_000))
def test_windows_tile_the_range_without_gap_or_overlap(
    range_: tuple[date, date], days: int
) -> None:
    start, end = range_

    tiles = [*tile(start, end, days)]

    assert [window.start for window in tiles] == [start, *(w.end for w in tiles[:-1])]
    assert tiles[-1].end == end
    assert all(window.days == days for window in tiles[:-1])
    assert 1 <= tiles[-1].days <= days


@unhurried
@given(ranges, st.integers(10_000, 10**12))
def test_windows_tile_any_range_up_to_the_last_day_there_is(
    range_: list[date], days: int
) -> None:
    start, end = range_

    tiles = [*tile(start, end, days)]

    assert sum(window.days for window in tiles) == (end - start).days


@pytest.mark.parametrize("end", [date(2016, 5, 1), date(2016, 4, 30)])
def test_an_empty_or_reversed_range_has_no_window(end: date) -> None:
    assert [*tile(date(2016, 5, 1), end, 7)] == []


@pytest.mark.parametrize("days", [0, -1])
def test_a_window_needs_a_day(days: int) -> None:
    with pytest.raises(ValueError, match="date window"):
        [*tile(MAY.start, MAY.end, days)]


@pytest.mark.parametrize("end", [date(2016, 5, 1), date(2016, 4, 30)])
def test_there_is_no_empty_window(end: date) -> None:
    with pytest.raises(ValueError, match="empty date window"):
        Window(date(2016, 5, 1), end)


# A window by itself.


@unhurried
@given(windows)
def test_halves_are_the_window(window: Window) -> None:
    halves = window.halves()

    if window.days == 1:
        assert halves is None
    else:
        assert halves is not None
        first, second = halves
        assert (first.start, first.end, second.end) == (window.start, second.start, window.end)
        assert abs(first.days - second.days) <= 1


def test_a_window_as_logs_and_bookmarks_show_it() -> None:
    assert str(MAY) == "2016-05-01/2016-05-08"
    assert MAY.exported_until == "2016-05-08T00:00:00Z"
    assert bookmark_at(date(33, 4, 3)) == "0033-04-03T00:00:00Z"


# Where a run begins.


def test_a_first_run_begins_at_the_start_date() -> None:
    assert first_day(None, start_date=MAY.start, lookback_days=3) == MAY.start


@pytest.mark.parametrize(
    ("bookmark", "lookback_days", "expected"),
    [
        ("2016-05-15T00:00:00Z", 3, date(2016, 5, 12)),
        ("2016-05-15T00:00:00Z", 0, date(2016, 5, 15)),
        ("2016-05-15T00:00:00+00:00", 1, date(2016, 5, 14)),
        ("2016-05-15T00:00:00.000000Z", 1, date(2016, 5, 14)),
        ("2016-05-15T00:00:00", 1, date(2016, 5, 14)),
        ("2016-05-15", 1, date(2016, 5, 14)),
        # In UTC still the day before, and no day is bookmarked before it is over.
        ("2016-05-15T01:00:00+02:00", 0, date(2016, 5, 14)),
        ("2016-05-15T23:59:59Z", 0, date(2016, 5, 15)),
        # Not before the start date.
        ("2016-05-02T00:00:00Z", 3, date(2016, 5, 1)),
        ("2016-05-15T00:00:00Z", 10**9, date(2016, 5, 1)),
        ("2001-01-01T00:00:00Z", 0, date(2016, 5, 1)),
    ],
)
def test_a_later_run_begins_some_days_before_the_bookmark(
    bookmark: str, lookback_days: int, expected: date
) -> None:
    begins = first_day(bookmark, start_date=MAY.start, lookback_days=lookback_days)

    assert begins == expected


@unhurried
@given(st.dates(), st.dates(), st.integers(0, 10**9))
def test_a_run_leaves_no_day_out_between_start_date_and_bookmark(
    reached: date, start_date: date, lookback_days: int
) -> None:
    begins = first_day(bookmark_at(reached), start_date=start_date, lookback_days=lookback_days)

    assert begins >= start_date
    assert begins <= max(reached, start_date)
    assert begins == start_date or (reached - begins).days == lookback_days


BAD_BOOKMARKS = [
    "",
    "yesterday",
    "2016-05",
    20160515,
    ["2016-05-15"],
    "0001-01-01T00:00:00+01:00",
]


@pytest.mark.parametrize("bookmark", BAD_BOOKMARKS)
def test_a_bookmark_that_is_none_says_what_to_correct(bookmark: Any) -> None:
    with pytest.raises(DataError, match="replication_key_value") as caught:
        first_day(bookmark, start_date=MAY.start, lookback_days=3)

    assert caught.value.code is Code.BAD_STATE


# The state of a partition.


def test_the_state_of_a_finished_window() -> None:
    values: dict[str, Any] = {"context": {"app_name": "shop"}}
    state = PartitionState(values)
    assert state.bookmark is None

    state.advance(MAY)

    assert values == {
        "context": {"app_name": "shop"},
        "replication_key": "exported_until",
        "replication_key_value": "2016-05-08T00:00:00Z",
        "date_range": {"start": "2016-05-01", "end": "2016-05-08"},
    }
    assert state.bookmark == "2016-05-08T00:00:00Z"


@unhurried
@given(st.lists(windows, min_size=1))
def test_the_bookmark_never_goes_back(done: list[Window]) -> None:
    values: dict[str, Any] = {}
    state = PartitionState(values)

    for position, window in enumerate(done):
        state.advance(window)

        reached = max(w.end for w in done[: position + 1])
        assert state.bookmark == bookmark_at(reached)
        assert values["date_range"]["end"] == reached.isoformat()


@pytest.mark.parametrize("bookmark", ["2016-05-08T02:00:00+02:00", "2016-05-09", "2016-05-08"])
def test_a_bookmark_of_another_spelling_is_compared_as_a_time(bookmark: str) -> None:
    values: dict[str, Any] = {"replication_key_value": bookmark}

    PartitionState(values).advance(MAY)

    assert values == {"replication_key_value": bookmark}


def test_a_bookmark_without_a_window_moves_forward_only() -> None:
    values: dict[str, Any] = {}
    state = PartitionState(values)

    moves = [
        state.advance_to(bookmark)
        for bookmark in (
            "2016-05-08T10:00:00.5Z",
            "2016-05-08T10:00:00.500Z",
            "2016-05-08T10:00:00Z",
            "2016-05-08T10:00:00.500001Z",
        )
    ]

    assert moves == [True, False, False, True]
    assert values == {
        "replication_key": "exported_until",
        "replication_key_value": "2016-05-08T10:00:00.500001Z",
    }


def test_a_bookmark_that_is_none_is_not_overwritten() -> None:
    values: dict[str, Any] = {"replication_key_value": "soon"}

    with pytest.raises(DataError, match="BAD_STATE"):
        PartitionState(values).advance(MAY)

    assert values == {"replication_key_value": "soon"}


CREATED = datetime(2026, 1, 1, 12, tzinfo=UTC)


def entry(task_id: str, window: Window | None = None, **more: Any) -> TaskEntry:
    start, end = (window.start, window.end) if window else (None, None)
    return TaskEntry(id=task_id, created=CREATED, start=start, end=end, **more)


def test_tasks_are_remembered_and_forgotten_by_their_id() -> None:
    values: dict[str, Any] = {"other": 1}
    state = PartitionState(values)

    state.remember_task(entry("a"))
    state.remember_task(entry("b"))
    state.remember_task(entry("a", MAY))
    assert values["tasks"] == [
        {"id": "b", "created": "2026-01-01T12:00:00Z"},
        {
            "id": "a",
            "created": "2026-01-01T12:00:00Z",
            "start": "2016-05-01",
            "end": "2016-05-08",
        },
    ]

    state.forget_task("b")
    state.forget_task("unknown")
    assert state.tasks == [entry("a", MAY)]

    state.forget_task("a")
    assert values == {"other": 1}


def test_no_tasks_may_be_written_as_null() -> None:
    state = PartitionState({"tasks": None})
    assert state.tasks == []

    state.remember_task(entry("a"))

    assert state.tasks == [entry("a")]


def test_a_window_and_its_task_do_not_touch_each_other() -> None:
    values: dict[str, Any] = {}
    state = PartitionState(values)
    state.remember_task(entry("a"))

    state.advance(MAY)

    assert state.tasks == [entry("a")]
    assert list(values) == ["tasks", "replication_key", "replication_key_value", "date_range"]


def test_empty_tasks_beyond_a_bound_become_one_range() -> None:
    # Given more empty ranges than a state remembers
    values: dict[str, Any] = {}
    state = PartitionState(values)
    state.remember_task(entry("works", Window(date(2019, 1, 1), date(2019, 1, 8))))
    windows = [*tile(date(2016, 1, 1), date(2018, 1, 1), 7)]
    for number, window in enumerate(windows):
        state.remember_task(entry(f"t{number}", window, empty=True))

    # when they are counted, then the oldest are one range, and no day is lost.
    kept = [task.window for task in state.tasks if task.empty]
    assert kept == windows[-MOST_EMPTY:]
    assert state.empty_range == Window(date(2016, 1, 1), windows[-MOST_EMPTY].start)
    assert len(state.tasks) == MOST_EMPTY + 1
    assert len(str(values)) < 150 * MOST_EMPTY

    # And as it is exported again, in halves, it goes.
    first, second = state.empty_range.halves() or (MAY, MAY)
    assert not state.settle_empty(windows[-1])
    assert state.settle_empty(first)
    assert state.empty_range == second
    assert state.settle_empty(second)
    assert state.empty_range is None


# What a state remembers of a task.

ENTRIES = (
    entry("t1", MAY),
    entry("t2"),
    entry("t3", MAY, campaign_type="Poll", container="tap-1", empty=True),
)


def state_with(**values: Any) -> dict[str, Any]:
    partition = {"context": {"app_name": "shop"}, **values}
    return {"bookmarks": {"events": {"partitions": [partition]}}}


@pytest.mark.parametrize("task", ENTRIES)
def test_a_task_survives_a_state(task: TaskEntry) -> None:
    values: dict[str, Any] = {}
    PartitionState(values).remember_task(task)
    read = checked_state(msgspec.json.decode(msgspec.json.encode(state_with(**values))), "api")

    assert PartitionState(read["bookmarks"]["events"]["partitions"][0]).tasks == [task]


def test_what_a_later_version_added_is_ignored() -> None:
    known = {**msgspec.to_builtins(ENTRIES[0]), "colour": "blue"}

    assert PartitionState({"tasks": [known]}).tasks == [ENTRIES[0]]


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": "../x"},
        {"id": "t1\n"},
        {"created": "yesterday"},
        {"created": "2026-01-01T12:00:00"},
        {"start": None},
        {"end": "2016-05-01"},
        {"end": "2016-04-01"},
        {"campaign_type": 4},
    ],
)
def test_a_task_that_can_not_be_used_is_an_error_of_the_state(change: dict[str, Any]) -> None:
    task = {**msgspec.to_builtins(ENTRIES[0]), **change}

    with pytest.raises(DataError, match="BAD_STATE"):
        checked_state(state_with(tasks=[task]), "api")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *product(["tasks"], ["t1", 5, [None], ["t1"], [{}], {"a": 1}]),
        *product(["empty_range"], [5, {}, "2016-05-01", {"start": "2016-05-01"}]),
        ("empty_range", {"start": "2016-05-08", "end": "2016-05-01"}),
        *product(["read_containers"], [5, {"a": 1}, [["a", 1]], [["a", 1, 10**18]]]),
        *product(["read_containers"], [[["a", -5, 5]], [["a", 7, 5]]]),
    ],
)
def test_a_part_of_another_shape_is_an_error_of_the_state(name: str, value: Any) -> None:
    with pytest.raises(DataError, match="BAD_STATE"):
        checked_state(state_with(**{name: value}), "api")
