import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tap_mobile_engagement.api.client import TaskRefusedError
from tap_mobile_engagement.api.runner import LOST_ANSWERS
from tap_mobile_engagement.api.tasks import Key, PendingExport
from tap_mobile_engagement.clock import RunStopped
from tap_mobile_engagement.errors import Code, RetryLaterError, SettingsError, TapError
from tap_mobile_engagement.state import TaskEntry
from tests.support.times import START, FakeTime

from .fakes import (
    SAS_URL,
    TASK_ID,
    WEEK,
    FakeService,
    Outcome,
    Reply,
    client_of,
    cut_off,
    new_runner,
    pending,
    task_json,
    wait,
)

MARK = "tap-mobile-engagement run-1/1 events 2016-05-01/2016-05-08"
TIMEOUT = timedelta(hours=1)
REF = TaskEntry(id=TASK_ID, created=START, start=WEEK.start, end=WEEK.end)
EMPTY_LIST = Reply(content={"value": []})


def accepted(**more: Any) -> Reply:
    return Reply(202, task_json(**more))


def state(name: str, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    return Reply(200, task_json(name, **more), headers or {})


def listed(*tasks: dict[str, Any]) -> Reply:
    return Reply(content={"value": [*tasks]})


def of_earlier_run(task: TaskEntry) -> PendingExport:
    return PendingExport(Key("events", "shop"), task.window, task=task)


class Scene:
    """A runner on a fake clock, before a service that follows a script."""

    def __init__(self, *script: Outcome) -> None:
        self.time = FakeTime()
        self.service = FakeService(*script)
        client = client_of(self.service, self.time)
        self.runner = new_runner(client, self.time, timeout=TIMEOUT, run_id="run-1")

    def submit(self) -> TaskEntry:
        export = pending(container="tap-1")
        self.runner.submit(export)
        self.service.assert_done()
        assert export.task is not None
        return export.task

    def wait(self, task: TaskEntry | PendingExport = REF) -> str:
        export = of_earlier_run(task) if isinstance(task, TaskEntry) else task
        state = wait(self.runner, export)
        self.service.assert_done()
        return state

    def waiting_fails(self, task: TaskEntry = REF) -> TapError:
        with pytest.raises(TapError) as caught:
            wait(self.runner, of_earlier_run(task))
        self.service.assert_done()
        return caught.value

    @property
    def methods(self) -> list[str]:
        return [str(request.method) for request in self.service.requests]


class TestSubmit:
    def test_a_task_is_created_with_the_mark_of_the_run(self) -> None:
        scene = Scene(accepted())

        ref = scene.submit()

        assert scene.service.bodies[0]["description"] == MARK
        assert ref == TaskEntry(
            id=TASK_ID, created=START, start=WEEK.start, end=WEEK.end, container="tap-1"
        )

    def test_every_request_has_a_mark_of_its_own(self) -> None:
        scene = Scene(accepted(), accepted(task_id="second"))

        for _ in range(2):
            scene.runner.submit(pending())

        marks = [body["description"] for body in scene.service.bodies]
        assert marks == [MARK, MARK.replace("run-1/1", "run-1/2")]

    def test_two_runs_have_different_marks(self) -> None:
        service = FakeService(accepted(), accepted())
        for _ in range(2):
            new_runner(client_of(service)).submit(pending())

        first, second = (body["description"] for body in service.bodies)
        assert first != second

    @pytest.mark.parametrize("status", [409, 429])
    def test_a_refusal_for_now_is_raised_at_once(self, status: int) -> None:
        scene = Scene(Reply(status, "busy", {"Retry-After": "9"}))

        with pytest.raises(TaskRefusedError, match=r"SERVICE_UNAVAILABLE.*busy") as caught:
            scene.submit()

        assert caught.value.retry_after == 9
        assert scene.time.pauses == []

    def test_a_refused_request_is_not_repeated(self) -> None:
        scene = Scene(Reply(400, "bad dates"))

        with pytest.raises(SettingsError, match="TASK_REJECTED"):
            scene.submit()

        assert scene.methods == ["POST"]


class TestLostAnswer:
    @pytest.mark.parametrize("lost", [cut_off(), Reply(500), Reply(202, "<html>")])
    def test_the_task_is_found_by_its_mark_and_adopted(self, lost: Outcome) -> None:
        other = task_json(task_id="another", description="mine")
        orphan = task_json("Started", task_id="orphan", description=MARK)
        scene = Scene(lost, listed(other, orphan))

        ref = scene.submit()

        assert ref.id == "orphan"
        assert ref.window == WEEK
        assert scene.methods == ["POST", "GET"]

    def test_a_task_of_another_export_is_no_answer(self) -> None:
        # Given an answer to the second request that names the task of the first
        second = MARK.replace("run-1/1", "run-1/2")
        listing = listed(task_json(task_id="second", description=second))
        scene = Scene(accepted(), accepted(), listing)

        exports = [pending(), pending()]
        for export in exports:
            scene.runner.submit(export)

        assert [export.task and export.task.id for export in exports] == [TASK_ID, "second"]
        assert scene.methods == ["POST", "POST", "GET"]

    def test_it_may_take_a_while_to_be_listed(self) -> None:
        orphan = task_json(task_id="orphan", description=MARK)
        scene = Scene(cut_off(), EMPTY_LIST, EMPTY_LIST, EMPTY_LIST, listed(orphan))

        ref = scene.submit()

        assert ref.id == "orphan"
        assert ref.created == START
        assert scene.time.pauses == [5, 10, 20]

    def test_another_one_is_made_when_none_shows_up_in_a_minute(self) -> None:
        looks = [EMPTY_LIST] * 5  # after 0, 5, 15, 35, 75 seconds
        scene = Scene(cut_off(), *looks, accepted(task_id="second"))

        ref = scene.submit()

        assert ref.id == "second"
        assert scene.methods == ["POST", *["GET"] * 5, "POST"]
        # Should the first one exist after all, its blobs are younger than this.
        assert ref.created == START

    def test_a_task_of_the_first_request_is_adopted_after_the_second_too(self) -> None:
        late = task_json(task_id="late", description=MARK)
        scene = Scene(cut_off(), *[EMPTY_LIST] * 5, cut_off(), listed(late))

        assert scene.submit().id == "late"

    def test_when_answers_are_lost_time_and_again_it_fails(self) -> None:
        lost: list[Outcome] = [cut_off(), *[EMPTY_LIST] * 5]
        scene = Scene(*lost * LOST_ANSWERS)

        with pytest.raises(RetryLaterError, match="TASK_CREATION_UNCERTAIN"):
            scene.submit()

        assert scene.methods.count("POST") == LOST_ANSWERS

    def test_nobody_elses_task_is_adopted(self) -> None:
        others = listed(
            task_json(task_id="a", description=None),
            task_json(task_id="b", description=MARK.replace("run-1", "run-2")),
            task_json(task_id="c", description=MARK.replace("run-1/1", "run-1/11")),
        )
        scene = Scene(cut_off(), *[others] * 5, accepted(task_id="second"))

        assert scene.submit().id == "second"


class TestWait:
    def test_it_ends_when_the_files_are_written(self) -> None:
        scene = Scene(state("Queued"), state("Started"), state("Succeeded"))

        assert scene.wait() == "Succeeded"
        assert scene.time.pauses == [5, 10, 20]

    def test_the_service_sets_the_pace(self) -> None:
        date_header = "Fri, 20 May 2016 08:00:00 GMT"
        at = {"Retry-After": "Fri, 20 May 2016 08:00:50 GMT", "Date": date_header}
        scene = Scene(
            Reply(202, task_json(), {"Retry-After": "40"}),
            state("Queued", {"Retry-After": "7"}),
            state("Started", at),
            state("Succeeded"),
        )
        export = pending()
        scene.runner.submit(export)

        scene.wait(export)

        assert scene.time.pauses == [40, 7, 50]

    def test_a_task_of_an_earlier_run_is_looked_at_at_once(self) -> None:
        old = TaskEntry(
            id=TASK_ID, created=START - timedelta(days=3), start=WEEK.start, end=WEEK.end
        )
        scene = Scene(state("Succeeded"))

        assert scene.wait(old) == "Succeeded"
        assert scene.time.pauses == []

    def test_a_failed_task_tells_why(self) -> None:
        details = f"no space left in {SAS_URL}"
        scene = Scene(state("Started"), state("Failed", errorDetails=details))

        error = scene.waiting_fails()

        assert isinstance(error, RetryLaterError)
        assert error.code is Code.TASK_FAILED
        assert "no space left" in str(error)
        assert "bWFya2Vk" not in str(error)

    def test_a_task_that_takes_too_long_is_an_error_and_never_an_empty_export(self) -> None:
        # Elsewhere a time-out was taken for "no data", and the bookmark moved on.
        scene = Scene(*[state("Started")] * 63)

        error = scene.waiting_fails()

        assert isinstance(error, RetryLaterError)
        assert error.code is Code.TASK_TIMEOUT
        assert "60 minutes" in str(error)
        assert scene.time.now == START + TIMEOUT

    def test_an_unknown_state_ends_at_the_deadline(self) -> None:
        # Elsewhere a state that the poller did not know meant 58,166 polls in 14 seconds.
        names = ["Paused", "Hibernating"] * 32
        scene = Scene(*[state(name) for name in names[:63]])

        error = scene.waiting_fails()

        assert error.code is Code.UNKNOWN_TASK_STATE
        assert "'Paused'" in str(error)
        assert len(scene.time.pauses) == 63

    def test_an_unknown_state_may_pass(self) -> None:
        scene = Scene(state("Paused"), state("Succeeded"))

        assert scene.wait() == "Succeeded"

    def test_a_change_of_state_is_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        scene = Scene(*[state("Queued")] * 3, *[state("Started")] * 3, state("Succeeded"))

        with caplog.at_level(logging.INFO):
            scene.wait()

        told = [record.message.split(" is ")[-1] for record in caplog.records]
        assert told == ["Queued", "Started", "Succeeded"]

    def test_a_new_task_may_not_be_visible_yet(self) -> None:
        scene = Scene(*[Reply(404)] * 4, state("Succeeded"))

        assert scene.wait() == "Succeeded"

    def test_a_task_that_vanishes_is_lost(self) -> None:
        scene = Scene(*[state("Started")] * 5, *[Reply(404)] * 3)

        error = scene.waiting_fails()

        assert isinstance(error, RetryLaterError)
        assert error.code is Code.TASK_LOST

    def test_a_task_that_the_service_has_forgotten_is_lost_soon(self) -> None:
        old = msgspec.structs.replace(REF, created=START - timedelta(days=30))
        scene = Scene(*[Reply(404)] * 3)

        error = scene.waiting_fails(old)

        assert error.code is Code.TASK_LOST
        assert sum(scene.time.pauses) == 10 + 20

    def test_an_error_of_the_service_names_the_task(self) -> None:
        scene = Scene(Reply(403, "disabled"))

        error = scene.waiting_fails()

        assert error.code is Code.ACCESS_DENIED
        assert error.where["task"] == TASK_ID

    def test_the_clock_of_the_service_does_not_matter(self) -> None:
        scene = Scene(
            accepted(dateCreated="1999-01-01T00:00:00Z"),
            state("Started", dateCreated="1999-01-01T00:00:00Z"),
            state("Succeeded", dateCreated="2999-01-01T00:00:00Z"),
        )

        export = pending()
        scene.runner.submit(export)

        assert scene.wait(export) == "Succeeded"


class TestStop:
    def test_a_stop_ends_waiting(self) -> None:
        scene = Scene(state("Queued"), state("Started"))
        scene.time.stop_at = START + timedelta(seconds=20)

        with pytest.raises(RunStopped):
            scene.wait()

        scene.service.assert_done()

    def test_a_stop_ends_the_search_for_a_task(self) -> None:
        scene = Scene(cut_off(), EMPTY_LIST)
        scene.time.stop_at = START + timedelta(seconds=1)

        with pytest.raises(RunStopped):
            scene.submit()

    def test_no_request_follows_a_stop(self) -> None:
        scene = Scene()
        scene.time.stop_at = START

        with pytest.raises(RunStopped):
            scene.wait(TaskEntry(id=TASK_ID, created=START - timedelta(days=1)))


def test_a_saved_task_is_resumed_under_its_own_range() -> None:
    # Elsewhere a saved task was resumed under another window than its own.
    saved = Scene(accepted()).submit()
    restored = msgspec.convert(msgspec.to_builtins(saved), TaskEntry)

    assert restored == saved
    assert restored.window == WEEK


def test_the_creation_time_is_by_the_taps_clock() -> None:
    ref = Scene(accepted(dateCreated="2016-05-20T08:00:00Z")).submit()

    assert ref.created == datetime(2026, 1, 1, 12, tzinfo=UTC)
