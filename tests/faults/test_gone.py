"""Containers and blobs that vanish at each step, and those that the tap itself deletes."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from azure.storage.blob import BlobServiceClient

from tap_mobile_engagement.api.client import ServiceClient
from tap_mobile_engagement.api.destinations import AccountStorage
from tap_mobile_engagement.errors import Code
from tap_mobile_engagement.state import PartitionState
from tests.support.messages import Messages, assert_same, bookmark, own_fields, partition
from tests.support.simulated import LeapingTime, Sync, catalog_of, settings_for, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.azurite import Azurite
    from tests.support.simulated import StartSimulator

STREAMS = ("events", "tokens")
PREFIX = "mobile-engagement-"


def run(simulator: Simulator, azurite: Azurite, **changes: Any) -> Sync:
    """Run the tap with a container per task; ``state`` is what an earlier run left."""
    state = changes.pop("state", None)
    settings = settings_for(
        simulator,
        None,
        storage_connection_string=azurite.connection_string,
        **{"window_days": 7, "lookback_days": 0, **changes},
    )
    return sync(
        settings,
        state=state,
        catalog=catalog_of(settings, *STREAMS),
        timing=LeapingTime().timing,
    )


def containers(azurite: Azurite) -> set[str]:
    account = BlobServiceClient.from_connection_string(azurite.connection_string)
    return {each.name for each in account.list_containers(PREFIX)}


def delete(azurite: Azurite, name: str) -> None:
    AccountStorage(azurite.connection_string, timedelta()).delete_container(name)


def assert_complete(messages: Messages, simulator: Simulator) -> None:
    for stream in STREAMS:
        assert_same(own_fields(messages.upserted(stream)), simulator.truth("shop", stream))
    assert bookmark(messages.state, "events") == "2016-05-15T00:00:00Z"


class Vanishing:
    """Deletes the container of the second export of events, once, after one of the steps.

    Args:
        azurite: Where it is.
        step: The class and method behind which it vanishes; with ``find`` also before it.
    """

    def __init__(self, azurite: Azurite, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
        self._azurite = azurite
        self._made: list[str] = []
        self.gone: str | None = None
        before, _, method = step.rpartition(" ")
        owner: Any = ServiceClient if method == "create_task" else AccountStorage
        self._wrap(monkeypatch, AccountStorage, "choose", before=False, vanishes=False)
        self._wrap(monkeypatch, owner, method, before=before == "before", vanishes=True)

    def _wrap(
        self,
        monkeypatch: pytest.MonkeyPatch,
        owner: Any,
        method: str,
        *,
        before: bool,
        vanishes: bool,
    ) -> None:
        original = getattr(owner, method)

        def wrapped(caller: Any, subject: Any, *rest: Any) -> Any:
            if before:
                self._vanish(subject)
            result = original(caller, subject, *rest)
            if method == "choose" and not vanishes and subject.key.data_type == "events":
                self._made.append(subject.container)
            if vanishes:
                self._vanish(subject)
            return result

        monkeypatch.setattr(owner, method, wrapped)

    def _vanish(self, subject: Any) -> None:
        second = self._made[1] if len(self._made) > 1 else None
        if self.gone is None and second is not None and subject.container == second:
            self.gone = second
            delete(self._azurite, second)


@pytest.mark.azurite
@pytest.mark.parametrize(
    "step", ["choose", "create_task", "before find", "after find", "after find_again"]
)
def test_a_container_that_vanishes_means_another_task(
    simulator: Simulator, azurite: Azurite, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    # Given a container that is deleted after one of the steps
    vanishing = Vanishing(azurite, monkeypatch, step)

    # when the tap runs, and once more if it must
    first = run(simulator, azurite)
    messages = first.messages
    if first.failure is not None:
        assert any(
            code in str(first.failure)
            for code in (Code.BLOB_MISSING, Code.TASK_LOST, Code.BLOB_CHANGED)
        )
        messages += run(simulator, azurite, state=messages.state).checked()

    # then all is out.
    assert vanishing.gone
    assert_complete(messages, simulator)


@pytest.mark.azurite
def test_a_container_that_is_gone_before_the_next_run_costs_one_more_task(
    simulator: Simulator, azurite: Azurite
) -> None:
    # Given a state with a task that succeeds while no run is there, and its container is gone
    first = run(simulator, azurite, window_days=14).checked()
    (task,) = [each for each in simulator.tasks if each.request.start]
    url = str(task.request.container_url)
    name = url.partition("?")[0].rpartition("/")[2]
    state = deepcopy(first.state)
    values = partition(state, "events")
    del values["replication_key_value"]
    values["tasks"] = [
        {
            "id": str(task.id),
            "created": "2016-05-15T00:00:00Z",
            "start": "2016-05-01",
            "end": "2016-05-15",
            "container": name,
        }
    ]
    delete(azurite, name)

    # when it runs
    messages = run(simulator, azurite, state=state).checked()

    # then the range is exported again, and nothing stays in the state.
    assert_complete(messages, simulator)
    assert "tasks" not in partition(messages.state, "events")


@pytest.mark.azurite
def test_containers_are_deleted_by_the_run_after_the_one_that_read_them(
    simulator: Simulator, azurite: Azurite
) -> None:
    # Given a run that read two ranges and a snapshot
    before = containers(azurite)
    first = run(simulator, azurite, delete_task_containers=True).checked()
    made = containers(azurite) - before
    assert len(made) == 3

    # when its state comes back
    second = run(simulator, azurite, delete_task_containers=True, state=first.state).checked()

    # then its containers are gone, and those of the second run are there.
    assert not containers(azurite) & made
    assert containers(azurite) > before
    assert_complete(first, simulator)
    # The state names a range of containers, not each of them.
    (entry,) = partition(first.state, "events")["read_containers"]
    assert entry[1:] == [1, 2]
    assert bookmark(second.state, "events") == "2016-05-15T00:00:00Z"


@pytest.mark.azurite
def test_nothing_is_deleted_without_the_state_that_proves_it_stored(
    simulator: Simulator, azurite: Azurite
) -> None:
    run(simulator, azurite, delete_task_containers=True).checked()
    before = containers(azurite)

    # (a target that died before it stored anything)
    run(simulator, azurite, delete_task_containers=True).checked()

    assert before <= containers(azurite)


@pytest.mark.azurite
def test_no_other_container_is_deleted_whatever_a_state_says(
    simulator: Simulator, azurite: Azurite
) -> None:
    mine = f"{PREFIX}of-somebody-1"
    azurite.client(mine).create_container()
    first = run(simulator, azurite, delete_task_containers=True).checked()
    state = deepcopy(first.state)
    partition(state, "events")["read_containers"] = [[mine.removesuffix("-1"), 1, 1]]

    run(simulator, azurite, delete_task_containers=True, state=state).checked()

    assert mine in containers(azurite)


def test_a_state_names_many_containers_in_few_words() -> None:
    values: dict[str, Any] = {}
    state = PartitionState(values)
    names = [f"{PREFIX}0123456789abcdef-{number}" for number in range(1, 10_001)]
    for name in (*names, f"{PREFIX}fedcba9876543210-7"):
        state.note_container(name)

    assert len(str(values)) < 200
    assert state.take_containers() == [*names, f"{PREFIX}fedcba9876543210-7"]
    assert values == {}


@pytest.mark.parametrize("late", ["task_id", "random"])
def test_the_blob_of_a_range_that_came_out_empty_is_found_by_the_next_run(
    start_simulator: StartSimulator, folder: Path, late: str
) -> None:
    # Given a task whose blob comes long after its success
    simulator = start_simulator(blob_name=late)
    settings = settings_for(simulator, folder, window_days=14, lookback_days=0)
    catalog = catalog_of(settings, "events")
    simulator.faults.plan([{"fault": "blob_late", "data_type": "events", "seconds": 3600}])
    first = sync(settings, catalog=catalog, timing=LeapingTime().timing).checked()
    assert first.records("events") == []
    assert bookmark(first.state, "events") == "2016-05-15T00:00:00Z"

    # when it is there, and the tap runs again
    simulator.clock.advance(seconds=7200)
    second = sync(
        settings, state=first.state, catalog=catalog, timing=LeapingTime().timing
    ).checked()

    # then it is read, if its name tells whose it is, and its task is forgotten.
    if late == "task_id":
        assert_same(own_fields(second.upserted("events")), simulator.truth("shop", "events"))
    assert "tasks" not in partition(second.state, "events")
    assert len(simulator.tasks) == 1
    assert bookmark(second.state, "events") == "2016-05-15T00:00:00Z"
