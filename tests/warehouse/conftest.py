"""Warehouses at the other end of the pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.demo import warehouse
from tests.support.tools import installed
from tests.warehouse.targets import Snowflake, Target

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import Database


@pytest.fixture
def target_postgres(database: Database, tmp_path: Path) -> Target:
    """The real target-postgres in front of an empty database."""
    command = installed("meltano-plugins/loaders/target-postgres/venv/bin/target-postgres")
    settings = {
        "sqlalchemy_url": database.sqlalchemy_url,
        "default_target_schema": warehouse.SCHEMA,
        "hard_delete": True,
    }
    return Target((str(command),), tmp_path, settings)


@pytest.fixture
def snowflake(tmp_path: Path) -> Snowflake:
    """The real target-snowflake on a stand-in for the service, without any table."""
    return Snowflake(str(installed("target-snowflake/bin/python")), tmp_path)
