"""Warehouses at the other end of the pipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.demo import warehouse
from tests.support.meltano import ROOT
from tests.warehouse.targets import Snowflake, Target

if TYPE_CHECKING:
    from tests.support.postgres import Database


def installed(program: str) -> str:
    """A program that `make setup` installed with the tools."""
    path = Path(os.environ.get("TAP_TOOLS_DIR", ROOT / ".tools")) / program
    if not path.exists():
        message = f"{program} is not installed: run `make setup`"
        raise RuntimeError(message)
    return str(path)


@pytest.fixture
def target_postgres(database: Database, tmp_path: Path) -> Target:
    """The real target-postgres in front of an empty database."""
    command = installed("meltano-plugins/loaders/target-postgres/venv/bin/target-postgres")
    settings = {
        "sqlalchemy_url": database.sqlalchemy_url,
        "default_target_schema": warehouse.SCHEMA,
        "hard_delete": True,
    }
    return Target((command,), tmp_path, settings)


@pytest.fixture
def snowflake(tmp_path: Path) -> Snowflake:
    """The real target-snowflake on a stand-in for the service, without any table."""
    return Snowflake(installed("target-snowflake/bin/python"), tmp_path)
