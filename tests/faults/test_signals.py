"""A signal ends a run within three seconds, whatever the storage or the service is doing."""

from __future__ import annotations

import re
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.datatypes import DATA_TYPES
from tests.faults.commands import started
from tests.support.messages import Messages, partition
from tests.support.proxy import CuttingProxy
from tests.support.simulated import settings_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.azurite import Azurite
    from tests.support.simulated import StartSimulator

LIMIT = 3.0  # seconds, by the process's own clock
PATIENCE = 60.0  # seconds, on a busy machine
HANGS = 600.0  # seconds


def ended_by_signal(
    settings: dict[str, Any], folder: Path, is_time: Callable[[], object]
) -> Messages:
    """Start the command, end it by SIGTERM when it is time, and return what it wrote."""
    with started(settings, folder) as process:
        deadline = time.monotonic() + PATIENCE
        while not is_time():
            assert time.monotonic() < deadline, "what the test waits for never happens"
            assert process.poll() is None, process.communicate()[1].decode()
            time.sleep(0.05)
        time.sleep(0.5)  # so that it is in the middle of it
        process.send_signal(signal.SIGTERM)
        output, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM, log.decode()
    told = re.search(r"Stopped by signal 15, ([0-9.]+) s after it", log.decode())
    assert told, log.decode()
    assert float(told[1]) < LIMIT
    return Messages.parse(output)


def known_tasks(messages: Messages) -> list[str]:
    return sorted(
        task["id"]
        for data_type in DATA_TYPES
        for task in partition(messages.state, data_type.name).get("tasks", [])
    )


def test_while_a_creation_hangs(start_simulator: StartSimulator, folder: Path) -> None:
    post = {"fault": "slow_answer", "method": "POST", "path": "*/exportTasks/*"}
    simulator = start_simulator({**post, "nth": 3, "seconds": HANGS}, run_seconds=HANGS)
    settings = settings_for(simulator, folder)

    messages = ended_by_signal(
        settings, folder.parent, lambda: simulator.faults.report()[0]["strikes"]
    )

    # The state knows all tasks whose creation was answered.
    assert len(known_tasks(messages)) >= 2


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "*/exportTasks/*"), ("GET", "*/exportTasks"), ("POST", "*/oauth2/token")],
    ids=["poll", "check", "token"],
)
def test_while_an_answer_hangs(
    start_simulator: StartSimulator, folder: Path, method: str, path: str
) -> None:
    slow = {"fault": "slow_answer", "method": method, "path": path, "seconds": HANGS}
    simulator = start_simulator(slow, run_seconds=HANGS)

    ended_by_signal(
        settings_for(simulator, folder),
        folder.parent,
        lambda: simulator.faults.report()[0]["strikes"],
    )


def test_while_details_of_devices_hang(start_simulator: StartSimulator, folder: Path) -> None:
    slow = {"fault": "slow_answer", "method": "GET", "path": "*/devices/*", "seconds": HANGS}
    simulator = start_simulator({**slow, "times": 0})
    settings = settings_for(simulator, folder, max_concurrent_tasks=1)

    ended_by_signal(settings, folder.parent, lambda: simulator.faults.report()[0]["strikes"])


@pytest.mark.azurite
@pytest.mark.parametrize("then", ["stall", "crawl"])
@pytest.mark.parametrize("limit", [0, 300, 20_000], ids=["at once", "headers", "content"])
def test_while_the_storage_stalls(
    simulator: Simulator, azurite: Azurite, tmp_path: Path, then: Any, limit: int
) -> None:
    # Given a storage whose answers stall: the first ones, or some in the middle of the run
    container = azurite.new_container()
    url = azurite.sas_url(container, "rwl")
    with CuttingProxy(azurite.port, [limit] * 500, then=then) as proxy:
        settings = settings_for(
            simulator, proxy.in_front_of(url), task_container_url=url, window_days=14
        )

        ended_by_signal(settings, tmp_path, lambda: proxy.broken)


@pytest.mark.azurite
def test_while_a_download_of_an_archive_crawls(azurite: Azurite, tmp_path: Path) -> None:
    container = azurite.new_container()
    event = b'{"deviceId":"d","events":[{"name":"n","timestamp":"2016-05-02"}]}'
    azurite.upload(container, "events.json", b"[" + b",".join([event] * 50_000) + b"]")
    with CuttingProxy(azurite.port, [None, 900_000, *[0] * 99], then="crawl") as proxy:
        settings = {
            "source": "archive",
            "container_url": proxy.in_front_of(azurite.sas_url(container)),
            "app_names": ["shop"],
        }

        ended_by_signal(settings, tmp_path, lambda: proxy.broken)


def test_while_tasks_are_polled_all_of_them_are_in_the_state(
    start_simulator: StartSimulator, folder: Path
) -> None:
    simulator = start_simulator(run_seconds=HANGS)
    settings = settings_for(simulator, folder)

    messages = ended_by_signal(settings, folder.parent, lambda: len(simulator.tasks) >= 3)

    assert known_tasks(messages) == sorted(task.id for task in simulator.tasks)
