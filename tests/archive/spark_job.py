"""Reads archives with the Spark data source; it runs in an environment that has PySpark.

The argument is a JSON list of requests, each of them options of the reader. With ``sink``, a
folder, the request is a streaming query that reads what is available into Parquet files there.
The last line that it prints is a JSON list of answers: rows and a plan, or an error.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import SparkSession

from tap_mobile_engagement.spark import MobileEngagementDataSource


def as_json(value: Any) -> int:
    assert isinstance(value, datetime)
    aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return round(aware.timestamp() * 1e6)


def answer(spark: SparkSession, options: dict[str, str]) -> dict[str, Any]:
    explains_only = options.pop("explain", None)
    sink = options.pop("sink", None)
    try:
        if sink is not None:
            return {"rows": streamed(spark, options, sink)}
        frame = spark.read.format("mobile_engagement").options(**options).load()
        execution = frame._jdf.queryExecution()
        if explains_only:
            return {"plan": execution.analyzed().toString()}
        rows = [row.asDict(recursive=True) for row in frame.collect()]
        return {
            "rows": rows,
            "plan": execution.toString(),
            "tasks": frame.rdd.getNumPartitions(),
        }
    except Exception as error:  # noqa: BLE001  (the answer tells it)
        return {"error": str(error)}


def streamed(spark: SparkSession, options: dict[str, str], sink: str) -> list[Any]:
    """The rows of the sink, once the query has read what is available."""
    frame = spark.readStream.format("mobile_engagement").options(**options).load()
    writer = frame.writeStream.format("parquet").trigger(availableNow=True)
    query = writer.option("checkpointLocation", f"{sink}-checkpoint").start(sink)
    query.awaitTermination()
    return [row.asDict(recursive=True) for row in spark.read.parquet(sink).collect()]


def main() -> None:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session: Any = SparkSession.builder
    spark = (
        session.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    spark.dataSource.register(MobileEngagementDataSource)
    answers = [answer(spark, options) for options in json.loads(sys.argv[1])]
    spark.stop()
    print(json.dumps(answers, default=as_json))  # noqa: T201  (its output)


main()
