"""Fixtures that every test module may ask for."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tap_mobile_engagement import redaction

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = [
    "tests.support.azurite",
    "tests.support.meltano",
    "tests.support.packaging",
    "tests.support.postgres",
    "tests.support.simulated",
]

# On a busy machine an example may take longer than Hypothesis thinks right.
settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")


# Tests that wait for programs, installations and servers, some for a minute.
_LONG = {"packaging", "meltano", "snowflake", "targets", "postgres", "azurite"}


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the long tests begin first, so that no worker is alone with one at the end.

    What is built and installed once stays with one worker.
    """
    items.sort(key=lambda item: not {mark.name for mark in item.iter_markers()} & _LONG)
    for item in items:
        if item.get_closest_marker("packaging"):
            item.add_marker(pytest.mark.xdist_group("packaging"))


@pytest.fixture(autouse=True)
def forget_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets that a test makes known are masked in this test alone, not in those behind it."""
    monkeypatch.setattr(redaction, "_known", set())


@pytest.fixture(autouse=True)
def keep_signal_handlers() -> Iterator[None]:
    """A tap handles signals from when it is made: without this, tests could not be stopped."""
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
