"""The verbs of the Mobile Engagement REST API that the tap uses, and what its errors mean."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

import requests

from tap_mobile_engagement.api.http import TokenProvider, creation_uncertain
from tap_mobile_engagement.api.tasks import ExportTask, plain_id
from tap_mobile_engagement.clock import map_in_order
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import (
    Code,
    DataError,
    RetryLaterError,
    SettingsError,
    TapError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_mobile_engagement.api.http import Answer, Transport
    from tap_mobile_engagement.api.tasks import PendingExport
    from tap_mobile_engagement.settings import Settings

API_VERSION = "2014-12-01"  # the only one
TASK_PAGE = 40  # export tasks per page: the most that the service gives ($top)
EMPTY_PAGES = 100  # in a row, after which a list is taken for one without an end
MOST_PAGES = 100_000  # after which any list is; ten million devices have that many
DETAIL_REQUESTS = 8  # for device details, under way at once
# What the campaigns list calls each campaign type of push feedback.
CAMPAIGN_KINDS = {
    "Announcement": "announcements",
    "DataPush": "dataPushes",
    "NativePush": "nativePushes",
    "Poll": "polls",
}

_TASKS = "devices/exportTasks"
_REFUSALS = {
    401: (Code.AUTH_FAILED, "Check tenant_id, client_id and the service principal's rights"),
    403: (Code.ACCESS_DENIED, "Give the service principal a role on the app, if it is enabled"),
    404: (Code.APP_NOT_FOUND, "Check app_names, app_collection, resource_group, subscription"),
    413: (Code.TASK_TOO_LARGE, "Set a smaller window_days"),
}
_REJECTED = "Check the settings that name the app, the dates and the container URL"


class TaskRefusedError(RetryLaterError):
    """The service takes no further export task at the moment; it surely created none."""

    def __init__(self, said: str, retry_after: float | None = None, **where: object) -> None:
        super().__init__(
            Code.SERVICE_UNAVAILABLE,
            f"the service takes no further export task now: {said}",
            next_step="Run again later, or with fewer tasks at a time",
            **where,
        )
        self.retry_after = retry_after


class ServiceClient:
    """Speaks to the apps of one app collection; threads may share it."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self._collection_url = (
            f"{settings.api_url}/subscriptions/{quote(settings.subscription_id, safe='')}"
            f"/resourceGroups/{quote(settings.resource_group, safe='')}"
            "/providers/Microsoft.MobileEngagement"
            f"/appcollections/{quote(settings.app_collection, safe='')}/apps"
        )
        self.auth = TokenProvider(settings, transport)
        self._transport = transport

    def check_app(self, app: str) -> None:
        """Check credentials, rights and the app with one request that changes nothing."""
        self._get(app, self._url(app, _TASKS, **{"$top": 1}))

    def create_task(self, export: PendingExport, body: Mapping[str, str]) -> ExportTask:
        """Create an export task, by one POST that is never repeated once it may have worked."""
        data_type = BY_NAME[export.key.data_type]
        url = self._url(export.key.app, f"{_TASKS}/{data_type.task_path}")
        answer = self._send("POST", url, json=body)
        status, where = answer.status, answer.where
        if status in {HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS}:
            # Limits, or a conflict that passes: nothing was created.
            pause = answer.retry_after(self._transport.timing.now())
            raise TaskRefusedError(answer.extract(), pause, **where)
        if status == HTTPStatus.REQUEST_TIMEOUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # What broke down may have done so behind the creation.
            raise creation_uncertain(answer.extract()).at(**where)
        if not answer.ok:
            raise _refused(answer, rejected=Code.TASK_REJECTED)
        try:
            return self._task(answer)
        except DataError as error:
            # It was accepted all the same: there is a task, whose id we can't read.
            raise creation_uncertain(error.what).at(**where) from error

    def get_task(self, app: str, task_id: str) -> ExportTask | None:
        """Ask for a task; None if the service does not know it: not yet, or not any more."""
        answer = self._find(app, _TASKS, task_id, task=task_id)
        if answer is None:
            return None
        task = self._task(answer)
        if plain_id(task.id) != plain_id(task_id):
            what = f"the service was asked for an export task, and answered about {task.id}"
            raise DataError(Code.BAD_ANSWER, what).at(app=app, task=task_id)
        return task

    def list_tasks(self, app: str) -> Iterator[Any]:
        """All export tasks that the service lists, newest first, as they come."""
        return self._list(app, _TASKS, **{"$top": TASK_PAGE, "$orderby": "dateCreated desc"})

    def list_devices(self, app: str) -> Iterator[Any]:
        """All devices, with their ``meta`` and ``appInfo``, as they come."""
        return self._list(app, "devices")

    def get_device(self, app: str, device_id: str) -> dict[str, Any] | None:
        """A device with its technical data and location; None where it does not exist."""
        answer = self._find(app, "devices", device_id, device=device_id)
        return answer.json() if answer else None

    def list_devices_with_details(self, app: str) -> Iterator[Any]:
        """All devices, in the order of the list, with their details where they still exist."""
        add = partial(self._with_details, app)
        return map_in_order(add, self.list_devices(app), workers=DETAIL_REQUESTS)

    def list_campaigns(self, app: str, campaign_type: str) -> Iterator[Any]:
        """All push campaigns of a type, as they come, each with its type."""
        kind = CAMPAIGN_KINDS[campaign_type]
        for campaign in self._list(app, f"campaigns/{kind}"):
            is_object = isinstance(campaign, dict)
            yield {"campaignType": campaign_type, **campaign} if is_object else campaign

    def _with_details(self, app: str, listed: Any) -> Any:
        device_id = listed.get("deviceId") if isinstance(listed, dict) else None
        if not isinstance(device_id, str) or not _is_segment(device_id):
            return listed  # reading it will say what is wrong
        return {**listed, **(self.get_device(app, device_id) or {})}

    def _url(self, app: str, path: str, **query: object) -> str:
        # `$` stays as it is, as in the service's documentation.
        query = {"api-version": API_VERSION} | query
        text = urlencode(query, safe="$", quote_via=quote)
        return f"{self._collection_url}/{path_segment(app)}/{path}?{text}"

    def _list(self, app: str, path: str, **query: object) -> Iterator[Any]:
        url = marked = _prepared(self._url(app, path, **query))
        pages = empty_pages = 0
        while True:
            answer = self._get(app, url)
            page = answer.json()
            items = page.get("value")
            if not isinstance(items, list):
                what = "a list has no value array"
                raise DataError(Code.BAD_ANSWER, what).at(app=app, **answer.where)
            yield from items
            link = page.get("nextLink")
            if not link:
                return
            url = self._resolved(str(link), base=url)
            pages += 1
            empty_pages = 0 if items else empty_pages + 1
            if url == marked or pages >= MOST_PAGES or empty_pages >= EMPTY_PAGES:
                what = f"the pages of a list lead in circles, or have no end: {pages} so far"
                raise DataError(Code.BAD_ANSWER, what).at(app=app)
            if not pages & (pages - 1):
                marked = url  # a circle comes back to it before there are thrice as many pages

    def _resolved(self, link: str, *, base: str) -> str:
        """The URL of a link, absolute or relative; BAD_ANSWER where no token may be sent."""
        try:
            url = _prepared(urljoin(base, link))
            session: Any = self._transport.session
            is_elsewhere = session.should_strip_auth(base, url)  # (not from http to https)
        except (requests.RequestException, ValueError):
            what = f"the service links to what is no URL: {link!r}"
            raise DataError(Code.BAD_ANSWER, what) from None
        parts = urlsplit(url)
        if is_elsewhere or parts.scheme != urlsplit(base).scheme:
            raise DataError(
                Code.BAD_ANSWER,
                f"the service links to another host, where no token is sent: {parts.netloc}",
                next_step="Check that api_url is the name that the service gives itself",
            )
        if not any(name == "api-version" for name, _ in parse_qsl(parts.query)):
            query = "&".join(filter(None, (parts.query, f"api-version={API_VERSION}")))
            parts = parts._replace(query=query)
        return parts._replace(fragment="").geturl()

    def _get(self, app: str, url: str, **where: object) -> Answer:
        answer = self._send("GET", url)
        if answer.ok:
            return answer
        raise _refused(answer).at(app=app, **where)

    def _find(self, app: str, path: str, name: str, **where: object) -> Answer | None:
        try:
            return self._get(app, self._url(app, f"{path}/{path_segment(name)}"), **where)
        except SettingsError as error:
            if error.code is Code.APP_NOT_FOUND:  # a 404
                return None
            raise

    def _send(self, method: str, url: str, **options: Any) -> Answer:
        """Send with a token; once more with another if it is rejected, which did nothing."""

        def send(token: str) -> Answer:
            headers = {"Accept": "application/json", "Authorization": f"Bearer {token}"}
            creates = method == "POST"
            return self._transport.send(
                method, url, creates=creates, headers=headers, **options
            )

        token = self.auth.token()
        answer = send(token)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            answer = send(self.auth.token(rejected=token))
        return answer

    def _task(self, answer: Answer) -> ExportTask:
        pause = answer.retry_after(self._transport.timing.now())
        return ExportTask.from_answer(answer.json(), retry_after=pause)


def path_segment(text: str) -> str:
    """Quote a name or an id for a URL's path; DataError BAD_ANSWER if it is a step in one."""
    if not _is_segment(text):
        what = f"{text!r} can't be a name in the service's URLs"
        raise DataError(Code.BAD_ANSWER, what)
    return quote(text, safe="")


def _is_segment(text: str) -> bool:
    has_surrogates = any("\ud800" <= char <= "\udfff" for char in text)
    return text not in {"", ".", ".."} and not has_surrogates


def _prepared(url: str) -> str:
    return requests.Request("GET", url).prepare().url or ""


def _refused(answer: Answer, *, rejected: Code = Code.BAD_SETTING) -> TapError:
    """The error for an answer that is not ``ok``; a bad request has the code ``rejected``."""
    where = answer.where
    if answer.status < HTTPStatus.BAD_REQUEST:
        return DataError(
            Code.BAD_ANSWER,
            "the service redirects to another address, and no access token is sent there",
            next_step="Check that api_url points to the service itself",
            location=answer.headers.get("Location"),
            **where,
        )
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        what = f"the service failed: {answer.extract()}"
        step = "Run again later; the state tells where to continue"
        return RetryLaterError(Code.SERVICE_UNAVAILABLE, what, next_step=step, **where)
    code, step = _REFUSALS.get(answer.status, (rejected, _REJECTED))
    what = f"the service does not accept the request: {answer.extract()}"
    return SettingsError(code, what, next_step=step, **where)
