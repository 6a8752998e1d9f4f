"""Exports out of the REST API: when its export tasks are begun."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.api.destinations import SharedStorage
from tap_mobile_engagement.api.source import ApiSource, open_api
from tap_mobile_engagement.clock import Clock
from tap_mobile_engagement.containers import FolderContainer
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, RetryLaterError
from tap_mobile_engagement.state import MOST_EMPTY, PartitionState
from tests.api.invented import Service as Invented
from tests.support.settings import parse
from tests.support.simulated import LeapingTime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_mobile_engagement.api.tasks import ExportTask, PendingExport
    from tap_mobile_engagement.containers import Blob
    from tap_mobile_engagement.sources.base import Part

_PATIENCE = 30.0  # seconds until a test that will not pass is given up

CONFIG = {
    "container_url": "file:///exports",
    "subscription_id": "sub",
    "resource_group": "group",
    "app_collection": "apps",
    "app_names": ["shop"],
    "tenant_id": "tenant",
    "client_id": "client",
    "client_secret": "secret",
    "start_date": "2016-05-01",
    "end_date": "2016-05-08",
}


class Service:
    """A client whose devices are listed only when an export task has been asked for."""

    def __init__(self) -> None:
        self.asked_for_task = threading.Event()

    def list_devices_with_details(self, app: str, **_: Any) -> Iterator[dict[str, Any]]:
        assert self.asked_for_task.wait(_PATIENCE), f"no export task of {app} was asked for"
        yield {"deviceId": "d1"}

    def create_task(self, *_: Any) -> ExportTask:
        self.asked_for_task.set()
        raise RetryLaterError(Code.SERVICE_UNAVAILABLE, "this is all the test needs")


@pytest.mark.parametrize(
    ("app", "task", "is_shared"),
    [
        ("shop", {}, False),
        ("blog", {}, True),
        ("blog", {"created": "2016-05-08T00:00:00Z"}, False),
        ("blog", {"container": "mobile-engagement-1"}, False),
    ],
)
def test_an_app_that_the_state_alone_names_counts_while_its_task_may_write(
    app: str, task: dict[str, Any], *, is_shared: bool
) -> None:
    # Given a state with a task of an app, which may be another one than that in the settings
    time = LeapingTime()
    entry = {"id": "0b1f4d1e-64c4-4a26", "created": time.now().isoformat()} | task
    partition = {"context": {"app_name": app}, "tasks": [entry]}
    state = {"bookmarks": {"tags": {"partitions": [partition]}}}

    source = open_api(parse(CONFIG, today=date(2016, 5, 8)), time.timing, state)

    # then content tells nothing where a task of the other app may write beside those of this.
    assert source._storage.one_app is is_shared


def test_tasks_are_begun_while_the_devices_are_listed(tmp_path: Path) -> None:
    # Given a run that begins with the devices
    service: Any = Service()
    source = ApiSource(
        parse(CONFIG, today=date(2016, 6, 1)),
        client=service,
        storage=SharedStorage(FolderContainer(tmp_path), tmp_path.as_uri()),
        clock=Clock(),
    )
    source.prepare(BY_NAME["events"], "shop", PartitionState({}))

    # when they are read
    exports = source.exports(BY_NAME["devices"], "shop", PartitionState({}), lambda: None)
    (part,) = next(iter(exports)).parts
    assert part.elements is not None
    listed = [*part.elements()]
    source.close()

    # then the tasks of other streams have not waited for them.
    assert listed == [{"deviceId": "d1"}]


def test_a_run_waits_once_at_its_end_for_what_stalls(tmp_path: Path) -> None:
    # Given a run whose container takes longer than any end of a run may
    service: Any = Service()
    stalls, goes_on = threading.Event(), threading.Event()

    class Stalled(FolderContainer):
        def list(self, *_: Any, **__: Any) -> Iterator[Blob]:
            stalls.set()
            goes_on.wait(_PATIENCE)
            return iter(())

    source = ApiSource(
        parse(CONFIG, today=date(2016, 6, 1)),
        client=service,
        storage=SharedStorage(Stalled(tmp_path), tmp_path.as_uri()),
        clock=Clock(),
    )
    source.prepare(BY_NAME["events"], "shop", PartitionState({}))
    next(iter(source.exports(BY_NAME["devices"], "shop", PartitionState({}), lambda: None)))
    assert stalls.wait(_PATIENCE)
    source.close()

    # when it is closed again, then that takes no time.
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 1
    goes_on.set()


@dataclass
class Account(Invented):
    """A service whose tasks get a container each; counts them."""

    containers: int = 0

    def choose(self, export: PendingExport) -> None:
        if export.container is None:
            self.containers += 1
            export.container = f"own-{self.containers}"


def test_a_task_that_is_refused_keeps_the_container_that_was_made_for_it() -> None:
    # Given a service that takes one task at a time
    clock = LeapingTime()
    service: Any = Account(1, clock.now, room=1)
    source = ApiSource(
        parse(CONFIG | {"window_days": 1}, today=date(2016, 6, 1)),
        client=service,
        storage=service,
        clock=clock.timing,
    )

    # when a week of events is exported, day by day
    exports = source.exports(BY_NAME["events"], "shop", PartitionState({}), lambda: None)
    days = len([*exports])
    source.close()

    # then there are no more containers than tasks.
    assert days == len(service.tasks) == 7
    assert service.containers == 7


class Empty(Account):
    """An account in which no task writes anything."""

    def find(self, export: PendingExport) -> tuple[Part, ...]:
        del export
        return ()


def test_what_came_out_empty_beyond_a_bound_is_exported_once_more_as_one_range() -> None:
    # Given a run over 60 days, all of them empty
    clock = LeapingTime()
    service: Any = Empty(1, clock.now)
    values: dict[str, Any] = {}

    def run() -> list[str]:
        """Run once; the ranges that were exported."""
        source = ApiSource(
            parse(
                CONFIG | {"window_days": 1, "end_date": "2016-06-30", "lookback_days": 0},
                today=date(2016, 7, 1),
            ),
            client=service,
            storage=service,
            clock=clock.timing,
        )
        state = PartitionState(values)
        ranges = []
        for export in source.exports(BY_NAME["events"], "shop", state, lambda: None):
            ranges.append(str(export.window))
            export.commit()
        source.close()
        return ranges

    assert len(run()) == 60
    assert len(values["tasks"]) == MOST_EMPTY
    assert values["empty_range"] == {"start": "2016-05-01", "end": "2016-05-11"}

    # when it runs again, then the oldest are one range, the others are looked at once more,
    assert run() == ["2016-05-01/2016-05-11"]
    # and that was it.
    assert "tasks" not in values
    assert "empty_range" not in values
    assert values["replication_key_value"] == "2016-06-30T00:00:00Z"
    assert run() == []


def test_what_is_exported_once_more_moves_no_bookmark_over_days_before_it() -> None:
    # Given a state whose bookmark was set back before days that had come out empty
    clock = LeapingTime()
    service: Any = Account(1, clock.now)
    values: dict[str, Any] = {
        "replication_key_value": "2016-05-02T00:00:00Z",
        "empty_range": {"start": "2016-05-06", "end": "2016-05-07"},
    }
    source = ApiSource(
        parse(CONFIG | {"lookback_days": 0}, today=date(2016, 6, 1)),
        client=service,
        storage=service,
        clock=clock.timing,
    )

    # when they are exported first, then the days before them are still to come,
    exports = source.exports(BY_NAME["events"], "shop", PartitionState(values), lambda: None)
    bookmarks = []
    for export in exports:
        export.commit()
        bookmarks.append((str(export.window), values["replication_key_value"][:10]))
    source.close()

    assert bookmarks == [
        ("2016-05-06/2016-05-07", "2016-05-02"),
        ("2016-05-02/2016-05-08", "2016-05-08"),
    ]
