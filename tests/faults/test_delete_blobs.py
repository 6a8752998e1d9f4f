"""delete_blobs: only what the tap has read, and only when a state proves that it is stored."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.containers import StorageAccount
from tap_mobile_engagement.errors import Code, RetryLaterError
from tap_mobile_engagement.sources.base import Part
from tap_mobile_engagement.sources.leftovers import delete_stored, note_read
from tap_mobile_engagement.tasks.model import TaskRef
from tap_mobile_engagement.windows import PartitionState
from tests.support.messages import assert_same, own_fields, partition
from tests.support.simulated import LeapingTime, catalog_of, settings_for, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.azurite import Azurite

STREAMS = ("events", "tokens")


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def read_in(state: dict[str, Any]) -> set[str]:
    """The blobs that a state says were read."""
    return {
        name
        for stream in STREAMS
        for entry in partition(state, stream).get("read", [])
        for name in entry["blobs"]
    }


def run(simulator: Simulator, folder: Path | str | None, **changes: Any) -> Any:
    settings = settings_for(
        simulator,
        folder,
        **{"window_days": 7, "lookback_days": 0, "delete_blobs": True, **changes},
    )
    state = settings.pop("state", None)
    return sync(settings, state=state, catalog=catalog_of(settings, *STREAMS)).checked()


def test_blobs_are_deleted_by_the_run_after_the_one_that_read_them(
    simulator: Simulator, folder: Path
) -> None:
    # Given a run that read two ranges and a snapshot, beside files of others
    (folder / "notes.txt").write_text("mine")
    first = run(simulator, folder)
    read_first = files(folder) - {"notes.txt"}
    assert len(read_first) == 3

    # when its state comes back
    second = run(simulator, folder, state=first.state)

    # then its blobs are gone, those of the second run are there, and so is all else.
    left = files(folder)
    assert not left & read_first
    assert left > {"notes.txt"}
    assert_same(own_fields(first.upserted("events")), simulator.truth("shop", "events"))
    assert read_in(second.state) == left - {"notes.txt"}


def test_nothing_is_deleted_unless_asked_for(simulator: Simulator, folder: Path) -> None:
    first = run(simulator, folder, delete_blobs=False)
    before = files(folder)

    run(simulator, folder, delete_blobs=True, state=first.state)

    assert before <= files(folder)
    assert read_in(first.state) == set()


def test_nothing_is_deleted_without_the_state_that_proves_it_stored(
    simulator: Simulator, folder: Path
) -> None:
    # Given a target that died before it stored anything
    run(simulator, folder)
    before = files(folder)

    # when the next run begins anew
    run(simulator, folder)

    # then the blobs of the first are untouched.
    assert before <= files(folder)


def test_a_state_from_the_middle_proves_no_more_than_it_says(
    simulator: Simulator, folder: Path
) -> None:
    # Given the state behind the first range only
    first = run(simulator, folder)
    middle = next(
        state
        for state in first.states
        if partition(state, "events").get("replication_key_value") == "2016-05-08T00:00:00Z"
    )
    (stored,) = partition(middle, "events")["read"]

    # when a run is given that
    before = files(folder)
    run(simulator, folder, state=deepcopy(middle))

    # then only the blobs of that range are deleted.
    assert before - files(folder) == {*stored["blobs"]}


def test_a_blob_that_was_written_again_stays(
    simulator: Simulator, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(simulator, folder)
    (path, *_) = [path for path in folder.rglob("*") if "Event" in path.name]
    path.write_text("[]")

    second = run(simulator, folder, state=first.state)

    assert path.read_text() == "[]"
    assert "BLOB_CHANGED" in caplog.text
    assert path.relative_to(folder).as_posix() not in read_in(second.state)


TASK = TaskRef(id="7", created=datetime(2016, 5, 1, tzinfo=UTC), container="own")


def test_what_can_not_be_deleted_now_is_left_for_the_next_run() -> None:
    values: dict[str, Any] = {}
    state = PartitionState(values)
    note_read(state, TASK, [Part("a", 1, lambda: None, etag="x")])  # type: ignore[arg-type,return-value]
    before = deepcopy(values)

    def fail(container: str | None, blobs: Any) -> None:
        assert (container, dict(blobs)) == ("own", {"a": "x"})
        raise RetryLaterError(Code.STORAGE_UNAVAILABLE, "it is down")

    assert delete_stored(state, fail) == 0
    assert values == before


@pytest.mark.azurite
def test_with_an_account_the_containers_of_finished_tasks_go(
    simulator: Simulator, azurite: Azurite
) -> None:
    # Given a run with a container per task
    account = StorageAccount(azurite.connection_string)
    connection = {"storage_connection_string": azurite.connection_string}
    first = run(simulator, None, **connection)
    containers = {*account.list_containers("mobile-engagement-")}
    assert len(containers) == 3
    # one of which holds something else, too,
    kept = partition(first.state, "events")["read"][0]["container"]
    azurite.upload(kept, "notes.txt", b"mine")

    # when its state comes back
    run(simulator, None, state=first.state, **connection)

    # then its containers are gone, but the one that is not empty.
    left = {*account.list_containers("mobile-engagement-")}
    assert left & containers == {kept}
    assert [blob.name for blob in account.container(kept).list()] == ["notes.txt"]


def test_the_sas_has_to_allow_it(simulator: Simulator) -> None:
    url = (
        "https://account.blob.core.windows.net/container"
        "?sv=2020-01-01&sr=c&sp=rwl&se=2999-01-01T00:00:00Z&sig=secret"
    )
    settings = settings_for(simulator, url, delete_blobs=True)

    with pytest.raises(Exception, match="delete") as caught:
        sync(settings, timing=LeapingTime().timing).checked()

    assert Code.SAS_PERMISSION_MISSING in str(caught.value)
    assert simulator.tasks == []
