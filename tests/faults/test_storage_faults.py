"""Faults between the tap and Blob Storage, in front of a real Azurite."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.errors import Code
from tap_mobile_engagement.simulator import BlobProxy
from tests.support.messages import assert_same, bookmark, own_fields, partition
from tests.support.simulated import catalog_of, settings_for, sync

if TYPE_CHECKING:
    from tap_mobile_engagement.simulator import Simulator
    from tests.support.azurite import Azurite
    from tests.support.simulated import StartSimulator

pytestmark = pytest.mark.azurite

KINDS = ("events", "tokens")


@pytest.mark.parametrize("stream", KINDS)
@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "storage_cut", "at": 700, "times": 3},
        {"fault": "storage_cut", "at": 0, "times": 2},
        {"fault": "storage_error", "status": 503, "times": 3},
        {"fault": "storage_error", "status": 500, "operation": "list", "nth": 2},
    ],
    ids=["cut", "cut at once", "503", "listing fails"],
)
def test_what_passes_is_overcome(
    simulator: Simulator, azurite: Azurite, fault: dict[str, Any], stream: str
) -> None:
    url = azurite.sas_url(azurite.new_container(), "rwl")
    with BlobProxy(azurite.endpoint.rpartition("/")[0], faults=[fault]) as proxy:
        settings = settings_for(
            simulator, proxy.through(url), task_container_url=url, window_days=14
        )
        messages = sync(settings, catalog=catalog_of(settings, stream)).checked()
        struck = proxy.faults.report()[0]["strikes"]

    assert struck >= 1
    assert_same(own_fields(messages.upserted(stream)), simulator.truth("shop", stream))
    assert len(simulator.tasks) == 1


@pytest.mark.parametrize("stream", KINDS)
def test_storage_that_refuses_leaves_the_task_in_the_state(
    simulator: Simulator, azurite: Azurite, stream: str
) -> None:
    # Given a storage that refuses to hand out blobs
    url = azurite.sas_url(azurite.new_container(), "rwl")
    fault = {"fault": "storage_error", "status": 403, "times": 0}
    with BlobProxy(azurite.endpoint.rpartition("/")[0], faults=[fault]) as proxy:
        settings = settings_for(
            simulator, proxy.through(url), task_container_url=url, window_days=14
        )
        catalog = catalog_of(settings, stream)

        # when the tap runs, and again when the storage is itself again
        first = sync(settings, catalog=catalog)
        proxy.faults.clear()
        second = sync(settings, state=first.messages.state, catalog=catalog).checked()

    # then the same task is read.
    assert Code.CONTAINER_ACCESS_DENIED in str(first.failure)
    assert bookmark(first.messages.state, stream) is None
    assert len(simulator.tasks) == 1
    assert_same(own_fields(second.upserted(stream)), simulator.truth("shop", stream))


@pytest.mark.parametrize("stream", KINDS)
def test_a_sas_that_ends_in_the_middle_is_told_and_the_next_run_goes_on(
    start_simulator: StartSimulator, azurite: Azurite, stream: str
) -> None:
    # Given a SAS that ends while a task runs
    simulator = start_simulator(run_seconds=4.0)
    container = azurite.new_container()
    lasting = azurite.sas_url(container, "rwl")
    short = azurite.sas_url(container, "rl", expires_in=timedelta(seconds=3))
    settings = settings_for(simulator, short, task_container_url=lasting, window_days=14)
    catalog = catalog_of(settings, stream)

    # when the tap runs, and again with another SAS
    first = sync(settings, catalog=catalog)
    settings["container_url"] = lasting
    second = sync(settings, state=first.messages.state, catalog=catalog).checked()

    # then the failure says what to do, and the second run reads what the task wrote.
    assert Code.SAS_EXPIRED in str(first.failure)
    assert bookmark(first.messages.state, stream) is None
    assert len(partition(first.messages.state, stream)["tasks"]) == 1
    assert len(simulator.tasks) == 1
    assert_same(own_fields(second.upserted(stream)), simulator.truth("shop", stream))


@pytest.mark.parametrize("rights", ["rl", "wl", "rw"])
def test_a_sas_without_a_right_is_refused_before_any_task(
    simulator: Simulator, azurite: Azurite, rights: str
) -> None:
    url = azurite.sas_url(azurite.new_container(), rights)

    failure = sync(settings_for(simulator, url)).failure

    assert failure is not None
    assert failure.code is Code.SAS_PERMISSION_MISSING
    assert simulator.tasks == []


def test_a_container_that_is_not_there_is_told_before_any_task(
    simulator: Simulator, azurite: Azurite
) -> None:
    url = azurite.sas_url("not-there", "rwl")

    failure = sync(settings_for(simulator, url)).failure

    assert failure is not None
    assert failure.code is Code.CONTAINER_NOT_FOUND
    assert simulator.tasks == []
