from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tap_mobile_engagement.simulator import Options


@pytest.mark.parametrize(
    "bad",
    [
        {"devices": -1},
        {"time_digits": 10},
        {"time_format": "iso"},
        {"blob_name": "{nonsense}"},
        {"apps": ()},
        {"apps": ("shop", "shop")},
        {"queue_seconds": (5.0, 1.0)},
        {"run_seconds": -1.0},
        {"start": datetime(2016, 5, 1)},  # noqa: DTZ001
        {"too_many_status": 500},
        {"blobs_per_task": 0},
    ],
    ids=repr,
)
def test_a_bad_value_is_refused_by_name(bad: dict[str, Any]) -> None:
    (name,) = bad

    with pytest.raises(ValueError, match=name):
        Options(**bad)


def test_the_clock_starts_two_weeks_after_the_first_day() -> None:
    assert Options().clock_start == datetime(2016, 5, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "nanoseconds"),
    [
        ({}, 1_000_000),
        ({"time_digits": 0}, 1_000_000_000),
        ({"time_digits": 9}, 1),
        ({"time_digits": 9, "time_format": "epoch_ms"}, 1_000_000),
    ],
)
def test_data_is_as_precise_as_files_can_show(
    options: dict[str, Any], nanoseconds: int
) -> None:
    assert Options(**options).precision == nanoseconds
