"""Fixtures that every test module may ask for."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tap_mobile_engagement import redaction

pytest_plugins = [
    "tests.support.azurite",
    "tests.support.meltano",
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
