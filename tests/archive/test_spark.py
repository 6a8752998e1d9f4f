"""The Spark data source on ``local[2]``: the rows of the library, and no secret in a plan.

One session does all that the tests look at, because a session takes longer than its jobs.
"""

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
from tests.archive.forms import FORMS, array, gzipped, write_every_form, zipped
from tests.support.tools import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.archive.test_forms import ElementsOf

OLDEST_JAVA = 17
SCRIPT = Path(__file__).with_name("spark_job.py")
SECRET = "c2VjcmV0c2lnbmF0dXJl"
DEAD = f"http://127.0.0.1:9/account/container?sv=2024-01-01&sp=rl&sig={SECRET}"
PHOTO = b"\xff\xd8\xff\xe0\x00\x10JFIF"


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


pytestmark = [
    pytest.mark.targets,
    pytest.mark.xdist_group("spark"),
    pytest.mark.skipif(
        java_version() < OLDEST_JAVA, reason="SPARK WAS NOT TESTED: it needs Java 17 or newer"
    ),
]


class Job:
    """The archives below a folder, what one job does with them, and what it answers."""

    def __init__(self, base: Path, elements_of: ElementsOf) -> None:
        self._base = base
        self.forms, self.large, self.many, self.odd, self.arriving = (
            base / name for name in ("forms", "large", "many", "odd", "arriving")
        )
        self._later = base / "later"
        for folder in (self.forms, self.large, self.many, self.odd, self.arriving, self._later):
            folder.mkdir()
        write_every_form(self.forms, elements_of)
        (self.forms / "photo-tokens").write_bytes(PHOTO)
        (self.large / "events.json").write_bytes(array(elements_of("events") * 9))
        for number in range(40):
            elements = elements_of("jobs" if number % 2 else "tags")
            (self.many / f"{number}.json").write_bytes(array(elements))
        (self.many / "large.json").write_bytes(array(elements_of("jobs") * 30))
        tokens = elements_of("tokens")
        (self.odd / "a").write_bytes(array(tokens))
        (self.odd / "half.gz").write_bytes(gzipped(b"[1]")[:12])
        (self.arriving / "a").write_bytes(zipped(array(tokens), array(tokens)))
        (self.arriving / "changed").write_bytes(array(elements_of("tags")))
        (self._later / "old").write_bytes(array(tokens[:2]))
        os.utime(self._later / "old", (1_400_000_000,) * 2)
        (self._later / "changed").write_bytes(array(tokens[:1]))
        (self._later / "photo.jpg").write_bytes(PHOTO)
        (self._later / "last").write_bytes(array(tokens[:3]))

    def steps(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What the job does, each step with a name for the tests."""
        shop = {"app_name": "shop"}
        for stream in BY_NAME:
            forms = {**shop, "url": str(self.forms), "pattern": f"*-{stream}"}
            yield stream, {**forms, "stream": stream}
        large = {**shop, "url": str(self.large)}
        size = (self.large / "events.json").stat().st_size
        yield "divided", {**large, "stream": "events", "part_size": str(size // 3)}
        yield "none", {**large, "stream": "tags"}
        size = (self.many / "large.json").stat().st_size
        many = {**shop, "url": str(self.many), "part_size": str(size // 3)}
        yield "many", {**many, "stream": "jobs"}
        yield "by the environment", {"stream": "tokens", "pattern": "a"}
        yield "broken", {"stream": "tokens"}
        yield "no stream", {"stream": "event"}
        yield "no files", {"stream": "tokens", "pattern": "nothing*"}
        yield "no service", {"stream": "tokens", "url": DEAD, "explain": "only"}

        checkpoint = self._base / "checkpoint"
        query = {**shop, "url": str(self.arriving), "stream": "tokens"}
        query["checkpoint"] = str(checkpoint)
        yield "first run", query
        for name in ("old", "changed", "photo.jpg"):
            yield "", self._arrival(name)
        yield "second run", query
        # as if it had died before it noted that the second micro-batch was done
        for name in ("1", ".1.crc"):
            yield "", {"remove": str(checkpoint / "commits" / name)}
        yield "", self._arrival("last")
        yield "run after a crash", query
        yield "last run", query

    def _arrival(self, name: str) -> dict[str, Any]:
        return {"move": [str(self._later / name), str(self.arriving / name)]}

    def run(self) -> dict[str, Any]:
        """The answers, by the names of the steps."""
        names, steps = zip(*self.steps(), strict=True)
        environment = {
            "TAP_MOBILE_ENGAGEMENT_CONTAINER_URL": str(self.odd),
            "TZ": "UTC",
            "PYTHONPATH": str(SCRIPT.parent),
        }
        done = subprocess.run(
            [installed("spark/bin/python"), SCRIPT, json.dumps(steps)],
            env=dict(os.environ) | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers = json.loads(done.stdout.splitlines()[-1])
        return dict(zip(filter(None, names), answers, strict=True))


@pytest.fixture(scope="module")
def job(
    tmp_path_factory: pytest.TempPathFactory, elements_of: ElementsOf
) -> tuple[Job, dict[str, Any]]:
    """The job, and its answers."""
    job = Job(tmp_path_factory.mktemp("spark"), elements_of)
    return job, job.run()


def comparable(rows: list[Any]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def rows_of(folder: Path, stream: str, pattern: str = "**") -> list[str]:
    """The rows of the library, with times as the job writes them."""
    times = [each.name for each in BY_NAME[stream].record_fields if each.kind is Kind.TIME]
    with Archive(str(folder), app_name="shop", pattern=pattern) as archive:
        rows = [
            row
            for file in archive.files(stream)
            for batch in archive.batches(file)
            for row in batch.to_pylist()
        ]
    for row in rows:
        row.update({name: row[name] and round(row[name].timestamp() * 1e6) for name in times})
    return comparable(rows)


@pytest.mark.parametrize("stream", BY_NAME)
def test_the_rows_of_every_form_are_those_of_the_library(
    job: tuple[Job, dict[str, Any]], stream: str
) -> None:
    archives, answers = job
    assert comparable(answers[stream]["rows"]) == rows_of(archives.forms, stream)
    # (the form of flat rows does not tell events from errors)
    told = [form.tells_events_from_errors for form in FORMS.values()]
    count = sum(told) if stream in {"events", "errors"} else len(told)
    blobs = {row["blob_name"] for row in answers[stream]["rows"]}
    assert len(blobs) == count


def test_a_large_file_is_read_in_parts_and_many_files_by_tasks(
    job: tuple[Job, dict[str, Any]],
) -> None:
    archives, answers = job
    assert answers["divided"]["tasks"] == 4
    assert comparable(answers["divided"]["rows"]) == rows_of(archives.large, "events")
    assert answers["none"]["rows"] == []
    assert answers["many"]["tasks"] < 40
    assert comparable(answers["many"]["rows"]) == rows_of(archives.many, "jobs")


def test_a_query_reads_each_file_once(job: tuple[Job, dict[str, Any]]) -> None:
    # Given a query that was run, one more file of an old time, one that changed, and a photo
    archives, answers = job
    # when it is run again, then each file was read once.
    assert [*answers["first run"]] == ["0"]
    assert [*answers["second run"]] == ["1"]
    assert comparable(answers["first run"]["0"]) == rows_of(archives.arriving, "tokens", "a")
    expected = [
        row for name in ("old", "changed") for row in rows_of(archives.arriving, "tokens", name)
    ]
    assert comparable(answers["second run"]["1"]) == sorted(expected)


def test_a_batch_whose_commit_is_missing_is_repeated_with_its_rows(
    job: tuple[Job, dict[str, Any]],
) -> None:
    # Given a query that died before its second batch was committed, and a file since
    archives, answers = job
    # when it is run again, twice, then the batch has its very rows, and the file comes then.
    again = answers["run after a crash"]
    assert comparable(again.pop("1")) == comparable(answers["second run"]["1"])
    after = again | answers["last run"]
    assert [*after] == ["2"]
    assert comparable(after["2"]) == rows_of(archives.arriving, "tokens", "last")


@pytest.mark.parametrize("count", [5, 150])
def test_an_offset_names_the_same_files_until_one_changes(tmp_path: Path, count: int) -> None:
    # Given a query that read some files, one that arrived then, and one that changed then
    script = SCRIPT.with_name("spark_offsets.py")
    command = [str(installed("spark/bin/python")), str(script), str(tmp_path), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    every = [f"{number:03}" for number in range(count)]
    # then a micro-batch is repeated with its files, and the next one has the later file,
    assert found["first"] == found["repeated"] == every
    assert found["nothing new"] == []
    assert found["second"] == ["late"]
    # and a file that changed comes once more: with all others where the offset has a digest.
    is_named = count < 100
    assert found["after a change"] == (every[1:] if is_named else [])
    assert found["third"] == (["000"] if is_named else [*every, "late"])


def test_no_secret_is_in_a_plan_and_errors_are_told(job: tuple[Job, dict[str, Any]]) -> None:
    archives, answers = job
    found = comparable(answers["by the environment"]["rows"])
    assert len(found) == len(rows_of(archives.odd, "tokens", "a"))
    assert "BLOB_TRUNCATED" in answers["broken"]["error"]
    assert "no stream of an archive" in answers["no stream"]["error"]
    assert "NO_FILES" in answers["no files"]["error"]
    assert "mobile_engagement" in answers["no service"]["plan"]
    assert SECRET not in json.dumps(answers)
    assert answers["broken"]["error"].count("BLOB_TRUNCATED: ") == 1
    for name in ("broken", "no stream", "no files"):
        assert "another exception occurred" not in answers[name]["error"]
        assert "direct cause" not in answers[name]["error"]
