"""What a streaming query would read, without Spark: names of files, as JSON.

The arguments are a folder for its files, and how many there are at first.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tap_mobile_engagement.spark import MobileEngagementDataSource


def main(folder: Path, count: int) -> None:
    def write(name: str, token: str) -> None:
        (folder / name).write_text(json.dumps([{"deviceId": "d", "token": token}]))

    def offset() -> Any:  # as a checkpoint keeps it
        return json.loads(json.dumps(reader.latestOffset()))

    def names(start: Any, end: Any) -> list[str]:
        read: Any = reader.partitions(start, end)
        return sorted(blob.name for partition in read for blob in partition.blobs)

    os.mkfifo(folder / "pipe")  # is no export
    for number in range(count):
        write(f"{number:03}", "t")
    options = {"url": str(folder), "stream": "tokens"}
    reader = MobileEngagementDataSource(options).streamReader(None)
    first = offset()
    found = {"first": names({}, first), "nothing new": names(first, offset())}
    write("late", "t")
    second = offset()
    found |= {"repeated": names({}, first), "second": names(first, second)}
    write("000", "another")
    found |= {"after a change": names({}, first), "third": names(second, offset())}
    print(json.dumps(found))  # noqa: T201  (its output)


main(Path(sys.argv[1]), int(sys.argv[2]))
