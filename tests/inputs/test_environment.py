"""Settings from the environment: every kind of value, and every wrong one by its name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.inputs import read_environment
from tap_mobile_engagement.settings import ALL_SETTINGS
from tap_mobile_engagement.tap import TapMobileEngagement
from tests.inputs.support import tap

if TYPE_CHECKING:
    from tap_mobile_engagement.settings import Setting
    from tests.inputs.support import Archive
    from tests.support.simulated import Command

PREFIX = "TAP_MOBILE_ENGAGEMENT_"
ALL = tuple(ALL_SETTINGS.values())


def of_kind(*kinds: str) -> list[str]:
    return [setting.name for setting in ALL if setting.kind in kinds]


@pytest.fixture
def environment(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment, with settings for the archive."""
    for name, value in archive.settings.items():
        monkeypatch.setenv(PREFIX + name.upper(), value)
    return monkeypatch


@pytest.mark.parametrize("setting", ALL, ids=lambda setting: setting.name)
def test_the_example_of_every_setting_is_read_as_it_is_in_a_file(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PREFIX + setting.name.upper(), setting.example)

    value = read_environment(PREFIX)[setting.name]

    in_a_file = setting.schema["examples"][0]
    assert setting.typed(value) == setting.typed(in_a_file)
    if setting.kind != "number":
        assert value == in_a_file
        assert type(value) is type(in_a_file)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, True) for text in ("true", "True", "1", "yes", "on")),
        *((text, False) for text in ("false", "FALSE", "0", "no", " off ")),
    ],
)
@pytest.mark.parametrize("name", of_kind("boolean"))
def test_a_boolean_is_written_in_several_ways(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, *, value: bool
) -> None:
    monkeypatch.setenv(PREFIX + name.upper(), text)

    assert read_environment(PREFIX)[name] is value


# Of each kind, texts that stand for no value of it.
WRONG = {
    "boolean": ["ture", "2", "yes please", "null", "[]"],
    "integer": ["ten", "1.5", "1e3", "0x10", "-1", "٣" * 40, "7" * 5000, "[7]"],
    "number": ["ten", "0", "-1", "nan", "inf", "1,5"],
    "array": ["shop", "[shop", '["a"', "{}", "5", '"shop"', "shop,other"],
    "object": ["events", "{x", "[]", "5", '{"a": '],
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(
            (name, text)
            for kind, texts in WRONG.items()
            for name in of_kind(kind)
            for text in texts
        ),
        *(
            (name, "no such thing")
            for name, each in ALL_SETTINGS.items()
            if "enum" in each.schema
        ),
        *((name, "soon") for name, each in ALL_SETTINGS.items() if "format" in each.schema),
        *(("api_url", "x"), ("authority_url", "ftp://x"), ("archive_encoding", "latin-99")),
    ],
    ids=lambda part: part[:20],
)
def test_a_value_that_is_none_is_refused_by_its_name(
    environment: pytest.MonkeyPatch, name: str, text: str
) -> None:
    environment.setenv(PREFIX + name.upper(), text)

    line = tap("--config=ENV").refusal()

    assert line.startswith(f"BAD_SETTING: the setting {name} ")
    assert f"Write it like this: {name}: " in line


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_variable_is_not_set(environment: pytest.MonkeyPatch, text: str) -> None:
    for setting in ALL:
        if setting.name not in {"source", "container_url"}:
            environment.setenv(PREFIX + setting.name.upper(), text)

    outcome = tap("--config=ENV")

    assert outcome.exit_code == 0, outcome.complaints
    assert outcome.complaints == []
    assert len(outcome.messages.records("events")) == 1


def test_what_can_not_be_written_is_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(PREFIX + "APP_NAMES", '["\\ud83d"]')

    assert "half of a character" in tap("--config=ENV").refusal()


def test_a_variable_that_is_no_setting_gets_a_warning(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(PREFIX + "ARCHIVE_PATERN", "2017/**")
    environment.setenv(PREFIX + "LOGLEVEL", "INFO")  # the SDK's
    environment.setenv(PREFIX + "_SELECT", '["*.*"]')  # Meltano's

    outcome = tap("--config=ENV")

    assert outcome.exit_code == 0
    (warning,) = outcome.complaints
    assert warning.startswith("There is no setting archive_patern: it counts for nothing")
    assert warning.endswith("did you mean archive_pattern?")


def test_a_removed_setting_is_refused(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(PREFIX + "READ_WORKERS", "4")

    assert tap("--config=ENV").refusal().startswith("BAD_SETTING: the setting read_workers")


def test_snapshots_replace_each_other_by_a_variable(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(PREFIX + "EMIT_ACTIVATE_VERSION_MESSAGES", "true")

    messages = tap("--config=ENV").messages

    # Only what holds a record replaces anything.
    activated = {message["stream"] for message in messages.of_type("ACTIVATE_VERSION")}
    assert "tags" in activated


def test_everything_that_a_variable_can_set_is_told_of() -> None:
    about = json.loads(tap("--about", "--format=json").output)
    shown: dict[str, Any] = about["settings"]["properties"]

    assert [*shown] == [setting.name for setting in ALL]
    for setting in ALL:
        assert shown[setting.name]["examples"] == setting.schema["examples"]
        assert shown[setting.name]["description"].endswith(".")


@pytest.mark.parametrize("name", [PREFIX + "LOGLEVEL", "LOGLEVEL"])
def test_a_level_of_the_log_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    monkeypatch.setenv(name, "loud")

    with pytest.raises(SystemExit) as end:
        _ = TapMobileEngagement.cli

    assert end.value.code == 1
    (line,) = caplog.messages
    assert line.startswith("BAD_SETTING: the log can't be set up: Unknown level: 'LOUD'")
    assert "LOGLEVEL" in line


def test_a_level_of_the_log_is_taken(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGLEVEL", "error")

    run = command.run(settings={"source": "archive", "container_url": "file:///nowhere"})

    assert len(run.stderr) == 1
