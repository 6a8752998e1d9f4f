"""A small client of the simulator's API, without retries or any other mercy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import requests

from tap_mobile_engagement.datatypes import BY_NAME

if TYPE_CHECKING:
    from tap_mobile_engagement.simulator import Simulator

TIMEOUT = 30  # seconds


class Client:
    """Asks one simulator about one app, with a good token."""

    def __init__(self, simulator: Simulator, app: str = "shop") -> None:
        self.simulator = simulator
        options = simulator.options
        self.base = (
            f"/subscriptions/{options.subscription_id}/resourceGroups/{options.resource_group}"
            "/providers/Microsoft.MobileEngagement"
            f"/appcollections/{options.app_collection}/apps/{app}"
        )
        self.headers = {"Authorization": f"Bearer {self.token().json().get('access_token')}"}

    def token(self, **changes: str) -> requests.Response:
        options = self.simulator.options
        form = {
            "grant_type": "client_credentials",
            "client_id": options.client_id,
            "client_secret": options.client_secret,
            "resource": "https://management.core.windows.net/",
        }
        tenant = changes.pop("tenant", options.tenant_id)
        return requests.post(
            f"{self.simulator.url}/{tenant}/oauth2/token", data=form | changes, timeout=TIMEOUT
        )

    def send(
        self, method: str, path: str, query: dict[str, Any] | None = None, **more: Any
    ) -> requests.Response:
        return requests.request(
            method,
            self.simulator.url + self.base + path,
            params={"api-version": "2014-12-01"} | (query or {}),
            headers=more.pop("headers", self.headers),
            timeout=TIMEOUT,
            **more,
        )

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.send("GET", path, {f"${name}": value for name, value in query.items()})

    def follow(self, link: str) -> requests.Response:
        """Get a Location or nextLink, absolute or relative."""
        return requests.get(
            urljoin(self.simulator.url, link), headers=self.headers, timeout=TIMEOUT
        )

    def create(self, data_type: str, container_url: str, **changes: Any) -> requests.Response:
        """Ask for an export of the first two weeks of May 2016, or of what the changes say."""
        return self.send(
            "POST",
            f"/devices/exportTasks/{BY_NAME[data_type].task_path}",
            json=body(data_type, container_url) | changes,
        )

    def export(self, data_type: str, container_url: str, **changes: Any) -> dict[str, Any]:
        """Have an export done by a simulator whose tasks take no time; its last answer."""
        created = self.create(data_type, container_url, **changes)
        assert created.status_code == 202, created.text
        answer: dict[str, Any] = self.follow(created.headers["Location"]).json()
        return answer

    def control(self, method: str, path: str, **more: Any) -> requests.Response:
        """Use one of the simulator's own endpoints."""
        url = f"{self.simulator.url}/_simulator{path}"
        return requests.request(method, url, timeout=TIMEOUT, **more)


def body(data_type: str, container_url: str) -> dict[str, Any]:
    """The body of a request for an export task."""
    fields = {"containerUrl": container_url, "exportFormat": "JsonBlob"}
    if BY_NAME[data_type].historical:
        return fields | {"startDate": "2016-05-01", "endDate": "2016-05-14"}
    if data_type == "push_feedback":
        window = {
            "campaignWindowStart": "2016-05-01T00:00:00Z",
            "campaignWindowEnd": "2016-06-01T00:00:00Z",
        }
        return fields | {"campaignType": "Announcement"} | window
    return fields
