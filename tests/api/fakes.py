"""A service that answers from a script."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

import pytest
import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import MaxRetryError, NewConnectionError
from urllib3.response import HTTPResponse

from tap_mobile_engagement.api.client import ServiceClient
from tap_mobile_engagement.api.http import Transport, new_session
from tap_mobile_engagement.api.plan import Plan
from tap_mobile_engagement.api.runner import TaskRunner
from tap_mobile_engagement.api.tasks import Key, PendingExport, Phase
from tap_mobile_engagement.clock import Clock, Schedule
from tap_mobile_engagement.errors import TapError
from tap_mobile_engagement.settings import Settings
from tap_mobile_engagement.state import Window
from tests.support.times import FakeTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_mobile_engagement.api.destinations import TaskStorage
    from tests.support.simulated import LeapingTime

API_URL = "https://api.example"
AUTHORITY_URL = "https://login.example"
APP_URL = (
    f"{API_URL}/subscriptions/sub/resourceGroups/rg/providers/Microsoft.MobileEngagement"
    "/appcollections/apps/apps/shop"
)
CLIENT_SECRET = "s3cret/+value"
SAS_URL = "https://a.blob.core.windows.net/c?sv=2020&sp=wl&sig=bWFya2Vkc2lnbmF0dXJl"
WEEK = Window(date(2016, 5, 1), date(2016, 5, 8))
SCHEDULE = Schedule(first=5, largest=60, growth=2)
TASK_ID = "0b1f4d1e-64c4-4a26-bbd7-000000000001"


@dataclass(frozen=True)
class Reply:
    """An answer of the fake service: ``content`` is JSON, or text or bytes as they are."""

    status: int = 200
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)


Outcome = Reply | Exception


class FakeService(BaseAdapter):
    """Answers one request after another from a script; tokens are given out beside it.

    What is left of the script when a test ends was never asked for: see ``assert_done``.
    """

    def __init__(self, *script: Outcome, tokens: Iterator[Outcome] | None = None) -> None:
        super().__init__()
        self.script = [*script]
        self.requests: list[requests.PreparedRequest] = []
        self.token_requests: list[requests.PreparedRequest] = []
        self._tokens = tokens

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, **_: object
    ) -> requests.Response:
        if (request.url or "").startswith(AUTHORITY_URL):
            self.token_requests.append(request)
            number = len(self.token_requests)
            outcome = next(self._tokens) if self._tokens else token_reply(f"token-{number}")
        else:
            self.requests.append(request)
            assert self.script, f"an unexpected request: {request.method} {request.url}"
            outcome = self.script.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return _response(outcome, request)

    def close(self) -> None:
        """Nothing to close."""

    def assert_done(self) -> None:
        assert self.script == []

    @property
    def calls(self) -> list[str]:
        """The requests, as method and URL below the app."""
        return [
            f"{request.method} {(request.url or '').removeprefix(APP_URL)}"
            for request in self.requests
        ]

    @property
    def bodies(self) -> list[Any]:
        """The JSON bodies of the requests."""
        return [json.loads(request.body or "null") for request in self.requests]


def _response(reply: Reply, request: requests.PreparedRequest) -> requests.Response:
    body, kind = reply.content, "text/plain"
    if not isinstance(body, str | bytes):
        body, kind = json.dumps(body), "application/json"
    response = requests.Response()
    response.status_code = reply.status
    response.headers = CaseInsensitiveDict({"Content-Type": kind, **reply.headers})
    response.raw = HTTPResponse(
        BytesIO(body.encode() if isinstance(body, str) else body), preload_content=False
    )
    response.url = request.url or ""
    response.request = request
    return response


def token_reply(token: str, expires_in: str = "3599") -> Reply:
    """A token as Azure Active Directory gives it."""
    return Reply(
        content={"token_type": "Bearer", "access_token": token, "expires_in": expires_in}
    )


def session_with(service: FakeService) -> requests.Session:
    session = new_session()
    session.mount("https://", service)
    return session


SETTINGS = Settings(
    authority_url=AUTHORITY_URL,
    tenant_id="contoso.example",
    client_id="the-client",
    client_secret=CLIENT_SECRET,
    api_url=API_URL,
    subscription_id="sub",
    resource_group="rg",
    app_collection="apps",
)


def client_of(
    service: FakeService,
    time: FakeTime | None = None,
    change: Callable[[Transport], Transport] = lambda transport: transport,
) -> ServiceClient:
    """A client that talks to the fake service on the fake clock."""
    timing = (time or FakeTime()).timing
    transport = change(Transport(session=session_with(service), timing=timing))
    return ServiceClient(SETTINGS, transport)


def task_json(
    state: str = "Queued", *, task_id: str = TASK_ID, export_type: str = "Event", **more: Any
) -> dict[str, Any]:
    """A task as the service answers it."""
    return {
        "id": task_id,
        "state": state,
        "exportType": export_type,
        "dateCreated": "2016-05-20T08:00:00Z",
        **more,
    }


def not_sent() -> requests.ConnectionError:
    """What ``requests`` raises when it gets no connection at all."""
    reason = NewConnectionError(None, "connection refused")  # type: ignore[arg-type]
    return requests.ConnectionError(MaxRetryError(None, "/", reason))  # type: ignore[arg-type]


def cut_off() -> requests.ConnectionError:
    """What ``requests`` raises when a connection breaks before the answer."""
    return requests.ConnectionError("('Connection aborted.', RemoteDisconnected())")


def failing(service: FakeService, verb: str, *arguments: Any) -> TapError:
    """Call a verb to its end, and return the error that it raises."""
    with pytest.raises(TapError) as caught:
        call(client_of(service), verb, *arguments)
    service.assert_done()
    return caught.value


def call(client: ServiceClient, verb: str, *arguments: Any) -> object:
    app = () if verb == "create_task" else ("shop",)
    result = getattr(client, verb)(*app, *arguments)
    return [*result] if verb.startswith("list") else result


def pending(
    data_type: str = "events", window: Window | None = WEEK, *, app: str = "shop", **more: Any
) -> PendingExport:
    """An export that is due, with a container to write to."""
    return PendingExport(Key(data_type, app), window, **({"container_url": SAS_URL} | more))


def new_runner(
    client: ServiceClient,
    time: FakeTime | LeapingTime | None = None,
    *,
    schedule: Schedule = SCHEDULE,
    timeout: timedelta = timedelta(hours=1),
    run_id: str | None = None,
) -> TaskRunner:
    """A runner whose tasks are created and polled by hand; its observer logs."""
    clock = time.timing if time else Clock()
    storage = cast("TaskStorage", None)
    runner = TaskRunner(SETTINGS, client=client, storage=storage, clock=clock)
    runner.plan = Plan(limit=1, schedule=schedule, timeout=timeout)
    runner._run_id = run_id or runner._run_id
    return runner


def wait(runner: TaskRunner, export: PendingExport) -> str:
    """Poll the task of an export whenever that is due, until it has succeeded; its state."""
    clock = runner._clock
    if export.due_at is None:
        runner.plan.resume(export, clock.now())
    while True:
        assert export.due_at is not None
        clock.pause((export.due_at - clock.now()).total_seconds())
        runner.poll(export)
        if export.phase is Phase.WRITTEN:
            return export.state
