"""Each fault, for each kind of stream, has the outcome that docs/failures.md promises."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.failures_page import DONE, IMPOSSIBLE, outcomes
from tests.faults.plans import PLANS, STREAMS
from tests.support.messages import assert_contains, bookmark, own_fields
from tests.support.simulated import LeapingTime, catalog_of, settings_for, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.simulated import StartSimulator

POLLING = ("poll_interval_seconds", "poll_max_interval_seconds")
CELLS = [(*cell, outcome) for cell, outcome in outcomes().items() if outcome != IMPOSSIBLE]


@pytest.mark.parametrize(("fault", "kind", "outcome"), CELLS)
def test_a_fault_ends_as_documented_and_loses_nothing(
    start_simulator: StartSimulator, folder: Path, fault: str, kind: str, outcome: str
) -> None:
    # Given a fault that strikes a stream
    plan, stream = PLANS[fault], STREAMS[kind]
    simulator = start_simulator(*plan.faults_for(stream), **plan.options)
    settings = settings_for(simulator, folder, window_days=14, lookback_days=0)
    settings |= plan.settings
    catalog = catalog_of(settings, stream)
    timing = LeapingTime().timing if plan.leaps else None
    # (pauses that are leapt over are as long as a user's: an hour of short ones is many)
    pauses = dict.fromkeys(POLLING) if plan.leaps else {}

    # when the tap runs
    run = sync(settings | pauses, catalog=catalog, timing=timing)

    # then it ends as documented, and claims no more than is out;
    messages = run.messages
    state: dict[str, Any] | None
    assert all(fault["strikes"] for fault in simulator.faults.report())
    if outcome == DONE:
        messages = run.checked()
    else:
        assert run.failure is not None
        assert f"{stream} of shop ({outcome})" in str(run.failure)
        assert not any(bookmark(each, stream) for each in messages.states)
        # and without the fault the next run brings what is missing.
        simulator.faults.clear()
        state = messages.state if messages.states else None
        messages += sync(settings, state=state, catalog=catalog).checked()
    first_day = date.fromisoformat(settings["start_date"])
    start = first_day if kind == "historical" else None
    records = [*own_fields(messages.upserted(stream))]
    truth = simulator.truth("shop", stream, start)
    if plan.lacks_details:
        records, truth = (
            [{"id": one["device_id"]} for one in each] for each in (records, truth)
        )
    assert_contains(records, truth)
    if kind == "historical":
        assert bookmark(messages.state, stream) == "2016-05-15T00:00:00Z"
