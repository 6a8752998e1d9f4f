"""Whole runs keep to the conventions of Singer: from both sources, as records and in files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.datatypes import DATA_TYPES, LISTED_TYPES
from tests.support.batches import batches_in
from tests.support.conventions import check
from tests.support.messages import Messages
from tests.support.simulated import catalog_of, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator

STREAMS = [data_type.name for data_type in DATA_TYPES]
LISTED = [data_type.name for data_type in LISTED_TYPES]


def settings_of(source: str, simulator: Simulator, folder: Path) -> dict[str, Any]:
    """Settings for a run that brings records of all ten streams."""
    if source == "api":
        return settings_for(simulator, folder, window_days=3)
    for stream in STREAMS:
        simulator.write_export("shop", stream, folder.as_uri())
    return {"source": "archive", "container_url": folder.as_uri(), "app_names": ["shop"]}


@pytest.mark.parametrize("versions", [False, True], ids=["", "versions"])
@pytest.mark.parametrize("form", ["records", "batches"])
@pytest.mark.parametrize("source", ["api", "archive"])
def test_a_run_keeps_to_them(
    simulator: Simulator, folder: Path, source: str, form: str, *, versions: bool
) -> None:
    settings = settings_of(source, simulator, folder)
    settings["emit_activate_version_messages"] = versions
    if form == "batches":
        settings["batch_config"] = batches_in(folder.with_name("batches"), batch_size=20)

    messages = sync(settings).checked()

    assert sorted(check(messages)) == sorted(STREAMS)
    assert bool(messages.of_type("BATCH")) is (form == "batches")
    assert bool(messages.of_type("ACTIVATE_VERSION")) is versions


@pytest.mark.parametrize("form", ["records", "batches"])
def test_a_run_of_the_streams_that_are_off_at_first_does(
    simulator: Simulator, folder: Path, form: str
) -> None:
    settings = settings_for(simulator, folder)
    sync(settings).checked()
    if form == "batches":
        settings["batch_config"] = batches_in(folder.with_name("batches"))

    messages = sync(settings, catalog=catalog_of(settings, *LISTED)).checked()

    assert sorted(check(messages)) == sorted(LISTED)


def test_a_run_that_fails_half_way_does_too(simulator: Simulator, folder: Path) -> None:
    simulator.faults.plan([{"fault": "blob_truncated", "data_type": "events", "at": -100}])

    run = sync(settings_for(simulator, folder, window_days=3))

    assert run.failure is not None
    assert {*check(run.messages)} >= {*STREAMS} - {"events"}


# The check itself can fail.


def _first(messages: list[dict[str, Any]], kind: str) -> int:
    return next(at for at, each in enumerate(messages) if each["type"] == kind)


def _no_schema(messages: list[dict[str, Any]]) -> None:
    del messages[_first(messages, "SCHEMA")]


def _wrong_type(messages: list[dict[str, Any]]) -> None:
    messages[_first(messages, "RECORD")]["record"]["exported_until"] = 7


def _no_date(messages: list[dict[str, Any]]) -> None:
    messages[_first(messages, "RECORD")]["record"]["exported_until"] = "yesterday"


def _unknown_field(messages: list[dict[str, Any]]) -> None:
    messages[_first(messages, "RECORD")]["record"]["more"] = 1


def _no_key(messages: list[dict[str, Any]]) -> None:
    messages[_first(messages, "SCHEMA")]["key_properties"] = ["id"]


def _unknown_part(messages: list[dict[str, Any]]) -> None:
    messages[_first(messages, "RECORD")]["note"] = ""


def _state_first(messages: list[dict[str, Any]]) -> None:
    messages.insert(_first(messages, "RECORD"), messages[-1])


def _no_state_at_the_end(messages: list[dict[str, Any]]) -> None:
    messages.append(messages[_first(messages, "RECORD")])


@pytest.mark.parametrize(
    "spoil",
    [
        _no_schema,
        _wrong_type,
        _no_date,
        _unknown_field,
        _no_key,
        _unknown_part,
        _state_first,
        _no_state_at_the_end,
    ],
)
def test_one_that_does_not_is_found(
    simulator: Simulator, folder: Path, spoil: Callable[[list[dict[str, Any]]], None]
) -> None:
    settings = settings_for(simulator, folder)
    messages = sync(settings, catalog=catalog_of(settings, "events")).checked()
    check(messages)
    spoiled = [*messages.all]

    spoil(spoiled)

    with pytest.raises(AssertionError):
        check(Messages(tuple(spoiled)))
