"""Every item is a record, a repaired record or a counted bad record: by an independent count.

Random layouts, odd names and odd bytes anywhere. Seeded; 1,000 files by default,
EVERY_ITEM_FILES=50000 for more.
"""

from __future__ import annotations

import json
import os
import random
import re
from typing import Any

import pytest

from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import DataError
from tap_mobile_engagement.reading.records import RecordReader
from tests.support.records import Rejected, origin, recognise

FILES = int(os.environ.get("EVERY_ITEM_FILES", "1000"))
PARTS = 10

ODD_NAMES = [
    "", " ", "_", "-", "é", "events_count", "event", "crash", "value", "items", "x" * 70, "__",
    "Device-Id2", "tagged", "sessions", "0", "meta", "{", "}", "],[", 'quo"te', "back\\slash",
]  # fmt: skip
ODD_VALUES: list[Any] = [None, 0, "x", {}, {"a": 1}, "},{", "]}", '"', 1.5]
LISTS: list[Any] = [[], [1], ["x", []], [None]]
# What stands in a text as it is, put there after the JSON was written.
ODD_BYTES = [
    b"\\ud83d", b"\\ude00", b"\xff", b"\xf0\x9f\x98", b"\x01", b"\t", b"\\u0000", b"\x80\x80",
    b"\x1f\x1e",
]  # fmt: skip
MARK = re.compile(r"<(\d+)>")


class Maker:
    """Makes one file of events and counts them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.count = 0
        self._oddity = self.random.choice([0.0, 0.05, 0.5])

    def content(self) -> bytes:
        chance = self.random
        is_grouped = chance.random() < 0.6
        groups = chance.choice([1, 2, 5, 40])
        elements = [
            self._group() if is_grouped else self._item(flat=True) for _ in range(groups)
        ]
        written = [json.dumps(element, ensure_ascii=False) for element in elements]
        match chance.randrange(4):
            case 0:
                text = f"[{', '.join(written)}]"
            case 1:
                text = chance.choice(["\n", "\r\n", "", " ", "\n\n"]).join(written)
            case 2:
                text = json.dumps(elements, ensure_ascii=False, indent=chance.choice([0, 2]))
            case _:
                before = self._with_oddities({}, ODD_VALUES + LISTS[:1])
                head = json.dumps(before, ensure_ascii=False)[1:-1]
                comma = ", " if head else ""
                text = f'{{{head}{comma}"value": [{", ".join(written)}], "next": null}}'
        pieces = text.encode().split(b"<odd>")
        content = pieces[0]
        for piece in pieces[1:]:
            content += chance.choice(ODD_BYTES) + piece
        return content

    def _group(self) -> dict[str, Any]:
        items = [self._item(flat=False) for _ in range(self.random.choice([1, 2, 9]))]
        group = self._with_oddities({"deviceId": "d"}, ODD_VALUES)
        return self._shuffled({**group, "events": items})

    def _item(self, *, flat: bool) -> dict[str, Any]:
        self.count += 1
        item: dict[str, Any] = {
            "name": f"<{self.count}>",
            "timestamp": "2016-05-01T00:00:00Z",
            **({"deviceId": "d"} if flat else {}),
        }
        if self.random.random() < self._oddity:
            item["name"] += "<odd>"
        if self.random.random() < self._oddity:
            item["extras"] = {"a": "x<odd>y"} if self.random.random() < 0.5 else []
        return self._shuffled(self._with_oddities(item, [*ODD_VALUES, *LISTS]))

    def _with_oddities(self, values: dict[str, Any], odd: list[Any]) -> dict[str, Any]:
        found = dict(values)
        for name in self.random.sample(ODD_NAMES, 3):
            if self.random.random() < self._oddity:
                is_list = name in {"event", "sessions", "crash"}
                value = self.random.choice(ODD_VALUES if is_list else odd)
                found.setdefault(f"{name}<odd>" if value == "x" else name, value)
        return found

    def _shuffled(self, values: dict[str, Any]) -> dict[str, Any]:
        pairs = [*values.items()]
        if self.random.random() < 0.5:
            self.random.shuffle(pairs)
        return dict(pairs)


@pytest.mark.parametrize("part", range(PARTS))
def test_every_item_is_a_record_or_a_counted_bad_record(part: int) -> None:
    events = BY_NAME["events"]
    for seed in range(part, FILES, PARTS):
        maker = Maker(seed)
        content = maker.content()
        rejected = Rejected()
        reader = RecordReader(events, rejected, block_size=1 << maker.random.randrange(6, 17))
        names = []
        try:
            for batch in reader.batches(origin("events"), [content]):
                names += [record["name"] for record in batch.dictionaries()]
        except DataError as error:
            pytest.fail(f"{seed}: {error}")

        found = [int(number) for name in names for number in MARK.findall(name)]
        bad = [int(n) for _, item in rejected.found for n in MARK.findall(repr(item))]
        assert sorted(found + bad) == [*range(1, maker.count + 1)], seed
        assert recognise([content], data_type=events).problem is None, seed
