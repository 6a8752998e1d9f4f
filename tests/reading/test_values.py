"""Source values of every kind to record values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_mobile_engagement.datatypes import Kind
from tap_mobile_engagement.reading.values import READERS, BadValue, repaired
from tests.reading.arrays import COMPACT, values

GUID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"

ACCEPTED: list[tuple[Kind, Any, Any]] = [
    # Every form that Microsoft's schema of the export files allows.
    (Kind.TIME, "2016-05-01", "2016-05-01T00:00:00Z"),
    (Kind.TIME, "2016-05-01TZ", "2016-05-01T00:00:00Z"),
    (Kind.TIME, "2016-05-01 +02:00", "2016-04-30T22:00:00Z"),
    (Kind.TIME, "2016-05-01T10:20:30", "2016-05-01T10:20:30Z"),
    (Kind.TIME, "2016-05-01 10:20:30", "2016-05-01T10:20:30Z"),
    (Kind.TIME, "2016-05-01T10:20:30Z", "2016-05-01T10:20:30Z"),
    (Kind.TIME, "2016-05-01T10:20:30.Z", "2016-05-01T10:20:30Z"),
    (Kind.TIME, "2016-05-01T10:20:30.0Z", "2016-05-01T10:20:30Z"),
    (Kind.TIME, "2016-05-01T10:20:30.1Z", "2016-05-01T10:20:30.100Z"),
    (Kind.TIME, "2016-05-01T10:20:30.123", "2016-05-01T10:20:30.123Z"),
    (Kind.TIME, "2016-05-01T10:20:30.1234567Z", "2016-05-01T10:20:30.123456700Z"),
    (Kind.TIME, "2016-05-01T10:20:30.123456789Z", "2016-05-01T10:20:30.123456789Z"),
    (Kind.TIME, "2016-05-01T10:20:30.120000000Z", "2016-05-01T10:20:30.120Z"),
    (Kind.TIME, "2016-05-01T10:20:30+02:00", "2016-05-01T08:20:30Z"),
    (Kind.TIME, "2016-05-01T10:20:30.5-23:59", "2016-05-02T10:19:30.500Z"),
    (Kind.TIME, "2016-02-29T23:59:59Z", "2016-02-29T23:59:59Z"),
    # Forms that are likely: other writers of the same times.
    (Kind.TIME, " 2016-05-01T10:20:30Z ", "2016-05-01T10:20:30Z"),
    (Kind.TIME, "2016-05-01t10:20:30z", "2016-05-01T10:20:30Z"),
    (Kind.TIME, "2016-05-01T10:20:30+0200", "2016-05-01T08:20:30Z"),
    (Kind.TIME, "2016-05-01 10:20:30 Z", "2016-05-01T10:20:30Z"),
    (Kind.TIME, "2016-05-01 10:20:30 +02:00", "2016-05-01T08:20:30Z"),
    # Milliseconds since 1970.
    (Kind.TIME, 0, "1970-01-01T00:00:00Z"),
    (Kind.TIME, 1462098030000, "2016-05-01T10:20:30Z"),
    (Kind.TIME, 1462098030007, "2016-05-01T10:20:30.007Z"),
    (Kind.TIME, "1462098030007", "2016-05-01T10:20:30.007Z"),
    (Kind.TIME, -1, "1969-12-31T23:59:59.999Z"),
    # Seconds, for as milliseconds they would lie before there was such a service.
    (Kind.TIME, 1462098030, "2016-05-01T10:20:30Z"),
    (Kind.TIME, "1462098030", "2016-05-01T10:20:30Z"),
    (Kind.TIME, 978307200, "2001-01-01T00:00:00Z"),
    (Kind.TIME, 1462098030000.0, "2016-05-01T10:20:30Z"),
    # No time.
    (Kind.TIME, "", None),
    (Kind.TIME, " ", None),
    # Clocks that are wrong, but possible.
    (Kind.TIME, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    (Kind.TIME, "9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    (Kind.ID, GUID, GUID),
    (Kind.ID, GUID.upper(), GUID.upper()),
    (Kind.ID, "0" * 31 + "1", "0" * 31 + "1"),
    (Kind.ID, "some other id", "some other id"),
    (Kind.ID, "", None),
    (Kind.ID, "0" * 32, None),
    (Kind.ID, "00000000-0000-0000-0000-000000000000", None),
    (Kind.ID, "0", "0"),
    (Kind.TEXT, "", ""),
    (Kind.TEXT, " é😀\0 ", " é😀\0 "),
    (Kind.INTEGER, 17, 17),
    (Kind.INTEGER, -120, -120),
    (Kind.INTEGER, "17", 17),
    (Kind.INTEGER, " -120 ", -120),
    (Kind.INTEGER, 17.0, 17),
    (Kind.INTEGER, (1 << 63) - 1, (1 << 63) - 1),
    (Kind.INTEGER, -(1 << 63), -(1 << 63)),
    (Kind.BOOLEAN, True, True),
    (Kind.BOOLEAN, False, False),
    (Kind.BOOLEAN, "true", True),
    (Kind.BOOLEAN, "FALSE", False),
    (Kind.BOOLEAN, 1, True),
    (Kind.BOOLEAN, "0", False),
    (Kind.OBJECT, {}, {}),
    (Kind.OBJECT, {"b": [{"d": 1, "c": 2}], "a": None}, {"a": None, "b": [{"c": 2, "d": 1}]}),
    (Kind.OBJECT, '{"b": 1, "a": "é"}', {"a": "é", "b": 1}),
    (Kind.OBJECT, " {} ", {}),
    (Kind.OBJECT, "", {}),
    (Kind.OBJECT, " ", {}),
    (Kind.OBJECT, [], {}),
    (Kind.OBJECT, "[]", {}),
    (Kind.OBJECT, "null", None),
    (Kind.OBJECT, r'{"a": "\ud83d"}', {"a": "\ufffd"}),
    (Kind.OBJECT, '{"a": "x\ny"}', {"a": "x\ny"}),
    (Kind.FLAGS, [], []),
    (Kind.FLAGS, ["Queued", "NobodyListedThis"], ["Queued", "NobodyListedThis"]),
    (Kind.FLAGS, '["Queued", "ContentExited"]', ["Queued", "ContentExited"]),
    (Kind.FLAGS, "Queued", ["Queued"]),
    (Kind.FLAGS, "Queued, ContentExited", ["Queued", "ContentExited"]),
    (Kind.FLAGS, "Queued;ContentExited|Dropped", ["Queued", "ContentExited", "Dropped"]),
    (Kind.FLAGS, "", []),
]
REFUSED: list[tuple[Kind, Any]] = [
    (Kind.TIME, "2016-02-30"),
    (Kind.TIME, "2016-13-01"),
    (Kind.TIME, "2016-05-01T24:00:00Z"),
    (Kind.TIME, "2016-05-01T10:60:00Z"),
    (Kind.TIME, "2016-05-01T10:20:30+24:00"),
    (Kind.TIME, "2016-05-01T10:20:30+02:60"),
    (Kind.TIME, "2016-05-01T10:20:30.1234567890Z"),
    (Kind.TIME, "2016-05-01T10:20Z"),
    (Kind.TIME, "0001-01-01T00:00:00+01:00"),
    (Kind.TIME, "9999-12-31T23:59:59-01:00"),
    (Kind.TIME, "0000-01-01"),
    (Kind.TIME, "-2016-05-01"),
    (Kind.TIME, "20160501"),
    (Kind.TIME, "01.05.2016"),
    (Kind.TIME, "٢٠١٦-٠٥-٠١"),  # noqa: RUF001  (digits, but not ASCII)
    (Kind.TIME, "yesterday"),
    (Kind.TIME, 10**18),
    (Kind.TIME, -(10**18)),
    (Kind.TIME, 1462098030.5),
    (Kind.TIME, True),
    (Kind.TIME, []),
    (Kind.ID, 5),
    (Kind.ID, {}),
    (Kind.ID, True),
    (Kind.TEXT, 5),
    (Kind.TEXT, None),
    (Kind.TEXT, ["x"]),
    (Kind.INTEGER, 1 << 63),
    (Kind.INTEGER, "9" * 20),
    (Kind.INTEGER, "9" * 5_000),
    (Kind.INTEGER, 1.5),
    (Kind.INTEGER, 1e300),
    (Kind.INTEGER, float("inf")),
    (Kind.INTEGER, "1.5"),
    (Kind.INTEGER, "٣"),
    (Kind.INTEGER, ""),
    (Kind.INTEGER, True),
    (Kind.INTEGER, [1]),
    (Kind.BOOLEAN, "yes"),
    (Kind.BOOLEAN, 2),
    (Kind.BOOLEAN, 1.0),
    (Kind.BOOLEAN, {}),
    (Kind.OBJECT, 5),
    (Kind.OBJECT, "5"),
    (Kind.OBJECT, [1]),
    (Kind.OBJECT, "[1]"),
    (Kind.OBJECT, "{"),
    (Kind.OBJECT, "{'a': 1}"),
    (Kind.FLAGS, 5),
    (Kind.FLAGS, ["Queued", 5]),
    (Kind.FLAGS, "[5]"),
    (Kind.FLAGS, "[Queued"),
    (Kind.FLAGS, {"Queued": True}),
]


@pytest.mark.parametrize(("kind", "source", "expected"), ACCEPTED)
def test_a_value_in_any_of_its_forms_gives_its_normal_form(
    kind: Kind, source: Any, expected: Any
) -> None:
    value = READERS[kind](source)

    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(("kind", "source"), REFUSED)
def test_a_value_that_its_field_cannot_hold_is_refused(kind: Kind, source: Any) -> None:
    with pytest.raises(BadValue) as caught:
        READERS[kind](source)

    assert len(str(caught.value)) < 120


def test_there_is_a_reader_and_a_test_for_every_kind() -> None:
    assert set(READERS) == set(Kind)
    assert {kind for kind, _, _ in ACCEPTED} == {kind for kind, _ in REFUSED} == set(Kind)


zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001  (the zone is drawn apart)
    max_value=datetime(9998, 12, 31),  # noqa: DTZ001
    timezones=zones,
)


@given(times, st.sampled_from("T "))
def test_a_time_keeps_its_instant_to_the_last_digit(moment: datetime, separator: str) -> None:
    text = READERS[Kind.TIME](moment.isoformat(sep=separator))

    assert datetime.fromisoformat(text) == moment
    assert text.endswith("Z")


@given(times.map(lambda moment: moment.astimezone(UTC).replace(microsecond=0)))
def test_a_time_in_its_normal_form_stays_as_it_is(moment: datetime) -> None:
    normal = READERS[Kind.TIME](moment.isoformat())

    assert READERS[Kind.TIME](normal) == normal


@given(
    st.integers(-62_135_596_800_000, 253_402_300_799_999).filter(
        lambda value: not 10**8 <= value < 10**10  # these are seconds
    )
)
def test_milliseconds_are_exact(milliseconds: int) -> None:
    text = READERS[Kind.TIME](milliseconds)

    since = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    assert since == timedelta(milliseconds=milliseconds)


@given(st.dictionaries(st.text(max_size=5), values, max_size=4))
def test_an_object_is_the_same_as_json_text(value: dict[str, Any]) -> None:
    read = READERS[Kind.OBJECT]
    clean, _ = repaired(value)

    assert read(COMPACT.write(value).decode()) == read(clean) == clean


def test_an_object_nested_too_deep_is_said_to_be_so() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"a": deep}

    with pytest.raises(BadValue, match="more than 100 levels"):
        READERS[Kind.OBJECT](deep)


@pytest.mark.parametrize("wrap", [lambda v: {"a": v}, lambda v: {"a": [v]}])
def test_an_object_may_have_a_hundred_levels(wrap: Any) -> None:
    fits: Any = {}
    while depth(fits) < 99:
        fits = wrap(fits)
    fits = {"a": fits} if depth(fits) == 99 else fits

    assert READERS[Kind.OBJECT](fits) == fits
    with pytest.raises(BadValue, match="more than 100 levels"):
        READERS[Kind.OBJECT]({"a": fits})


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0) if isinstance(value, dict | list) else 0
