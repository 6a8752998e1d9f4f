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
