"""The comparison has to be trusted: it must see every difference, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from scripts.demo.compare import compare
from tap_mobile_engagement.datatypes import BY_NAME, Kind

if TYPE_CHECKING:
    from scripts.demo.compare import Row

EVENTS = BY_NAME["events"]
FEEDBACK = BY_NAME["push_feedback"]
MOMENT = datetime(2016, 5, 1, 8, 0, 0, 250_000, tzinfo=UTC)


def event(name: str = "open", *, app: str = "shop", **values: Any) -> Row:
    content = {"device_id": "d1", "name": name, "timestamp": "2016-05-01T08:00:00.250Z"}
    content |= values
    return (app, *(content.get(field.name) for field in EVENTS.fields))


def feedback(*flags: str) -> Row:
    return ("shop", "d1", None, "Poll", 7, [*flags])


def test_the_same_rows_in_another_order_are_equal() -> None:
    truth = [event("a"), event("b"), event("c")]

    found = compare(EVENTS, truth, truth[::-1])

    assert found.is_equal
    assert (found.truth, found.warehouse, found.examples) == (3, 3, ())


def test_a_missing_row_is_found_and_shown() -> None:
    found = compare(EVENTS, [event("a"), event("b")], [event("a")])

    assert not found.is_equal
    assert (found.missing, found.unexpected) == (1, 0)
    assert found.examples[0].startswith("missing: ")
    assert "'name': 'b'" in found.examples[0]


def test_a_row_that_is_there_twice_is_unexpected() -> None:
    found = compare(EVENTS, [event()], [event(), event()])

    assert (found.missing, found.unexpected) == (0, 1)


def test_two_real_identical_records_need_two_rows() -> None:
    found = compare(EVENTS, [event(), event()], [event()])

    assert (found.missing, found.unexpected) == (1, 0)


def test_a_row_of_another_app_is_another_row() -> None:
    found = compare(EVENTS, [event()], [event(app="other")])

    assert (found.missing, found.unexpected) == (1, 1)


@pytest.mark.parametrize("field", [f.name for f in EVENTS.fields if f.kind is not Kind.TIME])
def test_every_field_counts(field: str) -> None:
    other: Any = {"other": 1} if field == "extras" else "other"

    found = compare(EVENTS, [event()], [event(**{field: other})])

    assert (found.missing, found.unexpected) == (1, 1)


@pytest.mark.parametrize(
    "same",
    [MOMENT, MOMENT.replace(tzinfo=None), MOMENT.astimezone(timezone(timedelta(hours=2)))],
    ids=["utc", "without a zone", "another zone"],
)
def test_times_are_compared_as_instants(same: datetime) -> None:
    truth = [event(timestamp="2016-05-01T08:00:00.250Z")]
    later = same + timedelta(microseconds=1)

    assert compare(EVENTS, truth, [event(timestamp=same)]).is_equal
    assert not compare(EVENTS, truth, [event(timestamp=later)]).is_equal


def test_objects_are_compared_as_json() -> None:
    truth = [event(extras={"a": 1, "b": [None, "é"]})]

    assert compare(EVENTS, truth, [event(extras={"b": [None, "é"], "a": 1})]).is_equal
    assert compare(EVENTS, truth, [event(extras='{"b": [null, "\\u00e9"], "a": 1}')]).is_equal
    assert not compare(EVENTS, truth, [event(extras={"a": 2, "b": [None, "é"]})]).is_equal
    assert not compare(EVENTS, truth, [event(extras=None)]).is_equal


def test_lists_keep_their_order() -> None:
    truth = [feedback("Queued", "Dropped")]

    assert compare(FEEDBACK, truth, [feedback("Queued", "Dropped")]).is_equal
    assert not compare(FEEDBACK, truth, [feedback("Dropped", "Queued")]).is_equal
