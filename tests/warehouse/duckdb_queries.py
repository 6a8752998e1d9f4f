"""Run queries in DuckDB, in one connection, in the folder that holds the Parquet files.

A program of its own, for the Python of the environment that holds DuckDB: it reads a JSON list
of queries on standard input, and writes a list with the rows of each, all values as texts.
"""

from __future__ import annotations

import json
import sys

import duckdb

connection = duckdb.connect()
rows = [connection.execute(query).fetchall() for query in json.load(sys.stdin)]
json.dump(rows, sys.stdout, default=str)
