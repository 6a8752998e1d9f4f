"""The verbs of the Mobile Engagement REST API that the tap uses."""

from __future__ import annotations

import logging
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec

from tap_mobile_engagement.api import failures
from tap_mobile_engagement.api.auth import BearerAuth
from tap_mobile_engagement.api.paging import (
    API_VERSION,
    PageGuard,
    path_segment,
    resolve_link,
)
from tap_mobile_engagement.api.tasks import ExportTask
from tap_mobile_engagement.api.transport import AnswerLostError
from tap_mobile_engagement.background import map_in_order
from tap_mobile_engagement.errors import Code, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_mobile_engagement.api.answers import Answer
    from tap_mobile_engagement.api.auth import TokenProvider
    from tap_mobile_engagement.api.tasks import PendingExport
    from tap_mobile_engagement.api.transport import Transport

TASK_PAGE = 40
"""Export tasks per page: the most that the service gives (``$top``)."""

CAMPAIGN_KINDS = {
    "Announcement": "announcements",
    "DataPush": "dataPushes",
    "NativePush": "nativePushes",
    "Poll": "polls",
}
"""What the campaigns list calls each campaign type of push feedback."""

_TASKS = "devices/exportTasks"
_JSON = {"Content-Type": "application/json"}

log = logging.getLogger(__name__)


class ServiceClient:
    """Speaks to the apps of one app collection; safe to share between threads.

    All methods that send a request raise, besides what they name themselves:

    - SettingsError ``AUTH_FAILED``: the credentials are refused, a renewed token too;
    - SettingsError ``ACCESS_DENIED``: they are good, but not for this;
    - SettingsError ``BAD_SETTING``: the service can't be addressed like this;
    - SettingsError ``APP_NOT_FOUND``: there is no such app;
    - RetryLaterError ``SERVICE_UNAVAILABLE``: it could not be reached, in all tries;
    - DataError ``BAD_ANSWER``: it answered something else than the API's description says.
    """

    def __init__(
        self,
        *,
        api_url: str,
        subscription_id: str,
        resource_group: str,
        app_collection: str,
        auth: TokenProvider,
        transport: Transport,
    ) -> None:
        self._api_url = api_url.rstrip("/")
        self._collection_url = (
            f"{self._api_url}/subscriptions/{quote(subscription_id, safe='')}"
            f"/resourceGroups/{quote(resource_group, safe='')}"
            "/providers/Microsoft.MobileEngagement"
            f"/appcollections/{quote(app_collection, safe='')}/apps"
        )
        self._auth = auth
        self._transport = transport

    def check_credentials(self) -> None:
        """Make sure that the credentials are good for an access token."""
        self._auth.token()

    def check_app(self, app: str) -> None:
        """Check credentials, rights and the app with one request that changes nothing."""
        self._get(app, self._url(app, _TASKS, {"$top": 1}))

    def create_task(self, export: PendingExport, body: Mapping[str, str]) -> ExportTask:
        """Create an export task, by one POST that is never repeated once it may have worked.

        Raises:
            TaskRefusedError: The service has too much to do; nothing was created.
            RetryLaterError: ``TASK_CREATION_UNCERTAIN`` if the answer was lost, or came from
                something that broke down.
            SettingsError: ``TASK_REJECTED`` or ``TASK_TOO_LARGE``.
        """
        url = self._url(export.key.app, export.path)
        try:
            answer = self._send("POST", url, body=msgspec.json.encode(body), repeatable=False)
        except AnswerLostError as error:
            raise failures.creation_uncertain(str(error)).at(**export.where) from error
        if not answer.ok:
            failure = failures.of_creation(answer, self._retry_after(answer))
            raise failure.at(**export.where)
        try:
            return self._task(answer)
        except DataError as error:
            # It was accepted all the same: there is a task, whose id we can't read.
            failure = failures.creation_uncertain(error.what).at(**answer.where)
            raise failure.at(**export.where) from error

    def get_task(self, app: str, task_id: str) -> ExportTask:
        """Ask for a task.

        Raises:
            RetryLaterError: ``TASK_LOST`` if the service does not know it: not yet, or not
                any more.
        """
        url = self._url(app, f"{_TASKS}/{path_segment(task_id)}")
        answer = self._send("GET", url)
        if answer.status == HTTPStatus.NOT_FOUND:
            raise failures.task_not_found(answer).at(app=app, task=task_id)
        if not answer.ok:
            raise failures.of_any(answer).at(app=app, task=task_id)
        return self._task(answer)

    def list_tasks(self, app: str) -> Iterator[Any]:
        """All export tasks that the service lists, newest first, as they come."""
        return self._list(app, _TASKS, {"$top": TASK_PAGE, "$orderby": "dateCreated desc"})

    def list_devices(self, app: str) -> Iterator[Any]:
        """All devices, with their ``meta`` and ``appInfo``, as they come."""
        return self._list(app, "devices")

    def get_device(self, app: str, device_id: str) -> dict[str, Any] | None:
        """A device with its technical data and location; None where it does not exist."""
        answer = self._send("GET", self._url(app, f"devices/{path_segment(device_id)}"))
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if not answer.ok:
            raise failures.of_any(answer).at(app=app, device=device_id)
        return _object(answer)

    def list_devices_with_details(self, app: str, *, workers: int = 8) -> Iterator[Any]:
        """All devices, in the order of the list, each with its details.

        A device that disappears between the list and the request for its details, or that has
        no id to ask for, is given as the list had it. So many requests for details may be under
        way at a time as there are workers.
        """
        devices = self.list_devices(app)
        return map_in_order(partial(self._with_details, app), devices, workers=workers)

    def list_campaigns(self, app: str, kind: str) -> Iterator[Any]:
        """All push campaigns of a kind (a value of :data:`CAMPAIGN_KINDS`), as they come."""
        return self._list(app, f"campaigns/{path_segment(kind)}")

    def _with_details(self, app: str, listed: Any) -> Any:
        device_id = listed.get("deviceId") if isinstance(listed, dict) else None
        if not isinstance(device_id, str) or device_id in {"", ".", ".."}:
            return listed  # reading it will say what is wrong
        device = self.get_device(app, device_id)
        if device is None:
            log.info("app %s: device %s is gone since it was listed", app, device_id)
        return {**listed, **(device or {})}

    def _url(self, app: str, path: str, query: Mapping[str, object] | None = None) -> str:
        # `$` stays as it is, as in the service's documentation.
        text = urlencode(
            {"api-version": API_VERSION, **(query or {})}, safe="$", quote_via=quote
        )
        return f"{self._collection_url}/{path_segment(app)}/{path}?{text}"

    def _list(
        self, app: str, path: str, query: Mapping[str, object] | None = None
    ) -> Iterator[Any]:
        url = self._url(app, path, query)
        guard = PageGuard(url)
        while True:
            answer = self._get(app, url)
            page = _object(answer)
            items = page.get("value")
            if not isinstance(items, list):
                what = "a list has no value array"
                raise DataError(Code.BAD_ANSWER, what).at(app=app, **answer.where)
            yield from items
            link = page.get("nextLink")
            if not link:
                return
            url = resolve_link(str(link), base=url, api_url=self._api_url)
            guard.follow(url, items=len(items))

    def _get(self, app: str, url: str) -> Answer:
        answer = self._send("GET", url)
        if answer.ok:
            return answer
        if answer.status == HTTPStatus.NOT_FOUND:
            raise failures.app_not_found(answer).at(app=app)
        raise failures.of_any(answer).at(app=app)

    def _send(
        self, method: str, url: str, *, body: bytes | None = None, repeatable: bool = True
    ) -> Answer:
        """Send with a token; once more with another one where it is rejected.

        A rejected request did nothing, so that holds for those not repeatable as well.
        """
        headers = {"Accept": "application/json", **(_JSON if body is not None else {})}
        send = partial(
            self._transport.send, method, url, body=body, headers=headers, repeatable=repeatable
        )
        token = self._auth.token()
        answer = send(sign=BearerAuth(token))
        if answer.status == HTTPStatus.UNAUTHORIZED:
            answer = send(sign=BearerAuth(self._auth.token(rejected=token)))
        return answer

    def _task(self, answer: Answer) -> ExportTask:
        return ExportTask.from_answer(answer.json(), retry_after=self._retry_after(answer))

    def _retry_after(self, answer: Answer) -> float | None:
        return answer.retry_after(self._transport.timing.now())


def _object(answer: Answer) -> dict[str, Any]:
    content = answer.json()
    if not isinstance(content, dict):
        raise DataError(Code.BAD_ANSWER, "the answer is not a JSON object").at(**answer.where)
    return content
