"""Catalogs: what the tap's own discovery wrote is heeded, and a broken one is refused."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.inputs.support import tap
from tests.inputs.test_states import ANYTHING, changed, places

if TYPE_CHECKING:
    from tests.inputs.support import Archive


@cache
def catalog() -> dict[str, Any]:
    """The tap's own catalog, with the streams of the archive alone."""
    found: dict[str, Any] = json.loads(tap("--discover").output)
    streams = [each for each in found["streams"] if each["stream"] in {"events", "tags"}]
    return {"streams": streams}


WRONG: dict[str, tuple[Any, str]] = {
    "no streams": ({}, "streams"),
    "an empty list": ({"streams": []}, "none of this tap's streams"),
    "a configuration": ({"source": "archive"}, "streams"),
    "a state": ({"bookmarks": {}}, "streams"),
    "streams by name": ({"streams": {"events": {}}}, "streams"),
    "names alone": ({"streams": ["events"]}, "streams[0]"),
    "another tap's": (
        {"streams": [{"tap_stream_id": "users", "schema": {"properties": {}}}]},
        "none of this tap's streams",
    ),
    "half of a character": (
        {"streams": [{"tap_stream_id": "events", "schema": {"properties": {"\ud800": {}}}}]},
        "surrogates not allowed",
    ),
    "no schema": ({"streams": [{"tap_stream_id": "events"}]}, "schema"),
    "a key of no field": (
        {"streams": [{"tap_stream_id": "tags", "schema": {}, "key_properties": ["nope"]}]},
        "key_properties that are no fields",
    ),
    "selected by a word": (
        {
            "streams": [
                {
                    "tap_stream_id": "events",
                    "schema": {},
                    "metadata": [{"breadcrumb": [], "metadata": {"selected": "yes"}}],
                }
            ]
        },
        "selected",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_catalog_of_another_form_is_refused(archive: Archive, kind: str) -> None:
    content, words = WRONG[kind]

    line = archive.run(catalog=content).refusal()

    assert line.startswith("BAD_CATALOG: ")
    assert words in line
    assert "--discover" in line


def test_a_catalog_of_the_tap_is_taken(archive: Archive) -> None:
    outcome = archive.run(catalog=catalog())

    assert outcome.exit_code == 0
    assert outcome.complaints == []
    assert len(outcome.messages.records("events")) == 1


def test_a_stream_that_does_not_exist_gets_a_warning(archive: Archive) -> None:
    unknown = {**catalog()["streams"][0], "tap_stream_id": "evnets", "stream": "evnets"}

    outcome = archive.run(catalog={"streams": [*catalog()["streams"], unknown]})

    assert outcome.exit_code == 0
    assert outcome.complaints == [
        "There is no stream evnets: it counts for nothing; did you mean events?"
    ]


WORDS = st.sampled_from(
    [
        *("events", "tags", "FULL_TABLE", "INCREMENTAL", "LOG_BASED", "exported_until", "name"),
        *("automatic", "unsupported", ["device_id"], ["nope"], {"type": "object"}),
    ]
)


@given(data=st.data(), value=ANYTHING | WORDS)
@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_run_with_any_catalog_ends_without_a_traceback(
    shared_archive: Archive, data: st.DataObject, value: Any
) -> None:
    place = data.draw(st.sampled_from([*places(catalog())]))
    content = json.dumps(changed(catalog(), place, value)).encode()

    outcome = shared_archive.run(catalog=content)

    if outcome.exit_code:
        assert outcome.refusal().startswith("BAD_CATALOG: ")
