"""Every request that the client makes, against what is documented of the REST API."""

from typing import get_args

import pytest

from tap_mobile_engagement.api.client import CAMPAIGN_KINDS, ServiceClient
from tap_mobile_engagement.api.tasks import PendingExport, TaskState
from tap_mobile_engagement.datatypes import BY_NAME, CAMPAIGN_TYPES, DATA_TYPES, EXPORT_FORMATS
from tests.reference import api
from tests.reference.checks import check_request

from .fakes import TASK_ID, WEEK, FakeService, Reply, client_of, pending, task_json


def export_of(name: str, campaign_type: str | None) -> PendingExport:
    dated = BY_NAME[name].historical or campaign_type is not None
    return pending(name, WEEK if dated else None, campaign_type=campaign_type)


CREATIONS = [
    (export_of(kind.name, campaign_type), export_format)
    for kind in DATA_TYPES
    if kind.task_path is not None
    for export_format in EXPORT_FORMATS
    for campaign_type in (CAMPAIGN_TYPES if kind.name == "push_feedback" else (None,))
]


@pytest.mark.parametrize(("export", "export_format"), CREATIONS, ids=str)
def test_a_creation_is_as_documented(export: PendingExport, export_format: str) -> None:
    service = FakeService(Reply(202, task_json()))

    client_of(service).create_task(export, export.body(export_format, "a mark"))

    check_request(service.requests[0])


def read_everything(client: ServiceClient) -> None:
    client.check_app("shop")
    client.get_task("shop", TASK_ID)
    assert [*client.list_tasks("shop")] == []
    assert [*client.list_devices("shop")] == []
    client.get_device("shop", "0123456789abcdef0123456789abcdef")
    for campaign_type in CAMPAIGN_KINDS:
        assert [*client.list_campaigns("shop", campaign_type)] == []


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
