"""Incremental state: what is due in a run, and what the state says about the rest."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_mobile_engagement.containers import Blob, FolderContainer
from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.sources.arrivals import MAX_NAMES, PERIODS, Arrivals, order
from tap_mobile_engagement.sources.patterns import Rules
from tap_mobile_engagement.state import PartitionState
from tests.archive.support import CountingContainer, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOON = datetime(2016, 5, 8, 12, tzinfo=UTC)
State = dict[str, dict[str, Any]]


def events(*names: str) -> bytes:
    items = [{"name": name, "timestamp": "2016-05-01T08:00:00Z"} for name in names]
    return json.dumps([{"deviceId": "d-1", "events": items}]).encode()


class Shelf:
    """A container whose blobs arrive when a test says so."""

    label = "shelf"

    def __init__(self) -> None:
        self.blobs: dict[str, tuple[Blob, bytes]] = {}
        self._writes = 0

    def put(
        self,
        name: str,
        arrived: datetime,
        data: bytes = events("tap"),
        *,
        modified: datetime | None = None,
    ) -> None:
        self._writes += 1
        etag = f"etag-{self._writes}"
        self.blobs[name] = Blob(name, len(data), etag, arrived, modified), data

    def list(
        self, prefix: str = "", *, takes: Callable[[str], bool] | None = None
    ) -> Iterator[Blob]:
        del takes
        return (self.blobs[n][0] for n in sorted(self.blobs) if n.startswith(prefix))

    @contextmanager
    def open(self, blob: Blob, start: int = 0) -> Iterator[Iterator[bytes]]:
        yield iter([self.blobs[blob.name][1][start:]])

    def check(self) -> None:
        pass


def minutes(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def read(shelf: Shelf, state: State, *, at: datetime = NOON, **settings: Any) -> list[str]:
    return Run(shelf, state, now=at, **settings).read("events")


class TestOrder:
    def test_files_are_read_by_the_time_of_their_content_then_name(self) -> None:
        shelf = Shelf()
        shelf.put("d", minutes(-4), modified=minutes(-10))
        shelf.put("c", minutes(-3), modified=minutes(-30))
        shelf.put("b", minutes(-2), modified=minutes(-20))
        shelf.put("a", minutes(-1), modified=minutes(-20))
        state: State = {}
        assert read(shelf, state) == ["c", "a", "b", "d"]
        assert state["events"]["replication_key_value"] == "2016-05-08T11:59:00Z"

    def test_the_bookmark_passes_no_file_that_is_not_read(self) -> None:
        shelf = Shelf()
        shelf.put("c", minutes(-3), modified=minutes(-30))
        shelf.put("b", minutes(-4), modified=minutes(-20))
        shelf.put("a", minutes(-2), modified=minutes(-10))
        state: State = {}
        assert Run(shelf, state, now=NOON).read("events", at_most=1) == ["c"]
        assert "replication_key_value" not in state["events"]
        assert Run(shelf, state, now=NOON).read("events", at_most=1) == ["b"]
        assert state["events"]["replication_key_value"] == "2016-05-08T11:56:00Z"
        assert read(shelf, state) == ["a"]
        assert state["events"]["replication_key_value"] == "2016-05-08T11:58:00Z"

    def test_files_that_arrive_at_once_are_read_by_name(self) -> None:
        shelf = Shelf()
        shelf.put("c", minutes(-3))
        shelf.put("b", minutes(-2))
        shelf.put("a", minutes(-2))
        state: State = {}
        assert read(shelf, state) == ["c", "a", "b"]
        assert state["events"]["replication_key_value"] == "2016-05-08T11:58:00Z"

    def test_a_run_that_died_is_taken_up_behind_the_last_finished_file(self) -> None:
        shelf = Shelf()
        for number in range(5):
            shelf.put(f"file-{number}", minutes(number // 2 - 5))
        state: State = {}
        first = Run(shelf, state, now=NOON).read("events", at_most=3)
        assert first == ["file-0", "file-1", "file-2"]
        assert read(shelf, state) == ["file-3", "file-4"]

    def test_snapshots_read_all_their_files_each_time(self) -> None:
        shelf = Shelf()
        tags = b'[{"deviceId": "d", "tags": {"a": "b"}}]'
        shelf.put("b", minutes(-9), tags)
        shelf.put("a", minutes(-8), tags)
        shelf.put("x", minutes(-8))
        state: State = {}
        for _ in range(2):
            assert Run(shelf, state, now=NOON).read("tags") == ["b", "a"]
        assert state == {"tags": {}}


class TestSecondRun:
    @pytest.mark.parametrize("count", [1, MAX_NAMES, MAX_NAMES + 50])
    @pytest.mark.parametrize("ago", [timedelta(), timedelta(days=300)])
    def test_without_new_files_reads_nothing(self, count: int, ago: timedelta) -> None:
        shelf = Shelf()
        for number in range(count):
            shelf.put(f"file-{number}", NOON - ago - timedelta(seconds=count - number))
        state: State = {}
        assert len(read(shelf, state)) == count
        counting = CountingContainer(shelf)
        second = Run(counting, state, now=minutes(1))
        assert second.read("events") == []
        assert (counting.opened, counting.listings, second.saves) == ([], 1, 0)

    def test_does_not_even_look_at_files_of_other_types(self) -> None:
        shelf = Shelf()
        shelf.put("sessions", minutes(-3), b'[{"sessionId": "s", "deviceId": "d"}]')
        shelf.put("nonsense", minutes(-2), b"hello")
        state: State = {}
        first = Run(shelf, state, now=NOON)
        assert (first.read("events"), first.saves) == ([], 1)
        counting = CountingContainer(shelf)
        assert Run(counting, state, now=NOON).read("events") == []
        assert counting.opened == []

    @pytest.mark.parametrize("count", [2, MAX_NAMES + 50])
    def test_reads_only_what_arrived_since(self, count: int) -> None:
        shelf = Shelf()
        for number in range(count):
            shelf.put(f"file-{number:04}", minutes(-1) + timedelta(milliseconds=number))
        state: State = {}
        read(shelf, state)
        shelf.put("a-new-one", minutes(2))
        assert read(shelf, state, at=minutes(3)) == ["a-new-one"]
        assert read(shelf, state, at=minutes(4)) == []

    def test_reads_a_file_that_appears_at_the_instant_of_the_bookmark(self) -> None:
        shelf = Shelf()
        shelf.put("m", minutes(-1))
        state: State = {}
        read(shelf, state)
        shelf.put("a", minutes(-1))
        assert read(shelf, state) == ["a"]
        assert read(shelf, state) == []

    def test_reads_a_file_that_arrived_while_the_last_run_was_listing(self) -> None:
        # Given a listing that left out a file, for it appeared behind the page being read
        shelf = Shelf()
        shelf.put("z", minutes(0.2))
        state: State = {}
        read(shelf, state)
        shelf.put("a", minutes(0.1))
        # Then the next run reads it, though the bookmark is behind it
        assert read(shelf, state, at=minutes(60)) == ["a"]
        assert state["events"]["replication_key_value"] == "2016-05-08T12:00:12Z"

    def test_in_doubt_reads_all_that_arrived_near_twice(self) -> None:
        # Given more files near the bookmark than a state names, and one that appears late
        shelf = Shelf()
        shelf.put("old", minutes(-600))
        for number in range(MAX_NAMES + 1):
            shelf.put(f"file-{number:04}", minutes(-1))
        state: State = {}
        read(shelf, state)
        shelf.put("file-late", minutes(-1))
        again = read(shelf, state)
        assert "file-late" in again
        assert "old" not in again

    def test_reads_a_replaced_file_again(self) -> None:
        shelf = Shelf()
        shelf.put("a", minutes(-2))
        shelf.put("b", minutes(-1))
        state: State = {}
        read(shelf, state)
        shelf.put("a", minutes(-1))  # within the resolution of the storage's clock
        assert read(shelf, state) == ["a"]

    def test_a_time_in_the_future_hides_nothing(self) -> None:
        shelf = Shelf()
        shelf.put("from-the-future", minutes(60 * 24 * 365 * 70))
        state: State = {}
        assert read(shelf, state) == ["from-the-future"]
        shelf.put("new", minutes(60))
        assert read(shelf, state, at=minutes(61)) == ["new"]
        assert read(shelf, state, at=minutes(62)) == []

    def test_a_time_in_the_future_lets_no_state_change(self) -> None:
        shelf = Shelf()
        shelf.put("new", minutes(0))
        shelf.put("from-the-future", minutes(60 * 24 * 365 * 70))
        states: list[State] = [{}, {}]
        for state, at in zip(states, (minutes(1), minutes(99)), strict=True):
            read(shelf, state, at=at)
        assert states[0] == states[1]


class TestMovedIn:
    """Files that are moved into a folder with all their times as they were."""

    @pytest.mark.parametrize("count", [5, 400])
    def test_are_read_though_all_their_times_are_old(self, count: int) -> None:
        # Given files of many days, all of them read
        shelf = Shelf()
        for number in range(count):
            shelf.put(f"file-{number:03}", NOON - timedelta(days=number))
        state: State = {}
        read(shelf, state)
        # When another one turns up among the old ones
        shelf.put("moved", NOON - timedelta(days=count / 2))
        # Then it is read, and with it at most those that arrived about the same time
        again = read(shelf, state)
        assert "moved" in again
        assert len(again) <= count / PERIODS + 2
        assert read(shelf, state) == []

    def test_a_file_that_is_removed_brings_no_other_period_again(self) -> None:
        shelf = Shelf()
        for number in range(80):
            shelf.put(f"file-{number:03}", NOON - timedelta(days=number))
        state: State = {}
        read(shelf, state)
        del shelf.blobs["file-079"]
        assert len(read(shelf, state)) <= 80 / PERIODS
        assert read(shelf, state) == []


def session(end: int | None) -> bytes:
    return json.dumps([{"sessionId": "s", "deviceId": "d", "end": end}]).encode()


class TestRowsThatReplaceEachOther:
    def test_are_read_again_from_the_oldest_new_file_on(self) -> None:
        shelf = Shelf()
        for number in range(5):
            shelf.put(f"file-{number}", minutes(number - 60), session(number))
        state: State = {}
        assert len(Run(shelf, state, now=NOON).read("sessions")) == 5
        shelf.put("late", minutes(-1), session(None), modified=minutes(-57.5))
        assert Run(shelf, state, now=NOON).read("sessions") == ["late", "file-3", "file-4"]
        assert Run(shelf, state, now=NOON).read("sessions") == []

    def test_are_read_again_once_more_after_a_run_that_died_between(self) -> None:
        shelf = Shelf()
        for number in range(3):
            shelf.put(f"file-{number}", minutes(number - 60), session(number))
        state: State = {}
        Run(shelf, state, now=NOON).read("sessions")
        shelf.put("late", minutes(-1), session(None), modified=minutes(-59.5))
        assert Run(shelf, state, now=NOON).read("sessions", at_most=1) == ["late"]
        # The older row is the last one now, until the newer ones follow it, come what may.
        del shelf.blobs["late"]
        assert Run(shelf, state, now=NOON).read("sessions") == ["file-1", "file-2"]

    def test_a_first_run_that_died_is_taken_up_where_it_stood(self) -> None:
        shelf = Shelf()
        for number in range(4):
            shelf.put(f"file-{number}", minutes(number - 60), session(number))
        state: State = {}
        Run(shelf, state, now=NOON).read("sessions", at_most=2)
        assert Run(shelf, state, now=NOON).read("sessions") == ["file-2", "file-3"]

    def test_events_are_not(self) -> None:
        shelf = Shelf()
        shelf.put("b", minutes(-9))
        state: State = {}
        read(shelf, state)
        shelf.put("a", minutes(-1), modified=minutes(-99))
        assert read(shelf, state) == ["a"]


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"),  # the file
        st.integers(0, 5),  # how many hours ago it was written
        st.booleans(),  # whether it was moved in with all its times
        st.one_of(st.none(), st.integers(0, 4)),  # when the run behind it dies
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("stream", ["events", "sessions"])
@settings(max_examples=40)
@given(steps=STEPS, many=st.booleans())
def test_whatever_happens_each_version_is_read_and_the_newest_last(
    stream: str, steps: list[tuple[str, int, bool, int | None]], *, many: bool
) -> None:
    # Given files that come, are replaced and moved in at any time, between runs that may die
    shelf = Shelf()
    data = session(None) if stream == "sessions" else events("tap")
    if many:  # more than a state names one by one
        for number in range(MAX_NAMES + 5):
            shelf.put(f"old-{number:03}", minutes(number), data)
    state: State = {}
    reads: list[tuple[str, str]] = []

    def run(at: datetime, at_most: int | None) -> None:
        etags = {name: blob.etag for name, (blob, _) in shelf.blobs.items()}
        names = Run(shelf, state, now=at).read(stream, at_most=at_most)
        reads.extend((name, etags[name]) for name in names)

    for number, (name, hours, is_moved, at_most) in enumerate(steps, 1):
        now = NOON + timedelta(minutes=40 * number)
        then = now - timedelta(hours=hours)
        shelf.put(name, then if is_moved else now, data, modified=then)
        run(now, at_most)
    # When a last run comes to its end
    run(NOON + timedelta(days=1), None)
    # Then each version that is there was read
    last = {key: place for place, key in enumerate(reads)}
    there = sorted((order(blob), (name, blob.etag)) for name, (blob, _) in shelf.blobs.items())
    assert {key for _, key in there} <= {*last}
    # And, where rows replace each other, the newer one always behind the older
    if stream == "sessions":
        places = [last[key] for _, key in there]
        assert places == sorted(places)


class TestChangedByHand:
    def test_another_bookmark_counts_alone(self) -> None:
        shelf = Shelf()
        for number in range(4):
            shelf.put(f"file-{number}", minutes(number - 9))
        state: State = {}
        read(shelf, state)
        state["events"]["replication_key_value"] = "2016-05-08T11:53:00Z"
        assert read(shelf, state) == ["file-2", "file-3"]

    def test_without_a_bookmark_all_is_read_again(self) -> None:
        shelf = Shelf()
        shelf.put("a", minutes(-9))
        state: State = {}
        read(shelf, state)
        del state["events"]["replication_key_value"]
        assert read(shelf, state) == ["a"]

    @pytest.mark.parametrize("end", ["yesterday", "2016-05-01T00:00:00"])
    def test_notes_that_nobody_wrote_do_not_count(self, end: str) -> None:
        shelf = Shelf()
        shelf.put("a", minutes(-9))
        state: State = {}
        read(shelf, state)
        state["events"]["archive"]["periods"] = [[end, "0" * 16]]
        assert read(shelf, state) == ["a"]

    def test_a_bookmark_that_is_no_time_is_an_error(self) -> None:
        shelf = Shelf()
        shelf.put("a", minutes(-9))
        with pytest.raises(DataError) as caught:
            read(shelf, {"events": {"replication_key_value": "soon"}})
        assert caught.value.code is Code.BAD_STATE

    def test_files_that_new_settings_concern_are_read(self) -> None:
        # Given a run that could not tell what two files are, and was not to look at a third
        shelf = Shelf()
        rows = b'[{"deviceId": "d", "name": "n", "timestamp": "2016-05-01"}]'
        shelf.put("2016/rows", minutes(-90), rows)
        shelf.put("2016/events", minutes(-80))
        shelf.put("2017/events", minutes(-70))
        state: State = {}
        assert read(shelf, state, archive_pattern="2016/**") == ["2016/events"]
        # When the settings say it
        types = [{"pattern": "*/rows", "data_type": "events"}]
        again = read(shelf, state, archive_types=types)
        # Then these are read, and what was read before is not
        assert again == ["2016/rows", "2017/events"]
        assert read(shelf, state, archive_types=types) == []

    def test_another_encoding_brings_all(self) -> None:
        shelf = Shelf()
        shelf.put("a", minutes(-90))
        state: State = {}
        read(shelf, state)
        assert read(shelf, state, archive_encoding="windows-1252") == ["a"]
        assert read(shelf, state, archive_encoding="windows-1252") == []


class TestSize:
    def test_the_state_stays_small(self) -> None:
        shelf = Shelf()
        for number in range(5000):
            shelf.put(f"a/folder/with/a/long/name/file-{number:06}.json.gz", minutes(-1))
        values: dict[str, Any] = {}
        state = PartitionState(values)
        blobs = [blob for blob, _ in shelf.blobs.values()]
        arrivals = Arrivals(blobs, rules=Rules(), now=NOON, state=state)
        largest = 0
        for blob in blobs:
            arrivals.finish(blob)
            arrivals.note()
            largest = max(largest, len(json.dumps(values)))
        assert largest < 120 * MAX_NAMES
        assert len(json.dumps(values)) < 500

    def test_an_old_archive_needs_no_names(self) -> None:
        shelf = Shelf()
        for number in range(50):
            shelf.put(f"file-{number}", minutes(-60 * number))
        state: State = {}
        read(shelf, state)
        assert state["events"]["archive"]["files"] == {"file-0": "etag-1"}

    def test_periods_of_many_years_take_little_room(self) -> None:
        shelf = Shelf()
        for number in range(3000):
            shelf.put(f"file-{number}", NOON - timedelta(days=number))
        state: State = {}
        read(shelf, state)
        assert len(state["events"]["archive"]["periods"]) == PERIODS
        assert len(json.dumps(state)) < 1000


class TestFolder:
    def test_a_file_with_an_old_modification_time_is_picked_up(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(events("one"))
        state: State = {}
        container = FolderContainer(tmp_path)
        assert Run(container, state).read("events") == ["a"]
        (tmp_path / "b").write_bytes(events("two"))
        os.utime(tmp_path / "b", (1_300_000_000, 1_300_000_000))
        assert Run(container, state).read("events") == ["b"]
        assert Run(container, state).read("events") == []

    def test_a_replaced_file_is_read_again(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(events("one"))
        (tmp_path / "b").write_bytes(events("two"))
        state: State = {}
        container = FolderContainer(tmp_path)
        Run(container, state).read("events")
        (tmp_path / "a").write_bytes(events("three", "four"))
        assert Run(container, state).read("events") == ["a"]

    def test_a_file_rewritten_with_its_size_and_time_is_read_again(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "a"
        path.write_bytes(events("one"))
        before = path.stat()
        state: State = {}
        container = FolderContainer(tmp_path)
        Run(container, state).read("events")
        while path.stat().st_ctime_ns == before.st_ctime_ns:
            path.write_bytes(events("two"))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert Run(container, state).read("events") == ["a"]
        assert Run(container, state).read("events") == []

    def test_exported_until_keeps_the_fraction(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(events("one"))
        os.utime(tmp_path / "a", ns=(0, 4_000_000_000_123_456_000))
        state: State = {}
        Run(FolderContainer(tmp_path), state).read("events")
        assert state["events"]["replication_key_value"] == "2096-10-02T07:06:40.123456Z"
