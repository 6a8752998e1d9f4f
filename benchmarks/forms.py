"""CPU time per record by form of file, beside the documented form, and peak memory.

    python -m benchmarks.forms [--events 400000] [--rounds 5] [--forms csv ...] [--base COMMAND]

Nobody knows what all export files look like, so every regular form has to be nearly as fast as
the documented one. Each form is a file of the same events (devices: of as many devices), which
the tap reads as an archive; start-up, as measured with a file of one record, is taken off. Runs
are interleaved, so read the ratios. With ``--base`` another tap, say that of an earlier commit,
reads the documented form in the same rounds.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import statistics
import tempfile
import zipfile
from datetime import datetime
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.archives import archive, installed_tap
from benchmarks.events import EVENTS_PER_GROUP, make_groups
from benchmarks.runs import interleaved, machine, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Element = dict[str, Any]

DOCUMENTED = "documented"
_POOL = 10_000  # events; more than a block holds
_DEVICES = 5_000


def main() -> None:
    """Measure each form; print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--forms", choices=FORMS, nargs="+", default=[*FORMS])
    parser.add_argument("--base", help="another tap, for the documented form")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        commands: dict[str, Callable[[], Any]] = {}
        counts: dict[str, int] = {}
        for form in dict.fromkeys([DOCUMENTED, *options.forms]):
            path = Path(name, form.replace(" ", "-").replace(",", ""), "export")
            path.parent.mkdir()
            counts[form] = write(form, path, options.events)
            more = {"archive_types": [{"pattern": "**", "data_type": data_type(form)}]}
            commands[form] = partial(run, archive(installed_tap(), path, **more))
            if form == DOCUMENTED:
                start = Path(name, "start", "export")
                start.parent.mkdir()
                start.write_text(json.dumps(groups(1)[:1]))
                commands["start"] = partial(run, archive(installed_tap(), start, **more))
                if options.base:
                    commands["base"] = partial(run, archive(options.base, path, **more))
                    counts["base"] = counts[DOCUMENTED]
        runs = interleaved(commands, options.rounds)
    start_up = statistics.median(each.cpu for each in runs.pop("start"))
    cpu = {
        form: [(each.cpu - start_up) / counts[form] for each in found]
        for form, found in runs.items()
    }
    print(f"{options.events:,} events each; {machine()}; start-up {start_up:.2f} s of CPU\n")
    print("| form | us of CPU per record | times the documented form | peak memory |")
    print("| --- | --- | --- | --- |")
    for form, found in runs.items():
        ratios = [a / b for a, b in zip(cpu[form], cpu[DOCUMENTED], strict=True)]
        print(
            f"| {form} | {statistics.median(cpu[form]) * 1e6:.2f} "
            f"| {statistics.median(ratios):.2f} "
            f"| {max(each.peak for each in found) / 1e6:.0f} MB |"
        )


def data_type(form: str) -> str:
    """The data type that a form is of."""
    return "devices" if form == "devices" else "events"


def write(form: str, path: Path, count: int) -> int:
    """Write a file of that form; return how many records it has."""
    count -= count % EVENTS_PER_GROUP
    if form == "devices":
        devices = [_device(number) for number in range(1, _DEVICES + 1)]
        path.write_bytes(b"[" + b",".join(_repeated(devices, count // 8)) + b"]")
        return count // 8
    path.write_bytes(FORMS[form](count))
    return count


def groups(count: int, change: Callable[[Element], None] | None = None) -> list[Element]:
    """Groups of events, as many as are needed for some events, at most the pool's."""
    found = [json.loads(group) for group in make_groups().nested]
    found = found[: max(1, min(count, _POOL) // EVENTS_PER_GROUP)]
    for group in found:
        for event in group["events"]:
            if change:
                change(event)
    return found


def rows(found: list[Element]) -> list[Element]:
    """The events as flat rows."""
    return [{"deviceId": g["deviceId"], **event} for g in found for event in g["events"]]


def _encoded(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _repeated(elements: list[Element], count: int) -> Iterator[bytes]:
    return islice(cycle([_encoded(element) for element in elements]), count)


def _nested(
    count: int, change: Callable[[Element], None] | None = None, separator: bytes = b","
) -> bytes:
    some = _repeated(groups(count, change), count // EVENTS_PER_GROUP)
    return b"[" + separator.join(some) + b"]"


def _lines(count: int) -> bytes:
    return _nested(count, separator=b"\n")[1:-1]


def _table(count: int) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    some = rows(groups(count))
    writer.writerow(some[0])
    head = text.getvalue().encode()
    lines = []
    for row in some:
        text.seek(0)
        text.truncate()
        cells = {**row, "extras": _encoded(row["extras"]).decode()}
        writer.writerow(cells.values())
        lines.append(text.getvalue().encode())
    return head + b"".join(islice(cycle(lines), count))


def _renamed(count: int) -> bytes:
    found = groups(count)
    renamed = [
        {
            "DeviceId": group["deviceId"],
            "Events": [
                {k[:1].upper() + k[1:]: v for k, v in e.items()} for e in group["events"]
            ],
        }
        for group in found
    ]
    return b"[" + b",".join(_repeated(renamed, count // EVENTS_PER_GROUP)) + b"]"


def _changed(**more: Any) -> Callable[[int], bytes]:
    return lambda count: _nested(count, lambda event: event.update(more))


def _retimed(write_time: Callable[[str], Any]) -> Callable[[int], bytes]:
    def change(event: Element) -> None:
        event["timestamp"] = write_time(event["timestamp"])

    return lambda count: _nested(count, change)


def _now_and_then(change: Callable[[list[Element], int], None]) -> Callable[[int], bytes]:
    """Groups of which every fifth is changed in one place."""

    def made(count: int) -> bytes:
        found = groups(count)
        for number, group in enumerate(found):
            if number % 5 == 0:
                change(group["events"], number)
        return b"[" + b",".join(_repeated(found, count // EVENTS_PER_GROUP)) + b"]"

    return made


def _repeat(events: list[Element], number: int) -> None:
    del number
    events[3] = events[2]


def _add_rarely(events: list[Element], number: int) -> None:
    events[number % EVENTS_PER_GROUP]["networkOperator"] = "Contoso"


def _extras_as_text(event: Element) -> None:
    event["extras"] = _encoded(event["extras"]).decode()


def _without_ids(event: Element) -> None:
    event["sessionId"] = "0" * 32
    event["infoId"] = None


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def _zipped(count: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("export.json", _nested(count))
    return file.getvalue()


def _device(number: int) -> Element:
    """A device as the devices API answers."""
    return {
        "deviceId": f"{number:032x}",
        "meta": {
            "firstSeen": 1462098030000 + number,
            "lastSeen": 1462198030123 + number,
            "lastInfo": 1462098030000,
            "nativePushEnabled": number % 2 == 0,
        },
        "appInfo": {"plan": "free", "visits": number},
        "info": {
            "phoneModel": f"Nexus {number % 7}",
            "phoneManufacturer": "LGE",
            "firmwareVersion": "6.0.1",
            "firmwareName": "Android",
            "androidAPILevel": 23,
            "carrierCountry": "fr",
            "locale": "fr_FR",
            "carrierName": "Orange",
            "networkType": "mobile",
            "networkSubtype": "LTE",
            "applicationVersionName": "2.1",
            "applicationVersionCode": 21,
            "timeZoneOffset": 120,
            "serviceVersion": "4.2.3",
        },
        "location": {"countrycode": "fr", "region": "Île-de-France", "locality": "Paris"},
    }


FORMS: dict[str, Callable[[int], bytes]] = {
    DOCUMENTED: _nested,
    "objects in lines": _lines,
    "wrapper": lambda count: b'{"value":' + _nested(count) + b"}",
    "flat rows": lambda count: b"[" + b",".join(_repeated(rows(groups(count)), count)) + b"]",
    "CSV": _table,
    "UTF-16": lambda count: ("\ufeff" + _nested(count).decode()).encode("utf-16-le"),
    "gzip": lambda count: gzip.compress(_nested(count), 6),
    "zip": _zipped,
    "an unknown field": _changed(networkOperator="Contoso"),
    "a nested unknown field": _changed(network={"operator": "Contoso", "cells": [1, 2]}),
    "a rare unknown field": _now_and_then(_add_rarely),
    "other spelling of names": _renamed,
    "times in milliseconds": _retimed(_milliseconds),
    "times without zone": _retimed(lambda time: time.removesuffix("Z")),
    "times with a space": _retimed(lambda time: time.replace("T", " ")),
    "times with seven digits": _retimed(lambda time: time.replace("Z", "1234Z")),
    "times with an offset": _retimed(lambda time: time.replace("Z", "+02:00")),
    "ids that are none": lambda count: _nested(count, _without_ids),
    "extras as text": lambda count: _nested(count, _extras_as_text),
    "identical items now and then": _now_and_then(_repeat),
    "devices": lambda count: b"%d" % count,
}


if __name__ == "__main__":
    main()
