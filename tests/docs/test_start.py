"""docs/start.md, run as it stands: from pip install to rows in PostgreSQL."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import commands_on
from tests.support.packaging import run
from tests.support.postgres import programs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import Database

pytestmark = [pytest.mark.packaging, pytest.mark.postgres]

PAGE = "docs/start.md"
WAREHOUSE = "USER:PASSWORD@localhost:5432/warehouse"
MARK = "--- command {} ---"
# What is another each time: versions, and the present.
VARIES = re.compile(r"\bv\d+(?:\.\w+)+(?:\+[\w.]+)?|\b20[2-9]\d-\d\d-\d\d \d\d:\d\d\b")


def comparable(output: str) -> list[str]:
    """The lines of an output, without what varies; Markdown may lose spaces at their end."""
    return [VARIES.sub("…", line).rstrip() for line in output.rstrip().splitlines()]


def test_the_page_runs_as_it_stands(tmp_path: Path, built: Path, database: Database) -> None:
    # Given an empty folder, a Python, psql, and the package where pip looks for it
    work, bin_ = tmp_path / "work", tmp_path / "bin"
    work.mkdir()
    bin_.mkdir()
    (bin_ / "python3").symlink_to(os.path.realpath(sys.executable))
    (wheel,) = built.glob("*.whl")
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(f"tap-mobile-engagement @ {wheel.as_uri()}\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TAP_")}
    path = f"{bin_}:{programs() / 'bin'}:/usr/local/bin:/usr/bin:/bin"
    env = kept | {"PATH": path, "PIP_CONSTRAINT": str(constraints), "LC_ALL": "C.UTF-8"}
    env.pop("PYTHONPATH", None)

    # when its commands run one after another in one shell,
    shown = commands_on(PAGE)
    assert sum(WAREHOUSE in command.text for command in shown) == 1
    script = "".join(
        f"echo '{MARK.format(number)}'\n{command.text}\n"
        for number, command in enumerate(shown)
    ).replace(WAREHOUSE, database.url.removeprefix("postgresql://").replace("@/", ":@/"))
    output = run("bash", "-e", "-c", script, cwd=work, env=env)

    # then each prints what the page shows.
    for number, command in enumerate(shown):
        here, behind = MARK.format(number), MARK.format(number + 1)
        printed = output.partition(f"{here}\n")[2].partition(behind)[0]
        assert comparable(printed) == comparable(command.output), command.text
