"""The tap and the service at work in a real Blob Storage, each with the rights it needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tap_mobile_engagement.datatypes import DATA_TYPES
from tests.support.messages import Messages, assert_same, bookmark, own_fields
from tests.support.simulated import LeapingTime, settings_for, sync

if TYPE_CHECKING:
    from tap_mobile_engagement.simulator import Simulator
    from tests.support.azurite import Azurite
    from tests.support.simulated import Command, StartSimulator

STREAMS = [data_type.name for data_type in DATA_TYPES]


def assert_true(messages: Messages, simulator: Simulator) -> None:
    for stream in STREAMS:
        truth = simulator.truth("shop", stream)
        assert truth
        assert_same(own_fields(messages.upserted(stream)), truth)


@pytest.mark.parametrize("blob_name", ["task_id", "random"])
def test_the_tap_reads_and_lists_what_the_service_may_only_write_and_list(
    start_simulator: StartSimulator, azurite: Azurite, blob_name: str
) -> None:
    # Given a container, and a SAS for each of the two
    simulator = start_simulator(blob_name=blob_name)
    container = azurite.new_container()
    settings = settings_for(
        simulator,
        azurite.sas_url(container, "rl"),
        task_container_url=azurite.sas_url(container, "wl"),
    )

    # when the tap runs, and runs again five days later, with a clock that leaps over pauses
    first = sync(settings, timing=LeapingTime().timing).checked()
    simulator.clock.advance(days=5)
    settings |= {"end_date": "2016-05-20"}
    second = sync(settings, state=first.state, timing=LeapingTime().timing).checked()

    # then all is there, and the service was given its own URL.
    assert_true(first + second, simulator)
    assert bookmark(second.state, "events") == "2016-05-20T00:00:00Z"
    given = {task.request.container_url for task in simulator.tasks}
    assert given == {settings["task_container_url"]}


def test_with_an_account_each_task_has_a_container_and_a_sas_of_its_own(
    start_simulator: StartSimulator, azurite: Azurite
) -> None:
    # Given a service whose blob names tell nothing, and all tasks at once
    simulator = start_simulator(blob_name="blob-{n}")
    settings = settings_for(
        simulator,
        None,
        storage_connection_string=azurite.connection_string,
        max_concurrent_tasks=10,
    )

    messages = sync(settings).checked()

    assert_true(messages, simulator)
    given = [task.request.container_url.partition("?")[0] for task in simulator.tasks]
    assert len({*given}) == len(simulator.tasks)


def test_a_task_in_a_container_of_its_own_is_taken_up_by_the_next_run(
    simulator: Simulator, azurite: Azurite
) -> None:
    # Given the state of a run that died with a task of events under way
    settings = settings_for(
        simulator, None, storage_connection_string=azurite.connection_string
    )
    states = sync(settings).checked().states
    state = next(state for state in states if "tasks" in json.dumps(state))
    created = len(simulator.tasks)

    messages = sync(settings, state=state).checked()

    assert_true(messages, simulator)
    assert len(simulator.tasks) < 2 * created


@pytest.mark.parametrize("own_containers", [False, True])
def test_no_secret_of_the_storage_gets_out(
    simulator: Simulator, azurite: Azurite, command: Command, *, own_containers: bool
) -> None:
    container = azurite.new_container()
    settings = settings_for(
        simulator,
        None if own_containers else azurite.sas_url(container, "rwl"),
        storage_connection_string=azurite.connection_string if own_containers else None,
    )

    run = command.run(settings=settings)

    assert run.exit_code == 0
    written = run.stdout.decode() + "\n".join(run.stderr)
    signatures = [task.request.container_url.partition("sig=")[2] for task in simulator.tasks]
    assert all(signatures)
    for secret in (azurite.key, settings["client_secret"], *signatures):
        assert secret not in written


def test_compressed_blobs_in_several_parts_come_as_they_are(
    start_simulator: StartSimulator, azurite: Azurite
) -> None:
    simulator = start_simulator(blobs_per_task=3, compression="gzip", blob_name="task_hex")
    url = azurite.sas_url(azurite.new_container(), "rwl")

    messages = sync(settings_for(simulator, url)).checked()

    assert_true(messages, simulator)
