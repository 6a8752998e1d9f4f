"""The REST API and the token endpoint, as a Flask application.

Paths, parameters, bodies and answers follow Microsoft's API description; what it leaves open
follows the options.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.http import http_date

from tap_mobile_engagement.simulator.bodies import BadRequestError, parse_body, task_paths
from tap_mobile_engagement.simulator.clock import NANOSECONDS, nanoseconds
from tap_mobile_engagement.simulator.device_answers import device_answer
from tap_mobile_engagement.simulator.layout import Layout
from tap_mobile_engagement.simulator.listing import (
    BadQueryError,
    Page,
    campaign_state,
    device_filter,
    ordered,
    page_by_skip,
    selected,
    whole_number,
)
from tap_mobile_engagement.simulator.tasks import TooManyTasksError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_mobile_engagement.simulator.apps import App
    from tap_mobile_engagement.simulator.clock import SimulatorClock
    from tap_mobile_engagement.simulator.options import Options
    from tap_mobile_engagement.simulator.snapshots import Campaign
    from tap_mobile_engagement.simulator.tasks import ExportTask, TaskBoard
    from tap_mobile_engagement.simulator.tokens import TokenOffice

_API_VERSION = "2014-12-01"
_TASKS_PAGE, _TASKS_MOST = 20, 40  # documented
_MOST = 1 << 31
_COLLECTION = (
    "/subscriptions/<subscription>/resourceGroups/<group>"
    "/providers/Microsoft.MobileEngagement/appcollections/<collection>"
)
_KINDS = {
    "announcements": "Announcement",
    "polls": "Poll",
    "dataPushes": "DataPush",
    "nativePushes": "NativePush",
}
_TASK_ORDER = {
    "taskId": "id",
    "errorDetails": "errorDetails",
    "dateCreated": "dateCreated",
    "taskStatus": "state",
}
_CAMPAIGN_ORDER = {
    name: name for name in ("id", "name", "state", "activatedDate", "finishedDate")
}


@dataclass(frozen=True)
class Parts:
    """What the service is put together from."""

    options: Options
    clock: SimulatorClock
    apps: Mapping[str, App]
    tokens: TokenOffice
    board: TaskBoard


class ApiError(Exception):
    """An error answer of the API, in its documented form."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def make_service(parts: Parts) -> Flask:
    """Build the application: token endpoint and REST API."""
    service = _Service(parts)
    flask = Flask("mobile_engagement_simulator")
    flask.before_request(_check_host)
    base = _COLLECTION + "/apps/<app_name>"
    flask.post("/<tenant>/oauth2/token")(service.issue_token)
    flask.post(f"{base}/devices/exportTasks/<path>")(service.create_task)
    flask.get(f"{base}/devices/exportTasks")(service.list_tasks)
    flask.get(f"{base}/devices/exportTasks/<task_id>")(service.get_task)
    flask.get(f"{base}/devices")(service.list_devices)
    flask.get(f"{base}/devices/<device_id>")(service.get_device)
    flask.get(f"{base}/campaigns/<kind>")(service.list_campaigns)
    flask.register_error_handler(ApiError, _api_error)
    flask.register_error_handler(HTTPException, _http_error)
    return flask


def _check_host() -> None:
    """Refuse a name that a web page may have pointed to this machine (DNS rebinding)."""
    host = urlsplit(f"//{request.host}").hostname or ""
    # A name without a dot, or with one of these at its end, is of this machine or its network.
    if "." not in host or host.endswith((".internal", ".local", ".localhost")):
        return
    try:
        ip_address(host)
    except ValueError:
        raise ApiError(421, "MisdirectedRequest", f"No host {host} is here.") from None


def _api_error(error: ApiError) -> tuple[Response, int]:
    return jsonify(error={"code": error.code, "message": error.message}), error.status


def _http_error(error: HTTPException) -> tuple[Response, int]:
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    return _api_error(ApiError(status, error.name.replace(" ", ""), error.description or ""))


class _Service:
    """The views; each is one operation of the API."""

    def __init__(self, parts: Parts) -> None:
        self._options = parts.options
        self._clock = parts.clock
        self._apps = parts.apps
        self._tokens = parts.tokens
        self._board = parts.board

    def issue_token(self, tenant: str) -> tuple[Response, int]:
        answer = self._tokens.issue(tenant, request.form)
        return jsonify(answer.body), answer.status

    def create_task(self, path: str, app_name: str, **place: str) -> Response:
        app = self._authorised(app_name, place)
        if path not in task_paths():
            raise ApiError(404, "NotFound", f"There is no export of {path}.")
        body = request.get_json(silent=True)
        try:
            asked = parse_body(path, body, max_range_days=self._options.max_range_days)
        except BadRequestError as error:
            raise ApiError(400, "BadRequest", str(error)) from error
        try:
            task = self._board.create(app.name, asked)
        except TooManyTasksError:
            return self._too_many()
        response = self._task_answer(task)
        response.status_code = HTTPStatus.ACCEPTED
        response.headers["Location"] = self._link(
            request.path.removesuffix(path) + task.id, {"api-version": _API_VERSION}
        )
        return self._with_retry_after(response)

    def list_tasks(self, app_name: str, **place: str) -> Response:
        app = self._authorised(app_name, place)
        timer = self._clock.elapsed()
        tasks = [task.answer(timer) for task in self._board.all(app.name)]
        try:
            rows = ordered(tasks, request.args.get("$orderby", "taskId"), _TASK_ORDER)
            page = page_by_skip(rows, request.args, default=_TASKS_PAGE, most=_TASKS_MOST)
        except BadQueryError as error:
            raise ApiError(400, "BadRequest", str(error)) from error
        # Documented: "This property is empty when there are no additional pages".
        return jsonify(value=page.value, nextLink=self._next_link(page) or "")

    def get_task(self, task_id: str, app_name: str, **place: str) -> Response:
        app = self._authorised(app_name, place)
        task = self._board.find(app.name, task_id)
        if task is None:
            raise ApiError(404, "NotFound", f"There is no export task {task_id}.")
        response = self._task_answer(task)
        return response if task.completed is not None else self._with_retry_after(response)

    def list_devices(self, app_name: str, **place: str) -> Response:
        app = self._authorised(app_name, place)
        moment = self._moment()
        layout, seen = Layout(self._options, moment), app.snapshots.last_seen(moment)
        try:
            asked = whole_number(request.args, "$top", self._options.device_page, 1, _MOST)
            keep = device_filter(request.args.get("$filter"))
            size = min(asked, self._options.device_page)  # "a greater value is ignored"
            rows: list[dict[str, Any]] = []
            for device in app.snapshots.devices(moment):
                if len(rows) > size:
                    break
                if keep(layout.id(device.id)):
                    last = seen.get(device.number)
                    answer = device_answer(layout, device, last, moment, details=False)
                    row = selected(answer, request.args.get("$select"))
                    rows += [] if row is None else [row]
        except BadQueryError as error:
            raise ApiError(400, "BadRequest", str(error)) from error
        following = None
        if len(rows) > size:
            # Documented: paging goes by a filter on the device id.
            last_id = rows[size - 1]["deviceId"]
            following = {**request.args, "$filter": f"deviceId gt '{last_id}'"}
        return self._list_answer(Page(rows[:size], following))

    def get_device(self, device_id: str, app_name: str, **place: str) -> Response:
        app = self._authorised(app_name, place)
        moment = self._moment()
        layout = Layout(self._options, moment)
        for device in app.snapshots.devices(moment):
            if layout.id(device.id) == device_id:
                seen = app.snapshots.last_seen(moment).get(device.number)
                return jsonify(device_answer(layout, device, seen, moment, details=True))
        raise ApiError(404, "NotFound", f"There is no device {device_id}.")

    def list_campaigns(self, kind: str, app_name: str, **place: str) -> Response:
        app = self._authorised(app_name, place)
        if kind not in _KINDS:
            raise ApiError(400, "BadRequest", f"kind must be one of {', '.join(_KINDS)}")
        moment, query = self._moment(), request.args
        rows = [
            _campaign_answer(campaign, moment)
            for campaign in app.snapshots.campaigns(moment)
            if campaign.type == _KINDS[kind]
        ]
        try:
            state = campaign_state(query.get("$filter"))
            search = query.get("$search", "").lower()
            found = [
                row
                for row in rows
                if state in (None, row["state"]) and search in row["name"].lower()
            ]
            found = ordered(found, query.get("$orderby", "id"), _CAMPAIGN_ORDER)
            page = page_by_skip(found, query, default=_MOST, most=_MOST)
        except BadQueryError as error:
            raise ApiError(400, "BadRequest", str(error)) from error
        return self._list_answer(page)

    def _authorised(self, app_name: str, place: dict[str, str]) -> App:
        """The app that a request is about, if it may be asked about."""
        if not self._tokens.accepts(request.headers.get("Authorization")):
            message = "The access token is missing, invalid or expired."
            raise ApiError(401, "AuthenticationFailed", message)
        version = request.args.get("api-version")
        if version is None:
            message = "The api-version query parameter (?api-version=) is required."
            raise ApiError(400, "MissingApiVersionParameter", message)
        if version != _API_VERSION:
            message = f"The api-version must be {_API_VERSION}."
            raise ApiError(400, "InvalidApiVersionParameter", message)
        options = self._options
        expected = {
            "subscription": options.subscription_id,
            "group": options.resource_group,
            "collection": options.app_collection,
        }
        for name, value in expected.items():
            if place[name] != value:
                raise ApiError(404, "ResourceNotFound", f"There is no {name} {place[name]}.")
        if app_name not in self._apps:
            raise ApiError(404, "ResourceNotFound", f"There is no app {app_name}.")
        return self._apps[app_name]

    def _moment(self) -> int:
        return nanoseconds(self._clock.now())

    def _task_answer(self, task: ExportTask) -> Response:
        return jsonify(task.answer(self._clock.elapsed()))

    def _list_answer(self, page: Page) -> Response:
        link = self._next_link(page)
        return jsonify({"value": page.value} | ({} if link is None else {"nextLink": link}))

    def _next_link(self, page: Page) -> str | None:
        return None if page.next_query is None else self._link(request.path, page.next_query)

    def _link(self, path: str, query: Mapping[str, str]) -> str:
        host = request.host_url.rstrip("/") if self._options.links == "absolute" else ""
        return f"{host}{quote(path)}?{urlencode(query)}"

    def _too_many(self) -> Response:
        status = self._options.too_many_status
        code = "Conflict" if status == 409 else "TooManyRequests"  # noqa: PLR2004
        response, _ = _api_error(ApiError(status, code, "Too many export tasks are running."))
        response.status_code = status
        return self._with_retry_after(response)

    def _with_retry_after(self, response: Response) -> Response:
        seconds = self._options.retry_after_seconds
        if self._options.retry_after == "seconds":
            response.headers["Retry-After"] = str(seconds)
        elif self._options.retry_after == "date":
            response.headers["Retry-After"] = http_date(
                self._clock.now() + timedelta(seconds=seconds)
            )
        return response


def _campaign_answer(campaign: Campaign, moment: int) -> dict[str, Any]:
    """A campaign as its list shows it (documented); dates only of what has happened."""
    answer: dict[str, Any] = {
        "id": campaign.id,
        "name": campaign.name,
        "state": campaign.state_at(moment),
    }
    if campaign.activated <= moment:
        answer["activatedDate"] = _date_time(campaign.activated)
        if campaign.finished is not None and campaign.finished <= moment:
            answer["finishedDate"] = _date_time(campaign.finished)
    return answer


def _date_time(moment: int) -> str:
    """As the campaigns list has it: ``yyyy-MM-ddTHH:mm:ssZ``."""
    return f"{datetime.fromtimestamp(moment // NANOSECONDS, UTC):%Y-%m-%dT%H:%M:%SZ}"
