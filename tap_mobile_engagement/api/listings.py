"""What the API lists itself: devices, campaigns, export tasks. No task writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.api.client import CAMPAIGN_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_mobile_engagement.api.client import ServiceClient
    from tap_mobile_engagement.settings import Settings

DETAIL_REQUESTS = 8
"""Requests for device details that may be under way at once."""


def listing(
    name: str, app: str, client: ServiceClient, settings: Settings
) -> Callable[[], Iterator[Any]]:
    """The elements of a data type that is listed, each as the service gives it.

    Args:
        name: Name of the data type.
        app: The app.
        client: The REST API; it is asked as the elements are read.
        settings: Which campaigns, and whether to ask for details of devices.
    """

    def campaigns() -> Iterator[Any]:
        for campaign_type in settings.campaign_types:
            for campaign in client.list_campaigns(app, CAMPAIGN_KINDS[campaign_type]):
                is_object = isinstance(campaign, dict)
                yield {"campaignType": campaign_type, **campaign} if is_object else campaign

    def devices() -> Iterator[Any]:
        if settings.device_details:
            return client.list_devices_with_details(app, workers=DETAIL_REQUESTS)
        return client.list_devices(app)

    return {
        "devices": devices,
        "campaigns": campaigns,
        "export_tasks": lambda: client.list_tasks(app),
    }[name]
