"""Configurations of any form: right, or refused by name, and never a traceback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_mobile_engagement.settings import ALL_SETTINGS
from tests.inputs.test_states import ANYTHING

if TYPE_CHECKING:
    from tests.inputs.support import Archive

SHARED = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NAMES = [*ALL_SETTINGS]
MAPS = st.dictionaries(
    st.sampled_from(["events", "tags", "*", "__else__", "other"]),
    st.dictionaries(
        st.sampled_from(["name", "__filter__", "__else__", "__alias__", "__source__", "new"]),
        st.none() | st.sampled_from(["__NULL__", "name", "1 +", "1 / 0", "x", "", "events"]),
    )
    | st.sampled_from([None, "__NULL__", "x"]),
)


JSON: dict[str, Any] = {
    "boolean": True,
    "integer": 10**12,
    "number": -0.5,
    "string": "none of them \0",
    "array": [5],
    "object": {"x": {"y": 5}},
}
FREE = {"stream_map_config", "faker_config"}
WRONG = [
    (name, kind)
    for name, setting in ALL_SETTINGS.items()
    for kind in JSON
    # (any boolean is right for a boolean, any object for values of a user's own)
    if setting.kind != kind or (kind != "boolean" and name not in FREE)
]


@pytest.mark.parametrize(("name", "kind"), WRONG)
def test_a_value_of_every_wrong_type_is_refused_by_name(
    shared_archive: Archive, name: str, kind: str
) -> None:
    line = shared_archive.run(config={name: JSON[kind]}).refusal()

    assert line.startswith(f"BAD_SETTING: the setting {name} ")
    assert f"Write it like this: {name}: " in line


@given(name=st.sampled_from(NAMES), value=ANYTHING)
@SHARED
def test_a_setting_with_any_value_is_taken_or_refused_by_its_name(
    shared_archive: Archive, name: str, value: Any
) -> None:
    content = json.dumps({**shared_archive.settings, name: value}).encode()

    outcome = shared_archive.run(config=content)

    if outcome.output == b"":
        assert outcome.exit_code == 1
        assert outcome.complaints
        assert not [line for line in outcome.complaints if "\n" in line]
        assert any(f"setting {name} " in line for line in outcome.complaints) or (
            name in {"source", "container_url", "storage_connection_string"}
            or (name == "poll_interval_seconds" and name in str(outcome.complaints))
            or (name == "archive_pattern" and "NO_FILES" in str(outcome.complaints))
        )


@given(maps=MAPS)
@SHARED
def test_any_stream_maps_are_applied_or_end_in_a_line(
    shared_archive: Archive, maps: dict[str, Any]
) -> None:
    outcome = shared_archive.run(config={"stream_maps": maps})

    assert not [line for line in outcome.complaints if "\n" in line]
    if outcome.exit_code:
        assert any("the setting stream_maps " in line for line in outcome.complaints)
