"""Every request that the client makes, against Microsoft's description of the REST API."""

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests
from openapi_core import OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest

from tap_mobile_engagement.datatypes import BY_NAME, CAMPAIGN_TYPES, DATA_TYPES, EXPORT_FORMATS
from tap_mobile_engagement.tasks.client import CAMPAIGN_KINDS, ServiceClient
from tap_mobile_engagement.tasks.model import TaskRequest
from tap_mobile_engagement.tasks.policy import TaskState
from tap_mobile_engagement.windows import Window

from .fakes import API_URL, TASK_ID, FakeService, Reply, client_of, task_json

FILE = "mobile-engagement-2014-12-01.openapi.json"
NEXT_TO_THE_PROJECT = Path(__file__).parents[2].parent / "shared" / "reference"
WEEK = Window(date(2016, 5, 1), date(2016, 5, 8))


def task_request(name: str, export_format: str, campaign_type: str | None) -> TaskRequest:
    dated = BY_NAME[name].historical or campaign_type is not None
    return TaskRequest(
        data_type=name,
        container_url="https://a.blob.core.windows.net/c?sv=2020&sp=wl&sig=c2ln",
        export_format=export_format,
        window=WEEK if dated else None,
        campaign_type=campaign_type,
        description="a mark",
    )


TASK_REQUESTS = [
    task_request(kind.name, export_format, campaign_type)
    for kind in DATA_TYPES
    if kind.task_path is not None
    for export_format in EXPORT_FORMATS
    for campaign_type in (CAMPAIGN_TYPES if kind.name == "push_feedback" else (None,))
]


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    folder = Path(os.environ.get("MOBILE_ENGAGEMENT_REFERENCE") or NEXT_TO_THE_PROJECT)
    if not (folder / FILE).is_file():
        pytest.skip(f"no {FILE} beside the project, nor where MOBILE_ENGAGEMENT_REFERENCE says")
    loaded: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def api(description: dict[str, Any]) -> OpenAPI:
    # Without the part about sign-in, of a kind that the validator does not know.
    return OpenAPI.from_dict({**description, "servers": [{"url": API_URL}], "security": []})


def validate(api: OpenAPI, sent: requests.PreparedRequest) -> None:
    api.validate_request(RequestsOpenAPIRequest(sent))


@pytest.mark.parametrize(
    "request_",
    TASK_REQUESTS,
    ids=lambda request: f"{request.data_type}-{request.export_format}-{request.campaign_type}",
)
def test_a_creation_is_as_described(
    api: OpenAPI, description: dict[str, Any], request_: TaskRequest
) -> None:
    service = FakeService(Reply(202, task_json()))

    client_of(service).create_task("shop", request_)

    validate(api, service.requests[0])
    # The description does not forbid fields that it does not name; the tap sends none.
    (path,) = (path for path in description["paths"] if path.endswith(request_.path))
    body = description["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    assert {*service.bodies[0]} <= {*body["schema"]["properties"]}


def read_everything(client: ServiceClient) -> None:
    client.check_app("shop")
    client.get_task("shop", TASK_ID)
    assert [*client.list_tasks("shop")] == []
    assert [*client.list_devices("shop")] == []
    client.get_device("shop", "0123456789abcdef0123456789abcdef")
    for kind in CAMPAIGN_KINDS.values():
        assert [*client.list_campaigns("shop", kind)] == []


def test_what_only_reads_is_as_described(api: OpenAPI) -> None:
    empty = Reply(content={"value": []})
    service = FakeService(
        empty,
        Reply(content=task_json()),
        empty,
        empty,
        Reply(content={"deviceId": "d1"}),
        *[empty] * len(CAMPAIGN_KINDS),
    )

    read_everything(client_of(service))

    service.assert_done()
    for sent in service.requests:
        validate(api, sent)


@pytest.mark.parametrize("change", [{"startDate": "1 May 2016"}, {"exportFormat": "Xml"}])
def test_the_check_would_notice_a_wrong_request(api: OpenAPI, change: dict[str, str]) -> None:
    service = FakeService(Reply(202, task_json()))
    client_of(service).create_task("shop", TASK_REQUESTS[0])
    (sent,) = service.requests
    sent.prepare_body(None, None, json=service.bodies[0] | change)

    with pytest.raises(Exception, match=r"(?i)request body"):
        validate(api, sent)


def test_the_states_are_those_described(description: dict[str, Any]) -> None:
    described = description["components"]["schemas"]["exportState"]["enum"]

    assert {state.value for state in TaskState} == {*described}


def test_kinds_and_export_types_are_those_described(
    description: dict[str, Any],
) -> None:
    (path,) = (path for path in description["paths"] if path.endswith("/campaigns/{kind}"))
    (kind,) = (
        parameter
        for parameter in description["paths"][path]["get"]["parameters"]
        if parameter["name"] == "kind"
    )
    export_types = description["components"]["schemas"]["exportType"]["enum"]

    assert {*CAMPAIGN_KINDS.values()} == {*kind["schema"]["enum"]}
    assert {kind.export_type for kind in DATA_TYPES if kind.task_path} == {*export_types}
