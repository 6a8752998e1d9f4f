"""Simulators for tests: frozen, so that nothing changes while a test looks at it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.simulator import Options, Simulator
from tests.simulator.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def start() -> Iterator[Callable[..., Client]]:
    """Start simulators with the given options; they are stopped after the test."""
    with ExitStack() as stack:

        def start_one(faults: list[Any] | None = None, **options: Any) -> Client:
            # Tests move the clock by days, and few of them want to renew their token for it.
            options = {"devices": 12, "frozen": True, "token_seconds": 1e9} | options
            simulator = Simulator(Options(**options), faults=faults or [])
            return Client(stack.enter_context(simulator))

        yield start_one


@pytest.fixture
def client(start: Callable[..., Client]) -> Client:
    """A client of a simulator with nothing special about it."""
    return start()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is a container."""
    path = tmp_path / "container"
    path.mkdir()
    return path
