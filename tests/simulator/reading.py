"""A reader of export files that takes its time: the whole file at once, by the book.

It knows from the options how a file was written, and shares no code with the tap.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tap_mobile_engagement.simulator import Options

_NAMES = {
    "sessionId": "session_id",
    "deviceId": "device_id",
    "infoId": "info_id",
    "locationId": "location_id",
    "crashId": "crash_id",
    "jobId": "job_id",
    "userId": "user_id",
    "campaignType": "campaign_type",
    "campaignId": "campaign_id",
    "stackTrace": "stack_trace",
    "start": "started_at",
    "end": "ended_at",
    "appInfo": "tags",
}
_IDS = {"session_id", "device_id", "info_id", "location_id", "crash_id", "job_id"}
_TIMES = {"timestamp", "started_at", "ended_at"}
_JSON_TEXT = {"extras", "tags", "status"}
_ZERO_IDS = {"", "0" * 32, "00000000-0000-0000-0000-000000000000"}


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def records_in(
    folder: Path,
    options: Options,
    data_type: str,
    fields: Iterable[str],
    *,
    as_csv: bool = False,
) -> list[dict[str, Any]]:
    """All records of a folder of export files, with the given fields."""
    rows: list[dict[str, Any]] = []
    for path in files_in(folder):
        text = _text(path.read_bytes(), options)
        rows += _csv_rows(text, options) if as_csv else _json_rows(text, options)
    return [_record(row, options, data_type, list(fields)) for row in rows]


def sorted_records(records: Iterable[dict[str, Any]]) -> list[str]:
    """Records in an order and a form that can be compared."""
    return sorted(json.dumps(record, sort_keys=True) for record in records)


def _text(data: bytes, options: Options) -> str:
    if options.compression == "gzip":
        data = gzip.decompress(data)
    elif options.compression == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = archive.read(archive.namelist()[0])
    return data.decode(options.encoding)


def _json_rows(text: str, options: Options) -> list[dict[str, Any]]:
    elements: list[dict[str, Any]] = []
    if options.json_layout == "array":
        elements = json.loads(text)
    elif options.json_layout == "wrapper":
        (elements,) = json.loads(text).values()
    else:
        decoder, position = json.JSONDecoder(), 0
        while position < len(text.rstrip()):
            element, position = decoder.raw_decode(text, position)
            elements.append(element)
            position += text[position : position + 1] == "\n"
    rows = []
    for element in elements:
        lists = [key for key in ("activities", "events", "errors", "crashes") if key in element]
        group = {key: value for key, value in element.items() if key not in lists}
        rows += [group | item for item in element[lists[0]]] if lists else [element]
    return rows


def _csv_rows(text: str, options: Options) -> list[dict[str, Any]]:
    delimiter = {"tab": "\t"}.get(options.csv_delimiter, options.csv_delimiter)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [{key: value for key, value in row.items() if value != ""} for row in reader]


def _record(
    row: dict[str, Any], options: Options, data_type: str, fields: list[str]
) -> dict[str, Any]:
    named = {_NAMES.get(key, key): value for key, value in row.items()}
    if data_type == "tokens":
        named["token_type"] = named.pop("type")
    record: dict[str, Any] = {}
    for field in fields:
        value = named.get(field)
        if field in _IDS and value in _ZERO_IDS:
            value = None
        elif field in _TIMES and value is not None:
            value = _normal_time(value, options)
        elif field in _JSON_TEXT and isinstance(value, str):
            value = json.loads(value)
        elif field == "campaign_id":
            value = int(str(value))
        record[field] = value
    return record


def _normal_time(value: str | int, options: Options) -> str:
    if options.time_format == "epoch_ms":
        milliseconds = int(value)
        whole = datetime.fromtimestamp(milliseconds // 1000, UTC)
        fraction = f"{milliseconds % 1000:03d}"
    else:
        # Python's own parser keeps microseconds at most, so the fraction is read apart.
        text = str(value).replace(" ", "T")
        clock, _, rest = text.partition(".")
        digits = len(rest) - len(rest.lstrip("0123456789"))
        fraction, zone = rest[:digits], rest[digits:]
        if not rest:
            clock, zone = text[:19], text[19:]
        whole = datetime.fromisoformat(clock).replace(tzinfo=UTC)
        whole -= timedelta(hours=2) if zone == "+02:00" else timedelta()
    fraction = fraction.rstrip("0")
    if fraction:
        fraction = "." + fraction.ljust(-(-len(fraction) // 3) * 3, "0")
    return f"{whole:%Y-%m-%dT%H:%M:%S}{fraction}Z"
