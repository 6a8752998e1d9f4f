"""Exports out of the REST API: when its export tasks are begun, and where they write."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.api.destinations import Place, SharedStorage
from tap_mobile_engagement.api.runner import TaskRunner
from tap_mobile_engagement.api.source import ApiSource
from tap_mobile_engagement.api.tasks import TaskRef
from tap_mobile_engagement.clock import Clock
from tap_mobile_engagement.containers import FolderContainer
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, RetryLaterError
from tap_mobile_engagement.retry import Schedule
from tap_mobile_engagement.settings import parse
from tap_mobile_engagement.state import PartitionState
from tests.api.invented import Service as Invented
from tests.support.simulated import LeapingTime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_mobile_engagement.containers.base import Walk

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

    schedule = Schedule(first=5, largest=300)

    def __init__(self) -> None:
        self.asked_for_task = threading.Event()

    def list_devices_with_details(self, app: str, **_: Any) -> Iterator[dict[str, Any]]:
        assert self.asked_for_task.wait(_PATIENCE), f"no export task of {app} was asked for"
        yield {"deviceId": "d1"}

    def submit(self, app: str, *_: Any, **__: Any) -> TaskRef:
        self.asked_for_task.set()
        raise RetryLaterError(Code.SERVICE_UNAVAILABLE, "this is all the test needs", app=app)


class CountedContainer(FolderContainer):
    """A folder that counts how often it is listed."""

    listings = 0

    def list(self, prefix: str = "", *, walk: Walk | None = None) -> Iterator[Any]:
        self.listings += 1
        return super().list(prefix, walk=walk)


def test_tasks_are_begun_while_the_devices_are_listed(tmp_path: Path) -> None:
    # Given a run that begins with the devices
    service: Any = Service()
    source = ApiSource(
        parse(CONFIG, today=date(2016, 6, 1)),
        client=service,
        runner=service,
        storage=SharedStorage(FolderContainer(tmp_path), tmp_path.as_uri()),
        timing=Clock(),
    )
    source.prepare(BY_NAME["events"], "shop", PartitionState({}))

    # when they are read
    exports = source.exports(BY_NAME["devices"], "shop", PartitionState({}), lambda: None)
    with next(iter(exports)).parts[0].open() as chunks:
        listed = b"".join(chunks)
    source.close()

    # then the tasks of other streams have not waited for them.
    assert listed == b'[{"deviceId":"d1"}]'


@dataclass
class Account(Invented):
    """A service whose tasks get a container each; counts them."""

    containers: int = 0

    def new_place(self, data_type: str) -> Place:
        del data_type
        self.containers += 1
        return Place(f"https://storage.example/{self.containers}", f"own-{self.containers}")


def test_a_task_that_is_refused_keeps_the_container_that_was_made_for_it() -> None:
    # Given a service that takes one task at a time
    clock = LeapingTime()
    service: Any = Account(1, clock.now, room=1)
    source = ApiSource(
        parse(CONFIG | {"window_days": 1}, today=date(2016, 6, 1)),
        client=service,
        runner=TaskRunner(
            client=service,
            schedule=Schedule(first=5, largest=300),
            timeout=timedelta(days=1),
            timing=clock.timing,
        ),
        storage=service,
        timing=clock.timing,
    )

    # when a week of events is exported, day by day
    exports = source.exports(BY_NAME["events"], "shop", PartitionState({}), lambda: None)
    days = len([*exports])
    source.close()

    # then there are no more containers than tasks.
    assert days == len(service.tasks) == 7
    assert service.containers == 7


@pytest.mark.parametrize("names_tell", [True, False])
def test_a_shared_container_is_listed_before_a_task_only_until_names_tell(
    tmp_path: Path, *, names_tell: bool
) -> None:
    # Given a container with what one task has written
    task = TaskRef(id="0b1f4d1e-64c4-4a26-bbd7-000000000001", created=datetime.now(UTC))
    (tmp_path / (f"{task.id}.json" if names_tell else "some.json")).write_text("[]")
    container = CountedContainer(tmp_path)
    storage = SharedStorage(container, tmp_path.as_uri())
    storage.find(task, BY_NAME["tags"], frozenset())
    container.listings = 0

    # when the next one is given its place
    place = storage.new_place("tags")

    # then what was there before is noted only if it is needed.
    assert container.listings == (0 if names_tell else 1)
    assert (place.before is None) == names_tell
    assert storage.new_place("tokens").before is not None  # their names are not known yet


def test_names_that_tell_of_one_data_type_tell_nothing_of_another(tmp_path: Path) -> None:
    # Given a service that names events after their task, and tags after nothing
    events = TaskRef(id="0b1f4d1e-64c4-4a26-bbd7-000000000001", created=datetime.now(UTC))
    tags = TaskRef(id="0b1f4d1e-64c4-4a26-bbd7-000000000002", created=datetime.now(UTC))
    storage = SharedStorage(FolderContainer(tmp_path), tmp_path.as_uri())
    (tmp_path / f"{events.id}.json").write_text("[]")
    assert storage.find(events, BY_NAME["events"], frozenset())
    before = storage.new_place("tags").before

    # when tags are written
    (tmp_path / "some.json").write_text('[{"deviceId":"d1","tags":{"plan":"gold"}}]')

    # then they are found, and what is known to be events is not taken for tags,
    found = storage.find(tags, BY_NAME["tags"], before)
    assert [part.blob_name for part in found] == ["some.json"]
    # while an export of events that wrote nothing is not given what others wrote.
    later = TaskRef(id="0b1f4d1e-64c4-4a26-bbd7-000000000003", created=datetime.now(UTC))
    assert storage.find(later, BY_NAME["events"], None) == ()
