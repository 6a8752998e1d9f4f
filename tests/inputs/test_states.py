"""States: what an earlier run left is taken up, and all else is refused, never overlooked."""

from __future__ import annotations

import json
import os
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_mobile_engagement.errors import DataError
from tap_mobile_engagement.inputs import checked_state
from tap_mobile_engagement.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.inputs.support import Archive

TASK = {
    "id": "0e8d57a1-3c5b-4a29-9d4e-7f0a8a6a1c11",
    "created": "2026-11-23T08:00:00Z",
    "start": "2016-05-08",
    "end": "2016-05-15",
}
PARTITION = {
    "context": {"app_name": "shop"},
    "replication_key": "exported_until",
    "replication_key_value": "2016-05-08T00:00:00Z",
    "date_range": {"start": "2016-05-01", "end": "2016-05-08"},
    "tasks": [TASK],
}
STATE: dict[str, Any] = {
    "bookmarks": {
        "events": {"partitions": [PARTITION]},
        "tags": {"partitions": [{"context": {"app_name": "shop"}, "tasks": []}]},
        "jobs": {},
        "sessions": {"archive": {}, "replication_key_value": "2016-05-08T00:00:00+00:00"},
    }
}

STATES = int(os.environ.get("RANDOM_STATES", "500"))
REQUIRED = [setting.name for setting in SETTINGS if setting.required]

Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where something stands in a value, at any depth."""
    yield path
    for key, each in (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    ):
        yield from places(each, (*path, key))


def changed(value: Any, path: Path, new: Any) -> Any:
    """A copy with another value at a place."""
    if not path:
        return new
    copy = deepcopy(value)
    holder = copy
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = new
    return copy


def test_a_right_state_is_taken_as_it_is() -> None:
    assert checked_state(STATE, "archive") == STATE


def test_a_whole_message_counts_by_its_value(archive: Archive) -> None:
    # Given a run that was done
    first = archive.run()
    message = first.messages.of_type("STATE")[-1]

    # when the next one gets its last STATE message as a whole
    second = archive.run(state=message)

    # then it continues from there, and says what it did.
    assert second.exit_code == 0
    assert second.complaints == ["The state is a whole STATE message: its value is taken"]
    assert len(first.messages.records("events")) == 1
    assert second.messages.records("events") == []


@pytest.mark.parametrize("value", [None, 5, [], "x", {"events": 5}])
def test_a_message_without_a_state_is_refused(archive: Archive, value: Any) -> None:
    outcome = archive.run(state={"type": "STATE", "value": value})

    assert outcome.exit_code == 1
    assert outcome.output == b""
    assert outcome.complaints[-1].startswith("BAD_STATE: ")


# Each with words of the message.
WRONG: dict[str, tuple[Any, str]] = {
    "that of another tap": (
        {"bookmarks": {"users": {"replication_key_value": "2016-05-08"}}},
        "no stream 'users'",
    ),
    "another tap's of the same stream": (
        {"bookmarks": {"events": {**PARTITION, "replication_key": "updated_at"}}},
        "replication_key",
    ),
    "Meltano's": ({"singer_state": STATE}, "bookmarks"),
    "bookmarks by themselves": (STATE["bookmarks"], "bookmarks"),
    "bookmarks in a list": ({"bookmarks": []}, "bookmarks"),
    "another message": ({"type": "RECORD", "stream": "events", "record": {}}, "bookmarks"),
    "a partition twice": (
        {"bookmarks": {"events": {"partitions": [PARTITION, PARTITION]}}},
        "two partitions",
    ),
    "a partition without context": ({"bookmarks": {"events": {"partitions": [{}]}}}, "context"),
    "tasks that are a number": (
        changed(STATE, ("bookmarks", "events", "partitions", 0, "tasks"), 5),
        "tasks",
    ),
    "a task for no day": (
        changed(
            STATE, ("bookmarks", "events", "partitions", 0, "tasks", 0, "end"), "2016-05-08"
        ),
        "empty date window",
    ),
}
BOOKMARKS = ["last Tuesday", "2016-13-01T00:00:00Z", "", 20160508, 1462665600.5, ["2016-05-08"]]


@pytest.mark.parametrize("kind", WRONG)
def test_a_state_that_is_none_of_this_tap_is_refused(archive: Archive, kind: str) -> None:
    state, words = WRONG[kind]

    line = archive.run(state=state).refusal()

    assert line.startswith("BAD_STATE: the state is none of this tap: ")
    assert words in line


def test_a_state_with_half_of_a_character_is_refused(archive: Archive) -> None:
    # (no message could hold it)
    partition = {**PARTITION, "context": {"app_name": "\ud800"}}

    line = archive.run(state={"bookmarks": {"events": {"partitions": [partition]}}}).refusal()

    assert line.startswith("BAD_STATE: ")


@pytest.mark.parametrize("bookmark", BOOKMARKS)
@pytest.mark.parametrize("place", [("sessions",), ("events", "partitions", 0)])
def test_a_bookmark_that_is_none_is_refused(
    archive: Archive, bookmark: Any, place: Path
) -> None:
    state = changed(STATE, ("bookmarks", *place, "replication_key_value"), bookmark)

    assert archive.run(state=state).refusal().startswith("BAD_STATE: ")


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=5,
)


def refusal_of(state: dict[str, Any]) -> str | None:
    try:
        checked_state(state, "archive")
    except DataError as error:
        return str(error)
    return None


@given(place=st.sampled_from([*places(STATE)][1:]), value=ANYTHING)
@settings(max_examples=STATES)
def test_a_change_of_form_is_refused_or_means_the_same(place: Path, value: Any) -> None:
    state = changed(STATE, place, value)

    message = refusal_of(state)

    if message is None:  # nothing is overlooked
        assert checked_state(state, "archive") == state
    else:
        assert message.startswith("BAD_STATE: ")
        assert "\n" not in message


@given(state=st.dictionaries(st.text(max_size=9) | st.just("bookmarks"), ANYTHING, min_size=1))
@settings(max_examples=STATES)
def test_whatever_is_no_state_is_refused(state: dict[str, Any]) -> None:
    if state.get("bookmarks") == {}:
        return
    with pytest.raises(DataError, match="BAD_STATE"):
        checked_state(state, "archive")


@given(place=st.sampled_from([*places(STATE)]), value=ANYTHING)
@settings(
    max_examples=STATES // 8,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_run_with_any_state_ends_without_a_traceback(
    shared_archive: Archive, place: Path, value: Any
) -> None:
    content = json.dumps(changed(STATE, place, value)).encode()

    outcome = shared_archive.run(state=content)

    if outcome.exit_code:
        assert outcome.refusal().startswith("BAD_STATE: ")


def test_a_bookmark_in_no_partition_is_not_overlooked(archive: Archive) -> None:
    # Given a bookmark as a person may write it, where the API's partitions don't look
    state = {"bookmarks": {"events": {"replication_key_value": "2016-05-08T00:00:00Z"}}}
    api = {"source": "api", **dict.fromkeys(REQUIRED, "x"), "app_names": ["shop"]}

    line = archive.run(config={**api, "start_date": "2016-05-01"}, state=state).refusal()

    assert line.startswith("BAD_STATE: the bookmark of events is in no partition")
    assert archive.run(state=state).exit_code == 0  # an archive has it there
