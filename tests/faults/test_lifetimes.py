"""Warnings that a SAS will not last as long as the work ahead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tap_mobile_engagement.api.sas_expiry import Lifetimes, Work
from tests.support.simulated import LeapingTime, catalog_of, settings_for, sync

if TYPE_CHECKING:
    from tap_mobile_engagement.simulator import Simulator
    from tests.support.azurite import Azurite

NOW = datetime(2016, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def lifetimes(left: timedelta) -> Lifetimes:
    return Lifetimes({"container_url": NOW + left})


@pytest.mark.parametrize(
    ("work", "takes"),
    [
        (Work(8, 4, longest=DAY), DAY),
        (Work(8, 4, longest=DAY, usual=HOUR), 2 * HOUR),
        (Work(9, 4, longest=DAY, usual=HOUR), 3 * HOUR),
        (Work(1, 4, longest=HOUR, usual=DAY), HOUR),
    ],
)
def test_how_long_the_work_ahead_takes(work: Work, takes: timedelta) -> None:
    assert work.takes == takes


def test_a_sas_that_lasts_long_enough_is_no_reason_for_a_warning() -> None:
    assert [*lifetimes(2 * DAY).warnings(Work(80, 4, longest=DAY), NOW)] == []


def test_one_that_ends_before_a_single_task_may_is_told_at_once() -> None:
    (warning,) = lifetimes(8 * HOUR).warnings(Work(80, 4, longest=DAY), NOW)

    assert "container_url ends at 2016-05-01T08:00:00Z, in 8 h 0 min" in warning
    assert "80 export tasks are still to be done: one may take up to 24 h 0 min" in warning


def test_the_time_that_tasks_took_is_told_once_it_is_known() -> None:
    watched = lifetimes(8 * HOUR)
    before, after = Work(80, 4, longest=DAY), Work(80, 4, longest=DAY, usual=HOUR)

    assert len([*watched.warnings(before, NOW)]) == 1
    (warning,) = watched.warnings(after, NOW)
    assert "they took 1 h 0 min each so far, 4 at a time" in warning
    assert [*watched.warnings(after, NOW)] == []


def test_the_warning_is_repeated_when_little_is_left() -> None:
    watched = lifetimes(2 * HOUR)
    work = Work(4, 4, longest=DAY, usual=timedelta(minutes=1))

    told = [
        minutes
        for minutes in range(120)
        for _ in watched.warnings(work, NOW + timedelta(minutes=minutes))
    ]

    assert told == [60, 105, 115]


def test_without_work_nothing_is_told() -> None:
    assert [*lifetimes(timedelta(minutes=1)).warnings(Work(0, 4, longest=DAY), NOW)] == []


def test_it_is_looked_at_once_in_a_minute() -> None:
    watched = lifetimes(2 * HOUR)

    assert watched.is_due(NOW)
    assert [*watched.warnings(Work(1, 1, longest=HOUR), NOW)] == []
    assert not watched.is_due(NOW + timedelta(seconds=59))
    assert watched.is_due(NOW + timedelta(seconds=60))
    assert not Lifetimes({}).is_due(NOW)


@pytest.mark.azurite
def test_a_run_warns_before_it_waits(
    simulator: Simulator, azurite: Azurite, caplog: pytest.LogCaptureFixture
) -> None:
    container = azurite.new_container()
    url = azurite.sas_url(container, "rwl", expires_in=timedelta(hours=8))
    settings = settings_for(simulator, url, window_days=14)

    sync(
        settings, catalog=catalog_of(settings, "events"), timing=LeapingTime().timing
    ).checked()

    warnings = [one.getMessage() for one in caplog.records if "The SAS in" in one.getMessage()]
    assert len(warnings) == 1
    assert "1 export tasks are still to be done: one may take up to 24 h 0 min" in warnings[0]
