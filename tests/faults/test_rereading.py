"""Files that change while they are read: the export is read again, or fails."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.api.destinations import SharedStorage
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.sources.base import Export, Part
from tests.support.messages import assert_same, bookmark, own_fields
from tests.support.simulated import LeapingTime, catalog_of, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tap_mobile_engagement.api.tasks import PendingExport
    from tap_mobile_engagement.state import TaskEntry
    from tests.support.simulated import StartSimulator

WHOLE_RANGE = {"window_days": 14, "lookback_days": 0}


@contextmanager
def _unread() -> Iterator[Iterator[bytes]]:
    yield iter(())


def part(name: str, etag: str = "1") -> Part:
    return Part(name, 1, _unread, etag=etag)


@pytest.mark.parametrize(
    ("read", "now", "outdated", "worth"),
    [
        ([part("a")], [part("a")], False, False),
        ([part("a")], [part("a", "2")], True, True),
        ([part("a")], [part("a"), part("b")], True, True),
        ([part("a"), part("b")], [part("a")], False, False),
        ([part("a"), part("b")], [part("a", "2")], True, False),
        ([], [], False, False),
        ([], [part("a")], True, True),
    ],
    ids=["same", "written again", "one more", "one gone", "gone and new", "none", "late"],
)
def test_what_makes_an_export_outdated(
    read: Sequence[Part],
    now: Sequence[Part],
    outdated: bool,  # noqa: FBT001
    worth: bool,  # noqa: FBT001
) -> None:
    export = Export(
        data_type=BY_NAME["events"],
        app_name="shop",
        exported_until="2016-05-08T00:00:00Z",
        parts=tuple(read),
        relist=lambda: tuple(now),
    )
    cut_off = DataError(Code.BLOB_TRUNCATED, "it is cut off")

    assert export.changed_files() == (tuple(now) if outdated else None)
    assert export.changed_files(cut_off) == (tuple(now) if worth else None)
    assert export.changed_files(DataError(Code.BAD_RECORD, "it is bad")) is None


@pytest.fixture
def while_reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Path], None]], None]:
    """Do something to a blob of an export when its first piece has been read."""

    def plan(action: Callable[[Path], None]) -> None:
        find = SharedStorage.find

        def found(self: SharedStorage, export: PendingExport) -> tuple[Part, ...]:
            parts = find(self, export)
            folder = self._container._folder  # type: ignore[attr-defined]
            return tuple(
                Part(
                    each.blob_name,
                    each.size,
                    _disturbed(each.open, partial(action, folder / str(each.blob_name))),
                    etag=each.etag,
                )
                for each in parts
            )

        monkeypatch.setattr(SharedStorage, "find", found)

    return plan


def _disturbed(
    open_part: Callable[[], AbstractContextManager[Iterator[bytes]]], act: Callable[[], None]
) -> Callable[[], AbstractContextManager[Iterator[bytes]]]:
    @contextmanager
    def opened() -> Iterator[Iterator[bytes]]:
        with open_part() as chunks:

            def disturbed() -> Iterator[bytes]:
                for number, chunk in enumerate(chunks):
                    yield chunk
                    if number == 0:
                        act()

            yield disturbed()

    return opened


def write_again(path: Path) -> None:
    """The same content as another version, as a service does that repeats its write."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)


@pytest.mark.parametrize("stream", ["events", "tokens"])
@pytest.mark.parametrize("piece", [100, 1_000_000], ids=["records are out", "none is out"])
def test_a_blob_that_changes_under_the_reader_is_read_again(
    start_simulator: StartSimulator,
    folder: Path,
    while_reading: Callable[[Callable[[Path], None]], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    stream: str,
    piece: int,
) -> None:
    monkeypatch.setattr("tap_mobile_engagement.containers.folder.CHUNK_BYTES", piece)
    # (of a file this small the head would be all, and be read before a record is out)
    monkeypatch.setattr("tap_mobile_engagement.reading.content.HEAD_SIZE", piece)
    simulator = start_simulator()
    settings = settings_for(simulator, folder, **WHOLE_RANGE)
    while_reading(write_again)

    messages = sync(settings, catalog=catalog_of(settings, stream)).checked()

    assert_same(own_fields(messages.upserted(stream)), simulator.truth("shop", stream))
    come_twice = len(messages.records(stream)) > len(messages.upserted(stream))
    assert come_twice is (piece == 100)
    assert "changed while they were read: it is read again" in caplog.text
    assert len(simulator.tasks) == 1


def test_a_blob_that_comes_late_is_read_with_the_others(
    start_simulator: StartSimulator,
    folder: Path,
    while_reading: Callable[[Callable[[Path], None]], None],
) -> None:
    simulator = start_simulator()
    settings = settings_for(simulator, folder, **WHOLE_RANGE)

    def add_another(path: Path) -> None:
        late = path.with_name(path.name.replace("_0.", "_1."))
        if path != late:
            late.write_bytes(
                b'[{"deviceId":"d","events":[{"name":"late","timestamp":"2016-05-02"}]}]'
            )

    while_reading(add_another)

    messages = sync(settings, catalog=catalog_of(settings, "events")).checked()

    names = [record["name"] for record in messages.upserted("events")]
    assert len(names) == len(simulator.truth("shop", "events")) + 1
    assert "late" in names


def test_a_blob_that_never_comes_to_rest_fails_and_leaves_the_bookmark(
    start_simulator: StartSimulator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a container in which every listing shows another version
    simulator = start_simulator()
    settings = settings_for(simulator, folder, **WHOLE_RANGE)
    find_again = SharedStorage.find_again

    def rewritten(self: SharedStorage, task: TaskEntry, parts: Sequence[Part]) -> Any:
        for each in parts:
            write_again(folder / str(each.blob_name))
        return find_again(self, task, parts)

    monkeypatch.setattr(SharedStorage, "find_again", rewritten)

    # when the tap runs
    run = sync(settings, catalog=catalog_of(settings, "events"))

    # then it gives up after some readings, and claims nothing.
    assert run.failure is not None
    assert run.failure.code is Code.STREAMS_FAILED
    assert Code.BLOB_CHANGED in str(run.failure)
    assert bookmark(run.messages.state, "events") is None
    assert len(simulator.tasks) == 1


@pytest.mark.parametrize("at", [0, 1, 4000])
def test_a_blob_that_grows_after_the_success_is_read_whole_in_the_end(
    start_simulator: StartSimulator, folder: Path, at: int
) -> None:
    # Given a blob of which only the beginning is there when its task has succeeded
    simulator = start_simulator({"fault": "blob_grows", "at": at, "seconds": 0.5})
    settings = settings_for(simulator, folder, **WHOLE_RANGE)
    catalog = catalog_of(settings, "events")

    # when the tap runs, as often as it needs
    run = sync(settings, catalog=catalog)
    messages = run.messages
    if run.failure is not None:
        assert bookmark(messages.state, "events") is None
        messages += sync(settings, state=messages.state, catalog=catalog).checked()

    # then all of it is there.
    assert_same(own_fields(messages.upserted("events")), simulator.truth("shop", "events"))


def test_a_blob_that_is_gone_is_exported_anew(
    start_simulator: StartSimulator,
    folder: Path,
    while_reading: Callable[[Callable[[Path], None]], None],
) -> None:
    simulator = start_simulator(blobs_per_task=2)
    settings = settings_for(simulator, folder, **WHOLE_RANGE)
    catalog = catalog_of(settings, "events")

    def remove_the_other(path: Path) -> None:
        for other in path.parent.iterdir():
            if other != path:
                other.unlink()

    while_reading(remove_the_other)

    run = sync(settings, catalog=catalog, timing=LeapingTime().timing)

    assert run.failure is not None
    assert Code.BLOB_MISSING in str(run.failure)
    assert bookmark(run.messages.state, "events") is None
    assert "tasks" not in str(run.messages.state)
