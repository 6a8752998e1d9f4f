"""Record ids: what they depend on, and what not."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tap_mobile_engagement.datatypes import BY_NAME, DATA_TYPES
from tests.reading.arrays import COMPACT, awkward_text, values, writers
from tests.support.records import read_file

if TYPE_CHECKING:
    from tests.reading.arrays import Writer

BY_RECORD_ID = [data_type.name for data_type in DATA_TYPES if data_type.has_record_id]

# Fields that no data type names under any spelling.
unknown_names = awkward_text.map(lambda text: f"x-{text}").filter(str.isprintable)
ids = st.uuids(allow_nil=False).map(str)
times = st.datetimes().map(lambda moment: moment.isoformat(timespec="milliseconds"))
items = st.builds(
    lambda fixed, extras, unknown: {**unknown, **fixed, **extras},
    st.fixed_dictionaries(
        {"name": awkward_text, "timestamp": times},
        optional={"sessionId": ids, "infoId": ids},
    ),
    st.fixed_dictionaries(
        {}, optional={"extras": st.dictionaries(awkward_text, values, max_size=4)}
    ),
    st.dictionaries(unknown_names, values, max_size=2),
)


def read_ids(content: bytes, stream: str = "events", app_name: str = "shop") -> list[str]:
    """The record ids of a whole file."""

    return [record["record_id"] for record in read_file(stream, [content], app=app_name)]


def file_of(*item: Any, device: str = "d1", writer: Writer = COMPACT) -> bytes:
    return writer.write([{"deviceId": device, "events": [*item]}])


@st.composite
def shuffled(draw: st.DrawFn, value: Any) -> Any:
    """The same value with the keys of its objects in another order, at every depth."""
    if isinstance(value, dict):
        keys = draw(st.permutations(list(value)))
        return {key: draw(shuffled(value[key])) for key in keys}
    if isinstance(value, list):
        return [draw(shuffled(item)) for item in value]
    return value


@given(st.data(), items, writers)
def test_an_id_does_not_depend_on_key_order_or_spacing(
    data: st.DataObject, item: dict[str, Any], writer: Writer
) -> None:
    other = data.draw(shuffled(item))

    assert read_ids(file_of(other, writer=writer)) == read_ids(file_of(item))


@given(items, items, items)
def test_an_id_does_not_depend_on_the_blob_and_what_else_it_holds(
    item: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> None:
    assume(item not in (before, after))
    (alone,) = read_ids(file_of(item))

    among_others = read_ids(file_of(before, item, after))

    assert among_others[1] == alone


@given(items, items)
def test_different_content_has_different_ids(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assume(json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True))

    assert read_ids(file_of(one)) != read_ids(file_of(other))


@given(items, st.integers(2, 5))
def test_identical_items_of_a_group_stay_apart_the_same_way_each_time(
    item: dict[str, Any], count: int
) -> None:
    once = read_ids(file_of(*[item] * count))

    assert len(set(once)) == count
    assert read_ids(file_of(*[item] * count)) == once
    assert read_ids(file_of(item)) == once[:1]


@given(st.lists(st.tuples(st.sampled_from(["d1", "d2"]), st.sampled_from("aab"))))
def test_flat_rows_have_the_ids_of_groups(rows: list[tuple[str, str]]) -> None:
    flat = [
        {"deviceId": device, "name": name, "timestamp": "2016-05-01"} for device, name in rows
    ]
    nested = [
        {
            "deviceId": device,
            "events": [{**row, "deviceId": None} for row in run],
        }
        for device, run in itertools.groupby(flat, lambda row: row["deviceId"])
    ]

    assert read_ids(COMPACT.write(flat)) == read_ids(COMPACT.write(nested))


def test_an_id_depends_on_app_data_type_and_group() -> None:
    item = {"name": "a", "timestamp": "2016-05-01T00:00:00Z"}
    groups = COMPACT.write([{"deviceId": "d1", "errors": [item]}])

    ids = {
        *read_ids(file_of(item)),
        *read_ids(file_of(item), app_name="other"),
        *read_ids(file_of(item, device="d2")),
        *read_ids(groups, "errors"),
    }

    assert len(ids) == 4


@pytest.mark.parametrize("stream", BY_RECORD_ID)
def test_ids_are_32_hex_digits(stream: str) -> None:
    item = {"name": "a", "timestamp": "2016-05-01T00:00:00Z"}
    content = COMPACT.write([{BY_NAME[stream].group_list: [item], "deviceId": "d1"}])

    (record_id,) = read_ids(content, stream)

    assert len(record_id) == 32
    assert set(record_id) <= set("0123456789abcdef")


SPELLINGS = [
    ('{"timestamp":"2016-05-01T10:00:00Z"}', '{"timestamp":"2016-05-01 12:00:00.000+02:00"}'),
    ('{"timestamp":"2016-05-01T10:00:00Z"}', '{"timestamp":1462096800000}'),
    ('{"extras":{"a":"é"}}', r'{"extras":{"a":"\u00e9"}}'),
    ('{"extras":{"a":"/"}}', r'{"extras":{"a":"\/"}}'),
    ('{"extras":{"a":100.0}}', '{"extras":{"a":1.0e2}}'),
    ('{"extras":{"b":1,"a":2}}', r'{"extras":"{\"a\": 2, \"b\": 1}"}'),
    ('{"extras":null}', "{}"),
    ('{"sessionId":""}', '{"sessionId":"00000000-0000-0000-0000-000000000000"}'),
    ('{"infoId":null}', '{"INFO_ID":""}'),
]


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
def test_another_spelling_of_the_same_content_has_the_same_id(one: str, other: str) -> None:
    common = {"name": "a", "timestamp": "2016-05-01T00:00:00Z"}

    first, second = (
        read_ids(file_of({**common, **json.loads(spelling)})) for spelling in (one, other)
    )

    assert first == second
