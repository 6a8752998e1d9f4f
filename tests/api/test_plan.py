"""The plan of export tasks, run against an invented service with an invented clock."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_mobile_engagement.api.client import TaskRefusedError
from tap_mobile_engagement.api.plan import Plan
from tap_mobile_engagement.api.tasks import ExportTask, Key, PendingExport, Phase
from tap_mobile_engagement.clock import Schedule
from tap_mobile_engagement.errors import Code, RetryLaterError
from tap_mobile_engagement.sources.base import Part
from tap_mobile_engagement.state import TaskEntry, Window, tile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_mobile_engagement.errors import TapError

SCHEDULE = Schedule(first=5, largest=300)
START = datetime(2026, 1, 1, tzinfo=UTC)
FIRST_DAY, END_DAY = date(2016, 5, 1), date(2016, 5, 29)
KEYS = [
    Key("events", "shop"),
    Key("events", "blog"),
    Key("sessions", "shop"),
    Key("tags", "shop"),
]


@dataclass
class Service:
    """An invented service: durations and failures come from a list, in order of creation."""

    fates: Iterator[tuple[float, bool]]
    room: int = 1_000
    latency: float = 0.0  # seconds that an answer takes
    doomed: Key | None = None  # tasks of a single day of this key always fail
    roomy_from: float = math.inf  # seconds until there is room for any number
    unwanted: Key | None = None  # tasks of this key are always refused
    now: datetime = START
    ends: dict[str, tuple[datetime, bool]] = field(default_factory=dict)
    refused_at: list[datetime] = field(default_factory=list)
    most_unfinished: int = 0

    @property
    def unfinished(self) -> int:
        return sum(end > self.now for end, _ in self.ends.values())

    @property
    def is_full(self) -> bool:
        is_roomy = (self.now - START).total_seconds() >= self.roomy_from
        return self.unfinished >= self.room and not is_roomy

    def create(self, export: PendingExport) -> TaskEntry:
        seconds, fails = next(self.fates, (60.0, False))
        window = export.window
        fails = fails or (export.key == self.doomed and window is not None and window.days == 1)
        ref = TaskEntry(
            id=f"task-{len(self.ends)}",
            created=self.now,
            start=window.start if window else None,
            end=window.end if window else None,
        )
        self.ends[ref.id] = (self.now + timedelta(seconds=seconds), fails)
        self.most_unfinished = max(self.most_unfinished, self.unfinished)
        return ref

    def answer(self, task_id: str) -> ExportTask:
        end, fails = self.ends[task_id]
        state = "Started" if end > self.now else "Failed" if fails else "Succeeded"
        return ExportTask(id=task_id, state=state)


def refusal() -> TaskRefusedError:
    return TaskRefusedError("busy")


def act(plan: Plan, service: Service, export: PendingExport) -> None:
    """Do what is next for an export, as the runner does."""
    service.now += timedelta(seconds=service.latency)
    now = service.now
    match export.phase:
        case Phase.CREATING:
            if service.is_full or export.key == service.unwanted:
                service.refused_at.append(now)
                plan.refused(export, refusal(), now)
                return
            plan.created(export, service.create(export), now)
        case Phase.RUNNING:
            assert export.task is not None
            try:
                plan.polled(export, service.answer(export.task.id), now)
            except RetryLaterError as error:
                plan.failed(export, error, now)
        case _:
            assert export.task is not None
            plan.searched(export, [part_of(export.task.id)], now)


def part_of(name: str) -> Part:
    return Part(name, 1, lambda: nullcontext(iter([b"1"])))


@dataclass
class Run:
    """What a reader saw of one run: exports per key in order, failures, most tasks at once."""

    taken: dict[Key, list[Window | None]] = field(default_factory=dict)
    failed: set[Key] = field(default_factory=set)
    errors: list[TapError] = field(default_factory=list)
    most_running: int = 0
    seconds: float = 0.0


def run(plan: Plan, service: Service) -> Run:
    """Run a plan to its end, with a reader that takes key after key."""
    seen = Run(taken={key: [] for key in KEYS})
    keys = [key for key in KEYS if plan.head(key)]
    for _ in range(100_000):
        while keys:
            head = plan.head(keys[0])
            if head is not None and head.phase is Phase.READY:
                plan.take(head)
                plan.take(None)
                seen.taken[keys[0]].append(head.window)
            elif head is not None and head.phase is not Phase.FAILED:
                break
            else:
                if head is not None:
                    seen.failed.add(keys[0])
                    assert head.error is not None
                    seen.errors.append(head.error)
                    plan.abandon(keys[0])
                keys.pop(0)
        if not keys:
            seen.seconds = (service.now - START).total_seconds()
            return seen
        action = plan.next_action(service.now)
        assert action is not None, "a reader waits, but nothing will happen"
        if isinstance(action, PendingExport):
            act(plan, service, action)
        else:
            assert action > service.now
            service.now = action
        running = sum(each.phase is Phase.RUNNING for each in plan._exports)
        seen.most_running = max(seen.most_running, running)
        writing = [
            export.key.data_type
            for export in plan._exports
            if export.phase in {Phase.RUNNING, Phase.WRITTEN}
            and export.key.data_type in plan.one_at_a_time
        ]
        assert len(writing) == len(set(writing))
    pytest.fail("the plan never ends")


def new_plan(limit: int, *, days: int = 7, one_at_a_time: Iterable[str] = ()) -> Plan:
    plan = Plan(limit=limit, schedule=SCHEDULE, one_at_a_time=frozenset(one_at_a_time))
    for key in KEYS:
        if key.data_type == "tags":
            plan.add([PendingExport(key)])
        else:
            plan.add(PendingExport(key, each) for each in tile(FIRST_DAY, END_DAY, days))
    return plan


fates = st.lists(st.tuples(st.floats(0, 20_000), st.sampled_from([False, False, False, True])))


@given(
    fates=fates,
    limit=st.integers(1, 20),
    one_at_a_time=st.sets(st.sampled_from(sorted({key.data_type for key in KEYS}))),
    days=st.integers(1, 9),
)
def test_every_day_is_read_once_and_in_order_whatever_happens(
    *, fates: list[tuple[float, bool]], limit: int, one_at_a_time: set[str], days: int
) -> None:
    # given
    plan = new_plan(limit, days=days, one_at_a_time=one_at_a_time)

    # when
    seen = run(plan, Service(iter(fates)))

    # then
    assert seen.most_running <= limit
    for key in KEYS:
        windows = [window for window in seen.taken[key] if window]
        day = FIRST_DAY
        for window in windows:
            assert window.start == day, "a range was passed over"
            day = window.end
        if key not in seen.failed and key.data_type != "tags":
            assert day == END_DAY


@given(fates=fates, limits=st.lists(st.integers(1, 16), min_size=2, max_size=3))
def test_without_failures_the_order_is_the_same_for_every_limit(
    *, fates: list[tuple[float, bool]], limits: list[int]
) -> None:
    kind = [(seconds, False) for seconds, _ in fates]

    runs = [run(new_plan(limit), Service(iter(kind))) for limit in limits]

    assert all(seen.taken == runs[0].taken and not seen.failed for seen in runs)


@pytest.mark.parametrize("limit", [1, 2, 4, 8, 13])
def test_tasks_overlap_as_far_as_the_limit_allows(limit: int) -> None:
    plan = new_plan(limit)
    tasks = 13
    duration = 600.0

    seen = run(plan, Service(iter([(duration, False)] * tasks)))

    rounds = -(-tasks // limit)
    # Each round ends at the first look behind its tasks' end.
    assert seen.seconds <= rounds * (duration + SCHEDULE.largest)
    assert seen.most_running == limit


def test_a_service_that_answers_slowly_gets_all_tasks_first_and_is_asked_about_each() -> None:
    # Given looks that take longer, all together, than the pause between two of them
    plan = new_plan(13)
    service = Service(iter([(200.0, False)] * 13), latency=1.0)

    # when the first two minutes have gone by
    looks: Counter[str] = Counter()
    created = []
    while service.now < START + timedelta(minutes=2):
        action = plan.next_action(service.now)
        if not isinstance(action, PendingExport):
            assert action
            service.now = action
            continue
        is_new = action.phase is Phase.CREATING
        act(plan, service, action)
        if is_new:
            created.append((service.now - START).total_seconds())
        elif action.task:
            looks[action.task.id] += 1

    # then no look has come before a task that could be created, and none was passed over.
    assert created == [float(second) for second in range(1, 14)]
    assert len(looks) == 13
    assert max(looks.values()) - min(looks.values()) <= 1


def test_a_refusing_service_gets_fewer_tasks_at_a_time_and_none_is_lost() -> None:
    plan = new_plan(8)
    service = Service(iter([]), room=3)

    seen = run(plan, service)

    assert not seen.failed
    assert service.most_unfinished == 3
    assert len(service.ends) == 13


def test_a_service_that_takes_no_task_for_an_hour_fails_all_streams() -> None:
    plan = new_plan(8)
    service = Service(iter([]), room=0)

    seen = run(plan, service)

    assert seen.failed == {*KEYS}
    assert 3000 < seen.seconds <= 3600
    assert {error.code for error in seen.errors} == {Code.SERVICE_UNAVAILABLE}
    assert all("No task of this run is under way" in str(error) for error in seen.errors)
    assert {error.where["app"] for error in seen.errors} == {"shop", "blog"}


def test_refusals_do_not_count_while_a_task_is_under_way() -> None:
    # Given a service that takes one task at a time, each for five hours
    plan = new_plan(8)
    service = Service(iter([(18_000.0, False)] * 13), room=1)

    seen = run(plan, service)

    assert len(service.refused_at) > 12
    assert not seen.failed
    assert len(service.ends) == 13


def test_a_busy_moment_of_the_service_does_not_slow_down_the_whole_run() -> None:
    # Given a service that is full for its first minute, and tasks of ten hours
    plan = new_plan(13)
    service = Service(iter([(36_000.0, False)] * 13), room=1, roomy_from=60)

    seen = run(plan, service)

    assert seen.most_running == 13
    assert seen.seconds < 36_000 + 3 * SCHEDULE.largest


def test_a_stream_whose_tasks_alone_are_refused_keeps_no_other_from_it() -> None:
    # Given a service that refuses what is wanted first
    plan = new_plan(4)
    service = Service(iter([]), unwanted=KEYS[0])

    seen = run(plan, service)

    assert seen.failed == {KEYS[0]}
    assert all(len(seen.taken[key]) == (1 if key == KEYS[3] else 4) for key in KEYS[1:])


def test_the_state_is_told_of_every_task_and_of_those_that_came_to_nothing() -> None:
    plan = new_plan(2)
    service = Service(iter([(10, True), (10, False)]))

    run(plan, service)

    remembered = [note.task.id for note in plan.notes if not note.is_over]
    forgotten = [note.task.id for note in plan.notes if note.is_over]
    assert remembered == list(service.ends)
    assert forgotten == ["task-0"]


def test_a_key_that_gives_up_creates_nothing_more_and_leaves_the_others_alone() -> None:
    plan = Plan(limit=1, schedule=SCHEDULE)
    bad, good = KEYS[0], KEYS[2]
    one_day = Window(FIRST_DAY, FIRST_DAY + timedelta(days=1))
    plan.add(PendingExport(bad, w) for w in (one_day, *tile(one_day.end, END_DAY, 2)))
    plan.add([PendingExport(good, one_day)])
    service = Service(iter([]), doomed=bad)

    seen = run(plan, service)

    assert seen.failed == {bad}
    assert seen.taken[bad] == []
    assert seen.taken[good] == [one_day]
    assert len(service.ends) < 3 + 14 + 1, "the rest of a failed stream was still created"


def test_an_earlier_range_that_is_tried_again_outlives_a_later_one_that_is_given_up() -> None:
    # Given three ranges: the first waits for its second try, the second is ready
    plan = Plan(limit=3, schedule=SCHEDULE)
    plan.add(PendingExport(KEYS[0], each) for each in tile(FIRST_DAY, END_DAY, 10))
    first, second, third = plan._exports
    service = Service(iter([(0, True), (0, False), (10_000, False)]))
    while second.phase is not Phase.READY or first.failures == 0:
        action = plan.next_action(service.now)
        if isinstance(action, PendingExport):
            act(plan, service, action)
        else:
            assert action
            service.now = action

    # when the third one can't be had
    error = RetryLaterError(Code.SERVICE_UNAVAILABLE, "away")
    plan.failed(third, error, service.now)

    # then what comes before it is read first
    seen = run(plan, service)
    assert seen.taken[KEYS[0]] == [first.window, second.window]
    assert seen.errors == [error]


def test_a_success_without_blobs_is_looked_at_again_for_a_minute() -> None:
    plan = Plan(limit=1, schedule=SCHEDULE)
    plan.add([PendingExport(KEYS[3])])
    service = Service(iter([(1, False)]))
    looks = []
    while (head := plan.head(KEYS[3])) and head.phase is not Phase.READY:
        action = plan.next_action(service.now)
        if not isinstance(action, PendingExport):
            assert action
            service.now = action
        elif action.phase is Phase.WRITTEN:
            looks.append(service.now)
            plan.searched(action, (), service.now)
        else:
            act(plan, service, action)

    assert looks[-1] - looks[0] == timedelta(minutes=1)
    assert len(looks) > 3
    assert head is not None
    assert head.parts == ()
