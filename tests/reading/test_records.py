"""Elements of every data type to records, in whatever layout a file has them."""

from __future__ import annotations

import json
import tracemalloc
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import jsonschema
import pytest

from tap_mobile_engagement.datatypes import BY_NAME, DATA_TYPES
from tap_mobile_engagement.errors import DataError
from tap_mobile_engagement.reading import arrays
from tap_mobile_engagement.reading.batch import Origin
from tap_mobile_engagement.reading.names import data_type_of
from tap_mobile_engagement.reading.records import RecordReader
from tests.reading.arrays import rechunk
from tests.reading.samples import DEVICE, NO_ID, SAMPLES
from tests.reference.checks import check_file
from tests.reference.files import FILES
from tests.support.records import Rejected, origin, own_values, read_file
from tests.support.records import read_elements as read

if TYPE_CHECKING:
    from collections.abc import Callable

GROUPED = [data_type.name for data_type in DATA_TYPES if data_type.group_list]


def as_rows(stream: str, element: dict[str, Any]) -> list[dict[str, Any]]:
    """An element as flat rows: what the group says once stands in each of its items."""
    group_list = BY_NAME[stream].group_list
    if group_list is None:
        return [element]
    group = {key: value for key, value in element.items() if key != group_list}
    return [{**group, **item} for item in element[group_list]]


def renamed(value: Any, rename: Callable[[str], str], depth: int = 2) -> Any:
    """The same with other names of fields; what the application chose stays (extras, tags)."""
    if isinstance(value, list):
        return [renamed(item, rename, depth) for item in value]
    if not isinstance(value, dict) or depth == 0:
        return value
    return {
        rename(key): inner
        if key in {"extras", "tags", "appInfo"}
        else renamed(inner, rename, depth - 1)
        for key, inner in value.items()
    }


def snake_case(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def with_spaces(name: str) -> str:
    return snake_case(name).replace("_", " ")


@pytest.mark.parametrize("stream", BY_NAME)
def test_an_element_as_documented_gives_its_records(stream: str) -> None:
    records = read(stream, SAMPLES[stream].element)

    assert own_values(records) == SAMPLES[stream].records
    assert [record["unknown_fields"] for record in records] == [None] * len(records)
    assert all(("record_id" in r) == BY_NAME[stream].has_record_id for r in records)


@pytest.mark.parametrize("stream", BY_NAME)
@pytest.mark.parametrize(
    "rename",
    [
        str.upper,
        str.lower,
        str.title,
        snake_case,
        with_spaces,
    ],
    ids=["upper case", "lower case", "title case", "snake case", "spaces"],
)
def test_field_names_count_whatever_their_case_and_separators(
    stream: str, rename: Callable[[str], str]
) -> None:
    documented = read(stream, SAMPLES[stream].element)

    other = read(stream, renamed(SAMPLES[stream].element, rename))

    assert other == documented


@pytest.mark.parametrize("stream", BY_NAME)
def test_flat_rows_give_the_same_records_and_ids_as_groups(stream: str) -> None:
    grouped = read(stream, SAMPLES[stream].element)

    flat = read(stream, *as_rows(stream, SAMPLES[stream].element))

    assert flat == grouped


@pytest.mark.parametrize("stream", BY_NAME)
def test_the_order_of_keys_does_not_matter(stream: str) -> None:
    element = SAMPLES[stream].element

    reversed_keys = json.loads(json.dumps(element), object_pairs_hook=lambda p: dict(p[::-1]))

    assert read(stream, reversed_keys) == read(stream, element)


@pytest.mark.parametrize("stream", BY_NAME)
def test_objects_and_flags_as_json_text_are_the_same(stream: str) -> None:
    rows = as_rows(stream, SAMPLES[stream].element)
    in_text = [
        {
            key: json.dumps(value) if key in {"extras", "tags", "appInfo", "status"} else value
            for key, value in row.items()
        }
        for row in rows
    ]

    assert read(stream, *in_text) == read(stream, *rows)


@pytest.mark.parametrize("stream", BY_NAME)
def test_every_record_fits_the_schema_of_its_stream(stream: str) -> None:
    schema = BY_NAME[stream].schema

    for record in read(stream, SAMPLES[stream].element):
        jsonschema.validate(record, {**schema, "additionalProperties": False})
        assert list(record) == list(schema["properties"])


@pytest.mark.parametrize("stream", BY_NAME)
def test_the_data_type_of_a_sample_is_recognised(stream: str) -> None:
    assert data_type_of([SAMPLES[stream].element]).data_type is BY_NAME[stream]


@pytest.mark.parametrize("stream", FILES)
def test_the_samples_are_as_documented(stream: str) -> None:
    check_file(stream, [SAMPLES[stream].element])


@pytest.mark.parametrize("stream", GROUPED)
@pytest.mark.parametrize("items", [[], None])
def test_a_group_without_items_gives_no_record(stream: str, items: Any) -> None:
    assert read(stream, {"deviceId": DEVICE, BY_NAME[stream].group_list: items}) == []


def test_fields_that_nobody_named_are_kept_from_item_and_group() -> None:
    group = {
        "deviceId": DEVICE,
        "platform": "android",
        "source": "group",
        "events": [
            {"name": "a", "timestamp": "2016-05-01", "severity": 3, "source": "item"},
            {"name": "b", "timestamp": "2016-05-01"},
        ],
    }

    first, second = read("events", group)

    assert first["unknown_fields"] == {"platform": "android", "source": "item", "severity": 3}
    assert second["unknown_fields"] == {"platform": "android", "source": "group"}


def test_the_items_of_a_group_share_the_text_of_its_unknown_fields() -> None:
    items = [{"name": "n", "timestamp": "2016-05-01"}] * 3
    groups = [{"deviceId": "d", "page": page, "events": items} for page in "ab"]
    reader = RecordReader(BY_NAME["events"], Rejected())
    origin = Origin(BY_NAME["events"], "", None, "")

    (batch,) = reader.batches(origin, [json.dumps(groups).encode()])

    assert batch.unknown == [b'{"page":"a"}'] * 3 + [b'{"page":"b"}'] * 3
    assert len({id(text) for text in batch.unknown}) == len(groups)


def test_unknown_fields_of_nested_objects_keep_their_place() -> None:
    device = {"deviceId": DEVICE, "meta": {"firstSeen": 0, "new": [1]}, "info": {"x": {"y": 1}}}

    (record,) = read("devices", device)

    assert record["unknown_fields"] == {"meta": {"new": [1]}, "info": {"x": {"y": 1}}}


def test_a_second_spelling_of_a_field_is_kept_as_unknown() -> None:
    (record,) = read("tags", {"deviceId": DEVICE, "tags": {"a": 1}, "appInfo": {"b": 2}})

    assert own_values([record]) == [{"device_id": DEVICE, "tags": {"a": 1}}]
    assert record["unknown_fields"] == {"appInfo": {"b": 2}}


def test_an_items_own_id_wins_over_its_groups() -> None:
    item = {"name": "a", "timestamp": "2016-05-01", "deviceId": "own"}

    (record,) = read("events", {"deviceId": DEVICE, "events": [item]})

    assert record["device_id"] == "own"


@pytest.mark.parametrize("no_id", [None, "", NO_ID, NO_ID.replace("-", "")])
def test_no_id_in_any_form_is_null(no_id: str | None) -> None:
    item = {
        "name": "a",
        "timestamp": "2016-05-01",
        "sessionId": no_id,
        "infoId": no_id,
        "locationId": no_id,
    }

    (record,) = read("events", {"deviceId": no_id, "events": [item]})

    ids = {name for name, value in record.items() if name.endswith("_id") and value}
    assert ids == {"record_id"}


REJECTED = [
    ("events", "text", "an element has to be an object"),
    ("events", ["a"], "an element has to be an object"),
    ("events", None, "an element has to be an object"),
    ("events", {"deviceId": DEVICE, "events": {}}, "events has to be a list"),
    ("events", {"deviceId": DEVICE, "events": ["x"]}, "an item has to be an object"),
    ("events", {"deviceId": DEVICE, "events": [{"name": "a"}]}, "timestamp is missing"),
    ("events", {"name": "a", "timestamp": "x"}, "timestamp: 'x' is no date-time"),
    ("events", {"name": 5, "timestamp": "2016-05-01"}, "name: a text can't be a number"),
    (
        "events",
        {"name": "a", "timestamp": "2016-05-01", "deviceId": 5},
        "device_id: an id can't be a number",
    ),
    ("jobs", {"jobId": NO_ID, "name": "a"}, "job_id is missing"),
    ("sessions", {"deviceId": DEVICE}, "session_id is missing"),
    ("tags", {"deviceId": "", "tags": {}}, "device_id is missing"),
    ("tokens", {"deviceId": DEVICE, "type": "gcm"}, "token is missing"),
    (
        "push_feedback",
        {"deviceId": DEVICE, "campaignType": "Poll", "campaignId": "x", "status": []},
        "campaign_id: an integer can't be this text",
    ),
]


@pytest.mark.parametrize(("stream", "element", "reason"), REJECTED)
def test_what_is_no_record_is_rejected_with_its_reason(
    stream: str, element: Any, reason: str
) -> None:
    rejected = Rejected()

    assert read(stream, element, rejected=rejected) == []
    assert [why for why, _ in rejected.found] == [reason]


def test_a_bad_item_keeps_the_others_of_its_group() -> None:
    items = [{"name": name, "timestamp": "2016-05-01"} for name in ("a", "b", "c")]
    items[1]["timestamp"] = "never"
    rejected = Rejected()

    records = read("events", {"deviceId": DEVICE, "events": items}, rejected=rejected)

    assert [record["name"] for record in records] == ["a", "c"]
    assert rejected.found == [
        (
            "timestamp: 'never' is no date-time",
            {"deviceId": DEVICE, "name": "b", "timestamp": "never"},
        )
    ]


@pytest.mark.parametrize("levels", [101, 900, 20_000])
@pytest.mark.parametrize("field", ["extras", "unknown"])
@pytest.mark.parametrize("kind", ['{"a":%s}', "[%s]"])
def test_what_is_nested_too_deep_rejects_its_item_alone(
    levels: int, field: str, kind: str
) -> None:
    opening, closing = kind.split("%s")
    deep = f'{{"a":{opening * (levels - 1)}1{closing * (levels - 1)}}}'
    item = '{"name":"%s","timestamp":"2016-05-01","%s":%s}'
    items = [item % ("a", field, deep), item % ("b", field, '{"a":{}}')]
    content = f'[{{"deviceId":"{DEVICE}","events":[{",".join(items)}]}}]'.encode()
    rejected = Rejected()

    records = read_file("events", [content], rejected)

    assert [record["name"] for record in records] == ["b"]
    assert [why for why, _ in rejected.found] in (
        ["it is nested more than 100 levels deep"],
        ["extras: it is nested more than 100 levels deep"],
    )


@pytest.mark.parametrize(
    ("stream", "field", "levels"),
    [("events", "extras", 100), ("events", "unknown", 99), ("devices", "meta.unknown", 98)],
)
def test_a_hundred_levels_are_kept_and_no_more(stream: str, field: str, levels: int) -> None:
    # (unknown fields are an object of their own)
    *_, name = field.split(".")
    item = f'"name":"a","timestamp":"2016-05-01","deviceId":"{DEVICE}"'
    for more in (0, 1):
        deep = '{"a":' * (levels - 1 + more) + "{}" + "}" * (levels - 1 + more)
        own = f'"{name}":{deep}' if name == field else f'"meta":{{"{name}":{deep}}}'
        rejected = Rejected()

        records = read_file(stream, [f"[{{{item},{own}}}]".encode()], rejected)

        assert (len(records), len(rejected.found)) == (1 - more, more)
        values = [record.get("extras") or record["unknown_fields"] for record in records]
        assert [json.dumps(v, separators=(",", ":")).count('{"') for v in values] in ([], [99])


@pytest.mark.parametrize("second", ["events", "Events"])
def test_a_list_that_stands_twice_in_its_group_is_read_twice(second: str) -> None:
    lists = [f'"{name}":[{{"name":"{name}{n}","timestamp":"2016-05-01"}}]' for n, name in
             enumerate(["events", second])]  # fmt: skip
    group = f'{{"deviceId":"d",{",".join(lists)}}}'
    other = '{"deviceId":"e","events":[{"name":"x","timestamp":"2016-05-01"}]}'
    content = f"[{other},{group},{other}]".encode()

    records = read_file("events", [content])

    assert [r["name"] for r in records] == ["x", "events0", f"{second}1", "x"]
    assert [r["device_id"] for r in records] == ["e", "d", "d", "e"]


A, B, C = (f'{{"name":"{name}","timestamp":"2016-05-01"}}' for name in "abc")
BROKEN = '{"name":"x","timestamp":tru}'


@pytest.mark.parametrize(
    ("lists", "bad"),
    [
        (f'"events":[{A}],"ev\\u0065nts":[{B},{C}]', 0),
        (f'"events":[{A},{B},{C}],"events":null', 0),
        (f'"events":null,"events":[{A},{B},{C}]', 0),
        (f'"events":[{A},{BROKEN},{B}],"events":[{C}]', 1),
        (f'"events":[{A}],"events":[{B},{BROKEN},{C}]', 1),
        (f'"events":[{A},{BROKEN}],"Event":[{B},{BROKEN},{C}]', 2),
        (f'"events":[{A},{BROKEN},{B},{C}],"Event":null', 1),
        (f'"Event":[{A},{BROKEN},{B},{C}],"Event":null', 1),
    ],
)
def test_no_item_of_a_group_is_lost_or_read_twice_whatever_its_lists_are(
    lists: str, bad: int
) -> None:
    other = f'{{"deviceId":"e","events":[{A}]}}'
    content = f'[{other},{{"deviceId":"d",{lists}}}]'.encode()
    rejected = Rejected()

    records = read_file("events", [content], rejected)

    assert [record["name"] for record in records] == ["a", "a", "b", "c"]
    assert [record["device_id"] for record in records] == ["e", "d", "d", "d"]
    assert len(rejected.found) == bad


@pytest.mark.parametrize("between", ["", " ", "\t ", "\n"])
def test_a_text_that_looks_like_the_end_of_an_object_stays_as_it_is(between: str) -> None:
    names = ["a", f"x}}{between}{{y", "b", "c"]
    objects = [
        json.dumps({"deviceId": "d", "events": [{"name": name, "timestamp": "2016-05-01"}]})
        for name in names
    ]
    content = f"{between.join(objects[:2])},{between.join(objects[2:])}".encode()

    records = read_file("events", [content], Rejected())

    assert [record["name"] for record in records] == names


@pytest.mark.parametrize(("zone", "end"), [("Z", "\n"), ("+00:00", "")])
def test_a_time_of_two_lines_is_a_bad_record(zone: str, end: str) -> None:
    time = f"2016-05-01T00:00:00{zone}"
    items = [{"name": "a", "timestamp": t} for t in (time, f"{time}\n{time}", f"{time}{end}")]
    rejected = Rejected()

    records = read("events", {"deviceId": "d", "events": items}, rejected=rejected)

    assert [record["timestamp"] for record in records] == ["2016-05-01T00:00:00Z"] * 2
    assert len(rejected.found) == 1


def test_of_a_group_that_says_a_field_twice_the_first_counts_in_every_run() -> None:
    names = ("sessionId", "session_id", "SESSIONID", "session-id", "Session Id", "SessionID")
    group = {**{name: f"s{n}" for n, name in enumerate(names)}, "infoId": 5}  # a bad value
    item = {"name": "a", "timestamp": "2016-05-01", "infoId": "i"}

    (record,) = read("events", {**group, "events": [item]})

    assert (record["session_id"], record["info_id"]) == ("s0", "i")
    assert record["unknown_fields"] == {name: f"s{n}" for n, name in enumerate(names) if n}


@pytest.mark.parametrize("own", ["", "0" * 32, None])
@pytest.mark.parametrize("others", [0, 1])
def test_a_group_says_what_an_item_has_no_value_for(own: str | None, others: int) -> None:
    item = {"name": "a", "timestamp": "2016-05-01", "deviceId": own}
    odd = [{"name": "a", "timestamp": "2016-05-01", "extras": [1]}] * others

    records = read("events", {"deviceId": "d", "events": [item, *odd]}, rejected=Rejected())

    assert [record["device_id"] for record in records] == ["d"]


def test_a_bad_value_of_a_group_spoils_only_items_that_need_it() -> None:
    items = [{"name": "a", "timestamp": "2016-05-01"}, {"name": "b"}]
    rejected = Rejected()

    records = read(
        "events", {"deviceId": "d", "timestamp": "never", "events": items}, rejected=rejected
    )

    assert [record["name"] for record in records] == ["a"]
    assert "'never' is no date-time" in rejected.found[0][0]


@pytest.mark.parametrize(
    "second",
    [
        b"deviceId,token,type\nd2,t2,apns",
        b"device_id, TOKEN ,Type\nd2,t2,apns",
        b"token,type,deviceId\nt2,apns,d2",
        b"deviceId,token,type,deviceName\nd2,t2,apns,",
        b"type,deviceId,token,,\napns,d2,t2,,",
    ],
    ids=["the same", "other spelling", "other order", "more columns", "delimiters behind"],
)
def test_rows_below_another_header_have_its_columns(second: bytes) -> None:
    records = read_file("tokens", [b"deviceId,token,type\nd1,t1,gcm\n" + second + b"\n"])

    found = [(record["device_id"], record["token"], record["token_type"]) for record in records]
    assert found == [("d1", "t1", "gcm"), ("d2", "t2", "apns")]


@pytest.mark.parametrize("second", ["value", "Value", "other"])
def test_a_wrapper_with_two_lists_is_no_sound_file(second: str) -> None:
    token = '[{"deviceId": "d", "token": "t", "type": "gcm"}]'
    content = f'{{"n": [], "value": {token}, "{second}": {token}}}'.encode()

    with pytest.raises(DataError, match="BLOB_CORRUPT"):
        read_file("tokens", [content])


@pytest.mark.parametrize(
    "group",
    [
        '{"deviceId": "d", "events": [], "data": [%s]}',
        '{"deviceId": "d", "events": null, "x": {"data": [[%s]]}}',
        '{"deviceId": "d", "events": ["\\\\"], "data": [%s]}',
        '{"deviceId": "d", "name": [%s], "events": [{"name": "n", "timestamp": "2016-05-01"}]}',
    ],
    ids=["an empty list", "no list", "no objects in it", "a list in a field"],
)
@pytest.mark.parametrize("count", [1, 30])
def test_a_group_whose_items_are_elsewhere_is_a_bad_record(group: str, count: int) -> None:
    lost = group % '{"name": "lost", "timestamp": "2016-05-01"}'
    good = '{"deviceId": "d", "events": [{"name": "n", "timestamp": "2016-05-01"}]}'
    rejected = Rejected()

    records = read_file("events", [f"[{', '.join([good, lost] * count)}]".encode()], rejected)

    assert [record["name"] for record in records] == ["n"] * count
    assert ["lost" in repr(item) for _, item in rejected.found] == [True] * count


def test_a_group_without_items_may_have_fields_of_its_own() -> None:
    content = b'[{"deviceId": "d", "page": {"a": [1, []]}, "next": "x", "events": []}]'

    assert read_file("events", [content]) == []


def test_what_items_repeat_of_their_group_is_not_held_for_all_of_them() -> None:
    items = ", ".join(f'{{"name": "n{n}", "timestamp": "2016-05-01"}}' for n in range(100))
    key = "d" * 1_000_000
    reader = RecordReader(BY_NAME["events"], Rejected())
    content = f'[{{"deviceId": "{key}", "events": [{items}]}}]'.encode()

    batches = [*reader.batches(origin("events"), [content])]

    assert max(batch.count for batch in batches) <= 8
    ids = [record["record_id"] for batch in batches for record in batch.dictionaries()]
    assert len({*ids}) == 100


@pytest.mark.parametrize("content", [b"[%b%b]", b"[%b,%b]", b"%b%b"])
def test_white_space_is_not_kept(content: bytes) -> None:
    item = b'{"deviceId": "d", "name": "n", "timestamp": "2016-05-01"}'
    blank = b" \n" * 2_000_000
    first = item if b"," in content else b""
    rejected = Rejected()
    tracemalloc.start()

    with patch.object(arrays, "MAX_ELEMENT_SIZE", 1_000_000):
        records = read_file("events", rechunk([content % (first, blank + item)], 65_536))

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(records) == bool(first) + 1
    assert rejected.found == []
    assert peak < 30_000_000


def test_a_group_whose_first_items_are_bad_records_is_still_a_group_of_its_own() -> None:
    good = '{"name": "n", "timestamp": "2016-05-01"}'
    bad = ", ".join(['{"name": 1}'] * 20_000)
    lists = [f"{good}, {bad}", f"{bad}, {good}"]
    groups = [f'{{"deviceId": "d", "events": [{items}]}}' for items in lists]
    rejected = Rejected()

    one, other = read_file("events", [f"[{', '.join(groups)}]".encode()], rejected)

    assert one["record_id"] == other["record_id"]
    assert len(rejected.found) == 40_000


@pytest.mark.parametrize("more", ["", ', "odd": 1'])
def test_the_items_of_a_group_that_is_a_whole_file_are_read_by_types(more: str) -> None:
    items = ", ".join([f'{{"name": "n", "timestamp": "2016-05-01"{more}}}'] * 20_000)
    reader = RecordReader(BY_NAME["events"], Rejected())

    with patch.object(reader._items, "columns", side_effect=AssertionError("one by one")):
        content = f'[{{"deviceId": "d", "events": [{items}]}}]'.encode()
        batches = [*reader.batches(origin("events"), [content])]

    assert sum(batch.count for batch in batches) == 20_000
