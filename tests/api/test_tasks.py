from datetime import UTC, datetime

import pytest

from tap_mobile_engagement.api.tasks import ExportTask
from tap_mobile_engagement.errors import Code, DataError

from .fakes import SAS_URL, TASK_ID, WEEK, pending, task_json


class TestBody:
    def test_a_historical_export_names_both_ends_of_its_window(self) -> None:
        export = pending("events")

        assert export.body("JsonBlob", "mine") == {
            "containerUrl": SAS_URL,
            "exportFormat": "JsonBlob",
            "description": "mine",
            "startDate": "2016-05-01",
            "endDate": "2016-05-08",
        }

    def test_push_feedback_names_a_campaign_type_and_date_times(self) -> None:
        export = pending("push_feedback", campaign_type="Poll")

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


def test_the_entry_in_a_state_has_the_window_that_the_task_was_created_for() -> None:
    task = ExportTask(id="t1", state="Queued")
    created = datetime(2026, 1, 1, 12, tzinfo=UTC)

    entry = pending().entry(task, created)

    assert entry.window == WEEK
    assert entry.created == created


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
            description="mine",
            error_details="disk full",
            retry_after=7.0,
        )

    @pytest.mark.parametrize("odd", [None, 17, "yesterday", "", {"at": 1}])
    def test_an_odd_time_and_an_odd_description_are_no_matter(self, odd: object) -> None:
        task = ExportTask.from_answer(task_json(dateCreated=odd, description=odd))

        assert task.id == TASK_ID

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
