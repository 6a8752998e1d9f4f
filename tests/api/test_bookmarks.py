"""Bookmarks follow records, and in the same order however many tasks run at once.

The real source, plan, runner and states, with an invented service and a clock that leaps over
every pause.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tap_mobile_engagement.api.source import ApiSource
from tap_mobile_engagement.api.tasks import Key
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import TapError
from tap_mobile_engagement.state import PartitionState, instant
from tests.api.invented import Odds, Service
from tests.support.settings import parse
from tests.support.simulated import LeapingTime

if TYPE_CHECKING:
    from tap_mobile_engagement.sources.base import Export

FIRST_DAY, END_DAY = date(2016, 5, 1), date(2016, 5, 15)
KEYS = [
    Key("events", "blog"),
    Key("events", "shop"),
    Key("sessions", "shop"),
    Key("tags", "shop"),
]
CONFIG = {
    "container_url": "file:///exports",
    "subscription_id": "sub",
    "resource_group": "group",
    "app_collection": "apps",
    "app_names": ["blog", "shop"],
    "tenant_id": "tenant",
    "client_id": "client",
    "client_secret": "secret",
    "start_date": FIRST_DAY.isoformat(),
    "end_date": END_DAY.isoformat(),
    "lookback_days": 0,
    "poll_interval_seconds": 2,
    "poll_max_interval_seconds": 20,
    "task_timeout_minutes": 5,
}


class KilledError(Exception):
    """The run has ended here."""


@dataclass
class Target:
    """What has come out of all runs so far.

    Attributes:
        journal: By partition, what came out, in order: what was exported, and bookmarks.
        days: By partition, the days whose records are out.
        state: The last state that was written.
        failures: By partition, with what its stream failed, in the last run.
    """

    journal: dict[Key, list[str]] = field(default_factory=lambda: {key: [] for key in KEYS})
    days: dict[Key, set[date]] = field(default_factory=lambda: {key: set() for key in KEYS})
    state: dict[Key, dict[str, Any]] = field(default_factory=lambda: {key: {} for key in KEYS})
    failures: dict[Key, str] = field(default_factory=dict)

    def take_records(self, key: Key, export: Export) -> None:
        """All records of an export; there are some in each."""
        assert export.parts, "what was written late has been taken as nothing"
        for part in export.parts:
            with part.open() as chunks:
                self.journal[key].append(b"".join(chunks).decode())
        if export.window is not None:
            length = (export.window.end - export.window.start).days
            self.days[key] |= {export.window.start + timedelta(n) for n in range(length)}

    def take_state(self, state: dict[Key, dict[str, Any]]) -> None:
        """A state, which must not claim what is not out."""
        for key, values in state.items():
            bookmark = values.get("replication_key_value")
            if not bookmark or bookmark == self.state[key].get("replication_key_value"):
                continue
            claimed = (instant(bookmark).date() - FIRST_DAY).days
            missing = {FIRST_DAY + timedelta(n) for n in range(claimed)} - self.days[key]
            assert not missing, f"the bookmark of {key} passes {sorted(missing)}"
            self.journal[key].append(f"bookmark {bookmark}")
        self.state = deepcopy(state)


def run(
    target: Target,
    service: Service,
    clock: LeapingTime,
    *,
    limit: int,
    days: int,
    killed_after: int = 1_000_000,
    storage: Any = None,
    **changes: Any,
) -> None:
    """Run once from the target's state, as the streams do it; killed after so many states."""
    config = CONFIG | changes | {"max_concurrent_tasks": limit, "window_days": days}
    client: Any = service
    source = ApiSource(
        parse(config, today=END_DAY),
        client=client,
        storage=storage or client,
        clock=clock.timing,
    )
    state = deepcopy(target.state)
    written = 0

    def save() -> None:
        nonlocal written
        if written < killed_after:
            target.take_state(state)
        written += 1
        if written == killed_after:
            source.close()  # a run that is killed begins nothing more
            raise KilledError

    try:
        for key in KEYS:
            source.prepare(BY_NAME[key.data_type], key.app, PartitionState(state[key]))
        target.failures = {}
        for key in KEYS:
            kind, values = BY_NAME[key.data_type], PartitionState(state[key])
            try:
                for export in source.exports(kind, key.app, values, save):
                    save()  # as a signal may ask for at any time
                    target.take_records(key, export)
                    export.commit()
                    save()
            except TapError as error:
                target.failures[key] = error.code
        source.close()
        source.keep_state(save)
    except KilledError:
        pass
    finally:
        source.close()


def new_service(
    seed: int, odds: Odds, *, room: int, may_mix: frozenset[str]
) -> tuple[Service, LeapingTime]:
    clock = LeapingTime()
    return Service(seed, clock.now, odds, room=room, may_mix=may_mix), clock


shares = st.sampled_from([0.0, 0.0, 0.1, 0.4])
odds = st.builds(
    Odds,
    fails=shares,
    hangs=st.sampled_from([0.0, 0.0, 0.1]),
    vanishes=st.sampled_from([0.0, 0.0, 0.1]),
    answer_lost=shares,
    refused=shares,
    blob_late=shares,
)
rooms = st.sampled_from([1, 2, 5, 1_000])


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1_000_000),
    odds=odds,
    days=st.integers(2, 7),
    limits=st.lists(st.integers(1, 16), min_size=2, max_size=3, unique=True),
    room=rooms,
    may_mix=st.sampled_from([frozenset(), {"events"}, BY_NAME]).map(frozenset),
)
def test_records_and_bookmarks_come_in_the_same_order_for_every_limit(
    *, seed: int, odds: Odds, days: int, limits: list[int], room: int, may_mix: frozenset[str]
) -> None:
    # Given a service whose tasks take their time, fail, hang, vanish and are refused
    targets = []
    for limit in limits:
        service, clock = new_service(seed, odds, room=room, may_mix=may_mix)

        # when a run has so many of them under way
        target = Target()
        run(target, service, clock, limit=limit, days=days)
        targets.append(target)

    # then a partition's records and bookmarks come as in every other run,
    assert all(target.journal == targets[0].journal for target in targets)
    assert all(target.failures == targets[0].failures for target in targets)
    # and what did not fail is complete.
    for key in KEYS:
        if key not in targets[0].failures and BY_NAME[key.data_type].historical:
            assert len(targets[0].days[key]) == (END_DAY - FIRST_DAY).days
            assert targets[0].journal[key][-1] == f"bookmark {END_DAY}T00:00:00Z"


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1_000_000),
    odds=odds,
    days=st.integers(2, 7),
    runs=st.lists(st.tuples(st.integers(1, 16), st.integers(1, 40)), max_size=3),
    room=rooms,
)
def test_no_bookmark_passes_what_is_not_out_however_often_runs_are_killed(
    *, seed: int, odds: Odds, days: int, runs: list[tuple[int, int]], room: int
) -> None:
    # Given runs that are killed after some of their states, each with another limit
    service, clock = new_service(seed, odds, room=room, may_mix=frozenset())
    target = Target()
    for limit, killed_after in runs:
        run(target, service, clock, limit=limit, days=days, killed_after=killed_after)

    # when runs of the same service, which is well by now, may end (each state is checked)
    service.odds = Odds()
    service.room = 1_000
    for _ in range(3):  # a task of an earlier run may still be one that fails
        run(target, service, clock, limit=4, days=days)

    # then all is out.
    assert target.failures == {}
    for key in KEYS:
        if BY_NAME[key.data_type].historical:
            assert len(target.days[key]) == (END_DAY - FIRST_DAY).days
            assert target.state[key]["replication_key_value"] == f"{END_DAY}T00:00:00Z"
            assert "tasks" not in target.state[key]
