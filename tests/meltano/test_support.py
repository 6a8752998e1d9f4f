"""The parts that the pipeline tests stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.meltano import TAP, MeltanoProject, Run, settings

if TYPE_CHECKING:
    from tests.support.postgres import Database, Postgres


def test_settings_become_environment_variables() -> None:
    found = settings("tap-x", start_date="2016-05-01", app_names=["a", "b"], details=True)

    assert found == {
        "TAP_X_START_DATE": "2016-05-01",
        "TAP_X_APP_NAMES": '["a", "b"]',
        "TAP_X_DETAILS": "true",
    }


def test_a_failed_command_tells_what_it_wrote() -> None:
    with pytest.raises(RuntimeError, match="exit code 3\nout\nerr"):
        Run(3, "out", "err").checked()


@pytest.mark.postgres
def test_databases_of_a_server_are_apart(postgres: Postgres, database: Database) -> None:
    other = postgres.new_database()
    database.query("CREATE TABLE t (a integer)")
    database.query("INSERT INTO t SELECT generate_series(1, %s)", 3)

    assert database.query("SELECT count(*), sum(a) FROM t") == [(3, 6)]
    assert other.query("SELECT to_regclass('t')") == [(None,)]


@pytest.mark.meltano
def test_settings_of_whoever_runs_the_tests_do_not_reach_a_project(
    meltano_project: MeltanoProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAP_MOBILE_ENGAGEMENT_START_DATE", "1999-01-01")

    shown = meltano_project.run("config", "print", TAP, env=settings(TAP, client_id="mine"))

    assert '"client_id": "mine"' in shown.checked().stdout
    assert "1999" not in shown.stdout


@pytest.mark.meltano
def test_a_new_project_has_no_state(meltano_project: MeltanoProject) -> None:
    assert meltano_project.state("target-postgres") == {}
