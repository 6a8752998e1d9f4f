"""Reads JSON lines with dlt's filesystem source and loads them into parquet files.

    python dlt_filesystem.py FILE

dlt has no messages for another program: what it reads it brings to a destination. A folder is
the nearest to that. Prints the number of rows that arrived, for the benchmark to check.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt
import pyarrow.parquet as pq
from dlt.sources.filesystem import filesystem, read_jsonl


def main() -> None:
    """Load the file, then count what was loaded."""
    path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="bench-dlt-") as folder:
        target = Path(folder) / "target"
        pipeline = dlt.pipeline(
            "bench",
            pipelines_dir=str(Path(folder) / "pipelines"),
            destination=dlt.destinations.filesystem(target.as_uri()),
            dataset_name="data",
        )
        files = filesystem(path.parent.as_uri(), file_glob=path.name)
        rows = (files | read_jsonl()).with_name("events")
        pipeline.run(rows, loader_file_format="parquet")
        tables = target.glob("data/events/*.parquet")
        print("rows:", sum(pq.ParquetFile(table).metadata.num_rows for table in tables))


if __name__ == "__main__":
    main()
