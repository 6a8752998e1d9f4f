"""What target-postgres made of the records: the rows of its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scripts.demo.compare import Row
    from tap_mobile_engagement.datatypes import DataType
    from tests.support.postgres import Database

SCHEMA = "mobile_engagement"  # as meltano.yml has it


def rows(database: Database, data_type: DataType) -> list[Row]:
    """All rows of a stream's table, in the form that the comparison takes.

    Returns:
        The rows; none where there is no such table yet.
    """
    table = f"{SCHEMA}.{data_type.name}"
    if database.query("SELECT to_regclass(%s)", table) == [(None,)]:
        return []
    columns = ", ".join(f'"{field.name}"' for field in data_type.fields)
    return database.query(f"SELECT app_name, {columns} FROM {table}")  # noqa: S608
