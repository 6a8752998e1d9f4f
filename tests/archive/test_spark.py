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
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


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
        rows = sorted(json.dumps(row, sort_keys=True) for row in answer["rows"])
        assert rows
        assert rows == rows_of(tmp_path, stream)


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
