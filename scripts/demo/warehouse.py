"""What target-postgres made of the records: the rows of its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.postgres import programs

if TYPE_CHECKING:
    from scripts.demo.compare import Row
    from tap_mobile_engagement.datatypes import DataType
    from tests.support.postgres import Database, Postgres

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


def how_to_use(database: Database, server: Postgres) -> str:
    """What to do with a database that is left running: its URL, a query, how to stop it."""
    psql = programs() / "bin" / "psql"
    query = f"SELECT name, count(*) FROM {SCHEMA}.events GROUP BY name"  # noqa: S608
    return (
        "The database is running:\n"
        f"  URL    {database.url}\n"
        f"  query  {psql} '{database.url}' -c '{query}'\n"
        f"  stop   {server.stop_command}\n"
        "docs/sql.md has more queries."
    )
