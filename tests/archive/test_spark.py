"""The Spark data source on ``local[2]``: the rows of the library, and no secret in a plan."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.archive import Archive
from tap_mobile_engagement.datatypes import BY_NAME, Kind
from tests.archive.forms import FORMS, array, gzipped, zipped
from tests.support.tools import installed

if TYPE_CHECKING:
    from tests.archive.test_forms import ElementsOf

pytestmark = pytest.mark.targets

OLDEST_JAVA = 17
SCRIPT = Path(__file__).with_name("spark_job.py")


def java_version() -> int:
    """The version of the Java that Spark would run on; 0 if there is none."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(f"{home}/bin/java" if home else "java")
    if java is None:
        return 0
    told = subprocess.run(
        [java, "-version"], capture_output=True, text=True, check=False
    ).stderr
    found = re.search(r'version "(\d+)', told)
    return int(found[1]) if found else 0


needs_java = pytest.mark.skipif(
    java_version() < OLDEST_JAVA, reason="SPARK WAS NOT TESTED: it needs Java 17 or newer"
)


def job(*requests: dict[str, str], **environment: str) -> list[Any]:
    """What a Spark job answers to each request: see :mod:`tests.archive.spark_job`."""
    done = subprocess.run(
        [installed("spark/bin/python"), SCRIPT, json.dumps(requests)],
        env=dict(os.environ) | {"TZ": "UTC"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return answers


def comparable(rows: list[Any]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def rows_of(folder: Path, stream: str) -> list[str]:
    """The rows of the library, with times as the job writes them."""
    times = [each.name for each in BY_NAME[stream].record_fields if each.kind is Kind.TIME]
    with Archive(str(folder), app_name="shop") as archive:
        rows = [
            row
            for file in archive.files(stream)
            for batch in archive.batches(file)
            for row in batch.to_pylist()
        ]
    for row in rows:
        row.update({name: row[name] and round(row[name].timestamp() * 1e6) for name in times})
    return comparable(rows)


@needs_java
def test_the_rows_are_those_of_the_library(tmp_path: Path, elements_of: ElementsOf) -> None:
    # Given an archive of all data types in several forms
    forms = ["array", "gzip", "objects in lines", "zip"]
    for number, name in enumerate(BY_NAME):
        data = FORMS[forms[number % len(forms)]].write(name, elements_of(name))
        (tmp_path / name).write_bytes(data)
    (tmp_path / "more.zip").write_bytes(zipped(*[array(elements_of("jobs"))] * 2))
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")

    # When Spark reads each stream
    options = {"url": str(tmp_path), "app_name": "shop"}
    answers = job(*({**options, "stream": stream} for stream in BY_NAME))

    # Then it finds the same rows
    for stream, answer in zip(BY_NAME, answers, strict=True):
        assert answer["rows"]
        assert comparable(answer["rows"]) == rows_of(tmp_path, stream)


@needs_java
def test_a_large_file_is_read_in_parts_and_many_files_by_tasks(
    tmp_path: Path, elements_of: ElementsOf
) -> None:
    # Given a file that is large for the size of a part, and more files than the driver looks at
    large, many = tmp_path / "large", tmp_path / "many"
    large.mkdir()
    many.mkdir()
    events = array(elements_of("events") * 9)
    (large / "events.json").write_bytes(events)
    for number in range(40):
        (many / f"{number}.json").write_bytes(
            array(elements_of("jobs" if number % 2 else "tags"))
        )

    options = {"app_name": "shop", "stream": "events", "part_size": str(len(events) // 3)}
    divided, jobs, none = job(
        {**options, "url": str(large)},
        {"url": str(many), "app_name": "shop", "stream": "jobs"},
        {"url": str(large), "stream": "tags"},
    )

    # Then the rows are those of the library all the same
    assert divided["tasks"] == 4
    assert comparable(divided["rows"]) == rows_of(large, "events")
    assert jobs["tasks"] < 40
    assert none["rows"] == []
    assert comparable(jobs["rows"]) == rows_of(many, "jobs")


@needs_java
def test_a_stream_reads_what_arrived_since_and_loses_nothing(
    tmp_path: Path, elements_of: ElementsOf
) -> None:
    # Given a query that was run, one more file of an old time, one that changed, and a photo
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "a").write_bytes(array(elements_of("tokens")))
    (folder / "b").write_bytes(array(elements_of("tags")))
    options = {"url": str(folder), "app_name": "shop", "stream": "tokens"}
    request = {**options, "sink": str(tmp_path / "sink")}
    (first,) = job(request)
    before = rows_of(folder, "tokens")
    (folder / "old").write_bytes(array(elements_of("tokens")[:2]))
    os.utime(folder / "old", (1_400_000_000,) * 2)
    (folder / "b").write_bytes(array(elements_of("tokens")[:1]))
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")

    # When it is run again, twice
    second, third = job(request, request)

    # Then each file was read once
    commits = sorted((tmp_path / "sink-checkpoint" / "commits").glob("[0-9]*"))
    assert comparable(first["rows"]) == before
    assert len(commits) == 2
    assert second == third
    assert len(second["rows"]) == len(before) + 3


@needs_java
def test_no_secret_is_in_a_plan_and_errors_are_told(
    tmp_path: Path, elements_of: ElementsOf
) -> None:
    (tmp_path / "a").write_bytes(array(elements_of("tokens")))
    (tmp_path / "half.gz").write_bytes(gzipped(b"[1]")[:12])
    secret = "c2VjcmV0c2lnbmF0dXJl"
    dead = f"http://127.0.0.1:9/account/container?sv=2024-01-01&sp=rl&sig={secret}"
    environment = {"TAP_MOBILE_ENGAGEMENT_CONTAINER_URL": str(tmp_path)}

    answers = job(
        {"stream": "tokens", "pattern": "a"},
        {"stream": "tokens"},
        {"stream": "event"},
        {"stream": "tokens", "pattern": "nothing*"},
        {"stream": "tokens", "url": dead, "explain": "only"},
        **environment,
    )

    assert len(answers[0]["rows"]) == len(elements_of("tokens"))  # the URL of the environment
    assert "BLOB_TRUNCATED" in answers[1]["error"]
    assert "no stream of an archive" in answers[2]["error"]
    assert "NO_FILES" in answers[3]["error"]
    assert "mobile_engagement" in answers[4]["plan"]
    assert secret not in json.dumps(answers)
    assert answers[1]["error"].count("BLOB_TRUNCATED: ") == 1
    for answer in answers[1:4]:
        assert "another exception occurred" not in answer["error"]
        assert "direct cause" not in answer["error"]
