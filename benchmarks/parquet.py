"""An archive of nested events to Parquet: this tap, DuckDB, Spark with and without this tap.

``python -m benchmarks.parquet`` needs what ``make setup`` installs, and Java for Spark. DuckDB
and Spark's own reader make no ids, and read nothing but plain JSON.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.events import make_groups
from benchmarks.runs import Run, interleaved, machine, median, run

if TYPE_CHECKING:
    from collections.abc import Callable

TOOLS = Path(os.environ.get("TAP_TOOLS_DIR", ".tools")).absolute()

_DUCKDB = """
import duckdb, sys
folder, output, threads = sys.argv[1:]
duckdb.sql(f"SET threads = {threads}; SET preserve_insertion_order = false")
duckdb.sql(
    "COPY (SELECT deviceId, unnest(events, recursive := false) AS event"
    f" FROM read_json('{folder}/*.json', maximum_object_size = 100000000))"
    f" TO '{output}.parquet' (FORMAT parquet, COMPRESSION zstd)"
)
"""
_SPARK = """
import sys, time
from pyspark.sql import SparkSession, functions
folder, output, reader, writer = sys.argv[1:]
times = [time.time()]
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.sql.parquet.compression.codec", "zstd")
    .getOrCreate()
)
times.append(time.time())
if reader == "json":
    groups = spark.read.option("multiline", True).json(folder)
    frame = groups.select("deviceId", functions.explode("events").alias("event"))
else:
    from tap_mobile_engagement.spark import MobileEngagementDataSource
    spark.dataSource.register(MobileEngagementDataSource)
    frame = spark.read.format("mobile_engagement").option("url", folder)
    frame = frame.option("stream", "events").load()
times.append(time.time())
frame.write.format(writer).mode("overwrite").save(output)
times.append(time.time())
start, plan, work = (after - before for before, after in zip(times, times[1:]))
print(f"start {start:.1f} s, plan {plan:.1f} s, run {work:.1f} s")
"""


def write_archive(folder: Path, files: int, megabytes: int) -> int:
    """Write files of events; returns how many bytes they have."""
    folder.mkdir()
    groups = make_groups().nested
    size = 0
    for number in range(files):
        with (folder / f"{number}.json").open("wb") as file:
            file.write(b"[" + groups[0])
            place = 0
            while file.tell() < megabytes * 1_000_000:
                place += 1
                file.write(b"," + groups[place % len(groups)])
            file.write(b"]")
            size += file.tell()
    return size


def contenders(folder: Path, output: Path) -> dict[str, Callable[[], Run]]:
    """What is measured, each writing into an output of its own."""
    command = Path(sys.executable).with_name("tap-mobile-engagement-to-parquet")
    duckdb, spark = TOOLS / "library/bin/python", TOOLS / "spark/bin/python"
    os.environ["PYSPARK_PYTHON"] = str(spark)
    found: dict[str, Callable[[], Run]] = {}
    for workers in ("1", "2"):
        place = output / f"tap-{workers}"
        found[f"to-parquet, workers {workers}"] = partial(
            _afresh, place, [command, folder, place, "--workers", workers]
        )
        place = output / f"duckdb-{workers}"
        found[f"DuckDB, threads {workers}"] = partial(
            _afresh, place, [duckdb, "-c", _DUCKDB, folder, place, workers]
        )
    if shutil.which("java"):
        for name, reader in (("this data source", "tap"), ("multiline JSON", "json")):
            for end, writer in (("", "parquet"), (", read only", "noop")):
                place = output / f"spark-{reader}-{writer}"
                found[f"Spark, {name}{end}"] = partial(
                    _afresh, place, [spark, "-c", _SPARK, folder, place, reader, writer]
                )
    else:
        print("SPARK WAS NOT MEASURED: it needs Java 17 or newer", file=sys.stderr)
    return found


def _afresh(place: Path, command: list[str | Path]) -> Run:
    shutil.rmtree(place, ignore_errors=True)
    return run(command)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--megabytes", type=int, default=120, help="of each file")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "archive")
        size = write_archive(folder, options.files, options.megabytes)
        output = Path(temporary, "output")
        output.mkdir()
        runs = interleaved(contenders(folder, output), options.rounds)
    print(f"{options.files} files, {size / 1e6:.0f} MB; {machine()}\n")
    print("| contender | seconds | CPU s | MB/s | peak memory |")
    print("| --- | --- | --- | --- | --- |")
    for name, some in runs.items():
        one = median(some)
        # Java is no child that is waited for: what it took is unknown.
        cpu, peak = f"{one.cpu:.1f}", f"{one.peak / 1e6:.0f} MB"
        if name.startswith("Spark"):
            cpu, peak = one.last.decode().strip(), ""
        print(
            f"| {name} | {one.seconds:.1f} | {cpu} | {size / 1e6 / one.seconds:.0f} | {peak} |"
        )


if __name__ == "__main__":
    main()
