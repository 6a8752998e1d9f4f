"""The client and the runner against a whole service, over real connections."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import pytest

from tap_mobile_engagement.api.client import CAMPAIGN_KINDS, ServiceClient, TaskRefusedError
from tap_mobile_engagement.api.http import Transport, new_session
from tap_mobile_engagement.api.runner import TaskRunner
from tap_mobile_engagement.api.tasks import PendingExport
from tap_mobile_engagement.clock import Retry, Schedule
from tap_mobile_engagement.datatypes import CAMPAIGN_TYPES, DATA_TYPES
from tap_mobile_engagement.errors import Code, RetryLaterError, SettingsError
from tap_mobile_engagement.settings import Settings
from tap_mobile_engagement.simulator import Options, Simulator
from tap_mobile_engagement.state import TaskEntry

from .fakes import WEEK, new_runner, pending, wait

FAST = Schedule(first=0.02, largest=0.1)
SMALL = Options(devices=5, sessions_per_device=0.2)


class Setup(NamedTuple):
    simulator: Simulator
    client: ServiceClient
    runner: TaskRunner


@contextmanager
def running(
    options: Options = SMALL, *faults: dict[str, Any], **changes: Any
) -> Iterator[Setup]:
    """Run a simulator, and connect to it; ``changes`` replace the right credentials."""
    with Simulator(options, faults=faults) as simulator, new_session() as session:
        session.trust_env = False
        transport = Transport(session=session, retry=Retry(tries=4, schedule=FAST))
        settings = Settings(
            authority_url=simulator.url,
            api_url=simulator.url,
            subscription_id=options.subscription_id,
            resource_group=options.resource_group,
            app_collection=options.app_collection,
            **{
                "tenant_id": options.tenant_id,
                "client_id": options.client_id,
                "client_secret": options.client_secret,
            }
            | changes,
        )
        client = ServiceClient(settings, transport)
        runner = new_runner(client, schedule=FAST, timeout=timedelta(minutes=10))
        yield Setup(simulator, client, runner)


def export_to(folder: Path, name: str, campaign_type: str | None = None) -> PendingExport:
    (kind,) = (kind for kind in DATA_TYPES if kind.name == name)
    return pending(
        name,
        WEEK if kind.historical or campaign_type else None,
        campaign_type=campaign_type,
        container_url=folder.as_uri(),
    )


def submitted(runner: TaskRunner, export: PendingExport) -> str:
    """The id of a task that was just created for an export."""
    runner.submit(export)
    assert export.task is not None
    return export.task.id


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


TASKS = [
    (kind.name, campaign_type)
    for kind in DATA_TYPES
    if kind.task_path is not None
    for campaign_type in (CAMPAIGN_TYPES if kind.name == "push_feedback" else (None,))
]


@pytest.mark.parametrize("links", ["absolute", "relative"])
@pytest.mark.parametrize(("name", "campaign_type"), TASKS)
def test_every_export_is_created_and_waited_for(
    tmp_path: Path, name: str, campaign_type: str | None, links: Any
) -> None:
    options = Options(
        devices=5, sessions_per_device=0.2, queue_seconds=0.02, run_seconds=0.02, links=links
    )
    export = export_to(tmp_path, name, campaign_type)
    with running(options) as (_, client, runner):
        task_id = submitted(runner, export)
        state = wait(runner, export)
        listed = [*client.list_tasks("shop")]

    (kind,) = (kind for kind in DATA_TYPES if kind.name == name)
    assert state == "Succeeded"
    assert [task["id"] for task in listed] == [task_id]
    assert listed[0]["exportType"] == kind.export_type
    assert files_in(tmp_path)


def test_a_task_is_taken_up_by_another_run(tmp_path: Path) -> None:
    export = export_to(tmp_path, "events")
    with running(Options(devices=5, queue_seconds=0.1)) as (_, client, runner):
        runner.submit(export)
        assert export.task is not None
        restored = msgspec.convert(msgspec.to_builtins(export.task), TaskEntry)
        again = PendingExport(export.key, restored.window, task=restored)
        assert wait(new_runner(client, schedule=FAST), again) == "Succeeded"

    assert files_in(tmp_path)


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "lost_answer"},
        {"fault": "cut_answer", "at": 10},
        {"fault": "error_answer", "status": 504, "body": "html", "carried_out": True},
        {"fault": "other_body", "body": "<html>welcome</html>"},
    ],
    ids=lambda fault: str(fault["fault"]),
)
def test_a_lost_answer_makes_no_second_task(tmp_path: Path, fault: dict[str, Any]) -> None:
    posts = {"method": "POST", "path": "*/exportTasks/events"}
    with running(SMALL, fault | posts) as (simulator, _, runner):
        # Others' tasks, before and after, that must not be adopted.
        runner.submit(export_to(tmp_path, "jobs"))
        export = export_to(tmp_path, "events")
        task_id = submitted(runner, export)
        wait(runner, export)
        created = simulator.tasks

    assert len(created) == 2
    assert task_id == str(created[1].id)


@pytest.mark.parametrize("status", [409, 429])
def test_a_limit_of_the_service_is_told_from_a_failure(tmp_path: Path, status: Any) -> None:
    options = Options(devices=5, run_seconds=60, max_tasks=1, too_many_status=status)
    with running(options) as (simulator, _, runner):
        first = export_to(tmp_path, "jobs")
        runner.submit(first)
        with pytest.raises(TaskRefusedError):
            runner.submit(export_to(tmp_path, "jobs"))
        simulator.clock.advance(seconds=61)
        wait(runner, first)
        runner.submit(export_to(tmp_path, "jobs"))
        assert len(simulator.tasks) == 2


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"fault": "task_fails", "error_details": "no quota"}, Code.TASK_FAILED),
        ({"fault": "task_fails", "after_writing": True}, Code.TASK_FAILED),
    ],
)
def test_a_task_that_fails_is_an_error(
    tmp_path: Path, fault: dict[str, Any], code: Code
) -> None:
    with running(SMALL, fault) as (_, _, runner):
        export = export_to(tmp_path, "events")
        runner.submit(export)
        with pytest.raises(RetryLaterError) as caught:
            wait(runner, export)

    assert caught.value.code is code
    assert str(fault.get("error_details", "")) in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "task_hidden", "seconds": 0.3},
        {"fault": "task_unknown_state", "seconds": 0.3},
        {"fault": "task_hangs", "seconds": 0.3},
    ],
    ids=lambda fault: str(fault["fault"]),
)
def test_a_task_that_is_odd_for_a_while_is_waited_for(
    tmp_path: Path, fault: dict[str, Any]
) -> None:
    with running(SMALL, fault) as (_, _, runner):
        export = export_to(tmp_path, "events")
        runner.submit(export)
        state = wait(runner, export)

    assert state == "Succeeded"


@pytest.mark.parametrize("as_date", [False, True])
@pytest.mark.parametrize("body", ["json", "text", "html", "empty"])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_reading_survives_bursts_of_errors(status: int, body: str, *, as_date: bool) -> None:
    burst = {
        "fault": "error_answer",
        "method": "GET",
        "status": status,
        "body": body,
        "retry_after": 0,
        "as_date": as_date,
        "times": 3,
    }
    with running(SMALL, burst) as (_, client, _):
        client.check_app("shop")


@pytest.mark.parametrize("links", ["absolute", "relative"])
def test_devices_come_with_their_details_in_order_over_all_pages(links: Any) -> None:
    options = Options(devices=45, device_page=10, links=links)
    with running(options) as (_, client, _):
        listed = [*client.list_devices("shop")]
        detailed = [*client.list_devices_with_details("shop")]

    assert len(listed) > 20
    assert [one["deviceId"] for one in detailed] == [one["deviceId"] for one in listed]
    assert all("info" in one for one in detailed)
    assert not any("info" in one for one in listed)


@pytest.mark.parametrize("campaign_type", CAMPAIGN_KINDS)
def test_campaigns_are_listed(campaign_type: str) -> None:
    with running() as (_, client, _):
        campaigns = [*client.list_campaigns("shop", campaign_type)]

    assert all(isinstance(one["id"], int) for one in campaigns)
    assert campaigns


def test_tasks_are_listed_newest_first_over_all_pages(tmp_path: Path) -> None:
    with running() as (_, client, runner):
        ids = [submitted(runner, export_to(tmp_path, "jobs")) for _ in range(45)]
        listed = [task["id"] for task in client.list_tasks("shop")]
        created = [task["dateCreated"] for task in client.list_tasks("shop")]

    assert {*listed} == {*ids}
    assert created == sorted(created, key=str, reverse=True)


def test_a_token_that_expires_is_renewed(tmp_path: Path) -> None:
    options = Options(devices=5, token_seconds=0.2, queue_seconds=0.5)
    with running(options) as (_, _, runner):
        export = export_to(tmp_path, "jobs")
        runner.submit(export)
        state = wait(runner, export)

    assert state == "Succeeded"


@pytest.mark.parametrize(
    "change", [{"client_secret": "wrong"}, {"client_id": "other"}, {"tenant_id": "other"}]
)
def test_wrong_credentials_are_an_error_of_the_settings(change: dict[str, str]) -> None:
    with running(SMALL, **change) as (_, client, _), pytest.raises(SettingsError) as caught:
        client.check_app("shop")

    assert caught.value.code is Code.AUTH_FAILED


def test_an_unknown_app_is_an_error_of_the_settings() -> None:
    with running() as (_, client, _), pytest.raises(SettingsError) as caught:
        client.check_app("chop")

    assert caught.value.code is Code.APP_NOT_FOUND


def test_a_service_that_is_not_there_is_an_error_for_later() -> None:
    with running() as (simulator, client, _):
        host = urlsplit(simulator.url).netloc
        simulator.stop()
        with pytest.raises(RetryLaterError) as caught:
            client.check_app("shop")

    assert caught.value.code is Code.SERVICE_UNAVAILABLE
    assert host in str(caught.value)


def test_logs_at_debug_level_show_no_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Without the redaction of logs: nothing here relies on that second net.
    container_url = f"{tmp_path.as_uri()}?sig=bWFya2VkLXNpZ25hdHVyZQ"
    export = pending("tags", None, container_url=container_url)
    with caplog.at_level(logging.DEBUG), running() as (_, client, runner):
        token = client.auth.token()
        client.check_app("shop")
        runner.submit(export)
        wait(runner, export)

    assert "/exportTasks" in caplog.text  # urllib3 tells of each request
    for secret in (token, SMALL.client_secret, "bWFya2Vk"):
        assert secret not in caplog.text
