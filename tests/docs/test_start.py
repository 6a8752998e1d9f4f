"""docs/start.md, run as it stands: from pip install to rows in PostgreSQL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import commands_on
from tests.docs.shell import outputs_of
from tests.support.postgres import programs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import Database

pytestmark = [pytest.mark.packaging, pytest.mark.postgres]

PAGE = "docs/start.md"
WAREHOUSE = "USER:PASSWORD@localhost:5432/warehouse"
# What is another each time: versions, and the present.
VARIES = re.compile(r"\bv\d+(?:\.\w+)+(?:\+[\w.]+)?|\b20[2-9]\d-\d\d-\d\d \d\d:\d\d\b")


def comparable(output: str) -> list[str]:
    """The lines of an output, without what varies; Markdown may lose spaces at their end."""
    return [VARIES.sub("…", line).rstrip() for line in output.rstrip().splitlines()]


def test_the_page_runs_as_it_stands(
    tmp_path: Path, newcomer: dict[str, str], database: Database
) -> None:
    # Given an empty folder, and a user who has Python, git and psql
    env = newcomer | {"PATH": f"{programs() / 'bin'}:{newcomer['PATH']}"}
    url = database.url.removeprefix("postgresql://").replace("@/", ":@/")

    # when the page's commands run,
    shown = commands_on(PAGE)
    printed = outputs_of(shown, tmp_path, env, {WAREHOUSE: url})

    # then each prints what the page shows.
    for command, output in zip(shown, printed, strict=True):
        assert comparable(output) == comparable(command.output), command.text
