"""The checks refuse what is not documented."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from jsonschema import ValidationError

from tests.reference.api import APP
from tests.reference.checks import check_answer, check_file, check_request

GUID = "0123456789abcdef0123456789ABCDEF"
TASK = {
    "id": GUID,
    "state": "Queued",
    "dateCreated": "2016-05-20T08:00:00Z",
    "exportType": "Event",
}
BODY = {
    "containerUrl": "https://a.blob.core.windows.net/c?sig=x",
    "exportFormat": "JsonBlob",
    "startDate": "2016-05-01",
    "endDate": "2016-05-08",
}
CREATE = "/devices/exportTasks/events"


def request(
    path: str, body: Any = None, query: str = "api-version=2014-12-01"
) -> requests.PreparedRequest:
    method = "GET" if body is None else "POST"
    return requests.Request(method, f"https://x{APP}{path}?{query}", json=body).prepare()


def answer(
    status: int, content: Any, path: str, body: Any = None, **headers: str
) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.headers.update({"Content-Type": "application/json", **headers})
    response._content = json.dumps(content).encode()
    response.request = request(path, body)
    return response


def test_what_is_documented_passes() -> None:
    check_request(request(CREATE, BODY))
    check_request(request("/devices/exportTasks", query="api-version=2014-12-01&$top=40"))
    check_answer(answer(202, TASK, CREATE, BODY, Location="/devices/exportTasks/1"))
    check_answer(answer(404, {"error": {"code": "x", "message": "y"}}, "/devices/d1"))
    check_file("activities", [])


@pytest.mark.parametrize(
    "sent",
    [
        request(CREATE, BODY | {"startDate": "1 May 2016"}),
        request(CREATE, BODY | {"exportFormat": "Xml"}),
        request(CREATE, BODY | {"mark": 1}),
        request(CREATE, {"exportFormat": "JsonBlob"}),
        request("/devices/exportTasks/tags", BODY),
        request("/devices/exportTasks", query="api-version=2014-12-01&$top=41"),
        request("/devices", query="api-version=2014-12-01&$skip=1"),
        request("/devices", query="api-version=2015-01-01"),
        request("/campaigns/surveys"),
        request("/exports"),
    ],
    ids=lambda sent: f"{sent.url.partition('{app}')[2]} {sent.body}",
)
def test_another_request_is_refused(sent: requests.PreparedRequest) -> None:
    with pytest.raises((AssertionError, ValidationError)):
        check_request(sent)


@pytest.mark.parametrize(
    "given",
    [
        answer(200, TASK, CREATE, BODY, Location="/x"),
        answer(202, {**TASK, "state": "Done"}, CREATE, BODY, Location="/x"),
        answer(202, {**TASK, "dateCreated": "today"}, CREATE, BODY, Location="/x"),
        answer(200, {"value": [{"id": 1}]}, "/devices"),
        answer(404, {"error": "gone"}, "/devices/d1"),
    ],
    ids=lambda given: given.text,
)
def test_another_answer_is_refused(given: requests.Response) -> None:
    with pytest.raises((AssertionError, ValidationError)):
        check_answer(given)


@pytest.mark.parametrize("without", ["Location", "Content-Type"])
def test_an_answer_without_its_headers_is_refused(without: str) -> None:
    given = answer(202, TASK, CREATE, BODY, Location="/x")
    del given.headers[without]

    with pytest.raises(KeyError, match=f"(?i){without}"):
        check_answer(given)


@pytest.mark.parametrize(
    ("stream", "content"),
    [
        ("activities", {"sessionId": GUID, "activities": []}),
        ("activities", [{"sessionId": GUID, "activities": []}, {"sessionId": "x"}]),
        ("activities", [{"sessionId": GUID, "activities": [{"name": "b"}]}]),
        ("tokens", [{"deviceId": GUID + "1", "token": "t", "type": "gcm"}]),
        ("sessions", [{"sessionId": GUID, "deviceId": GUID, "start": "2016-13-01"}]),
        ("sessions", [{"sessionId": GUID, "deviceId": GUID, "end": None}]),
        (
            "push_feedback",
            [
                {
                    "deviceId": GUID,
                    "campaignType": "Poll",
                    "campaignId": 1,
                    "status": ["None", "None"],
                }
            ],
        ),
    ],
)
def test_another_file_is_refused(stream: str, content: Any) -> None:
    with pytest.raises(ValidationError):
        check_file(stream, content)
