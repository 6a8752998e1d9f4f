"""Every form in which an export file may come, made of the elements of a plain one."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import struct
import zipfile
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.datatypes import BY_NAME, DATA_TYPES, Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Element = dict[str, Any]
Elements = list[Element]

ZERO_ID = "00000000-0000-0000-0000-000000000000"
_TIMES = {
    source.split(".")[-1]
    for data_type in DATA_TYPES
    for field in data_type.fields
    if field.kind is Kind.TIME
    for source in field.sources
}


@dataclass(frozen=True)
class Form:
    """A form of a file.

    Attributes:
        write: Makes the file of a data type's elements.
        tells_events_from_errors: Whether a reader of it can; flat rows have the same fields.
    """

    write: Callable[[str, Elements], bytes]
    tells_events_from_errors: bool = True


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def array(elements: Elements) -> bytes:
    return compact(elements).encode()


def rows(data_type: str, elements: Elements) -> Elements:
    """Every item with the fields of its group."""
    items = BY_NAME[data_type].group_list
    if items is None:
        return elements
    return [
        {k: v for k, v in element.items() if k != items} | item
        for element in elements
        for item in element[items]
    ]


def groups(data_type: str, elements: Elements) -> Elements:
    """Items in lists below their device, also where no group is documented."""
    known = BY_NAME[data_type]
    if known.group_list:
        return elements
    name = "tag" if data_type == "tags" else data_type  # `tags` is a field of its own
    return [
        {
            "deviceId": device,
            name: [{k: v for k, v in e.items() if k != "deviceId"} for e in some],
        }
        for device, some in groupby(elements, key=lambda element: element["deviceId"])
    ]


def table(
    data_type: str,
    elements: Elements,
    *,
    delimiter: str = ",",
    newline: str = "\r\n",
    flags: Callable[[list[str]], str] = compact,
    name: Callable[[str], str] = str,
) -> bytes:
    flat = [
        {
            path: value
            for key, entry in row.items()
            for path, value in (
                {f"{key}.{inner}": v for inner, v in entry.items()}.items()
                if key in ("meta", "info", "location")
                else [(key, entry)]
            )
        }
        for row in rows(data_type, elements)
    ]
    columns = list(dict.fromkeys(column for row in flat for column in row))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=newline)
    writer.writerow([name(column) for column in columns])
    for row in flat:
        writer.writerow([_cell(row.get(column), flags) for column in columns])
    return text.getvalue().encode()


def _cell(value: Any, flags: Callable[[list[str]], str]) -> Any:
    if isinstance(value, list):
        return flags(value)
    return compact(value) if isinstance(value, dict | bool) else value


def gzipped(*parts: bytes) -> bytes:
    return b"".join(gzip.compress(part, mtime=0) for part in parts)


def zipped(*members: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for number, member in enumerate(members):
            # Without a time of its own: it is then as old as the zip file.
            archive.writestr(zipfile.ZipInfo(f"part-{number}.json"), member, method)
    return file.getvalue()


def patched(file: bytes, name: str, offset: int, value: int) -> bytes:
    """The zip file with a number changed, in the table and before the data of a member."""
    changed = bytearray(file)
    at_table = file.rindex(name.encode()) - 46
    (at_data,) = struct.unpack_from("<I", file, at_table + 42)
    struct.pack_into("<H", changed, at_table + 2 + offset, value)
    struct.pack_into("<H", changed, at_data + offset, value)
    return bytes(changed)


def thirds(data: bytes) -> list[bytes]:
    cut = len(data) // 3
    return [data[:cut], data[cut : 2 * cut], data[2 * cut :]]


def split(elements: Elements) -> list[Elements]:
    """Two halves; a group stays whole."""
    half = len(elements) // 2
    return [elements[:half], elements[half:]]


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def renamed(value: Any, name: Callable[[str], str]) -> Any:
    """The same with other field names; keys below extras and tags are data, not names."""
    if isinstance(value, list):
        return [renamed(item, name) for item in value]
    if isinstance(value, dict):
        return {
            name(key): item if key in ("extras", "tags", "appInfo") else renamed(item, name)
            for key, item in value.items()
        }
    return value


def retimed(value: Any, write: Callable[[str], Any]) -> Any:
    """The same with times written otherwise; they come as in 2016-05-01T08:00:00.000Z."""
    if isinstance(value, list):
        return [retimed(item, write) for item in value]
    if isinstance(value, dict):
        return {
            key: write(item)
            if key in _TIMES and isinstance(item, str)
            else retimed(item, write)
            for key, item in value.items()
        }
    return value


def unidentified(value: Any, absent: dict[str, Any]) -> Any:
    """The same with something else in place of the id that stands for none."""
    if isinstance(value, list):
        return [unidentified(item, absent) for item in value]
    if isinstance(value, dict):
        pairs = ((key, unidentified(item, absent)) for key, item in value.items())
        return {
            key: absent.get("id") if item == ZERO_ID else item
            for key, item in pairs
            if item != ZERO_ID or absent
        }
    return value


def milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def in_other_zone(time: str) -> str:
    zone = timezone(timedelta(hours=2))
    return datetime.fromisoformat(time).astimezone(zone).isoformat(timespec="milliseconds")


def reversed_keys(value: Any) -> Any:
    if isinstance(value, list):
        return [reversed_keys(item) for item in value]
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return value


def _utf16(data: bytes, encoding: str, mark: bytes) -> bytes:
    return mark + data.decode().encode(encoding)


def _elements_form(change: Callable[[str, Elements], Any]) -> Form:
    return Form(lambda name, elements: array(change(name, elements)))


FORMS: dict[str, Form] = {
    # JSON
    "array": Form(lambda _, e: array(e)),
    "array, indented": Form(lambda _, e: json.dumps(e, indent=2).encode()),
    "array, spaced": Form(lambda _, e: b" \r\n" + json.dumps(e).encode() + b"\n\n"),
    "objects in lines": Form(lambda _, e: "\n".join(map(compact, e)).encode() + b"\n"),
    "objects in lines, CRLF": Form(lambda _, e: "\r\n".join(map(compact, e)).encode()),
    "objects without newlines": Form(lambda _, e: "".join(map(compact, e)).encode()),
    "objects, indented": Form(
        lambda _, e: "\n".join(json.dumps(x, indent=1) for x in e).encode()
    ),
    "wrapper": Form(lambda _, e: compact({"value": e}).encode()),
    "wrapper with a name": Form(lambda name, e: json.dumps({name: e}, indent=1).encode()),
    "wrapper with more": Form(
        lambda _, e: compact(
            {"app": "shop", "page": {"number": 1}, "items": e, "next": None, "count": len(e)}
        ).encode()
    ),
    "flat": Form(lambda name, e: array(rows(name, e)), tells_events_from_errors=False),
    "flat objects": Form(
        lambda name, e: "\n".join(map(compact, rows(name, e))).encode(),
        tells_events_from_errors=False,
    ),
    "flat in a wrapper with a name": Form(
        lambda name, e: compact({name: rows(name, e)}).encode()
    ),
    "grouped": _elements_form(groups),
    # CSV
    "CSV with commas": Form(table, tells_events_from_errors=False),
    "CSV with semicolons": Form(
        lambda name, e: table(name, e, delimiter=";", newline="\n"),
        tells_events_from_errors=False,
    ),
    "CSV with tabs": Form(
        lambda name, e: table(name, e, delimiter="\t", flags="|".join),
        tells_events_from_errors=False,
    ),
    "CSV with flags after commas": Form(
        lambda name, e: table(name, e, delimiter=";", flags=", ".join, name=snake),
        tells_events_from_errors=False,
    ),
    "CSV, UTF-16, gzip": Form(
        lambda name, e: gzipped(
            _utf16(table(name, e, delimiter="\t"), "utf-16-le", codecs.BOM_UTF16_LE)
        ),
        tells_events_from_errors=False,
    ),
    # Compression
    "gzip": Form(lambda _, e: gzipped(array(e))),
    "gzip of several members": Form(lambda _, e: gzipped(*thirds(array(e)))),
    "gzip, padded": Form(lambda _, e: gzipped(array(e)) + bytes(512)),
    "zip": Form(lambda _, e: zipped(array(e))),
    "zip, stored": Form(lambda _, e: zipped(array(e), method=zipfile.ZIP_STORED)),
    "zip of several files": Form(lambda _, e: zipped(*map(array, split(e)))),
    "zip of gzip files": Form(lambda _, e: zipped(*(gzipped(array(x)) for x in split(e)))),
    # Encodings
    "UTF-8 with a mark": Form(lambda _, e: codecs.BOM_UTF8 + array(e)),
    "UTF-16 LE with a mark": Form(
        lambda _, e: _utf16(array(e), "utf-16-le", codecs.BOM_UTF16_LE)
    ),
    "UTF-16 BE with a mark": Form(
        lambda _, e: _utf16(array(e), "utf-16-be", codecs.BOM_UTF16_BE)
    ),
    "UTF-16 LE without a mark": Form(lambda _, e: _utf16(array(e), "utf-16-le", b"")),
    "UTF-16 BE without a mark": Form(lambda _, e: _utf16(array(e), "utf-16-be", b"")),
    # Names
    "names in capitals": _elements_form(lambda _, e: renamed(e, str.upper)),
    "names in lower case": _elements_form(lambda _, e: renamed(e, str.lower)),
    "names with underscores": _elements_form(lambda _, e: renamed(e, snake)),
    "keys in another order": _elements_form(lambda _, e: reversed_keys(e)),
    # Times
    "times in milliseconds": _elements_form(lambda _, e: retimed(e, milliseconds)),
    "times in another zone": _elements_form(lambda _, e: retimed(e, in_other_zone)),
    "times without a zone": _elements_form(
        lambda _, e: retimed(e, lambda time: time.removesuffix("Z"))
    ),
    "times with a space": _elements_form(
        lambda _, e: retimed(e, lambda time: time.replace("T", " "))
    ),
    "times with nine digits": _elements_form(
        lambda _, e: retimed(e, lambda time: time.replace("Z", "000000Z"))
    ),
    # Ids that there are not
    "no id is null": _elements_form(lambda _, e: unidentified(e, {"id": None})),
    "no id is empty": _elements_form(lambda _, e: unidentified(e, {"id": ""})),
    "no id is zeros": _elements_form(lambda _, e: unidentified(e, {"id": "0" * 32})),
    "no id is missing": _elements_form(lambda _, e: unidentified(e, {})),
}


def write_every_form(folder: Path, elements_of: Callable[[str], Elements]) -> None:
    """Write each data type in each form, a file each: ``NUMBER-STREAM``."""
    for number, form in enumerate(FORMS.values()):
        for name in BY_NAME:
            (folder / f"{number}-{name}").write_bytes(form.write(name, elements_of(name)))
