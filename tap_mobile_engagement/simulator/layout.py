"""Items as the fields of an export file: names, times, ids, tags.

The JSON form of activities, events, sessions, jobs, push feedback and tokens is Microsoft's
(the export schema of its REST API description); that of errors, crashes, tags and devices is
inferred, and every CSV layout is an assumption of ours.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.simulator import vocabulary
from tap_mobile_engagement.simulator.clock import NANOSECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_mobile_engagement.simulator.data import Log, Span
    from tap_mobile_engagement.simulator.devices import Device
    from tap_mobile_engagement.simulator.options import Options
    from tap_mobile_engagement.simulator.snapshots import Feedback

Fields = dict[str, Any]

_MILLISECOND = NANOSECONDS // 1000
_MINUTE = 60 * NANOSECONDS
_ZERO_ID = "0" * 32
_OFFSET_MINUTES = 120  # of the time format that names a zone other than UTC
_EXTRA_EVERY = 3  # one element in three carries the undocumented fields

COLUMNS = {
    "activities": "sessionId name timestamp extras",
    "events": "deviceId name timestamp infoId sessionId locationId extras",
    "errors": "deviceId name timestamp infoId sessionId locationId extras",
    "crashes": "deviceId crashId timestamp infoId sessionId locationId type stackTrace extras",
    "sessions": "sessionId deviceId start end infoId locationId",
    "jobs": "jobId name deviceId infoId start end extras",
    "push_feedback": "deviceId campaignType campaignId status",
    "tags": "deviceId tags",
    "tokens": "deviceId token type",
    "devices": (
        "deviceId firstSeen lastSeen lastInfo lastLocation nativePushEnabled tags "
        "androidAPILevel applicationVersionCode applicationVersionName carrierCountry "
        "carrierName firmwareName firmwareVersion locale networkSubtype networkType "
        "phoneManufacturer phoneModel serviceVersion timeZoneOffset countrycode region locality"
    ),
}
"""The columns of a CSV file, by data type; an assumption."""


class Layout:
    """How items show in files under the given options.

    Args:
        options: The switches for times, ids, tags and extra fields.
        moment: The present: an end that arrives later is not there. Nanoseconds since 1970.
    """

    def __init__(self, options: Options, moment: int) -> None:
        self._options = options
        self._moment = moment
        self.time = _time_formatter(options)
        self._items: dict[str, Callable[[Any], Fields]] = {
            "activities": self._activity,
            "events": self._event,
            "errors": self._event,
            "crashes": self._crash,
            "sessions": self._session,
            "jobs": self._job,
            "push_feedback": self._feedback,
            "tags": self._tags,
            "tokens": lambda row: row,
            "devices": lambda row: row,
        }

    def id(self, digits: str) -> str:
        """An id as files show it, from its 32 hex digits."""
        return dashed(digits) if self._options.id_format == "dashed" else digits

    def columns(self, data_type: str) -> list[str]:
        """The columns of a CSV file."""
        columns = COLUMNS[data_type].split()
        if self._options.tags_key != "tags":
            columns = [self._options.tags_key if name == "tags" else name for name in columns]
        if data_type == "push_feedback" and self._options.user_ids:
            columns.append("userId")
        return columns + (list(vocabulary.UNDOCUMENTED) if self._options.extra_fields else [])

    def rows(self, data_type: str, items: Iterable[Any]) -> Iterator[Fields]:
        """Every item with all its fields, those of its group included."""
        for group, members in self._groups(data_type, items):
            yield from (group | member for member in members)

    def elements(self, data_type: str, items: Iterable[Any]) -> Iterator[Fields]:
        """The elements of a JSON file: groups with their items, or items that have no group."""
        list_key = BY_NAME[data_type].group_list
        if list_key is None or self._options.grouping == "flat":
            yield from self.rows(data_type, items)
            return
        for group, members in self._groups(data_type, items):
            yield group | {list_key: list(members)}

    def _groups(
        self, data_type: str, items: Iterable[Any]
    ) -> Iterator[tuple[Fields, Iterator[Fields]]]:
        """Items in their groups; a group ends where the items of another one begin."""
        fields = self._items[data_type]
        if self._options.extra_fields:
            fields = _with_undocumented(fields)
        match BY_NAME[data_type].group_key:
            case "session_id":
                for session_id, logs in groupby(items, key=lambda log: log.session_id):
                    yield {"sessionId": self.id(session_id)}, map(fields, logs)
            case "device_id":
                for device_id, logs in groupby(items, key=lambda log: log.device.id):
                    yield {"deviceId": self.id(device_id)}, map(fields, logs)
            case _:
                yield {}, map(fields, items)

    def _activity(self, log: Log) -> Fields:
        fields: Fields = {"name": log.name, "timestamp": self.time(log.timestamp)}
        return fields if log.extras is None else fields | {"extras": log.extras}

    def _event(self, log: Log) -> Fields:
        fields: Fields = {"name": log.name, "timestamp": self.time(log.timestamp)}
        return self._add_context(fields, log)

    def _crash(self, log: Log) -> Fields:
        fields: Fields = {
            "crashId": self.id(log.crash_id),
            "timestamp": self.time(log.timestamp),
        }
        if log.crash_type is not None:
            fields |= {"type": log.crash_type, "stackTrace": log.stack_trace}
        return self._add_context(fields, log)

    def _add_context(self, fields: Fields, log: Log) -> Fields:
        fields["infoId"] = self.id(log.info_id)
        self._add_id(fields, "sessionId", log.session_id, log.timestamp)
        self._add_id(fields, "locationId", log.location_id, log.timestamp)
        if log.extras is not None:
            fields["extras"] = log.extras
        return fields

    def _add_id(self, fields: Fields, key: str, digits: str | None, moment: int) -> None:
        """Add an id, or what stands for one that there is not."""
        if digits is not None:
            fields[key] = self.id(digits)
            return
        form: str = self._options.no_id
        if form == "mixed":
            form = ("zero", "missing", "null", "empty")[moment // _MILLISECOND % 4]
        if form != "missing":
            fields[key] = {"zero": self.id(_ZERO_ID), "null": None, "empty": ""}[form]

    def _session(self, span: Span) -> Fields:
        fields = {"sessionId": self.id(span.id), "deviceId": self.id(span.device.id)}
        self._add_times(fields, span)
        fields["infoId"] = self.id(span.info_id)
        self._add_id(fields, "locationId", span.location_id, span.start)
        return fields

    def _job(self, span: Span) -> Fields:
        fields: Fields = {
            "jobId": self.id(span.id),
            "name": span.name,
            "deviceId": self.id(span.device.id),
            "infoId": self.id(span.info_id),
        }
        self._add_times(fields, span)
        return fields if span.extras is None else fields | {"extras": span.extras}

    def _add_times(self, fields: Fields, span: Span) -> None:
        fields["start"] = self.time(span.start)
        end = span.end_known_at(self._moment)
        if end is not None:
            fields["end"] = self.time(end)

    def _feedback(self, feedback: Feedback) -> Fields:
        fields = {
            "deviceId": self.id(feedback.device.id),
            "campaignType": feedback.campaign.type,
            "campaignId": feedback.campaign.id,
            "status": feedback.status,
        }
        if self._options.user_ids and feedback.user_id is not None:
            fields["userId"] = feedback.user_id
        return fields

    def _tags(self, device: Device) -> Fields:
        return {
            "deviceId": self.id(device.id),
            self._options.tags_key: device.tags(self._moment) or {},
        }


@lru_cache(maxsize=1 << 14)
def dashed(digits: str) -> str:
    """A GUID with dashes from its 32 hex digits; neighbouring items share theirs."""
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _with_undocumented(fields: Callable[[Any], Fields]) -> Callable[[Any], Fields]:
    number = 0

    def with_undocumented(item: Any) -> Fields:
        nonlocal number
        number += 1
        return fields(item) | ({} if number % _EXTRA_EVERY else vocabulary.UNDOCUMENTED)

    return with_undocumented


@lru_cache(maxsize=1 << 12)
def _minute(minute: int) -> str:
    """Date and time up to the minute, without seconds; many times share one."""
    return datetime.fromtimestamp(minute * 60, UTC).isoformat()[: len("2016-05-01T08:00:")]


def _time_formatter(options: Options) -> Callable[[int], str | int]:
    """Choose how a time (nanoseconds since 1970) shows in a file."""
    if options.time_format == "epoch_ms":
        return lambda moment: moment // _MILLISECOND
    digits, step = options.time_digits, options.precision
    zones = {"z": "Z", "no_zone": "", "space": "", "offset": "+02:00"}
    zone = zones[options.time_format]
    shift = _OFFSET_MINUTES * _MINUTE if options.time_format == "offset" else 0

    def format_time(moment: int) -> str:
        minute, rest = divmod(moment + shift, _MINUTE)
        second, fraction = divmod(rest, NANOSECONDS)
        text = f"{_minute(minute)}{second:02d}"
        if digits:
            text += f".{fraction // step:0{digits}d}"
        return text + zone

    if options.time_format == "space":
        return lambda moment: format_time(moment).replace("T", " ")
    return format_time
