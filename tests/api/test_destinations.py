"""Which blobs are a task's, where several tasks share a container."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_mobile_engagement.api.destinations import SAMPLED_BLOBS, SharedStorage
from tap_mobile_engagement.api.tasks import ExportTask, Key, PendingExport
from tap_mobile_engagement.containers import Blob, FolderContainer
from tap_mobile_engagement.containers.storage import blob_archived
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, DataError, RetryLaterError, SettingsError
from tap_mobile_engagement.state import PartitionState
from tests.api.invented import Odds, Service
from tests.api.test_bookmarks import END_DAY, FIRST_DAY, KEYS, Target, run
from tests.support.simulated import LeapingTime
from tests.support.times import START

from .fakes import TASK_ID, WEEK, pending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tap_mobile_engagement.sources.base import Export

URL = "file:///exports"
EVENTS = b'[{"deviceId":"d","events":[{"name":"n","timestamp":"2016-05-02"}]}]'
TAGS = b'[{"deviceId":"d1","tags":{"plan":"gold"}}]'


def task_of(export: PendingExport, number: int = 1, *, earlier: bool = False) -> str:
    """Give an export a task of this run, or of an earlier one; its id."""
    task = ExportTask(id=TASK_ID[:-1] + str(number), state="Queued")
    export.task = export.entry(task, START)
    export.asked_at = None if earlier else START
    return task.id


class Scene:
    """A folder that tasks share."""

    def __init__(self, folder: Path, *, apps: int = 1) -> None:
        self.folder = folder
        self.storage = SharedStorage(FolderContainer(folder), URL, apps=apps)

    def write(self, name: str, content: bytes = EVENTS) -> None:
        (self.folder / name).write_bytes(content)

    def begun(self, data_type: str = "events", number: int = 1) -> PendingExport:
        export = pending(data_type, WEEK)
        self.storage.choose(export)
        task_of(export, number)
        return export

    def found(self, export: PendingExport) -> list[str]:
        return [part.blob_name or "" for part in self.storage.find(export)]


@pytest.mark.parametrize(
    "name", ["{}.json", "Event/{}_0.json.gz", "events-{}", "{}"], ids=["{}", "folder", "-", "="]
)
@pytest.mark.parametrize("change", [str, str.upper, lambda text: text.replace("-", "")])
def test_a_blob_that_is_named_after_the_task_is_its_own(
    tmp_path: Path, name: str, change: Callable[[str], str]
) -> None:
    scene = Scene(tmp_path)
    export = scene.begun()
    assert export.task is not None
    own = name.format(change(export.task.id))
    (tmp_path / own).parent.mkdir(exist_ok=True)
    scene.write(own, b"[]")
    scene.write("another.json")

    assert scene.found(export) == [own]
    assert "events" not in scene.storage.one_at_a_time
    assert "tags" in scene.storage.one_at_a_time


def test_a_short_id_proves_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    export = scene.begun()
    export.task = export.entry(ExportTask(id="17", state="Queued"), START)
    scene.write("events_2017.json", TAGS)

    assert scene.found(export) == []
    assert "events" in scene.storage.one_at_a_time


def test_without_names_it_is_what_was_not_there_before_and_holds_the_data_type(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    scene.write("old.json")
    export = scene.begun()
    scene.write("new.json")
    scene.write("tags.json", TAGS)
    scene.write("broken.json", b'[{"deviceId":')

    # In doubt a blob is read: what is wrong with it is then said.
    assert sorted(scene.found(export)) == ["broken.json", "new.json"]


@pytest.mark.parametrize(
    "content",
    [b'[{"deviceId":', gzip.compress(EVENTS)[:5], b"\0garbage"],
    ids=["cut", "cut gzip", "garbage"],
)
def test_what_is_in_doubt_is_kept_from_no_task_that_may_have_written_it(
    tmp_path: Path, content: bytes
) -> None:
    scene = Scene(tmp_path)
    tags, events = scene.begun("tags", 1), scene.begun("events", 2)
    scene.write("broken.json", content)
    scene.write("new.json")

    assert scene.found(tags) == ["broken.json"]
    assert scene.found(events) == ["broken.json", "new.json"]


def test_a_blob_that_can_be_read_later_is_the_task_s_that_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path)
    tags, events = scene.begun("tags", 1), scene.begun("events", 2)
    scene.write("new.json")
    with monkeypatch.context() as patch:
        patch.setattr(FolderContainer, "open", Mock(side_effect=blob_archived()))
        (part,) = scene.storage.find(tags)

    # (a task that met it before does not read it as its own data type)
    with pytest.raises(DataError, match="archive tier"), part.open():
        pass
    assert scene.found(events) == ["new.json"]
    assert scene.found(tags) == []


def test_what_one_task_wrote_is_not_taken_for_the_next_ones(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    first = scene.begun()
    scene.write("1.json")
    assert scene.found(first) == ["1.json"]

    second = scene.begun(number=2)
    assert scene.found(second) == []
    scene.write("2.json")

    assert scene.found(second) == ["2.json"]


def test_a_blob_without_a_byte_is_looked_at_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    export = scene.begun()
    scene.write("1.json", b"")
    assert scene.found(export) == []
    scene.write("1.json")

    assert scene.found(export) == ["1.json"]


def test_a_task_of_an_earlier_run_without_named_blobs_is_lost(tmp_path: Path) -> None:
    # Given what a task of an earlier run wrote
    scene = Scene(tmp_path)
    earlier = pending()
    task_of(earlier, earlier=True)
    scene.write("1.json")

    # when it is looked for, it is lost,
    with pytest.raises(RetryLaterError) as caught:
        scene.storage.find(earlier)
    assert caught.value.code is Code.TASK_LOST

    # and what it wrote is not given to the task that exports the range again.
    again = scene.begun(number=2)
    scene.write("2.json")
    assert scene.found(again) == ["2.json"]


@pytest.mark.parametrize("year", [1, 9999])
def test_a_state_may_claim_any_time_for_a_task(tmp_path: Path, year: int) -> None:
    scene = Scene(tmp_path)
    earlier = pending()
    created = datetime(year, 1, 1, tzinfo=UTC)
    earlier.task = earlier.entry(ExportTask(id=TASK_ID, state="Queued"), created)
    scene.write("1.json")

    # (of a blob that came before it, another task may be the owner)
    if year == 1:
        with pytest.raises(RetryLaterError, match="TASK_LOST"):
            scene.storage.find(earlier)
    else:
        assert scene.found(earlier) == []


def test_what_was_there_before_the_first_task_is_no_tasks_though_one_was_lost(
    tmp_path: Path,
) -> None:
    # Given a stranger's blob, and a task of an earlier run that is lost
    scene = Scene(tmp_path)
    earlier = pending()
    task_of(earlier, earlier=True)
    scene.write("1.json")
    (tmp_path / "1.json").touch()
    with pytest.raises(RetryLaterError, match="TASK_LOST"):
        scene.storage.find(earlier)
    scene.write("stranger.json")

    # when another task is made
    again = scene.begun(number=2)
    scene.write("2.json")

    # then it gets neither of the blobs that were there before it.
    assert scene.found(again) == ["2.json"]


def test_with_several_apps_content_tells_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, apps=2)
    export = scene.begun()
    assert scene.found(export) == []
    assert scene.storage.one_app
    scene.write("some.json")

    with pytest.raises(SettingsError, match=r"some\.json") as caught:
        scene.storage.find(export)

    assert caught.value.code is Code.AMBIGUOUS_BLOBS
    assert "storage_connection_string" in str(caught.value)


def test_a_task_of_a_second_app_is_not_created_beside_what_the_first_one_left(
    tmp_path: Path,
) -> None:
    # Given a task of one app, which is over, but left a blob that is not named after it
    scene = Scene(tmp_path, apps=2)
    scene.begun()
    second = pending(app="blog")
    scene.storage.choose(second)  # (before it left one, it is as if it had never been)
    scene.begun()
    scene.write("some.json")

    # when another app is to have one, the run ends before that.
    with pytest.raises(SettingsError, match=r"some\.json") as caught:
        scene.storage.choose(second)
    assert caught.value.code is Code.AMBIGUOUS_BLOBS

    # (what holds another data type is no trace of it)
    (tmp_path / "some.json").write_bytes(TAGS)
    scene.storage.choose(second)


def test_blobs_that_a_later_task_wrote_over_are_lost(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    first = scene.begun()
    scene.write("events.json")
    parts = scene.storage.find(first)
    assert scene.storage.read_first == frozenset()
    second = scene.begun(number=2)
    (tmp_path / "events.json").unlink()
    scene.write("events.json", EVENTS + b" ")

    assert first.task is not None
    assert second.task is not None
    with pytest.raises(RetryLaterError) as caught:
        scene.storage.find_again(first.task, parts)
    assert caught.value.code is Code.TASK_LOST
    assert scene.found(second) == ["events.json"]
    assert scene.storage.read_first == {"events"}


def test_where_a_task_writes_over_an_older_blob_each_is_read_before_the_next(
    tmp_path: Path,
) -> None:
    # Given what a task of an earlier run wrote
    scene = Scene(tmp_path)
    scene.write("events.json")
    export = scene.begun()

    # when one of this run writes over it, then the next one would write over that.
    (tmp_path / "events.json").unlink()
    scene.write("events.json", EVENTS + b" ")
    assert scene.found(export) == ["events.json"]
    assert scene.storage.read_first == {"events"}


class CountedContainer(FolderContainer):
    """A folder that counts how many blobs are opened."""

    opened = 0

    def open(self, blob: Blob, start: int = 0) -> Any:
        self.opened += 1
        return super().open(blob, start)


def test_a_dry_run_looks_at_a_handful_of_blobs(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:04}.bin").write_bytes(b"\x00\x01 no export")
    container = CountedContainer(tmp_path)
    storage = SharedStorage(container, URL)

    for data_type in BY_NAME.values():
        assert [*storage.sample(data_type)] == []

    # A broken one is looked at once more for each data type; nothing else is.
    assert container.opened <= SAMPLED_BLOBS * (len(BY_NAME) + 1)


class Listed:
    """A container that is listed, over and over, and in which each task writes a blob."""

    label = "container"

    def __init__(self, foreign: int) -> None:
        self.foreign = foreign
        self.written = 0

    def check(self) -> None:
        """It is there."""

    def list(self, prefix: str = "") -> Iterator[Blob]:
        del prefix
        names = [f"foreign-{number}" for number in range(self.foreign)]
        names += [f"own-{number}" for number in range(self.written)]
        return (Blob(name, len(EVENTS), f"etag of {name}", START) for name in names)

    @contextmanager
    def open(self, blob: Blob, start: int = 0) -> Iterator[Iterator[bytes]]:
        del blob, start
        yield iter([EVENTS])


def test_many_tasks_beside_many_foreign_blobs_take_no_more_memory_than_few() -> None:
    def peak(tasks: int) -> int:
        container: Any = Listed(4_000)
        storage = SharedStorage(container, URL)
        tracemalloc.start()
        for number in range(tasks):
            export = pending()
            storage.choose(export)
            task_of(export)
            container.written = number + 1
            (part,) = storage.find(export)
            assert part.blob_name == f"own-{number}"
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(240) < peak(18) * 1.25


# Two apps, strangers, kills: with the real source, plan and storage.


def content_of(data_type: str, app: str, what: str) -> bytes:
    elements: dict[str, dict[str, Any]] = {
        "events": {"deviceId": app, "events": [{"name": what, "timestamp": "2016-05-02"}]},
        "sessions": {"sessionId": sha256(what.encode()).hexdigest()[:32], "deviceId": app},
        "tags": {"deviceId": app, "tags": {"what": what}},
    }
    return json.dumps([elements[data_type]]).encode()


@dataclass
class SharedService(Service):
    """An invented service that writes to one container, in which strangers write, too.

    Attributes:
        names_tell: Whether blobs are named after their tasks.
        broken_app: An app all of whose tasks fail.
        forgets: Whether they are forgotten instead, and write all the same.
        strangers: Blobs of somebody else: seconds from the start, data type, app.
    """

    names_tell: bool = True
    broken_app: str | None = None
    forgets: bool = False
    strangers: list[tuple[float, str, str]] = field(default_factory=list)
    label = "container"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._began = self.now()

    def get_task(self, app: str, task_id: str) -> ExportTask | None:
        if app == self.broken_app and self.forgets:
            return None
        if app == self.broken_app:
            self.tasks[task_id].state = "Failed"
        return super().get_task(app, task_id)

    def list(self, prefix: str = "") -> Iterator[Blob]:
        del prefix
        return (blob for blob, _ in self._blobs())

    @contextmanager
    def open(self, blob: Blob, start: int = 0) -> Iterator[Iterator[bytes]]:
        del start
        yield iter([content for each, content in self._blobs() if each.name == blob.name])

    def _blobs(self) -> Iterator[tuple[Blob, bytes]]:
        for task in [*self.tasks.values()]:  # (another thread creates them)
            data_type, app, _ = task.what.split(" ")
            is_written = task.state == "Succeeded" and self.now() >= task.blob_from
            if is_written and (app != self.broken_app or self.forgets):
                plain = task.id if self.names_tell else sha256(task.id.encode()).hexdigest()
                content = content_of(data_type, app, task.what)
                yield Blob(f"{plain}.json", len(content), "1", task.blob_from), content
        for number, (seconds, data_type, app) in enumerate(self.strangers):
            arrived = self._began + timedelta(seconds=seconds)
            if self.now() >= arrived:
                content = content_of(data_type, app, f"stranger {number}")
                yield Blob(f"stranger-{number}", len(content), "1", arrived), content


@dataclass
class Owners(Target):
    """A target that knows whose each record is."""

    def take_records(self, key: Key, export: Export) -> None:
        for part in export.parts:
            with part.open() as chunks:
                content = b"".join(chunks).decode()
            assert f'"{key.app}"' in content, f"a foreign record came out as one of {key}"
            assert f"{key.data_type} {key.app} " in content or key.data_type == "sessions"
        if export.window is not None:
            length = (export.window.end - export.window.start).days
            self.days[key] |= {export.window.start + timedelta(n) for n in range(length)}


strangers = st.lists(
    st.tuples(
        st.floats(-60, 600),
        st.sampled_from(["events", "sessions", "tags"]),
        st.sampled_from(["blog", "shop", "other"]),
    ),
    max_size=4,
)
kills = st.lists(st.tuples(st.integers(1, 16), st.integers(1, 30)), max_size=2)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 1_000_000),
    odds=st.builds(
        Odds,
        fails=st.sampled_from([0.0, 0.2]),
        answer_lost=st.sampled_from([0.0, 0.2]),
        blob_late=st.sampled_from([0.0, 0.5]),
    ),
    names_tell=st.booleans(),
    broken_app=st.sampled_from([None, None, "blog", "shop"]),
    forgets=st.booleans(),
    known=st.sets(st.sampled_from(KEYS)),
    strangers=strangers,
    kills=kills,
)
def test_no_record_of_one_app_ever_comes_out_under_the_name_of_another(
    *,
    seed: int,
    odds: Odds,
    names_tell: bool,
    broken_app: str | None,
    forgets: bool,
    known: set[Key],
    strangers: list[tuple[float, str, str]],
    kills: list[tuple[int, int]],
) -> None:
    # Given two apps and one container, tasks of an earlier run, strangers that write to the
    # container, and runs that are killed
    clock = LeapingTime()
    service = SharedService(
        seed,
        clock.now,
        names_tell=names_tell,
        broken_app=broken_app,
        forgets=forgets,
        strangers=sorted(strangers),
    )
    container: Any = service
    target = Owners()
    for key in sorted(known):
        window = WEEK if BY_NAME[key.data_type].historical else None
        export = PendingExport(key, window)
        task = service.create_task(export, {"description": "of an earlier run"})
        PartitionState(target.state[key]).remember_task(export.entry(task, clock.now()))
    service.odds = odds

    def once(limit: int, killed_after: int = 1_000_000) -> set[str]:
        before = len(service.tasks)
        storage = SharedStorage(container, URL, apps=2)
        run(
            target,
            service,
            clock,
            limit=limit,
            days=7,
            killed_after=killed_after,
            storage=storage,
        )
        return {task.what.split(" ")[1] for task in [*service.tasks.values()][before:]}

    # when they run, each record is held against its app (in Owners),
    runs = [once(limit, killed_after) for limit, killed_after in kills]
    service.odds = Odds()
    runs += [once(4) for _ in range(3)]

    # and in the end all is out where names tell; else it fails before a second app's task.
    broken = Code.TASK_LOST if forgets else Code.TASK_FAILED
    if not names_tell:
        assert {*target.failures.values()} <= {Code.AMBIGUOUS_BLOBS, broken}
        assert Code.AMBIGUOUS_BLOBS in target.failures.values()
        assert broken_app or all(len(apps) <= 1 for apps in runs)
    elif strangers:  # one of them may be taken for what a task wrote: no records
        assert {*target.failures.values()} <= {Code.AMBIGUOUS_BLOBS, broken}
    else:
        failed = {key: broken for key in KEYS if key.app == broken_app}
        assert target.failures == failed
        for key in KEYS:
            if BY_NAME[key.data_type].historical and key not in failed:
                assert len(target.days[key]) == (END_DAY - FIRST_DAY).days
