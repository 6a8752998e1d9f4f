"""The demo as a user starts it."""

from __future__ import annotations

import re
import sys

import psycopg
import pytest

from tests.support.packaging import ROOT, run

SMALL = ("--devices", "8", "--days", "3", "--more-days", "1")


@pytest.mark.parametrize("target", ["demo", "demo-archive"])
@pytest.mark.parametrize(
    ("given", "kept"), [((), False), (("KEEP=0",), False), (("KEEP=1",), True)]
)
def test_make_says_whether_the_database_is_kept(
    target: str, given: tuple[str, ...], *, kept: bool
) -> None:
    commands = run("make", "--dry-run", target, *given, cwd=ROOT)

    assert ("--keep" in commands) is kept


@pytest.mark.meltano
@pytest.mark.postgres
def test_an_archive_that_grows_is_the_truth_after_each_run() -> None:
    printed = run(sys.executable, "-m", "scripts.demo.archive", "--devices", "8", cwd=ROOT)

    assert "Warehouse and truth hold the same records." in printed


@pytest.mark.meltano
@pytest.mark.postgres
def test_a_database_that_is_kept_answers_until_it_is_stopped() -> None:
    printed = run(sys.executable, "-m", "scripts.demo", "--keep", *SMALL, cwd=ROOT)

    assert "Warehouse and truth hold the same records." in printed
    told = dict(re.findall(r"^  (URL|query|stop) +(.+)$", printed, re.MULTILINE))
    rows = run("sh", "-c", told["query"])
    assert "push_opened" in rows
    with psycopg.connect(told["URL"]) as connection:
        found = connection.execute("SELECT count(*) FROM mobile_engagement.sessions")
        assert found.fetchone() != (0,)
    run("sh", "-c", told["stop"])
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(told["URL"])
