import pytest
from hypothesis import HealthCheck, settings

from tap_mobile_engagement import redaction

# On a busy machine an example may take longer than Hypothesis thinks right.
settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets are known to the whole process; one test's must not mask another's words."""
    monkeypatch.setattr(redaction, "_known", set())
