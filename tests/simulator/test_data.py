"""The synthetic data: deterministic, late, sparse, and as awkward as promised."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tap_mobile_engagement.datatypes import DATA_TYPES
from tap_mobile_engagement.simulator import Options, Simulator
from tap_mobile_engagement.simulator.truth import normal_time

FIRST = date(2016, 5, 1)


def truth_of(data_type: str, *, days: float = 0, **options: Any) -> list[dict[str, Any]]:
    """The truth of a simulator that nobody asked anything yet."""
    simulator = Simulator(Options(frozen=True, **{"devices": 40, **options}))
    simulator.clock.advance(days=days)
    records = simulator.truth("shop", data_type)
    simulator.stop()
    return records


@pytest.mark.parametrize("data_type", [data_type.name for data_type in DATA_TYPES])
def test_the_same_seed_gives_the_same_data(data_type: str) -> None:
    assert truth_of(data_type) == truth_of(data_type)
    assert truth_of(data_type) != truth_of(data_type, seed=2)


@pytest.mark.parametrize("data_type", [data_type.name for data_type in DATA_TYPES])
def test_records_have_the_fields_of_their_data_type(data_type: str) -> None:
    fields = {
        field.name for data in DATA_TYPES if data.name == data_type for field in data.fields
    }

    for record in truth_of(data_type):
        assert record.keys() == fields


def test_a_range_is_the_part_of_the_whole_that_is_in_it() -> None:
    simulator = Simulator(Options(devices=40, frozen=True, clock_error_days=9))

    whole = simulator.truth("shop", "events")
    parts = [
        record
        for day in range(14)
        for record in simulator.truth(
            "shop", "events", FIRST + timedelta(day), FIRST + timedelta(day + 1)
        )
    ]

    simulator.stop()
    key = repr
    within = [record for record in whole if record["timestamp"] < "2016-05-15"]
    assert sorted(parts, key=key) == sorted(within, key=key)
    assert parts


def test_logs_arrive_up_to_the_days_late_that_the_options_allow() -> None:
    simulator = Simulator(Options(devices=100, frozen=True, late_days=2))
    day = (date(2016, 5, 14), date(2016, 5, 15))

    at_midnight = simulator.truth("shop", "events", *day)
    simulator.clock.advance(days=1.9)
    later = simulator.truth("shop", "events", *day)
    simulator.clock.advance(days=0.2)
    complete = simulator.truth("shop", "events", *day)
    simulator.clock.advance(days=20)
    much_later = simulator.truth("shop", "events", *day)

    simulator.stop()
    assert len(at_midnight) < len(later) <= len(complete)
    assert complete == much_later


def test_nothing_is_late_without_late_days() -> None:
    simulator = Simulator(Options(devices=50, frozen=True, late_days=0))
    day = (date(2016, 5, 14), date(2016, 5, 15))

    at_midnight = simulator.truth("shop", "events", *day)
    simulator.clock.advance(days=3)

    assert simulator.truth("shop", "events", *day) == at_midnight
    simulator.stop()


def test_some_sessions_get_their_end_later_and_some_never() -> None:
    simulator = Simulator(Options(devices=100, frozen=True))
    now = {one["session_id"]: one for one in simulator.truth("shop", "sessions")}
    simulator.clock.advance(days=10)

    later = {one["session_id"]: one for one in simulator.truth("shop", "sessions")}

    simulator.stop()
    ended_since = [
        id_ for id_, one in now.items() if one["ended_at"] is None and later[id_]["ended_at"]
    ]
    assert ended_since
    assert any(later[id_]["ended_at"] is None for id_ in now)
    assert all(
        one["ended_at"] is None or one["ended_at"] > one["started_at"] for one in later.values()
    )


def test_events_are_sparse_and_awkward() -> None:
    events = truth_of("events")

    assert any(event["session_id"] is None for event in events)
    assert any(event["location_id"] is None for event in events)
    assert any(event["extras"] is None for event in events)
    assert any(event["extras"] == {} for event in events)
    assert any("}],[{" in str(event["extras"]) for event in events)
    assert any("👍" in str(event["extras"]) for event in events)
    assert any("お気に入り" in event["name"] for event in events)


def test_only_activities_have_extras_that_are_trees() -> None:
    def has_tree(records: list[dict[str, Any]]) -> bool:
        extras = [record["extras"] or {} for record in records]
        return any(isinstance(value, (dict, list)) for one in extras for value in one.values())

    assert has_tree(truth_of("activities"))
    assert not any(has_tree(truth_of(name)) for name in ("events", "jobs", "errors", "crashes"))


@pytest.mark.parametrize(("error_days", "wrong"), [(0.0, False), (400.0, True)])
def test_clocks_are_wrong_both_ways_if_the_options_say_so(
    error_days: float, *, wrong: bool
) -> None:
    simulator = Simulator(Options(devices=200, frozen=True, clock_error_days=error_days))

    events = simulator.truth("shop", "events", date(2014, 1, 1), date(2018, 1, 1))

    simulator.stop()
    times = [event["timestamp"] for event in events]
    assert (min(times) < "2016-05-01") is wrong
    assert (max(times) > "2016-05-16") is wrong


def test_snapshots_change_with_time() -> None:
    for data_type in ("devices", "tags", "tokens", "push_feedback"):
        assert truth_of(data_type) != truth_of(data_type, days=21), data_type


def test_devices_vanish_if_the_options_say_so() -> None:
    now = {record["device_id"] for record in truth_of("devices", vanishing=0.5)}
    later = {record["device_id"] for record in truth_of("devices", vanishing=0.5, days=40)}

    assert now - later
    assert not {record["device_id"] for record in truth_of("devices")} - {
        record["device_id"] for record in truth_of("devices", days=40)
    }


def test_repeats_are_there_twice() -> None:
    plain, repeated = truth_of("events"), truth_of("events", repeats=0.5)

    assert 1.3 * len(plain) < len(repeated) < 1.7 * len(plain)
    assert {repr(one) for one in plain} == {repr(one) for one in repeated}


def test_devices_were_last_seen_in_their_last_session() -> None:
    sessions = truth_of("sessions")
    for device in truth_of("devices"):
        own = [one["started_at"] for one in sessions if one["device_id"] == device["device_id"]]

        assert device["last_seen"] == max(own, default=device["first_seen"])


def test_apps_have_data_of_their_own() -> None:
    simulator = Simulator(Options(apps=("shop", "news"), devices=5, frozen=True))

    shop, news = (simulator.truth(app, "events") for app in ("shop", "news"))

    simulator.stop()
    assert shop
    assert not {one["device_id"] for one in shop} & {one["device_id"] for one in news}


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0, "2016-05-01T00:00:00Z"),
        (120_000_000, "2016-05-01T00:00:00.120Z"),
        (100, "2016-05-01T00:00:00.000000100Z"),
        (1_000, "2016-05-01T00:00:00.000001Z"),
        (999_999_999, "2016-05-01T00:00:00.999999999Z"),
    ],
)
def test_the_normal_form_of_times_has_the_fewest_digits(fraction: int, text: str) -> None:
    second = int(datetime(2016, 5, 1, tzinfo=UTC).timestamp())

    assert normal_time(second * 1_000_000_000 + fraction) == text
