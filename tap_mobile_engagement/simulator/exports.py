"""What an export task asks for, and which items that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.simulator.clock import DAY
from tap_mobile_engagement.simulator.data import midnight
from tap_mobile_engagement.simulator.device_answers import device_answer
from tap_mobile_engagement.simulator.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date

    from tap_mobile_engagement.simulator.apps import App
    from tap_mobile_engagement.simulator.options import Options
    from tap_mobile_engagement.simulator.snapshots import Campaign

_MINUTE = DAY // (24 * 60)


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """The body of a request for an export task, checked.

    Attributes:
        data_type: Name of the data type, as in ``datatypes``.
        container_url: Where to write.
        export_format: JsonBlob or CsvBlob.
        description: Whatever the client wants to recognise the task by.
        start: First day; None where the data type has no range.
        end: Last day or the day beyond it, as the option ``end_date`` says; likewise.
        campaign_type: Which campaigns, for push feedback.
        campaign_window: Start and end, nanoseconds since 1970, in which they are active.
        campaign_ids: Their numbers, where they are named instead.
    """

    data_type: str
    container_url: str
    export_format: str = "JsonBlob"
    description: str | None = None
    start: date | None = None
    end: date | None = None
    campaign_type: str | None = None
    campaign_window: tuple[int, int] | None = None
    campaign_ids: frozenset[int] | None = None

    @property
    def days(self) -> int:
        """Days from start to end; 0 without a range."""
        return 0 if self.start is None or self.end is None else (self.end - self.start).days

    def includes(self, campaign: Campaign) -> bool:
        """Whether push feedback of this campaign is asked for; by default of all."""
        if self.campaign_type not in (None, campaign.type):
            return False
        if self.campaign_ids is not None:
            return campaign.id in self.campaign_ids
        return self.campaign_window is None or campaign.active_in(*self.campaign_window)


Element = dict[str, Any] | msgspec.Raw


@dataclass(frozen=True)
class Content:
    """What goes into the files of an export: rows for CSV, elements for JSON.

    Attributes:
        columns: The header of a CSV file.
        elements: What is to be written, in order; can be read once. Raw text goes in as it is.
    """

    columns: list[str]
    elements: Iterator[Element]


def content_of(options: Options, app: App, request: ExportRequest, moment: int) -> Content:
    """Collect what an export writes that runs at ``moment`` (nanoseconds since 1970)."""
    layout = Layout(options, moment)
    items = _items(options, app, request, layout, moment)
    if request.export_format == "CsvBlob":
        if request.data_type == "devices":
            items = (_flat(device, options.tags_key) for device in items)
        elements = layout.rows(request.data_type, items)
    else:
        elements = layout.elements(request.data_type, items)
    return Content(layout.columns(request.data_type), iter(elements))


def _items(
    options: Options, app: App, request: ExportRequest, layout: Layout, moment: int
) -> Iterable[Any]:
    if BY_NAME[request.data_type].historical:
        assert request.start is not None  # noqa: S101  (checked with the body)
        assert request.end is not None  # noqa: S101
        offset = options.utc_offset_minutes * _MINUTE
        start, end = midnight(request.start) - offset, midnight(request.end) - offset
        if options.end_date == "inclusive":
            end += DAY
        select = app.by_arrival if options.selection == "arrival" else app.by_timestamp
        return select(request.data_type, start, end, moment)
    snapshots = app.snapshots
    if request.data_type == "push_feedback":
        return (
            feedback
            for campaign in snapshots.campaigns(moment)
            if request.includes(campaign)
            for feedback in snapshots.feedback(campaign, moment)
        )
    devices = snapshots.devices(moment)
    if request.data_type == "tags":
        return [device for device in devices if device.tags(moment) is not None]
    if request.data_type == "tokens":
        return (
            {"deviceId": layout.id(device.id), "token": token, "type": push}
            for device in devices
            for token, push in device.tokens(moment)
        )
    seen = snapshots.last_seen(moment)
    return (
        device_answer(layout, device, seen.get(device.number), moment, details=True)
        for device in devices
    )


def _flat(device: dict[str, Any], tags_key: str) -> dict[str, Any]:
    """A device's answer as one flat row."""
    row = {"deviceId": device["deviceId"], tags_key: device.get("appInfo")}
    for part in ("meta", "info", "location"):
        row |= device.get(part, {})
    return row
