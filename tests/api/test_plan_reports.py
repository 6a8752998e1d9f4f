"""What the plan makes of late reports, ambiguous blobs, and blobs that are written over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tap_mobile_engagement.api.plan import TASK_IS_OVER, Plan
from tap_mobile_engagement.api.tasks import ExportTask, Key, PendingExport, Phase
from tap_mobile_engagement.errors import Code, RetryLaterError, SettingsError
from tap_mobile_engagement.state import TaskEntry, Window, tile
from tests.api.test_plan import (
    END_DAY,
    FIRST_DAY,
    KEYS,
    SCHEDULE,
    START,
    Service,
    act,
    part_of,
    refusal,
)

REPORTS = ["created", "refused", "polled", "searched", *Code]


@pytest.mark.parametrize("report", REPORTS)
def test_a_late_report_about_a_stream_that_has_failed_is_taken_calmly(report: str) -> None:
    # Given an export whose stream has failed while a request about it was under way
    plan = Plan(limit=4, schedule=SCHEDULE)
    failed, other = KEYS[0], KEYS[2]
    plan.add(PendingExport(failed, window) for window in tile(FIRST_DAY, END_DAY, 7))
    plan.add([PendingExport(other, Window(FIRST_DAY, END_DAY))])
    export = plan.next_action(START)
    assert isinstance(export, PendingExport)
    service = Service(iter([]))
    if report not in {"created", "refused", Code.TASK_TOO_LARGE}:
        plan.created(export, service.create(export), START)
    plan.abandon(failed)

    # when the answer comes
    match report:
        case "created":
            plan.created(export, service.create(export), START)
        case "refused":
            plan.refused(export, refusal(), START)
        case "polled":
            plan.polled(export, ExportTask(id="t1", state="Succeeded"), START)
        case "searched":
            export.written_at = START
            plan.searched(export, (), START)
        case code:
            plan.failed(export, RetryLaterError(Code(code), "no"), START)

    # then the plan goes on with the others, and the state knows each task that there is.
    assert plan.head(failed) is None
    head = plan.head(other)
    assert head is not None
    remembered = {note.task.id for note in plan.notes if not note.is_over}
    assert remembered == {*service.ends}
    is_over = {note.task.id for note in plan.notes if note.is_over}
    assert is_over == ({*service.ends} if report in TASK_IS_OVER else set())


def test_no_task_of_a_second_app_is_created_while_names_do_not_tell() -> None:
    # Given two apps in one container
    plan = Plan(limit=9, schedule=SCHEDULE, one_app=True)
    for key in (Key("events", "shop"), Key("events", "blog"), Key("jobs", "shop")):
        plan.add([PendingExport(key, Window(FIRST_DAY, END_DAY))])

    # when tasks are created, only those of the first are,
    created = []
    while isinstance(export := plan.next_action(START), PendingExport):
        created.append(export)
    assert [export.key.app for export in created] == ["shop", "shop"]

    # and when names turn out not to tell, all of the second fails without one.
    error = SettingsError(Code.AMBIGUOUS_BLOBS, "they don't tell")
    plan.created(created[0], Service(iter([])).create(created[0]), START)
    plan.failed(created[0], error, START)
    head = plan.head(Key("events", "blog"))
    assert head is not None
    assert head.phase is Phase.FAILED
    assert head.error is not None
    assert head.error.code is Code.AMBIGUOUS_BLOBS
    assert isinstance(head.error, SettingsError)
    assert head.error.where["app"] == "blog"


def two_apps_in_one_container(*, with_task: str | None = None) -> Plan:
    """A plan for two apps before a name has told; a state names a task of one of them."""
    plan = Plan(limit=9, schedule=SCHEDULE, one_app=True)
    window = Window(FIRST_DAY, END_DAY)
    for app in ("shop", "blog"):
        task = TaskEntry(id="t1", created=START, start=window.start, end=window.end)
        plan.add(
            [PendingExport(Key("events", app), window, task=task if app == with_task else None)]
        )
    for export in plan.to_resume:
        plan.resume(export, START)
    return plan


@pytest.mark.parametrize("has_task", [True, False])
def test_an_app_that_fails_leaves_the_next_one_its_turn(*, has_task: bool) -> None:
    # Given two apps in one container, of which the names of blobs told nothing so far
    plan = two_apps_in_one_container()
    first = plan.next_action(START)
    assert isinstance(first, PendingExport)

    # when the first app fails, with a task or because it was given none
    if has_task:
        plan.created(first, Service(iter([])).create(first), START)
    plan.failed(first, RetryLaterError(Code.SERVICE_UNAVAILABLE, "it is down"), START)

    # then the second one gets its task.
    assert plan.head(Key("events", "shop")) is first
    assert plan.next_action(START) is plan.head(Key("events", "blog"))


def test_the_app_of_a_task_that_the_state_names_has_the_first_turn() -> None:
    # Given two apps in one container, and a task of the second one from an earlier run
    plan = two_apps_in_one_container(with_task="blog")
    blog = plan.head(Key("events", "blog"))
    assert blog is not None

    # when it gets lost, and another task has to take its place
    assert isinstance(plan.next_action(START), datetime)
    plan.failed(blog, RetryLaterError(Code.TASK_LOST, "it is gone"), START)
    wait = plan.next_action(START)

    # then that is the next one to be created: no task of the first app comes before it.
    assert isinstance(wait, datetime)
    assert plan.next_action(wait) is blog
    assert blog.phase is Phase.CREATING


def test_a_task_that_a_state_dates_in_the_future_is_not_watched_for_ever() -> None:
    # Given a task of an earlier run, created by a clock that was years ahead
    plan = Plan(limit=4, schedule=SCHEDULE)
    window = Window(FIRST_DAY, END_DAY)
    task = TaskEntry(id="t1", created=datetime.max.replace(tzinfo=UTC))
    export = PendingExport(KEYS[0], window, task=task)
    plan.add([export])
    plan.resume(export, START)
    assert export.due_at is not None
    assert export.due_at <= START + timedelta(seconds=SCHEDULE.largest)

    # when it has not ended after the time that one may take, then it is given up.
    with pytest.raises(RetryLaterError) as caught:
        plan.polled(export, ExportTask(id="t1", state="Started"), START + plan.timeout)
    assert caught.value.code is Code.TASK_TIMEOUT


def test_blobs_that_are_written_over_are_exported_again_and_then_read_one_by_one() -> None:
    # Given a service that writes all exports of a data type into the same blob
    plan = Plan(limit=9, schedule=SCHEDULE, one_at_a_time=frozenset({"events"}))
    key = KEYS[0]
    plan.add(PendingExport(key, window) for window in tile(FIRST_DAY, END_DAY, 7))
    service = Service(iter([]))
    holds: Window | None = None  # what the blob holds now
    taken: list[Window | None] = []
    for _ in range(10_000):
        head = plan.head(key)
        if head is None:
            break
        action = plan.next_action(service.now)
        match action:
            case None:  # a slow reader: it reads when nothing else is to be done
                assert head.phase is Phase.READY
                assert holds == head.window, "the blob of another export is read"
                plan.take(head)
                taken.append(head.window)
                plan.take(None)
            case datetime():
                service.now = action
            case PendingExport(phase=Phase.WRITTEN):
                holds = action.window
                plan.searched(action, [part_of("events.json")], service.now)
            case PendingExport():
                act(plan, service, action)

    # then each is read in the end, in order.
    assert taken == [*tile(FIRST_DAY, END_DAY, 7)]
    assert len(service.ends) == 4 + 2


def test_a_range_that_came_out_empty_is_looked_at_once_more() -> None:
    plan = Plan(limit=9, schedule=SCHEDULE)
    entry = TaskEntry(id="t1", created=START, start=FIRST_DAY, end=END_DAY, empty=True)
    exports = [PendingExport(key, entry.window, task=entry) for key in KEYS[:2]]
    plan.add(exports)
    for export in plan.to_resume:
        plan.resume(export, START)

    for export, parts in zip(exports, ((), [part_of("late")]), strict=True):
        assert plan.next_action(START) is export
        assert export.phase is Phase.WRITTEN
        plan.searched(export, parts, START)

    assert plan.head(KEYS[0]) is None
    assert plan.head(KEYS[1]) is exports[1]
    assert [note.task.id for note in plan.notes if note.is_over] == ["t1"]
