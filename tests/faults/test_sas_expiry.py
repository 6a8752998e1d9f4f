"""Warnings that a SAS will not last as long as the work ahead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tap_mobile_engagement.api.progress import SasExpiry, Summary
from tap_mobile_engagement.api.tasks import Phase
from tests.support.simulated import LeapingTime, catalog_of, settings_for, sync

if TYPE_CHECKING:
    from tap_mobile_engagement.simulator import Simulator
    from tests.support.azurite import Azurite

NOW = datetime(2016, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def watched(left: timedelta) -> SasExpiry:
    return SasExpiry({"container_url": NOW + left})


def work(
    due: int, limit: int, *, longest: timedelta, usual: timedelta | None = None
) -> Summary:
    phases = dict.fromkeys(Phase, 0) | {Phase.DUE: due, Phase.READY: 3}
    return Summary(
        read=5,
        phases=phases,
        bytes_read=0,
        elapsed=timedelta(),
        usual_time=usual,
        longest=longest,
        limit=limit,
    )


@pytest.mark.parametrize(
    ("summary", "takes"),
    [
        (work(8, 4, longest=DAY), DAY),
        (work(8, 4, longest=DAY, usual=HOUR), 2 * HOUR),
        (work(9, 4, longest=DAY, usual=HOUR), 3 * HOUR),
        (work(1, 4, longest=HOUR, usual=DAY), HOUR),
    ],
)
def test_how_long_the_work_ahead_takes(summary: Summary, takes: timedelta) -> None:
    assert summary.rounds_take == takes


def test_a_sas_that_lasts_long_enough_is_no_reason_for_a_warning() -> None:
    assert [*watched(2 * DAY).warnings(work(80, 4, longest=DAY), NOW)] == []


def test_one_that_ends_before_a_single_task_may_is_told_at_once() -> None:
    (warning,) = watched(8 * HOUR).warnings(work(80, 4, longest=DAY), NOW)

    assert "container_url ends at 2016-05-01T08:00:00Z, in 8:00:00" in warning
    assert "80 export tasks are still to be done: one may take up to 1 day, 0:00:00" in warning


def test_the_time_that_tasks_took_is_told_once_it_is_known() -> None:
    sas = watched(8 * HOUR)
    before, after = work(80, 4, longest=DAY), work(80, 4, longest=DAY, usual=HOUR)

    assert len([*sas.warnings(before, NOW)]) == 1
    (warning,) = sas.warnings(after, NOW)
    assert "they took 1:00:00 each so far, 4 at a time" in warning
    assert [*sas.warnings(after, NOW)] == []


def test_the_warning_is_repeated_when_little_is_left() -> None:
    sas = watched(2 * HOUR)
    left = work(4, 4, longest=DAY, usual=timedelta(minutes=1))

    told = [
        minutes
        for minutes in range(120)
        for _ in sas.warnings(left, NOW + timedelta(minutes=minutes))
    ]

    assert told == [60, 105, 115]


def test_without_work_nothing_is_told() -> None:
    assert [*watched(timedelta(minutes=1)).warnings(work(0, 4, longest=DAY), NOW)] == []


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
    assert (
        "1 export tasks are still to be done: one may take up to 1 day, 0:00:00" in warnings[0]
    )
