"""Configuration, state and catalog files that can't be read: one line, before anything else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.inputs.support import Archive, tap

if TYPE_CHECKING:
    from pathlib import Path

CODES = {"config": "BAD_SETTING", "state": "BAD_STATE", "catalog": "BAD_CATALOG"}
KINDS = {"config": "configuration", "state": "state", "catalog": "catalog"}
TEXT = json.dumps({"source": "archive", "container_url": "file:///exports"})

# Of each kind: the content, and words of the message.
UNREADABLE: dict[str, tuple[bytes, str]] = {
    "cut": (TEXT[:-5].encode(), "holds no JSON"),
    "cut after one character": (b"{", "holds no JSON"),
    "YAML": (b"source: archive\n", "holds no JSON"),
    "an array": (b'[{"source": "archive"}]', "holds no JSON object"),
    "a number": (b"5", "holds no JSON object"),
    "a text": (b'"archive"', "holds no JSON object"),
    "null": (b"null", "holds no JSON object"),
    "two objects": (b"{}\n{}\n", "holds no JSON"),
    "UTF-16": (TEXT.encode("utf-16"), "holds no JSON in UTF-8"),
    "UTF-16, big first": (b"\xfe\xff" + TEXT.encode("utf-16-be"), "holds no JSON in UTF-8"),
    "UTF-16 without a mark": (TEXT.encode("utf-16-le"), "holds no JSON in UTF-8"),
    "UTF-32": (TEXT.encode("utf-32"), "holds no JSON in UTF-8"),
    "Latin-1": (
        '{"source": "café"}'.encode("latin-1"),
        "can't decode byte 0xe9 in position 15",
    ),
    "a number of many digits": (b'{"window_days": ' + b"7" * 5000 + b"}", "holds no JSON"),
    "nested beyond measure": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "no JSON"),
    "infinity": (b'{"window_days": Infinity}', "holds no JSON"),
    "NUL bytes": (b"\0" * 100, "holds no JSON"),
}


@pytest.mark.parametrize("option", CODES)
@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_file_that_is_no_json_object_is_refused(
    archive: Archive, option: str, kind: str
) -> None:
    content, words = UNREADABLE[kind]

    line = archive.run(**{option: content}).refusal()

    assert line.startswith(f"{CODES[option]}: the {KINDS[option]} file ")
    assert words in line
    assert f"{option}.json" in line


@pytest.mark.parametrize("content", [b"", b" \n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("option", ["config", "catalog"])
def test_an_empty_file_is_refused(archive: Archive, option: str, content: bytes) -> None:
    line = archive.run(**{option: content}).refusal()

    assert line.startswith(f"{CODES[option]}: ")
    assert "holds no JSON" in line


@pytest.mark.parametrize("content", [b"", b" \n", b"\xef\xbb\xbf", b"{}", b'{"bookmarks": {}}'])
def test_an_empty_state_is_none(archive: Archive, content: bytes) -> None:
    outcome = archive.run(state=content)

    assert outcome.exit_code == 0
    assert outcome.complaints == []
    assert len(outcome.messages.records("events")) == 1


@pytest.mark.parametrize("option", CODES)
def test_a_file_that_does_not_exist_is_refused(
    archive: Archive, tmp_path: Path, option: str
) -> None:
    config = archive.file("right.json", archive.settings)

    missing = tap("--config", config, f"--{option}", str(tmp_path / "nowhere.json")).refusal()
    folder = tap("--config", config, f"--{option}", str(tmp_path)).refusal()

    assert missing.startswith(f"{CODES[option]}: ")
    assert "nowhere.json can't be read: No such file or directory" in missing
    assert "can't be read: Is a directory" in folder


@pytest.mark.parametrize("option", CODES)
def test_a_byte_order_mark_is_no_harm(archive: Archive, option: str) -> None:
    catalog = json.loads(tap("--discover").output)
    contents = {"config": archive.settings, "state": {"bookmarks": {}}, "catalog": catalog}

    content = b"\xef\xbb\xbf" + json.dumps(contents[option]).encode()

    outcome = archive.run(**{option: content})

    assert outcome.exit_code == 0
    assert len(outcome.messages.records("events")) == 1


@pytest.mark.parametrize("option", ["config", "catalog", "state"])
def test_an_input_that_is_closed_is_refused(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(sys, "stdin", None)  # as Python has it then
    config = archive.file("config.json", archive.settings)

    line = tap("--config", config, f"--{option}", "-").refusal()

    assert "file - can't be read" in line


@pytest.mark.parametrize("option", ["--test", "--discover"])
def test_a_test_and_a_discovery_refuse_a_broken_configuration_too(
    archive: Archive, option: str
) -> None:
    outcome = archive.run(option, config=b"{")

    assert outcome.refusal().startswith("BAD_SETTING: the configuration file ")


def test_a_secret_in_a_broken_file_is_not_shown(archive: Archive) -> None:
    outcome = archive.run(config=b'{"client_secret": "cl1ent-s3cret", oops}')

    assert "cl1ent-s3cret" not in outcome.refusal()


@pytest.mark.parametrize("option", ["config", "catalog", "state"])
def test_a_file_that_never_ends_is_refused(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr("tap_mobile_engagement.inputs._MOST_BYTES", 1000)
    config = archive.file("config.json", archive.settings)

    line = tap("--config", config, f"--{option}", "/dev/zero").refusal()

    assert "has more than 1000 bytes" in line


@pytest.mark.parametrize("content", [b"version: 1\nhandlers: 5", b"5", b"version: 2", b"{"])
def test_a_configuration_of_the_log_that_is_none_is_refused(
    archive: Archive, content: bytes
) -> None:
    config = archive.file("config.json", archive.settings)
    env = {**os.environ, "SINGER_SDK_LOG_CONFIG": archive.file("log.yml", content)}
    program = [sys.executable, "-m", "tap_mobile_engagement", "--config", config]

    done = subprocess.run(program, env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "BAD_SETTING: the log can't be set up: " in line
    assert "the file that SINGER_SDK_LOG_CONFIG names" in line
