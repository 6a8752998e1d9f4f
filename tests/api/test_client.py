import json
import logging
import re
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest

from tap_mobile_engagement.api.client import TaskRefusedError
from tap_mobile_engagement.errors import (
    Code,
    DataError,
    RetryLaterError,
    SettingsError,
)
from tap_mobile_engagement.redaction import install_log_redaction
from tests.support.times import FakeTime

from .fakes import (
    CLIENT_SECRET,
    SAS_URL,
    TASK_ID,
    FakeService,
    Outcome,
    Reply,
    client_of,
    cut_off,
    failing,
    not_sent,
    pending,
    task_json,
)

EVENTS = pending()
BODY = EVENTS.body("JsonBlob", "a mark")
ACCEPTED = Reply(202, task_json(), {"Location": f"/exportTasks/{TASK_ID}"})
VERSION = "api-version=2014-12-01"
TASK_PATH = f"/devices/exportTasks/{TASK_ID}?{VERSION}"

NO_LISTS: list[dict[str, Any]] = [{}, {"value": {}}, {"value": 1}]


class TestCreateTask:
    def test_a_task_is_created_by_one_post(self) -> None:
        service = FakeService(
            Reply(202, task_json(), {"Location": f"devices/{TASK_ID}", "Retry-After": "30"})
        )

        task = client_of(service).create_task(EVENTS, BODY)

        assert service.calls == ["POST /devices/exportTasks/events?api-version=2014-12-01"]
        assert service.bodies == [BODY]
        (request,) = service.requests
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["Authorization"] == "Bearer token-1"
        assert (task.id, task.state, task.retry_after) == (TASK_ID, "Queued", 30)

    def test_push_feedback_is_asked_for_by_date(self) -> None:
        service = FakeService(ACCEPTED)

        client_of(service).create_task(pending("push_feedback", campaign_type="Poll"), BODY)

        assert service.calls == [f"POST /devices/exportTasks/feedbackByDate?{VERSION}"]

    def test_names_are_quoted_in_the_url(self) -> None:
        service = FakeService(ACCEPTED)

        client_of(service).create_task(pending(app="a shop/ü?"), BODY)

        assert "/apps/a%20shop%2F%C3%BC%3F/devices/" in service.calls[0]

    @pytest.mark.parametrize(
        "lost",
        [
            cut_off(),
            Reply(500, "oops"),
            Reply(502, "<html>bad gateway</html>", {"Content-Type": "text/html"}),
            Reply(503, "", {"Retry-After": "1"}),
            Reply(504),
            Reply(408),
            Reply(202, "<html>"),
            Reply(202, {"state": "Queued"}),
            Reply(200, ""),
        ],
    )
    def test_it_is_never_repeated_once_it_may_have_worked(self, lost: Outcome) -> None:
        service = FakeService(lost)

        error = failing(service, "create_task", EVENTS, BODY)

        assert isinstance(error, RetryLaterError)
        assert error.code is Code.TASK_CREATION_UNCERTAIN
        assert len(service.requests) == 1

    def test_it_is_repeated_while_there_is_no_connection_at_all(self) -> None:
        service, time = FakeService(not_sent(), not_sent(), ACCEPTED), FakeTime()

        task = client_of(service, time).create_task(EVENTS, BODY)

        assert task.id == TASK_ID
        assert time.pauses == [1, 2]

    @pytest.mark.parametrize("status", [409, 429])
    def test_a_refusal_for_now_is_told_with_its_pause(self, status: int) -> None:
        busy = {"error": {"code": "Busy", "message": "too many tasks"}}
        service = FakeService(Reply(status, busy, {"Retry-After": "17"}))

        error = failing(service, "create_task", EVENTS, BODY)

        assert isinstance(error, TaskRefusedError)
        assert error.code is Code.SERVICE_UNAVAILABLE
        assert error.retry_after == 17
        assert "Busy: too many tasks" in str(error)

    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (400, Code.TASK_REJECTED),
            (403, Code.ACCESS_DENIED),
            (404, Code.APP_NOT_FOUND),
            (413, Code.TASK_TOO_LARGE),
            (415, Code.TASK_REJECTED),
        ],
    )
    def test_a_request_that_is_not_accepted_is_an_error_of_the_settings(
        self, status: int, code: Code
    ) -> None:
        said = {"error": {"code": "Bad", "message": f"containerUrl {SAS_URL} is no good"}}

        error = failing(FakeService(Reply(status, said)), "create_task", EVENTS, BODY)

        assert isinstance(error, SettingsError)
        assert error.code is code
        assert "is no good" in str(error)
        assert "bWFya2Vk" not in str(error)


class TestToken:
    def test_a_rejected_token_is_renewed_and_the_request_repeated_even_a_post(self) -> None:
        service = FakeService(Reply(401), ACCEPTED)

        client_of(service).create_task(EVENTS, BODY)

        sent = [request.headers["Authorization"] for request in service.requests]
        assert sent == ["Bearer token-1", "Bearer token-2"]

    def test_a_rejected_fresh_token_is_an_error_of_the_settings(self) -> None:
        service = FakeService(Reply(401), Reply(401, {"error": {"code": "InvalidToken"}}))

        error = failing(service, "check_app")

        assert isinstance(error, SettingsError)
        assert error.code is Code.AUTH_FAILED
        assert "InvalidToken" in str(error)

    def test_a_redirect_is_not_followed(self) -> None:
        service = FakeService(Reply(307, "", {"Location": "https://evil.example/"}))

        error = failing(service, "check_app")

        assert error.code is Code.BAD_ANSWER
        assert "evil.example" in str(error)

    def test_credentials_of_a_netrc_file_do_not_replace_it(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("default login me password mine\n")
        monkeypatch.setenv("NETRC", str(netrc))
        service = FakeService(Reply(content={"value": []}))

        client_of(service).check_app("shop")

        assert service.requests[0].headers["Authorization"] == "Bearer token-1"
        assert "Authorization" not in service.token_requests[0].headers


class TestReading:
    VERBS = (
        ("check_app",),
        ("get_task", TASK_ID),
        ("list_tasks",),
        ("list_devices",),
        ("get_device", "d1"),
        ("list_devices_with_details",),
        ("list_campaigns", "Poll"),
    )

    @pytest.mark.parametrize(
        "trouble",
        [
            cut_off(),
            not_sent(),
            Reply(409),
            Reply(429, "", {"Retry-After": "9"}),
            Reply(500),
            Reply(502, "<html>"),
            Reply(503, "", {"Retry-After": "Thu, 01 Jan 2026 12:00:09 GMT"}),
            Reply(504),
        ],
    )
    def test_a_request_that_only_reads_is_repeated(self, trouble: Outcome) -> None:
        time = FakeTime()
        service = FakeService(trouble, Reply(content=task_json("Started")))

        task = client_of(service, time).get_task("shop", TASK_ID)

        assert task is not None
        assert task.state == "Started"
        asks_for_pause = isinstance(trouble, Reply) and trouble.headers
        assert time.pauses == [9 if asks_for_pause else 1]

    @pytest.mark.parametrize("verb", VERBS)
    def test_a_service_that_stays_down_is_given_up(self, verb: tuple[str, ...]) -> None:
        error = failing(FakeService(*[Reply(503, "down")] * 8), *verb)

        assert isinstance(error, RetryLaterError)
        assert error.code is Code.SERVICE_UNAVAILABLE
        assert "down" in str(error)

    def test_a_service_that_wants_a_long_pause_is_not_waited_for(self) -> None:
        error = failing(FakeService(Reply(503, "", {"Retry-After": "86400"})), "check_app")

        assert error.code is Code.SERVICE_UNAVAILABLE

    @pytest.mark.parametrize("verb", VERBS)
    @pytest.mark.parametrize(
        ("status", "code"), [(400, Code.BAD_SETTING), (403, Code.ACCESS_DENIED)]
    )
    def test_a_refused_request_is_an_error_of_the_settings(
        self, verb: tuple[str, ...], status: int, code: Code
    ) -> None:
        error = failing(FakeService(Reply(status, "no")), *verb)

        assert isinstance(error, SettingsError)
        assert error.code is code
        assert error.where["app"] == "shop"

    @pytest.mark.parametrize("verb", [verb for verb in VERBS if not verb[0].startswith("get")])
    def test_a_missing_app_is_an_error_of_the_settings(self, verb: tuple[str, ...]) -> None:
        error = failing(FakeService(Reply(404, "no such app")), *verb)

        assert error.code is Code.APP_NOT_FOUND

    def test_a_missing_task_is_none(self) -> None:
        assert client_of(FakeService(Reply(404))).get_task("shop", TASK_ID) is None

    def test_another_task_than_the_one_asked_for_is_no_answer(self) -> None:
        other = Reply(content=task_json("Succeeded", task_id=TASK_ID[:-1] + "2"))

        error = failing(FakeService(other), "get_task", TASK_ID)

        assert error.code is Code.BAD_ANSWER
        assert error.where["task"] == TASK_ID

    @pytest.mark.parametrize("change", [str.upper, lambda text: text.replace("-", "")])
    def test_an_id_is_the_same_in_another_spelling(self, change: Callable[[str], str]) -> None:
        service = FakeService(Reply(content=task_json("Started", task_id=change(TASK_ID))))

        assert client_of(service).get_task("shop", TASK_ID) is not None

    def test_a_missing_device_is_none(self) -> None:
        assert client_of(FakeService(Reply(404))).get_device("shop", "d1") is None

    @pytest.mark.parametrize(
        ("verb", "content"),
        [
            *product(VERBS[1:], ["", "<html>", []]),
            *product([verb for verb in VERBS if verb[0].startswith("list")], NO_LISTS),
        ],
    )
    def test_an_answer_that_is_something_else_is_refused(
        self, verb: tuple[str, ...], content: object
    ) -> None:
        error = failing(FakeService(Reply(content=content)), *verb)

        assert isinstance(error, DataError)
        assert error.code is Code.BAD_ANSWER


@pytest.fixture
def redacted_logs() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    install_log_redaction()
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.usefixtures("redacted_logs")
def test_no_log_at_any_level_shows_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    service = FakeService(
        Reply(429, f"slow down, {SAS_URL}, {CLIENT_SECRET}, Bearer token-1"),
        ACCEPTED,
    )
    client = client_of(service)

    with caplog.at_level(logging.DEBUG):
        with pytest.raises(TaskRefusedError) as caught:
            client.create_task(EVENTS, BODY)
        logging.getLogger("test").debug("%s %s %r", caught.value, service.bodies, EVENTS)
        client.create_task(EVENTS, BODY)

    everything = caplog.text + json.dumps([str(caught.value)])
    assert "slow down" in everything
    assert not re.search(f"bWFya2Vk|{re.escape(CLIENT_SECRET)}|token-1", everything)
