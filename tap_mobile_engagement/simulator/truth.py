"""The truth about an app's data: what a perfect tap would emit, record by record.

It is written down from the data itself, not read back from files, so that it can judge every
reader of them. Field names are those of the record Structs in ``datatypes``; date-times are in
the normal form of records: UTC, ``YYYY-MM-DDTHH:MM:SS``, a fraction of 0, 3, 6 or 9 digits (the
fewest that hold the value), ``Z``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.simulator import vocabulary
from tap_mobile_engagement.simulator.clock import NANOSECONDS
from tap_mobile_engagement.simulator.data import midnight
from tap_mobile_engagement.simulator.layout import dashed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date

    from tap_mobile_engagement.simulator.apps import App
    from tap_mobile_engagement.simulator.data import Log, Span
    from tap_mobile_engagement.simulator.devices import Device
    from tap_mobile_engagement.simulator.options import Options
    from tap_mobile_engagement.simulator.snapshots import Feedback

Record = dict[str, Any]

_MILLISECOND = NANOSECONDS // 1000


class Truth:
    """Exact records of one app at one time.

    Args:
        options: How ids show; records keep them as they came.
        app: The data.
        moment: The present, in nanoseconds since 1970; what arrives later is not there.
    """

    def __init__(self, options: Options, app: App, moment: int) -> None:
        self._options = options
        self._app = app
        self._moment = moment
        self._items: dict[str, Callable[[Any], Record]] = {
            "activities": self._activity,
            "events": self._event,
            "errors": self._event,
            "crashes": self._crash,
            "sessions": self._session,
            "jobs": self._job,
        }

    def records(self, data_type: str, start: date, end: date) -> Iterator[Record]:
        """All records of a data type.

        Args:
            data_type: Name of a data type, as in ``datatypes``.
            start: First day, in UTC, of what carries a time; snapshots are told whole.
            end: First day beyond.

        Raises:
            KeyError: If there is no such data type.
        """
        if BY_NAME[data_type].historical:
            items = self._app.by_timestamp(
                data_type, midnight(start), midnight(end), self._moment
            )
            return map(self._items[data_type], items)
        snapshots: dict[str, Callable[[], Iterator[Record]]] = {
            "push_feedback": self._push_feedback,
            "tags": self._tags,
            "tokens": self._tokens,
            "devices": self._devices,
        }
        return snapshots[data_type]()

    def _id(self, digits: str | None) -> str | None:
        if digits is None or self._options.id_format == "hex":
            return digits
        return dashed(digits)

    def _activity(self, log: Log) -> Record:
        return {
            "session_id": self._id(log.session_id),
            "name": log.name,
            "timestamp": normal_time(log.timestamp),
            "extras": log.extras,
        }

    def _event(self, log: Log) -> Record:
        return {
            "device_id": self._id(log.device.id),
            "session_id": self._id(log.session_id),
            "name": log.name,
            "timestamp": normal_time(log.timestamp),
            "info_id": self._id(log.info_id),
            "location_id": self._id(log.location_id),
            "extras": log.extras,
        }

    def _crash(self, log: Log) -> Record:
        record = self._event(log)
        del record["name"]
        return record | {
            "crash_id": self._id(log.crash_id),
            "type": log.crash_type,
            "stack_trace": log.stack_trace,
        }

    def _session(self, span: Span) -> Record:
        return {
            "session_id": self._id(span.id),
            "device_id": self._id(span.device.id),
            "started_at": normal_time(span.start),
            "ended_at": self._end(span),
            "info_id": self._id(span.info_id),
            "location_id": self._id(span.location_id),
        }

    def _job(self, span: Span) -> Record:
        return {
            "job_id": self._id(span.id),
            "device_id": self._id(span.device.id),
            "name": span.name,
            "started_at": normal_time(span.start),
            "ended_at": self._end(span),
            "info_id": self._id(span.info_id),
            "extras": span.extras,
        }

    def _end(self, span: Span) -> str | None:
        end = span.end_known_at(self._moment)
        return None if end is None else normal_time(end)

    def _push_feedback(self) -> Iterator[Record]:
        for campaign in self._app.snapshots.campaigns(self._moment):
            for feedback in self._app.snapshots.feedback(campaign, self._moment):
                yield self._one_feedback(feedback)

    def _one_feedback(self, feedback: Feedback) -> Record:
        return {
            "device_id": self._id(feedback.device.id),
            "user_id": feedback.user_id if self._options.user_ids else None,
            "campaign_type": feedback.campaign.type,
            "campaign_id": feedback.campaign.id,
            "status": feedback.status,
        }

    def _tags(self) -> Iterator[Record]:
        for device in self._app.snapshots.devices(self._moment):
            tags = device.tags(self._moment)
            if tags is not None:
                yield {"device_id": self._id(device.id), "tags": tags}

    def _tokens(self) -> Iterator[Record]:
        for device in self._app.snapshots.devices(self._moment):
            for token, push in device.tokens(self._moment):
                yield {"device_id": self._id(device.id), "token": token, "token_type": push}

    def _devices(self) -> Iterator[Record]:
        last_seen = self._app.snapshots.last_seen(self._moment)
        for device in self._app.snapshots.devices(self._moment):
            yield self._device(device, last_seen.get(device.number, device.first_seen))

    def _device(self, device: Device, last_seen: int) -> Record:
        info_time = device.info_time(self._moment)
        phone, place = device.phone, device.place
        code, name = device.version(self._moment)
        return {
            "device_id": self._id(device.id),
            "first_seen": _milliseconds(device.first_seen),
            "last_seen": _milliseconds(last_seen),
            "last_info": _milliseconds(info_time),
            "last_location": _milliseconds(info_time) if device.located else None,
            "native_push_enabled": bool(device.tokens(self._moment)),
            "tags": device.tags(self._moment),
            "android_api_level": phone.android_api_level,
            "application_version_code": code,
            "application_version_name": name,
            "carrier_country": None if device.carrier is None else place.country.lower(),
            "carrier_name": device.carrier,
            "firmware_name": phone.firmware_name,
            "firmware_version": phone.firmware_version,
            "locale": place.locale,
            "network_subtype": device.network[1],
            "network_type": device.network[0],
            "phone_manufacturer": phone.manufacturer,
            "phone_model": phone.model,
            "service_version": vocabulary.SDK_VERSION,
            "time_zone_offset": place.utc_offset_minutes,
            "country_code": place.country if device.located else None,
            "region": place.region if device.located else None,
            "locality": place.locality if device.located else None,
        }


def normal_time(moment: int) -> str:
    """A time (nanoseconds since 1970) in the normal form of records."""
    second, fraction = divmod(moment, NANOSECONDS)
    text = datetime.fromtimestamp(second, UTC).isoformat()[: len("2016-05-01T08:00:00")]
    for digits in (0, 3, 6, 9):
        whole, rest = divmod(fraction, 10 ** (9 - digits))
        if not rest:
            break
    return f"{text}.{whole:0{digits}d}Z" if digits else f"{text}Z"


def _milliseconds(moment: int) -> str:
    """A time that the devices API answers: it has no more than milliseconds."""
    return normal_time(moment // _MILLISECOND * _MILLISECOND)
