"""The archive as a source of exports: what is read, how often, and what is said of the rest."""

from __future__ import annotations

import json
import logging
import os
import time
import zipfile
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.clock import Clock, RunStopped
from tap_mobile_engagement.containers import Blob, FolderContainer
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, DataError, RetryLaterError, TapError
from tap_mobile_engagement.sources import files as files_module
from tap_mobile_engagement.sources.files import SMALL, Files
from tap_mobile_engagement.sources.patterns import Rules
from tap_mobile_engagement.state import PartitionState
from tests.archive.forms import array, gzipped, rows, table, zipped
from tests.archive.support import CountingContainer, Run, records_of
from tests.support.simulated import sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.archive.test_forms import ElementsOf

NONSENSE = {
    "empty.json": b"[]",
    "readme.txt": b"These are the exports of 2017.",
    "photo.jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "other.json": b'[{"id": 1, "color": "red"}]',
    "broken.json.gz": gzipped(b"[1, 2, 3]")[:12],
    "broken.zip": zipped(b"[]")[:40],
}


def fill(folder: Path, elements_of: ElementsOf) -> None:
    """One file of each data type, among others that are none."""
    for name in BY_NAME:
        (folder / f"{name}.json").write_bytes(array(elements_of(name)))
    for name, data in NONSENSE.items():
        (folder / name).write_bytes(data)


class TestReading:
    def test_each_stream_gets_its_own_files(
        self, tmp_path: Path, elements_of: ElementsOf
    ) -> None:
        fill(tmp_path, elements_of)
        run = Run(FolderContainer(tmp_path), {})
        for name in BY_NAME:
            assert run.read(name) == [f"{name}.json"]

    def test_every_small_blob_is_opened_once_for_all_streams(
        self, tmp_path: Path, elements_of: ElementsOf
    ) -> None:
        fill(tmp_path, elements_of)
        counting = CountingContainer(FolderContainer(tmp_path))
        run = Run(counting, {})
        for name in BY_NAME:
            run.read(name)
        assert counting.listings == 1
        assert sorted(counting.opened) == sorted([*NONSENSE, *(f"{n}.json" for n in BY_NAME)])

    def test_of_a_large_blob_only_the_head_is_read_before_its_stream_wants_it(
        self, tmp_path: Path
    ) -> None:
        events = [
            {"deviceId": f"device-{n}", "events": [{"name": "n", "timestamp": "2016-05-01"}]}
            for n in range(20_000)
        ]
        (tmp_path / "large").write_bytes(array(events))
        measuring = MeasuringContainer(FolderContainer(tmp_path))
        run = Run(measuring, {})
        assert run.read("tags") == []
        assert measuring.read <= SMALL
        assert len(run.records("events")) == 20_000

    def test_a_blob_without_bytes_is_not_opened(self, tmp_path: Path) -> None:
        (tmp_path / "nothing").write_bytes(b"")
        counting = CountingContainer(FolderContainer(tmp_path))
        assert Run(counting, {}).read("events") == []
        assert counting.opened == []

    def test_blobs_are_looked_at_side_by_side_and_read_in_order(self, tmp_path: Path) -> None:
        for number in range(200):
            event = {"name": "n", "timestamp": "2016-05-01"}
            file = array([{"deviceId": str(number), "events": [event]}])
            (tmp_path / f"file-{number:03}").write_bytes(file)
        run = Run(FolderContainer(tmp_path), {}, workers=8)
        assert [record["device_id"] for record in run.records("events")] == [
            str(number) for number in range(200)
        ]

    def test_settings_narrow_what_is_looked_at(
        self, tmp_path: Path, elements_of: ElementsOf
    ) -> None:
        for folder in ("2016", "2017"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "x").write_bytes(array(elements_of("jobs")))
        run = Run(FolderContainer(tmp_path), {}, archive_pattern="2017/**")
        assert run.read("jobs") == ["2017/x"]

    def test_settings_say_what_content_can_not_tell(
        self, tmp_path: Path, elements_of: ElementsOf
    ) -> None:
        for name in ("events", "errors"):
            (tmp_path / f"{name}.csv").write_bytes(table(name, elements_of(name)))
        types = [{"pattern": "err*", "data_type": "errors"}]
        run = Run(FolderContainer(tmp_path), {}, archive_types=types)
        assert run.read("events") == []
        assert run.records("errors") == records_of("errors", [array(elements_of("errors"))])

    def test_records_carry_the_label_and_the_arrival(
        self, tmp_path: Path, elements_of: ElementsOf
    ) -> None:
        (tmp_path / "x").write_bytes(array(elements_of("jobs")))
        run = Run(FolderContainer(tmp_path), {}, app_names=["shop"])
        (export,) = exports_of(run, "jobs")
        (blob,) = FolderContainer(tmp_path).list()
        assert export.app_name == "shop"
        assert export.exported_until == blob.arrived.isoformat().replace("+00:00", "Z")

    def test_a_dry_run_changes_nothing(self, tmp_path: Path, elements_of: ElementsOf) -> None:
        fill(tmp_path, elements_of)
        run = Run(FolderContainer(tmp_path), {})
        (export,) = run.source.sample(BY_NAME["jobs"], "")
        export.commit()
        assert run.state == {}


class TestZip:
    def test_no_member_is_lost(self, tmp_path: Path, elements_of: ElementsOf) -> None:
        # Given a zip file with files of several types, and some that are none
        members = [array(elements_of(name)) for name in ("events", "tags", "events", "jobs")]
        (tmp_path / "all.zip").write_bytes(zipped(*members, b"hello", b"[]"))
        counting = CountingContainer(FolderContainer(tmp_path))
        run = Run(counting, {})
        # Then each stream gets its own, from one download
        events = records_of("events", [members[0]])
        assert run.records("events") == [*events, *events]
        assert run.records("tags") == records_of("tags", [members[1]])
        assert run.records("jobs") == records_of("jobs", [members[3]])
        assert counting.opened == ["all.zip"]

    def test_a_large_one_is_downloaded_once_per_stream(
        self, tmp_path: Path, elements_of: ElementsOf
    ) -> None:
        members = [array(elements_of(name)) for name in ("events", "events", "tags")]
        filler = bytes(range(256)) * 4 + json.dumps([*range(90_000)]).encode()
        (tmp_path / "all.zip").write_bytes(zipped(*members, filler, method=0))
        counting = CountingContainer(FolderContainer(tmp_path))
        run = Run(counting, {})
        assert run.read("events") == ["all.zip"] * 2
        assert run.read("tags") == ["all.zip"]
        assert len(counting.opened) == 3

    def test_members_of_several_are_read_in_turns_from_one_download_each(
        self, tmp_path: Path
    ) -> None:
        # Given large backups that hold the files of the same days
        days = range(1, 6)
        for number in range(3):
            with zipfile.ZipFile(tmp_path / f"backup-{number}.zip", "w") as packed:
                for day in days:
                    tags = json.dumps([{"deviceId": "d", "tags": {"day": day, "from": number}}])
                    packed.writestr(zipfile.ZipInfo(f"{day}", (2016, 5, day, 0, 0, 0)), tags)
                packed.writestr("filler", os.urandom(SMALL))
        counting = CountingContainer(FolderContainer(tmp_path))
        run = Run(counting, {})
        # Then all of a day come before the next, and each backup is downloaded twice at most
        found = [(tag["day"], tag["from"]) for tag in (r["tags"] for r in run.records("tags"))]
        assert found == [(day, number) for day in days for number in range(3)]
        assert len(counting.opened) == 6

    def test_an_error_names_the_member(self, tmp_path: Path, elements_of: ElementsOf) -> None:
        whole = array(elements_of("jobs"))
        (tmp_path / "all.zip").write_bytes(zipped(whole, whole[:-1]))
        run = Run(FolderContainer(tmp_path), {})
        assert run.read("jobs") == ["all.zip"]
        error = run.bad_files["all.zip"]
        assert error.code is Code.BLOB_TRUNCATED
        assert error.where["member"] == "part-1.json"

    def test_members_are_read_by_their_own_times_among_other_files(
        self, tmp_path: Path
    ) -> None:
        # Given a zip file that was made last, of files older and newer than another one
        def tags(value: str) -> str:
            return json.dumps([{"deviceId": "d", "tags": {"plan": value}}])

        (tmp_path / "middle.json").write_text(tags("middle"))
        moment = datetime(2016, 5, 15, tzinfo=UTC).timestamp()
        os.utime(tmp_path / "middle.json", (moment, moment))
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
            for name, day in (("new", 22), ("old", 8), ("b", 1), ("a", 1)):
                packed.writestr(zipfile.ZipInfo(name, (2016, 5, day, 0, 0, 0)), tags(name))
        # Then all are read in the order in which they were written, then of their places
        found = [
            record["tags"]["plan"]
            for record in Run(FolderContainer(tmp_path), {}).records("tags")
        ]
        assert found == ["b", "a", "old", "middle", "new"]

    def test_what_a_mac_adds_is_skipped(self, tmp_path: Path, elements_of: ElementsOf) -> None:
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
            packed.writestr("jobs.json", array(elements_of("jobs")))
            packed.writestr("__MACOSX/._jobs.json", b"\0\5\x16\7")
            packed.writestr("x/.DS_Store", b"\0\0\0\1Bud1")
        types = [{"pattern": "**", "data_type": "jobs"}]
        run = Run(FolderContainer(tmp_path), {}, archive_types=types)
        assert run.read("jobs") == ["all.zip"]
        assert run.bad_files == {}


class TestWhatIsNotRead:
    def test_is_named_with_the_reason_and_counted(
        self, tmp_path: Path, elements_of: ElementsOf, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "tap-mobile-engagement")
        fill(tmp_path, elements_of)
        (tmp_path / "rows.json").write_bytes(array(rows("events", elements_of("events"))))
        (tmp_path / ".DS_Store").write_bytes(b"Bud1")
        run = Run(FolderContainer(tmp_path), {})
        for name in BY_NAME:
            run.read(name)
        run.source.close()
        assert {name: (error.code, error.what) for name, error in run.bad_files.items()} == {
            "readme.txt": (
                Code.BLOB_UNRECOGNISED,
                "it is neither JSON nor CSV with a header of known fields",
            ),
            "photo.jpg": (
                Code.BLOB_UNRECOGNISED,
                "it is neither JSON nor CSV with a header of known fields",
            ),
            "other.json": (
                Code.BLOB_UNRECOGNISED,
                "its fields (id, color) are not those of an export",
            ),
            "broken.json.gz": (Code.BLOB_TRUNCATED, "its gzip data ends too early"),
            "broken.zip": (Code.BLOB_TRUNCATED, "the end of the zip file is missing"),
            "rows.json": (
                Code.BLOB_UNRECOGNISED,
                "its fields fit events and errors alike; archive_types can say which",
            ),
        }
        (told,) = [record.getMessage() for record in caplog.records]
        assert told == (
            "Looked at 17 files: 1 activities, 1 crashes, 2 damaged, 1 devices, 1 empty, "
            "1 errors, 1 events, 1 jobs, 4 not recognised, 1 push_feedback, 1 sessions, "
            "1 skipped for their names, 1 tags, 1 tokens"
        )

    def test_a_file_that_is_said_to_be_an_export_has_to_be_one(self, tmp_path: Path) -> None:
        for name in ("broken.zip", "readme.txt"):
            (tmp_path / name).write_bytes(NONSENSE[name])
        types = [{"pattern": "*", "data_type": "events"}]
        run = Run(FolderContainer(tmp_path), {}, archive_types=types)
        assert run.read("events") == run.read("jobs") == []
        assert {name: error.code for name, error in run.bad_files.items()} == {
            "broken.zip": Code.BLOB_TRUNCATED,
            "readme.txt": Code.BLOB_UNRECOGNISED,
        }
        # And it is not taken for a file that may be skipped because it is no export
        assert "replication_key_value" not in run.state["events"]


def put_three(folder: Path, elements_of: ElementsOf, second: str) -> None:
    """Three files of jobs that arrive, and were written, one after the other."""
    file = array(elements_of("jobs"))
    for name in ("a.json", second, "z.json"):
        (folder / name).write_bytes(zipped(file) if name.endswith(".zip") else file)
        os.utime(folder / name)
        time.sleep(0.01)


class TestFailures:
    @pytest.mark.parametrize(
        "error",
        [
            DataError(Code.BLOB_ARCHIVED, "it is in the archive tier"),
            DataError(Code.BLOB_TRUNCATED, "the storage gives less than it listed"),
            RetryLaterError(Code.BLOB_CHANGED, "it is another one"),
        ],
    )
    @pytest.mark.parametrize("name", ["m.json", "m.zip"])
    def test_a_blob_that_can_not_be_had_holds_the_state_but_not_the_others(
        self, tmp_path: Path, elements_of: ElementsOf, error: TapError, name: str
    ) -> None:
        # Given a blob between others that the container can't give
        put_three(tmp_path, elements_of, name)
        failing = FailingContainer(FolderContainer(tmp_path), name, error)
        state: dict[str, dict[str, Any]] = {}
        # Then all others are read
        run = Run(failing, state)
        assert run.read("jobs") == ["a.json", "z.json"]
        assert [(n, e.code) for n, e in run.bad_files.items()] == [(name, error.code)]
        # And the next run begins with it
        assert Run(FolderContainer(tmp_path), state).read("jobs") == [name, "z.json"]

    @pytest.mark.parametrize("name", ["m.json", "m.zip"])
    def test_a_blob_that_is_skipped_holds_nothing(
        self, tmp_path: Path, elements_of: ElementsOf, name: str
    ) -> None:
        put_three(tmp_path, elements_of, name)
        error = DataError(Code.BLOB_CORRUPT, "it is broken")
        failing = FailingContainer(FolderContainer(tmp_path), name, error)
        state: dict[str, dict[str, Any]] = {}
        for data_type in ("jobs", "events"):
            run = Run(failing, state, bad_files="skip")
            run.read(data_type)
            assert [*run.bad_files] == [name]
            second = Run(failing, state, bad_files="skip")
            assert second.read(data_type) == []
            assert second.bad_files == {}

    def test_records_behind_a_bad_file_are_as_they_are_without_it(
        self, tmp_path: Path, elements_of: ElementsOf
    ) -> None:
        # Given that a file breaks within a group of identical items
        items = [{"name": "n", "timestamp": "2016-05-01T08:00:00Z"}] * 50_000
        broken = array([{"deviceId": "d", "events": items}])[:-40]
        (tmp_path / "a").write_bytes(broken)
        sound = array([{"deviceId": "d", "events": items[:3]}, *elements_of("events")])
        (tmp_path / "b").write_bytes(sound)
        settings = {"app_names": ["shop"], "container_url": str(tmp_path)}
        run = sync({"source": "archive", **settings})
        found = [r for r in run.messages.records("events") if r["blob_name"] == "b"]
        expected = records_of("events", [sound])
        assert [r["record_id"] for r in found] == [r["record_id"] for r in expected]

    @pytest.mark.parametrize("name", ["m.json", "m.zip"])
    def test_a_storage_that_does_not_answer_ends_the_stream(
        self, tmp_path: Path, elements_of: ElementsOf, name: str
    ) -> None:
        put_three(tmp_path, elements_of, name)
        error = RetryLaterError(Code.STORAGE_UNAVAILABLE, "it does not answer")
        failing = FailingContainer(FolderContainer(tmp_path), name, error)
        state: dict[str, dict[str, Any]] = {}
        with pytest.raises(RetryLaterError) as caught:
            Run(failing, state, bad_files="skip").read("jobs")
        assert caught.value is error
        read = Run(FolderContainer(tmp_path), state).read("jobs")
        assert sorted(read) == [name, "z.json"]

    def test_a_link_to_what_is_not_mounted_holds_all(
        self, tmp_path: Path, elements_of: ElementsOf
    ) -> None:
        # Given a link to files that were written long before the others
        share, folder = tmp_path / "share", tmp_path / "folder"
        folder.mkdir()
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "old.json").write_bytes(array(elements_of("jobs")))
        (folder / "2016").symlink_to(share)
        put_three(folder, elements_of, "b.json")
        state: dict[str, dict[str, Any]] = {}
        run = Run(FolderContainer(folder), state)
        assert run.read("jobs") == ["a.json", "b.json", "z.json"]
        assert [*run.bad_files] == ["2016"]
        # When they are there
        (tmp_path / "elsewhere").rename(share)
        # Then nothing is missed
        assert "2016/old.json" in Run(FolderContainer(folder), state).read("jobs")
        assert Run(FolderContainer(folder), state).read("jobs") == []

    def test_a_stop_is_noticed_between_two_files(
        self, tmp_path: Path, elements_of: ElementsOf
    ) -> None:
        for name in ("a", "b"):
            (tmp_path / name).write_bytes(array(elements_of("jobs")))
        clock = Clock()
        run = Run(FolderContainer(tmp_path), {}, clock=clock)
        exports = exports_of(run, "jobs")
        next(exports)
        clock.is_stopped = True
        with pytest.raises(RunStopped):
            next(exports)

    def test_a_stop_is_noticed_while_a_folder_is_listed(self, tmp_path: Path) -> None:
        (tmp_path / "a").touch()
        clock = Clock()
        clock.is_stopped = True
        run = Run(FolderContainer(tmp_path), {}, clock=clock, archive_pattern="*.zip")
        with pytest.raises(RunStopped):
            next(exports_of(run, "jobs"))


def test_small_blobs_are_kept_only_while_there_is_room(
    tmp_path: Path, elements_of: ElementsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = array(elements_of("jobs"))
    monkeypatch.setattr(files_module, "KEPT_SIZE", 2 * len(file))
    for number in range(5):
        (tmp_path / f"file-{number}").write_bytes(file)
    counting = CountingContainer(FolderContainer(tmp_path))
    files = Files(counting, Rules(), Clock())
    found = [file for blob in counting.list() for file in files.of(blob)]
    assert len(counting.opened) == 5
    for each in found:
        with files.open(each) as chunks:
            assert b"".join(chunks) == file
    assert counting.opened[5:] == ["file-2", "file-3", "file-4"]


def exports_of(run: Run, data_type: str) -> Iterator[Any]:
    state = PartitionState(run.state.setdefault(data_type, {}))
    return run.source.exports(BY_NAME[data_type], "", state, lambda: None)


class MeasuringContainer(CountingContainer):
    """Counts the bytes that are read."""

    read = 0

    @contextmanager
    def open(self, blob: Blob, start: int = 0) -> Iterator[Iterator[bytes]]:
        with super().open(blob, start) as chunks:
            yield self._measured(chunks)

    def _measured(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.read += len(chunk)
            yield chunk


class FailingContainer(CountingContainer):
    """Fails in the middle of one blob."""

    def __init__(self, container: FolderContainer, name: str, error: TapError) -> None:
        super().__init__(container)
        self._name = name
        self._error = error

    @contextmanager
    def open(self, blob: Blob, start: int = 0) -> Iterator[Iterator[bytes]]:
        with super().open(blob, start) as chunks:
            yield self._failing(chunks) if blob.name == self._name else chunks

    def _failing(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        yield next(chunks)[:100]
        raise self._error
