"""Bad records: the first fails the stream, or each is set aside and counted."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tap_mobile_engagement.errors import Code, DataError, SettingsError
from tap_mobile_engagement.reading.rejects import BadRecords, check_dead_letter_path
from tap_mobile_engagement.reading.values import decode_element


def letters(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_without_skip_the_first_bad_record_fails_where_it_stands() -> None:
    bad_records = BadRecords("events")

    with pytest.raises(DataError) as caught:
        bad_records.reject("timestamp is missing", {"name": "a"}, blob="b.json", offset=17)

    assert caught.value.code is Code.BAD_RECORD
    assert caught.value.where == {"stream": "events", "blob": "b.json", "offset": 17}
    assert "timestamp is missing" in str(caught.value)
    assert "bad_records: skip" in str(caught.value)


def test_skip_counts_up_to_the_maximum() -> None:
    bad_records = BadRecords("events", skip=True, most=2)
    bad_records.reject("one", {}, blob=None, offset=1)
    bad_records.reject("two", {}, blob=None, offset=2)
    assert bad_records.count == 2

    with pytest.raises(DataError) as caught:
        bad_records.reject("three", {}, blob="b.json", offset=3)

    assert caught.value.code is Code.TOO_MANY_BAD_RECORDS
    assert caught.value.where == {"stream": "events", "blob": "b.json", "offset": 3}
    assert "three" in str(caught.value)


def test_skip_with_a_maximum_of_zero_fails_on_the_first() -> None:
    bad_records = BadRecords("events", skip=True, most=0)

    with pytest.raises(DataError, match="TOO_MANY_BAD_RECORDS"):
        bad_records.reject("one", {}, blob=None, offset=1)


def test_each_skipped_record_is_a_dead_letter_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.ndjson"
    bad_records = BadRecords("events", skip=True, most=10, dead_letter_path=str(path))

    bad_records.reject("no name", {"é": [1]}, blob="b.json", offset=17)

    assert letters(path) == [
        {
            "stream": "events",
            "blob": "b.json",
            "offset": 17,
            "reason": "no name",
            "data": {"é": [1]},
        }
    ]
    bad_records.reject("text", "{broken", blob=None, offset=99)
    assert letters(path)[1]["data"] == "{broken"
    bad_records.close()


def test_the_record_that_is_one_too_many_is_a_dead_letter_too(tmp_path: Path) -> None:
    path = tmp_path / "bad.ndjson"
    bad_records = BadRecords("events", skip=True, most=0, dead_letter_path=str(path))

    with pytest.raises(DataError):
        bad_records.reject("one", {"a": 1}, blob=None, offset=1)

    assert [letter["data"] for letter in letters(path)] == [{"a": 1}]
    bad_records.close()


def test_streams_and_runs_append_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.ndjson"

    for stream in ("events", "jobs", "events"):
        bad_records = BadRecords(stream, skip=True, most=1, dead_letter_path=str(path))
        bad_records.reject("bad", {}, blob=None, offset=0)
        bad_records.close()
        bad_records.close()

    assert [letter["stream"] for letter in letters(path)] == ["events", "jobs", "events"]


def test_nothing_bad_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.ndjson"

    BadRecords("events", skip=True, most=1, dead_letter_path=str(path)).close()

    assert not path.exists()


def test_numbers_that_json_has_not_are_shown_as_they_stood(tmp_path: Path) -> None:
    path = tmp_path / "bad.ndjson"
    bad_records = BadRecords("events", skip=True, most=1, dead_letter_path=str(path))
    item = decode_element(b'{"price":NaN,"weight":1e400,"name":"a"}')[0]

    bad_records.reject("numbers", item, blob=None, offset=0)

    assert letters(path)[0]["data"] == {"price": "NaN", "weight": "1e400", "name": "a"}
    bad_records.close()


@pytest.mark.parametrize(
    "item",
    [{"name": "\ud800"}, {"name": {1, 2}}, {("a",): 1}],
    ids=["lone surrogate", "set", "key"],
)
def test_what_json_cannot_express_is_shown_as_text(item: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.ndjson"
    bad_records = BadRecords("events", skip=True, most=1, dead_letter_path=str(path))

    bad_records.reject("odd", item, blob=None, offset=0)

    (letter,) = letters(path)
    assert letter["reason"] == "odd"
    assert letter["data"]
    bad_records.close()


def test_what_is_nested_too_deep_is_counted_though_it_cannot_be_shown(tmp_path: Path) -> None:
    path = tmp_path / "bad.ndjson"
    bad_records = BadRecords("events", skip=True, most=1, dead_letter_path=str(path))
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    bad_records.reject("deep", deep, blob=None, offset=0)

    assert letters(path)[0]["data"] == "(nested too deep to be shown)"
    assert bad_records.count == 1
    bad_records.close()


def test_a_dead_letter_file_that_cannot_be_written_is_a_wrong_setting(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "bad.ndjson"
    bad_records = BadRecords("events", skip=True, most=1, dead_letter_path=str(path))

    with pytest.raises(SettingsError, match="dead_letter_path") as caught:
        bad_records.reject("bad", {}, blob=None, offset=0)

    assert caught.value.code is Code.BAD_SETTING
    assert str(path) in str(caught.value)


def kinds_of_paths(folder: Path) -> dict[str, Path]:
    """Where dead letters can't go, by what is there."""
    os.mkfifo(folder / "pipe")  # which is never read
    (folder / "broken link").symlink_to(folder / "missing" / "file")
    (folder / "link to itself").symlink_to(folder / "link to itself")
    (folder / "file").touch()
    return {
        "folder": folder,
        "pipe": folder / "pipe",
        "missing folder": folder / "missing" / "file",
        "file for a folder": folder / "file" / "file",
        "broken link": folder / "broken link",
        "link to itself": folder / "link to itself",
        "long name": folder / ("x" * 300),
        "system's folder": Path("/proc/file"),
    }


PATHS = [
    *("folder", "pipe", "missing folder", "file for a folder", "broken link", "link to itself"),
    *("long name", "system's folder"),
]


@pytest.mark.parametrize("kind", PATHS)
def test_a_path_that_takes_no_dead_letters_is_refused_before(tmp_path: Path, kind: str) -> None:
    path = kinds_of_paths(tmp_path)[kind]

    with pytest.raises(SettingsError, match="dead_letter_path") as caught:
        check_dead_letter_path(str(path))

    assert caught.value.code is Code.BAD_SETTING
    assert str(path) in str(caught.value)


def test_a_path_that_takes_dead_letters_is_left_as_it_is(tmp_path: Path) -> None:
    # Given paths without a file, a link to one, a file, and a pipe with a reader
    (tmp_path / "link").symlink_to(tmp_path / "new")
    (tmp_path / "old").write_bytes(b"{}\n")
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    before = sorted(tmp_path.iterdir())

    for name in ("new", "link", "old", "pipe"):
        check_dead_letter_path(str(tmp_path / name))

    # then no file is made or changed, and the reader of the pipe still waits.
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "old").read_bytes() == b"{}\n"
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    os.close(reader)


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_takes_no_dead_letters_is_a_wrong_setting(tmp_path: Path, kind: str) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")  # which is never read
    path = {"folder": str(tmp_path), "pipe": str(pipe), "device": "/dev/full"}[kind]
    bad_records = BadRecords("events", skip=True, most=9, dead_letter_path=path)

    with pytest.raises(SettingsError, match="dead_letter_path"):
        bad_records.reject("bad", {}, blob=None, offset=0)

    bad_records.close()


@pytest.mark.parametrize(("umask", "mode"), [(0o000, 0o600), (0o022, 0o600), (0o277, 0o400)])
def test_dead_letters_are_for_their_owner_alone(tmp_path: Path, umask: int, mode: int) -> None:
    path = tmp_path / "bad.ndjson"
    bad_records = BadRecords("events", skip=True, most=9, dead_letter_path=str(path))

    before = os.umask(umask)
    try:
        bad_records.reject("bad", {}, blob=None, offset=0)
    finally:
        os.umask(before)
        bad_records.close()

    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize(
    ("left", "lines"), [(b'{"a": 1}\n{"b":', 3), (b'{"a": 1}\n', 2), (b"", 1), (b"\n", 2)]
)
def test_half_a_line_that_a_full_disk_left_is_ended_first(
    tmp_path: Path, left: bytes, lines: int
) -> None:
    path = tmp_path / "bad.ndjson"
    path.write_bytes(left)
    bad_records = BadRecords("events", skip=True, most=9, dead_letter_path=str(path))

    bad_records.reject("bad", {}, blob=None, offset=0)
    bad_records.reject("bad", {}, blob=None, offset=1)
    bad_records.close()

    found = path.read_bytes()
    assert found.startswith(left)
    assert found.endswith(b"\n")
    assert len(found.splitlines()) == lines + 1
    assert [json.loads(line)["offset"] for line in found.splitlines()[-2:]] == [0, 1]


def test_dead_letters_may_go_to_what_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    bad_records = BadRecords("events", skip=True, most=9, dead_letter_path=str(path))

    bad_records.reject("bad", {}, blob=None, offset=7)

    assert json.loads(os.read(reader, 10_000))["offset"] == 7
    bad_records.close()
    os.close(reader)
