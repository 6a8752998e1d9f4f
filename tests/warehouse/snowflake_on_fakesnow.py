"""target-snowflake without an account: the real target, on a stand-in for the service.

A program of its own, run by the Python of an environment that holds ``fakesnow`` and
``meltanolabs-target-snowflake`` and nothing of this project. It reads messages on standard
input, as the target does; its databases are files in a folder, so that a second run finds what
the first one left::

    python snowflake_on_fakesnow.py DATABASES load --config target.json < messages
    python snowflake_on_fakesnow.py DATABASES query 'SELECT …' 'SELECT …' > lists-of-rows.json

What is real: the target's handling of messages and its DDL (schemas, tables, types, names,
added columns), run in Snowflake's SQL. What is not: staging. The user stage (PUT, MERGE and
COPY from it, REMOVE) is unknown to fakesnow; :class:`Stage` stands in for it, with the
target's own choice of columns, types and keys.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import fakesnow
import snowflake.connector
from sqlalchemy import text
from target_snowflake.connector import SnowflakeConnector
from target_snowflake.target import TargetSnowflake

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Stage(SnowflakeConnector):  # type: ignore[misc]  # (it is Any without that environment)
    """The target's connector with a user stage of its own: files that are read on merging."""

    _staged: dict[str, list[str]] = {}  # noqa: RUF012  (of the process, as the stage of a user)

    def put_batches_to_stage(self, sync_id: str, files: Sequence[str]) -> None:
        self._staged[sync_id] = [*files]

    def remove_staged_files(self, sync_id: str) -> None:
        self._staged.pop(sync_id, None)

    def merge_from_stage(
        self,
        full_table_name: Any,
        schema: dict[str, Any],
        sync_id: str,
        file_format: str,
        key_properties: Sequence[str],
    ) -> int:
        del file_format
        # As `QUALIFY ROW_NUMBER()` of the target: the last record of a key counts.
        latest = {tuple(row[key] for key in key_properties): row for row in self._rows(sync_id)}
        keys = [self.format_identifier(key, safe=True) for key in key_properties]
        same = " AND ".join(f"d.{key} = s.{key}" for key in keys)
        source = f"SELECT {self._casts(schema, key_properties)} FROM {_ROWS}"  # noqa: S608
        delete = f"DELETE FROM {full_table_name} d USING ({source}) s WHERE {same}"  # noqa: S608
        return self._insert(full_table_name, schema, [*latest.values()], before=delete)

    def copy_from_stage(
        self, full_table_name: Any, schema: dict[str, Any], sync_id: str, file_format: str
    ) -> int:
        del file_format
        return self._insert(full_table_name, schema, [*self._rows(sync_id)])

    def _insert(
        self, table: Any, schema: dict[str, Any], rows: list[dict[str, Any]], before: str = ""
    ) -> int:
        names = [*schema["properties"]]
        columns = ", ".join(self.format_identifier(name, safe=True) for name in names)
        insert = (
            f"INSERT INTO {table} ({columns}) SELECT {self._casts(schema, names)} FROM {_ROWS}"  # noqa: S608
        )
        with self._connect() as connection, connection.begin():
            for statement in filter(None, (before, insert)):
                # (text() takes `:name` for a parameter)
                escaped = statement.replace(":", "\\:").replace("\\:rows_", ":rows_")
                connection.execute(text(escaped), {"rows_": json.dumps(rows)})
        return len(rows)

    def _casts(self, schema: dict[str, Any], names: Iterable[str]) -> str:
        """The target's own selection of columns, out of a row of JSON."""
        wanted = {"properties": {name: schema["properties"][name] for name in names}}
        selections = self._get_column_selections(wanted)
        casts = self._format_column_selections(selections, "json_casting")
        return str(casts).replace("$1:", "f.value:")

    def _rows(self, sync_id: str) -> Iterable[dict[str, Any]]:
        for url in self._staged[sync_id]:
            content = Path(unquote(urlparse(url).path)).read_bytes()
            lines = gzip.decompress(content) if url.endswith(".gz") else content
            yield from map(json.loads, lines.splitlines())


_FILE_FORMATS = r"^\s*(create( or replace)?|drop) file format"  # unknown to fakesnow, too
_ROWS = "LATERAL FLATTEN(input => PARSE_JSON(:rows_)) f"


def main(databases: str, command: str, *arguments: str) -> None:
    """Run the target, or queries, against the databases in a folder."""
    # The target writes its batches below the system's temporary folder, under a name that all
    # users of a machine share.
    tempfile.tempdir = str(Path(databases).parent)
    with fakesnow.patch(db_path=databases, nop_regexes=[_FILE_FORMATS]):
        if command == "load":
            sink: Any = TargetSnowflake.default_sink_class
            sink.connector_class = Stage
            TargetSnowflake.cli(arguments)
        else:
            with snowflake.connector.connect(database="WAREHOUSE", schema="SHOP") as connection:
                cursor = connection.cursor(snowflake.connector.DictCursor)
                found = [cursor.execute(query).fetchall() for query in arguments]
                json.dump(found, sys.stdout, default=str)


if __name__ == "__main__":
    main(*sys.argv[1:])
