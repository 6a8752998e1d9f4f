from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_mobile_engagement.api.client import TaskRefusedError
from tap_mobile_engagement.api.plan import TASK_IS_OVER, TRIES_PER_WINDOW, Plan
from tap_mobile_engagement.api.tasks import (
    MISSES_UNTIL_LOST,
    VISIBLE_WITHIN,
    ExportTask,
    Key,
    PendingExport,
    Phase,
    TaskState,
    find_orphan,
    has_succeeded,
    known_state,
)
from tap_mobile_engagement.clock import Schedule
from tap_mobile_engagement.errors import Code, RetryLaterError, TapError
from tap_mobile_engagement.settings import _MOST as MOST
from tap_mobile_engagement.state import TaskEntry, Window

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SCHEDULE = Schedule(first=5, largest=300, growth=1.5)
WEEK = Window(date(2016, 5, 1), date(2016, 5, 8))
HALVES = (
    Window(date(2016, 5, 1), date(2016, 5, 4)),
    Window(date(2016, 5, 4), date(2016, 5, 8)),
)
ONE_DAY = Window(date(2016, 5, 1), date(2016, 5, 2))


def entry_created(at: datetime) -> TaskEntry:
    return TaskEntry(id="t1", created=at, start=WEEK.start, end=WEEK.end)


def in_state(state: str, *, retry_after: float | None = None) -> ExportTask:
    return ExportTask(id="t1", state=state, retry_after=retry_after)


def judged(
    state: str | None, *, late: bool = False, misses: int = 0, visible: bool = True
) -> bool | Code:
    """Whether a task has succeeded, or the code with which it has not."""
    created = NOON - VISIBLE_WITHIN if visible else NOON
    export = PendingExport(Key("events", "shop"), task=entry_created(created), misses=misses)
    answer = None if state is None else in_state(state)
    try:
        return has_succeeded(export, answer, NOON, VISIBLE_WITHIN if late else DAY)
    except RetryLaterError as error:
        return error.code


class TestHasSucceeded:
    # What each state means before and at the deadline. A new state has to be added here.
    EXPECTED = {  # noqa: RUF012
        TaskState.QUEUED: (False, Code.TASK_TIMEOUT),
        TaskState.STARTED: (False, Code.TASK_TIMEOUT),
        TaskState.SUCCEEDED: (True, True),
        TaskState.FAILED: (Code.TASK_FAILED, Code.TASK_FAILED),
    }

    def test_every_known_state_has_been_thought_about(self) -> None:
        assert set(self.EXPECTED) == set(TaskState)

    @pytest.mark.parametrize("state", TaskState)
    def test_a_known_state_means_what_the_table_says(self, state: TaskState) -> None:
        on_time, late = self.EXPECTED[state]

        assert judged(state.value) is on_time
        assert judged(state.value, late=True) is late

    @pytest.mark.parametrize("state", ["Paused", "", "Succeeded!", "Cancelled"])
    def test_an_unknown_state_is_waited_for_until_the_deadline(self, state: str) -> None:
        assert judged(state) is False
        assert judged(state, late=True) is Code.UNKNOWN_TASK_STATE

    @pytest.mark.parametrize("text", ["succeeded", "SUCCEEDED", " Succeeded "])
    def test_case_and_spaces_do_not_make_a_state_unknown(self, text: str) -> None:
        assert known_state(text) is TaskState.SUCCEEDED

    def test_a_task_that_is_not_found_is_lost_only_after_several_misses(self) -> None:
        assert judged(None, misses=MISSES_UNTIL_LOST - 1) is False
        assert judged(None, misses=MISSES_UNTIL_LOST) is Code.TASK_LOST

    def test_a_new_task_may_be_invisible_for_a_while(self) -> None:
        assert judged(None, misses=99, visible=False) is False

    def test_a_forgotten_task_is_lost_and_not_timed_out(self) -> None:
        # Timed out would halve its range, as if it had been too large.
        assert judged(None, misses=1, late=True) is False
        assert judged(None, misses=MISSES_UNTIL_LOST, late=True) is Code.TASK_LOST


class TestPolling:
    """What the plan makes of the answers about one task, and when it asks again."""

    def begun(
        self,
        created: datetime = NOON,
        retry_after: float | None = None,
        timeout: timedelta = DAY,
    ) -> tuple[Plan, PendingExport]:
        plan = Plan(limit=1, schedule=SCHEDULE, timeout=timeout)
        export = PendingExport(Key("events", "shop"), WEEK, task=entry_created(created))
        plan.add([export])
        plan.resume(export, NOON, retry_after=retry_after)
        return plan, export

    def test_a_new_task_is_polled_after_the_first_pause(self) -> None:
        assert self.begun()[1].due_at == NOON + timedelta(seconds=5)

    def test_the_answer_to_the_creation_may_ask_for_a_longer_pause(self) -> None:
        assert self.begun(retry_after=60)[1].due_at == NOON + timedelta(seconds=60)

    def test_a_task_of_an_earlier_run_is_polled_at_once(self) -> None:
        assert self.begun(created=NOON - 3 * DAY)[1].due_at == NOON

    def test_a_task_created_by_a_clock_that_is_ahead_is_not_waited_for_longer(self) -> None:
        assert self.begun(created=NOON + 3 * DAY)[1].due_at == NOON + timedelta(seconds=5)

    def test_the_longest_time_that_a_setting_allows_is_no_error(self) -> None:
        plan, export = self.begun(timeout=timedelta(minutes=MOST))

        plan.polled(export, in_state("Started"), NOON + 99 * DAY)

        assert export.phase is Phase.RUNNING

    def test_polls_get_rarer(self) -> None:
        plan, export = self.begun()
        pauses = []
        for _ in range(20):
            now = export.due_at
            assert now is not None
            plan.polled(export, in_state("Started"), now)
            assert export.due_at is not None
            pauses.append((export.due_at - now).total_seconds())

        assert export.phase is Phase.RUNNING
        assert pauses == sorted(pauses)
        assert pauses[0] == 7.5
        assert pauses[-1] == 300

    def test_the_service_sets_the_time_of_the_next_poll(self) -> None:
        plan, export = self.begun()

        plan.polled(export, in_state("Started", retry_after=42), NOON)

        assert export.due_at == NOON + timedelta(seconds=42)

    def test_there_is_a_poll_at_the_deadline_itself(self) -> None:
        plan, export = self.begun()

        plan.polled(export, in_state("Started", retry_after=DAY.total_seconds() * 9), NOON)

        assert export.due_at == NOON + DAY
        with pytest.raises(RetryLaterError, match="TASK_TIMEOUT"):
            plan.polled(export, in_state("Started"), NOON + DAY)

    def test_a_task_that_is_seen_again_is_not_lost(self) -> None:
        plan, export = self.begun()
        now = NOON + VISIBLE_WITHIN

        for task in (None, None, in_state("Started"), None, None):
            plan.polled(export, task, now)

        with pytest.raises(RetryLaterError, match="TASK_LOST"):
            plan.polled(export, None, now)

    def test_misses_after_the_deadline_keep_their_pace(self) -> None:
        plan, export = self.begun(created=NOON - 9 * DAY)

        plan.polled(export, None, NOON)

        assert export.due_at == NOON + timedelta(seconds=7.5)

    def test_an_unknown_state_keeps_the_pace(self) -> None:
        plan, export = self.begun()

        plan.polled(export, in_state("Paused"), NOON)

        assert export.due_at == NOON + timedelta(seconds=7.5)


class TestRefusals:
    """What follows from refusals, up to the end of patience."""

    def refused(self, *retry_after: float | None, running: int = 0) -> list[float | None]:
        """The pauses after refusals in a row, each when the service may be asked again."""
        plan = Plan(limit=9, schedule=SCHEDULE)
        exports = [PendingExport(Key("events", "shop"), WEEK) for _ in range(running + 1)]
        plan.add(exports)
        now = NOON
        for _ in range(running):
            taken = plan.next_action(now)
            assert isinstance(taken, PendingExport)
            plan.created(taken, entry_created(now), now)
            taken.due_at = now + 99 * DAY
        pauses: list[float | None] = []
        for seconds in retry_after:
            assert plan.next_action(now) is exports[-1]
            pause = plan.refused(exports[-1], TaskRefusedError("busy", seconds), now)
            pauses.append(None if pause is None else pause.total_seconds())
            if pause is not None:
                assert plan.next_action(now) == now + pause
                now += pause
        return pauses

    def test_pauses_grow_and_the_service_may_set_them(self) -> None:
        assert self.refused(None, None, 33) == [5, 7.5, 33]

    def test_after_a_task_that_has_ended_the_next_is_asked_for_at_once(self) -> None:
        plan = Plan(limit=9, schedule=SCHEDULE)
        first, second = (PendingExport(Key("events", "shop"), WEEK) for _ in range(2))
        plan.add([first, second])
        assert plan.next_action(NOON) is first
        plan.created(first, entry_created(NOON), NOON)
        assert plan.next_action(NOON) is second
        plan.refused(second, TaskRefusedError("busy", 600), NOON)

        plan.polled(first, in_state("Succeeded"), NOON)
        plan.searched(first, (), NOON)

        assert plan.next_action(NOON) is second

    def test_after_a_task_that_was_taken_the_next_is_asked_for_at_once(self) -> None:
        plan = Plan(limit=9, schedule=SCHEDULE)
        first, second, third = (PendingExport(Key("events", "shop"), WEEK) for _ in range(3))
        plan.add([first, second, third])
        assert plan.next_action(NOON) is first
        plan.created(first, entry_created(NOON), NOON)
        assert plan.next_action(NOON) is second
        plan.refused(second, TaskRefusedError("busy"), NOON)
        assert not isinstance(plan.next_action(NOON), PendingExport)

        assert plan.next_action(NOON + timedelta(minutes=6)) is second
        plan.created(second, entry_created(NOON), NOON + timedelta(minutes=6))

        assert plan.next_action(NOON + timedelta(minutes=6)) is third

    @pytest.mark.parametrize(("times", "hopeless"), [(6, False), (7, True)])
    def test_an_hour_of_refusals_without_a_task_of_ours_ends_it(
        self, times: int, *, hopeless: bool
    ) -> None:
        assert (self.refused(*[600] * times)[-1] is None) is hopeless

    def test_a_task_of_ours_may_be_why(self) -> None:
        assert None not in self.refused(*[600] * 99, running=1)

    def test_the_hour_begins_anew_with_each_task(self) -> None:
        plan = Plan(limit=9, schedule=SCHEDULE)
        first, second = (PendingExport(Key("events", "shop"), WEEK) for _ in range(2))
        plan.add([first, second])
        for _ in range(6):
            assert plan.refused(first, TaskRefusedError("busy", 600), NOON)
        plan.created(first, entry_created(NOON), NOON)
        plan.polled(first, in_state("Succeeded"), NOON)

        later = NOON + timedelta(hours=2)
        assert plan.refused(second, TaskRefusedError("busy", 600), later)

    def test_a_pause_longer_than_that_is_not_waited_for(self) -> None:
        assert self.refused(3601) == [None]


def after_failures(code: Code, window: Window | None, failures: int = 1) -> object:
    """What follows when a range could not be exported: a pause, halves, or nothing more."""
    plan = Plan(limit=1, schedule=SCHEDULE)
    export = PendingExport(Key("events", "shop"), window, failures=failures - 1)
    plan.add([export])
    plan.failed(export, TapError(code, "it failed"), NOON)
    left = plan._exports
    if left == [export] and export.phase is Phase.DUE:
        assert export.due_at is not None
        return (export.due_at - NOON).total_seconds()
    return "given up" if export.error else tuple(each.window for each in left)


class TestAfterFailure:
    @pytest.mark.parametrize("code", [Code.TASK_FAILED, Code.TASK_LOST])
    def test_a_failed_task_is_tried_again_with_growing_pauses_then_halved(
        self, code: Code
    ) -> None:
        follows = [after_failures(code, WEEK, failures) for failures in (1, 2, 3)]

        assert follows == [5, 7.5, HALVES]

    @pytest.mark.parametrize("code", [Code.TASK_TIMEOUT, Code.TASK_TOO_LARGE])
    def test_what_took_too_long_or_is_too_large_is_halved_at_once(self, code: Code) -> None:
        assert after_failures(code, WEEK) == HALVES

    @pytest.mark.parametrize("window", [ONE_DAY, None])
    @pytest.mark.parametrize("code", [Code.TASK_FAILED, Code.TASK_TIMEOUT])
    def test_what_can_not_be_halved_fails_in_the_end(
        self, code: Code, window: Window | None
    ) -> None:
        assert after_failures(code, window, TRIES_PER_WINDOW) == "given up"

    @pytest.mark.parametrize(
        "code", [Code.UNKNOWN_TASK_STATE, Code.AUTH_FAILED, Code.SERVICE_UNAVAILABLE]
    )
    def test_other_failures_are_not_tried_again_here(self, code: Code) -> None:
        assert after_failures(code, WEEK) == "given up"

    def test_every_failure_that_is_followed_up_ends_its_task_or_created_none(self) -> None:
        # Otherwise a second task would be made beside one that still runs.
        followed_up = {code for code in Code if after_failures(code, WEEK) != "given up"}

        assert followed_up <= TASK_IS_OVER | {Code.TASK_TOO_LARGE}

    @given(days=st.integers(1, 400), code=st.sampled_from([*TASK_IS_OVER]))
    def test_a_range_that_always_fails_comes_to_an_end_within_its_first_day(
        self, days: int, code: Code
    ) -> None:
        plan = Plan(limit=1, schedule=SCHEDULE)
        key = Key("events", "shop")
        plan.add([PendingExport(key, Window(WEEK.start, WEEK.start + timedelta(days=days)))])
        tasks = 0
        while (export := plan.head(key)) and not export.error:
            tasks += 1
            windows = [each.window for each in plan._exports if each.window]
            assert (windows[0].start, windows[-1].end) == (WEEK.start, WEEK.start + days * DAY)
            assert all(one.end == next_.start for one, next_ in pairwise(windows))
            plan.failed(export, TapError(code, "it failed"), NOON)

        assert export is not None
        assert export.window is not None
        never_halved = {Code.UNKNOWN_TASK_STATE, Code.AMBIGUOUS_BLOBS}
        assert export.window.days == 1 or code in never_halved
        assert tasks <= TRIES_PER_WINDOW * 10


DESCRIPTION = "tap-mobile-engagement 5f2a/1 events 2016-05-01/2016-05-08"


class TestFindOrphan:
    """The task of a request whose answer was lost, among all that the service lists."""

    def listed(self, description: str | None, **more: Any) -> Any:
        return {
            "id": "t1",
            "state": "Queued",
            "exportType": "Event",
            "description": description,
        } | more

    def found(self, *listed: Any) -> bool:
        return find_orphan(listed, DESCRIPTION, "Event") is not None

    @pytest.mark.parametrize(
        "description", [DESCRIPTION, f"  {DESCRIPTION}  ", f"{DESCRIPTION} (by the portal)"]
    )
    def test_it_is_found_by_its_description(self, description: str) -> None:
        assert self.found(self.listed("another's"), self.listed(description))

    def test_no_other_task_is_adopted(self) -> None:
        # It may write to another container: its files would be missed, unsaid.
        assert not self.found(
            self.listed(None),
            self.listed("somebody else's events"),
            self.listed(DESCRIPTION.replace("5f2a/1", "5f2a/11")),
            self.listed(DESCRIPTION.replace("5f2a", "77aa")),
            self.listed(DESCRIPTION, exportType="Job"),
        )

    @pytest.mark.parametrize(
        "malformed", [None, 7, [], {}, {"id": "../x", "state": "Queued"}, {"id": 5}]
    )
    def test_a_malformed_task_in_the_list_harms_nobody_else(self, malformed: Any) -> None:
        assert self.found(malformed, self.listed(DESCRIPTION))
