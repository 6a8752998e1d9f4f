"""The SDK's settings: wrong forms, maps that fail, and packages that are not installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.inputs.support import Archive, Outcome

BROKEN: dict[str, dict[str, Any]] = {
    "half an expression": {"events": {"name": "name +"}},
    "an empty expression": {"events": {"name": ""}},
    "half a filter": {"events": {"__filter__": "name =="}},
    "no primary key": {"events": {"record_id": "__NULL__"}},
    "a primary key that does not exist": {"events": {"__key_properties__": ["id"]}},
    "another rule for the rest": {"events": {"__else__": "name"}},
    "another rule for other streams": {"__else__": "events"},
    "an option that does not exist": {"__rest__": None},
    "a text for a stream": {"events": "name"},
}
FAILING = {
    "a name that is not defined": "nope",
    "a division by zero": "1 / 0",
    "another type": "name + 5",
    "a missing key": "extras['x']",
    "a function that does not exist": "shout(name)",
    "an attribute that does not exist": "name.nope()",
    "too much of it": "9 ** 9 ** 9",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_stream_maps_that_can_not_be_read_are_refused(archive: Archive, kind: str) -> None:
    line = archive.run(config={"stream_maps": BROKEN[kind]}).refusal()

    assert line.startswith("BAD_SETTING: the setting stream_maps can't be applied")
    assert "Write it like this: stream_maps: {" in line


def assert_failed(outcome: Outcome) -> None:
    """Events failed in one line and without a record; tags are out."""
    assert outcome.exit_code == 1
    assert outcome.complaints[0].startswith("BAD_SETTING: the setting stream_maps can't be ")
    assert "stream=events" in outcome.complaints[0]
    assert outcome.complaints[-1].startswith("STREAMS_FAILED: 1 failed: events (BAD_SETTING)")
    assert not [line for line in outcome.complaints if "\n" in line]
    assert outcome.messages.records("events") == []
    assert len(outcome.messages.records("tags")) == 1


@pytest.mark.parametrize("part", ["name", "__filter__"])
@pytest.mark.parametrize("kind", FAILING)
def test_a_map_that_fails_on_a_record_fails_its_stream(
    archive: Archive, kind: str, part: str
) -> None:
    assert_failed(archive.run(config={"stream_maps": {"events": {part: FAILING[kind]}}}))


def test_a_map_that_fails_on_a_record_fails_batches_likewise(archive: Archive) -> None:
    batches = archive.exports.parent / "batches"
    config = {
        "stream_maps": {"events": {"name": "1 / 0"}, "tags": {"tags": "__NULL__"}},
        "batch_config": {"storage": {"root": batches.as_uri()}},
    }

    outcome = archive.run(config=config)

    assert outcome.exit_code == 1
    assert outcome.complaints[0].startswith("BAD_SETTING: the setting stream_maps can't be ")
    assert [m["stream"] for m in outcome.messages.of_type("BATCH")] == ["tags"]
    assert len([*batches.iterdir()]) == 1


WRONG: dict[str, list[Any]] = {
    "emit_activate_version_messages": ["true", 1, []],
    "stream_maps": [5, "events", [], {"events": 5}, {"events": {"name": 5}}],
    "stream_map_config": [5, "x", []],
    "faker_config": [5, "x", []],
    "flattening_enabled": ["true", 1],
    "flattening_max_depth": ["1", -1, 1.5, True],
    "flattening_max_key_length": ["1", 0, -1],
    "flattening_separator": [5, []],
    "batch_config": [
        *(5, "x", [], {"storage": 5}, {"storage": {}}, {"storage": {"root": 5}}),
        {"encoding": {}},
        {"storage": {"root": "foo://x"}},
        {"storage": {"root": "/x"}, "batch_size": 0},
        {"storage": {"root": "/x"}, "encoding": {"format": "parquet"}},
    ],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_value_is_refused_by_its_name(archive: Archive, name: str, value: Any) -> None:
    line = archive.run(config={name: value}).refusal()

    assert line.startswith(f"BAD_SETTING: the setting {name} ")
    assert f"Write it like this: {name}: " in line


@pytest.mark.parametrize("name", WRONG)
def test_null_is_not_set(archive: Archive, name: str) -> None:
    outcome = archive.run(config={name: None})

    assert outcome.exit_code == 0
    assert len(outcome.messages.records("events")) == 1


def test_flattening_takes_a_depth(archive: Archive) -> None:
    line = archive.run(config={"flattening_enabled": True}).refusal()

    assert "flattening_max_depth is required with flattening_enabled" in line


def test_what_an_object_holds_is_not_shown(archive: Archive) -> None:
    config = {
        "batch_config": {"storage": {"root": "/x", "params": "acc0unt-k3y"}},
        "stream_map_config": ["s33d-of-mine"],
    }

    outcome = archive.run(config=config)

    assert outcome.exit_code == 1
    assert len(outcome.complaints) == 2
    assert "acc0unt-k3y" not in "".join(outcome.complaints)
    assert "s33d-of-mine" not in "".join(outcome.complaints)


@pytest.mark.parametrize(
    "config",
    [{"faker_config": {"seed": 7}}, {"stream_maps": {"events": {"name": "fake.name()"}}}],
    ids=["its settings", "a map"],
)
def test_invented_values_take_the_package(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any]
) -> None:
    monkeypatch.setitem(sys.modules, "faker", None)  # as if it were not installed

    line = archive.run(config=config).refusal()

    assert "package faker" in line
    assert "pip install 'tap-mobile-engagement[faker]'" in line


@pytest.mark.parametrize(
    ("root", "module", "help_"),
    [
        ("az://container/x", "adlfs", "pip install 'tap-mobile-engagement[azure]'"),
        ("abfs://container/x", "adlfs", "pip install 'tap-mobile-engagement[azure]'"),
        ("s3://bucket/x", "s3fs", "Install s3fs"),
        ("gs://bucket/x", "gcsfs", "gcsfs"),
    ],
)
def test_a_storage_of_batches_takes_its_package(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, root: str, module: str, help_: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    line = archive.run(config={"batch_config": {"storage": {"root": root}}}).refusal()

    assert line.startswith("BAD_SETTING: the setting batch_config takes a package")
    assert help_ in line


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("archive_patern", "archive_pattern"),
        ("appnames", "app_names"),
        ("bad-records", "bad_records"),
        ("stream_map", "stream_maps"),
        ("flatening_enabled", "flattening_enabled"),
        ("START_DATE", "start_date"),
    ],
)
def test_a_misspelt_setting_gets_a_warning(archive: Archive, name: str, near: str) -> None:
    outcome = archive.run(config={name: "x"})

    assert outcome.exit_code == 0
    assert outcome.complaints == [
        f"There is no setting {name}: it counts for nothing; did you mean {near}?"
    ]


def test_a_setting_that_is_like_none_gets_a_warning_too(archive: Archive) -> None:
    outcome = archive.run(config={"xyzzy": 1})

    assert outcome.complaints == ["There is no setting xyzzy: it counts for nothing"]
