"""Every request that the client makes, against what is documented of the REST API."""

from datetime import date
from typing import get_args

import pytest

from tap_mobile_engagement.api.client import CAMPAIGN_KINDS, ServiceClient
from tap_mobile_engagement.api.policy import TaskState
from tap_mobile_engagement.api.tasks import TaskRequest
from tap_mobile_engagement.datatypes import BY_NAME, CAMPAIGN_TYPES, DATA_TYPES, EXPORT_FORMATS
from tap_mobile_engagement.state import Window
from tests.reference import api
from tests.reference.checks import check_request

from .fakes import TASK_ID, FakeService, Reply, client_of, task_json

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


@pytest.mark.parametrize(
    "request_",
    TASK_REQUESTS,
    ids=lambda request: f"{request.data_type}-{request.export_format}-{request.campaign_type}",
)
def test_a_creation_is_as_documented(request_: TaskRequest) -> None:
    service = FakeService(Reply(202, task_json()))

    client_of(service).create_task("shop", request_)

    check_request(service.requests[0])


def read_everything(client: ServiceClient) -> None:
    client.check_app("shop")
    client.get_task("shop", TASK_ID)
    assert [*client.list_tasks("shop")] == []
    assert [*client.list_devices("shop")] == []
    client.get_device("shop", "0123456789abcdef0123456789abcdef")
    for kind in CAMPAIGN_KINDS.values():
        assert [*client.list_campaigns("shop", kind)] == []


def test_what_only_reads_is_as_documented() -> None:
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
        check_request(sent)


def test_the_states_are_those_documented() -> None:
    assert {state.value for state in TaskState} == {*get_args(api.TaskState)}


def test_kinds_and_export_types_are_those_documented() -> None:
    assert {*CAMPAIGN_KINDS.values()} == {*get_args(api.CampaignKind)}
    export_types = {kind.export_type for kind in DATA_TYPES if kind.task_path}
    assert export_types == {*get_args(api.ExportType)}
