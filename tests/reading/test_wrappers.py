"""An object around an array: its items are all read, or the file ends with a code.

Random wrappers: names, nested members and odd bytes before and behind the array, with further
arrays of items anywhere. Seeded; 1,000 files by default, WRAPPED_FILES=20000 for more.
"""

from __future__ import annotations

import json
import os
import random
import re
from typing import Any

import pytest

from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.records import RecordReader
from tests.support.records import Rejected, origin, read_file, recognise

FILES = int(os.environ.get("WRAPPED_FILES", "1000"))
PARTS = 10
EVENTS = BY_NAME["events"]
MARK = re.compile(r"<(\d+)>")

NAMES = [
    "value", "Value", "events", "items", "data", "results", "d", "", " ", "]", "[{", "next",
    "@odata.context", "event", "errors", "name", "count", "x", 'quo"te', "back\\slash", "é",
]  # fmt: skip
SCALARS = [None, True, 0, -1.5e3, "", "x", '"', "]}", "},{", "[{", "\\", "é\n", "x<odd>y"]
ODD_BYTES = [b"\\ud83d", b"\xff", b"\x01", b"\t", b"\\u0000", b"\x80\x80"]


class Maker:
    """Makes one file: an object with an array of items, and maybe other arrays of them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.count = 0
        self.others = 0  # arrays of objects beside the one

    def content(self) -> bytes:
        chance = self.random
        value = [self._element() for _ in range(chance.choice([0, 1, 2, 30]))]
        members = [value, *(self._member(0) for _ in range(chance.randrange(4)))]
        chance.shuffle(members)
        names = chance.sample(NAMES, len(members))
        separators = chance.choice([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n ")])
        written = separators[0].join(
            json.dumps(name) + separators[1] + json.dumps(value, separators=separators)
            for name, value in zip(names, members, strict=True)
        )
        pieces = f"{{{written}}}{chance.choice(['', ' ', chr(10)])}".encode().split(b"<odd>")
        content = pieces[0]
        for piece in pieces[1:]:
            content += chance.choice(ODD_BYTES) + piece
        return content

    def _member(self, level: int) -> Any:
        """What may stand beside the array: a scalar mostly, also items at any depth."""
        chance = self.random
        match chance.randrange(8 if level < 3 else 5):
            case 5:
                found = [self._member(level + 1) for _ in range(chance.randrange(3))]
                self.others += any(isinstance(each, dict) for each in found)
                return found
            case 6:
                names = chance.sample(NAMES, chance.randrange(3))
                return {name: self._member(level + 1) for name in names}
            case 7 if chance.random() < 0.3:
                self.others += 1
                return [self._element() for _ in range(chance.randint(1, 2))]
            case _:
                return chance.choice(SCALARS)

    def _element(self) -> dict[str, Any]:
        if self.random.random() < 0.5:
            return {"deviceId": "d", **self._item()}
        return {"deviceId": "d", "events": [self._item() for _ in range(2)]}

    def _item(self) -> dict[str, Any]:
        self.count += 1
        odd = self.random.choice(["", "", "<odd>", "]}"])
        return {"name": f"<{self.count}>{odd}", "timestamp": "2016-05-01T00:00:00Z"}


@pytest.mark.parametrize("part", range(PARTS))
def test_all_items_of_a_wrapper_are_read_or_an_error_says_that_they_are_not(part: int) -> None:
    read = refused = 0
    for seed in range(part, FILES, PARTS):
        maker = Maker(seed)
        content = maker.content()
        rejected = Rejected()
        reader = RecordReader(EVENTS, rejected, block_size=1 << maker.random.randrange(6, 17))
        found: list[str] = []
        code = None
        try:
            for batch in reader.batches(origin("events"), [content]):
                found += [record["name"] for record in batch.dictionaries()]
                found += [json.dumps(r["unknown_fields"]) for r in batch.dictionaries()]
        except DataError as error:
            code = error.code
        found += [repr(item) for _, item in rejected.found]
        marks = sorted(int(number) for text in found for number in MARK.findall(text))

        recognised = recognise([content])
        if code is None:
            assert marks == [*range(1, maker.count + 1)], seed
            assert recognised.problem is None, seed
        else:
            assert maker.others, seed
            assert code is Code.BLOB_CORRUPT, seed
            assert recognised.problem or recognised.data_type is EVENTS, seed
        read += code is None
        refused += code is not None
    assert read > refused > 0


ITEM = '{"deviceId": "d", "name": "n", "timestamp": "2016-05-01"}'


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    "member",
    [
        '{"value": [%s]}',
        "[%s]",
        "[1, %s]",
        '{"a": {"b": [[%s]]}}',
        '[{"a": 1}, %s]',
        "[[[%s]]]",
    ],
)
def test_another_array_of_objects_ends_the_file(*, before: bool, member: str) -> None:
    value = f'"value": [{ITEM}]'
    other = f'"x": {member % ITEM}'
    members = [other, value] if before else [value, other]

    with pytest.raises(DataError, match="BLOB_CORRUPT"):
        read_file("events", [f"{{{', '.join(members)}}}".encode()])


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    "member",
    [
        '{"a": "]}"}',
        '{"a": {"b": {}}}',
        "[]",
        "[1, [2, []]]",
        '{"a": ["x"]}',
        '"[{"',
        "NaN",
        '""',
    ],
)
def test_members_without_elements_may_stand_beside_the_array(
    *, before: bool, member: str
) -> None:
    value = f'"value": [{ITEM}]'
    members = [f'"x": {member}', value] if before else [value, f'"x": {member}']

    assert len(read_file("events", [f"{{{', '.join(members)}}}".encode()])) == 1


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", Code.BLOB_TRUNCATED),
        (', "x": {"a": 1}', Code.BLOB_TRUNCATED),
        (', "x": "}', Code.BLOB_TRUNCATED),
        ("}}", Code.BLOB_CORRUPT),
        ('}\n{"value": []}', Code.BLOB_CORRUPT),
        (f', "x": "{"x" * 200_000}"}}', Code.BLOB_CORRUPT),
    ],
)
def test_what_follows_the_array_ends_with_its_object(ending: str, code: Code) -> None:
    with pytest.raises(DataError) as caught:
        read_file("events", [f'{{"value": [{ITEM}]{ending}'.encode()])

    assert caught.value.code is code
