"""Which export tasks take turns, because what they write could be mixed up."""

from datetime import UTC, date, datetime

import pytest

from tap_mobile_engagement.api.plan import Plan
from tap_mobile_engagement.api.tasks import Key, PendingExport
from tap_mobile_engagement.clock import Schedule
from tap_mobile_engagement.state import tile

START = datetime(2026, 1, 1, tzinfo=UTC)
WEEKS = [*tile(date(2016, 5, 1), date(2016, 5, 29), 7)]


@pytest.mark.parametrize(("first", "second"), [("events", "errors"), ("errors", "events")])
def test_data_types_that_look_alike_take_turns_while_one_of_them_could_be_mixed_up(
    first: str, second: str
) -> None:
    # Given a container in which the names of events tell whose they are, those of errors not
    plan = Plan(
        limit=99,
        schedule=Schedule(first=5, largest=300),
        one_at_a_time=frozenset({"errors"}),
    )
    for data_type in (first, second, "jobs"):
        plan.add(PendingExport(Key(data_type, "shop"), window) for window in WEEKS)

    # when tasks are created until there is nothing to do
    created = []
    while isinstance(export := plan.next_action(START), PendingExport):
        created.append(export.key.data_type)

    # then none of the second is beside the first, and others are not kept from it.
    assert second not in created
    assert "jobs" in created
