"""Reads archives with the Spark data source; it runs in an environment that has PySpark.

The argument is a JSON list of steps, which are done in one session, one after another. Each is

- options of the reader: its answer are rows, a plan and the number of tasks, or an error; with
  ``explain`` only a plan;
- these with ``checkpoint``, a folder: a streaming query that reads what is available; its
  answer are the rows of each micro-batch that it ran, by its number;
- ``{"move": [from, to]}`` or ``{"remove": path}``: a change of files, without an answer.

The last line that it prints is a JSON list of the answers.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from tap_mobile_engagement.spark import MobileEngagementDataSource

SETTINGS = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    # Its processes are forks of one that has imported what they need.
    "spark.python.daemon.module": "spark_daemon",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "1",
    "spark.ui.enabled": "false",
}


def as_json(value: Any) -> int:
    assert isinstance(value, datetime)
    aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return round(aware.timestamp() * 1e6)


def rows_of(frame: DataFrame) -> list[dict[str, Any]]:
    return [row.asDict(recursive=True) for row in frame.collect()]


def answer(spark: SparkSession, options: dict[str, str]) -> Any:
    explains_only = options.pop("explain", None)
    checkpoint = options.pop("checkpoint", None)
    try:
        if checkpoint is not None:
            return streamed(spark, options, checkpoint)
        frame = spark.read.format("mobile_engagement").options(**options).load()
        execution = frame._jdf.queryExecution()
        if explains_only:
            return {"plan": execution.analyzed().toString()}
        return {
            "rows": rows_of(frame),
            "plan": execution.toString(),
            "tasks": frame.rdd.getNumPartitions(),
        }
    except Exception as error:  # noqa: BLE001  (the answer tells it)
        return {"error": str(error)}


def streamed(spark: SparkSession, options: dict[str, str], checkpoint: str) -> Any:
    """The rows of each micro-batch of a query that reads what is available."""
    batches: dict[int, list[dict[str, Any]]] = {}

    def keep(frame: DataFrame, number: int) -> None:
        batches[number] = rows_of(frame)

    frame = spark.readStream.format("mobile_engagement").options(**options).load()
    writer = frame.writeStream.foreachBatch(keep).trigger(availableNow=True)
    writer.option("checkpointLocation", checkpoint).start().awaitTermination()
    return batches


def main() -> None:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder: Any = SparkSession.builder
    spark = builder.master("local[2]").config(map=SETTINGS).getOrCreate()
    spark.dataSource.register(MobileEngagementDataSource)
    answers = []
    for step in json.loads(sys.argv[1]):
        match step:
            case {"move": [start, end]}:
                Path(start).replace(end)
            case {"remove": path}:
                Path(path).unlink(missing_ok=True)
            case options:
                answers.append(answer(spark, options))
    spark.stop()
    print(json.dumps(answers, default=as_json))  # noqa: T201  (its output)


main()
