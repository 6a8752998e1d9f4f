from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tap_mobile_engagement.api.tasks import ExportTask, TaskEntry, read_time
from tap_mobile_engagement.errors import Code, DataError

from .fakes import SAS_URL, WEEK, pending, task_json

CREATED = datetime(2026, 1, 1, 12, tzinfo=UTC)


class TestBody:
    def test_a_historical_export_names_both_ends_of_its_window(self) -> None:
        export = pending("events")

        assert export.path == "devices/exportTasks/events"
        assert export.body("JsonBlob", "mine") == {
            "containerUrl": SAS_URL,
            "exportFormat": "JsonBlob",
            "description": "mine",
            "startDate": "2016-05-01",
            "endDate": "2016-05-08",
        }

    def test_push_feedback_names_a_campaign_type_and_date_times(self) -> None:
        export = pending("push_feedback", campaign_type="Poll")

        assert export.path == "devices/exportTasks/feedbackByDate"
        assert export.body("CsvBlob", "mine") == {
            "containerUrl": SAS_URL,
            "exportFormat": "CsvBlob",
            "description": "mine",
            "campaignType": "Poll",
            "campaignWindowStart": "2016-05-01T00:00:00Z",
            "campaignWindowEnd": "2016-05-08T00:00:00Z",
        }

    def test_a_snapshot_has_no_dates(self) -> None:
        assert pending("tags", None).body("JsonBlob", "mine") == {
            "containerUrl": SAS_URL,
            "exportFormat": "JsonBlob",
            "description": "mine",
        }

    def test_it_does_not_show_the_signature(self) -> None:
        assert "sig" not in repr(pending())
        assert str(pending()) == "events 2016-05-01/2016-05-08"


class TestExportTask:
    def test_an_answer_is_read(self) -> None:
        answer = task_json(
            "Failed",
            description="mine",
            dateCompleted="2016-05-20T09:30:00.123456789+02:00",
            errorDetails="disk full",
            surprise={"new": 1},
        )

        task = ExportTask.from_answer(answer, retry_after=7.0)

        assert task == ExportTask(
            id=answer["id"],
            state="Failed",
            export_type="Event",
            created=datetime(2016, 5, 20, 8, tzinfo=UTC),
            description="mine",
            error_details="disk full",
            retry_after=7.0,
        )

    @pytest.mark.parametrize(
        "odd", [None, 17, "yesterday", "", {"at": 1}, "0001-01-01T00:00+14:00"]
    )
    def test_an_odd_time_is_no_time(self, odd: object) -> None:
        task = ExportTask.from_answer(task_json(dateCreated=odd, description=odd))

        assert task.created is None

    def test_a_time_without_a_zone_is_utc(self) -> None:
        assert read_time("2016-05-20 08:00:00") == datetime(2016, 5, 20, 8, tzinfo=UTC)

    @pytest.mark.parametrize(
        "answer",
        [
            None,
            [],
            "text",
            {},
            task_json(task_id=""),
            task_json(task_id="../apps"),
            task_json(task_id=".."),
            task_json(task_id="a/b"),
            task_json(task_id="a?b"),
            {**task_json(), "id": 7},
            {**task_json(), "id": None},
            task_json(state=""),
            {**task_json(), "state": None},
            {**task_json(), "state": 1},
        ],
    )
    def test_an_answer_without_a_usable_id_and_state_is_refused(self, answer: object) -> None:
        with pytest.raises(DataError) as caught:
            ExportTask.from_answer(answer)

        assert caught.value.code is Code.BAD_ANSWER


class TestTaskEntry:
    REFS = (
        TaskEntry(id="t1", created=CREATED, start=WEEK.start, end=WEEK.end),
        TaskEntry(id="t2", created=CREATED),
        TaskEntry(
            id="t3",
            created=CREATED,
            start=WEEK.start,
            end=WEEK.end,
            campaign_type="Poll",
            container="tap-1",
        ),
    )

    @pytest.mark.parametrize("ref", REFS)
    def test_it_survives_a_state(self, ref: TaskEntry) -> None:
        state = msgspec.json.decode(msgspec.json.encode({"tasks": [ref.to_state()]}))

        assert TaskEntry.from_state(state["tasks"][0]) == ref

    def test_a_state_holds_the_documented_names(self) -> None:
        assert self.REFS[0].to_state() == {
            "id": "t1",
            "created": "2026-01-01T12:00:00Z",
            "start": "2016-05-01",
            "end": "2016-05-08",
        }

    def test_what_a_later_version_added_is_ignored(self) -> None:
        entry = {**self.REFS[0].to_state(), "colour": "blue"}

        assert TaskEntry.from_state(entry) == self.REFS[0]

    def test_it_carries_the_window_that_its_task_was_created_for(self) -> None:
        task = ExportTask(id="t1", state="Queued", created=datetime(2016, 1, 1, tzinfo=UTC))

        ref = pending().entry(task, CREATED)

        assert ref.window == WEEK
        assert ref.created == CREATED

    @pytest.mark.parametrize(
        "change",
        [
            {"id": ""},
            {"id": "../x"},
            {"created": "yesterday"},
            {"created": "2026-01-01T12:00:00"},
            {"start": None},
            {"end": "2016-05-01"},
            {"end": "2016-04-01"},
            {"campaign_type": 4},
        ],
    )
    def test_an_entry_that_can_not_be_used_is_an_error_of_the_state(
        self, change: dict[str, Any]
    ) -> None:
        entry = {**self.REFS[0].to_state(), **change}

        with pytest.raises(DataError) as caught:
            TaskEntry.from_state(entry)

        assert caught.value.code is Code.BAD_STATE

    @pytest.mark.parametrize("entry", [None, "t1", [], {}])
    def test_an_entry_of_another_shape_is_an_error_of_the_state(self, entry: object) -> None:
        with pytest.raises(DataError, match="BAD_STATE"):
            TaskEntry.from_state(entry)
