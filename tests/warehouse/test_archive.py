"""An archive whose files change between runs: the rows of PostgreSQL before and after."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from scripts.demo import warehouse
from tests.archive.forms import gzipped

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import Database
    from tests.support.simulated import Command, Run
    from tests.warehouse.targets import Target

pytestmark = pytest.mark.postgres

MAY_2016, MAY_2017 = 1_462_669_200, 1_494_810_000


class Pipeline:
    """The tap over a folder, into a database; each run takes up the state of the one before."""

    def __init__(
        self, folder: Path, command: Command, target: Target, database: Database
    ) -> None:
        self._folder = folder
        self._command = command
        self._target = target
        self._database = database
        self._state: dict[str, Any] = {}

    def put(self, name: str, data: object, time: float = MAY_2016) -> None:
        """Write a file: bytes, or what JSON can say."""
        path = self._folder / name
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        os.utime(path, (time, time))

    def run(self, **settings: Any) -> Run:
        """Run the pipeline once."""
        config = {
            "source": "archive",
            "container_url": self._folder.as_uri(),
            "app_names": ["shop"],
            "emit_activate_version_messages": True,
            **settings,
        }
        done = self._command.run(settings=config, state=self._state)
        self._state = self._target.load(done.stdout) or self._state
        return done

    def rows(self, stream: str, *columns: str) -> set[tuple[Any, ...]]:
        """The rows of a stream."""
        names = ", ".join(columns)
        sql = f"SELECT {names} FROM {warehouse.SCHEMA}.{stream}"  # noqa: S608
        return {*self._database.query(sql)}


@pytest.fixture
def pipeline(
    folder: Path, command: Command, target_postgres: Target, database: Database
) -> Pipeline:
    return Pipeline(folder, command, target_postgres, database)


def tags(plan: str, *devices: int) -> list[dict[str, Any]]:
    return [{"deviceId": f"d{n}", "tags": {"plan": plan}} for n in devices]


def session(end: str | None) -> list[dict[str, Any]]:
    start = "2016-05-01T08:00:00Z"
    return [{"sessionId": "s", "deviceId": "d", "start": start, "end": end}]


def test_rows_of_a_file_that_breaks_stay(pipeline: Pipeline) -> None:
    # Given rows out of two files, of which one is damaged before the next run
    pipeline.put("tags-1.json", tags("free", 1))
    many = gzipped(json.dumps(tags("free", *range(2, 500))).encode())
    pipeline.put("tags-2.json.gz", many)
    assert pipeline.run().exit_code == 0
    before = pipeline.rows("tags", "device_id")
    assert len(before) == 499
    pipeline.put("tags-2.json.gz", many[: len(many) // 2])
    # Then no row is gone, neither with a failure nor with a warning
    failed = pipeline.run()
    assert failed.exit_code == 1
    assert "BLOB_TRUNCATED" in failed.stderr[-1]
    assert pipeline.rows("tags", "device_id") == before
    assert pipeline.run(bad_files="skip").exit_code == 0
    assert pipeline.rows("tags", "device_id") == before
    # And when it is sound again, the rows that it no longer has are gone
    pipeline.put("tags-2.json.gz", tags("free", 2, 3))
    assert pipeline.run().exit_code == 0
    assert pipeline.rows("tags", "device_id") == {("d1",), ("d2",), ("d3",)}


def test_rows_stay_where_the_folder_is_empty_at_the_second_run(
    pipeline: Pipeline, folder: Path
) -> None:
    # Given rows, and a folder whose files are gone (as where a share is not mounted)
    pipeline.put("tags.json", tags("free", 1, 2))
    pipeline.put("session.json", session(None))
    pipeline.run()
    before = pipeline.rows("tags", "device_id")
    for path in folder.iterdir():
        path.unlink()
    # Then none is gone
    failed = pipeline.run()
    assert failed.exit_code == 1
    assert "NO_FILES" in failed.stderr[-1]
    assert pipeline.run(no_files="accept").exit_code == 0
    pipeline.put("tags.json", b"[]")
    assert pipeline.run().exit_code == 0
    assert pipeline.rows("tags", "device_id") == before == {("d1",), ("d2",)}
    assert pipeline.rows("sessions", "session_id") == {("s",)}


def test_the_newest_state_wins_whatever_the_order_of_copying(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    # Given that the newer snapshot, and the week in which a session ended, are copied first
    pipeline.put("b.json", tags("paid", 1), MAY_2017)
    pipeline.put("week-2.json", session("2016-05-09T08:00:00Z"), MAY_2016 + 604_800)
    pipeline.run()
    pipeline.put("a.json", tags("free", 1), MAY_2016)
    pipeline.put("week-1.json", session(None), MAY_2016)
    # Then the older ones do not win when they arrive
    assert pipeline.run().exit_code == 0
    assert pipeline.rows("tags", "device_id", "tags->>'plan'") == {("d1", "paid")}
    (row,) = pipeline.rows("sessions", "session_id", "ended_at::text")
    assert row == ("s", "2016-05-09 08:00:00")
    # Nor a copy of the old one that keeps its time, under another name
    source = tmp_path / "copy.json"
    source.write_text(json.dumps(tags("free", 1)))
    os.utime(source, (MAY_2016, MAY_2016))
    shutil.copy2(source, tmp_path / "container" / "z.json")
    assert pipeline.run().exit_code == 0
    assert pipeline.rows("tags", "device_id", "tags->>'plan'") == {("d1", "paid")}


NUL = r'"extras": {"note": "a\u0000b", "k\u0000": "\ud800"}'


def test_a_nul_reaches_the_table_as_a_replacement_character(pipeline: Pipeline) -> None:
    item = r'{"name": "n\u0000", "timestamp": "2016-05-01T08:00:00Z", ' + NUL + "}"
    pipeline.put("event.json", f'[{{"deviceId": "d", "events": [{item}]}}]'.encode())
    pipeline.put("token.csv", b"deviceId,token,type\nd,t\0,gcm\n")

    assert pipeline.run().exit_code == 0
    assert pipeline.run().exit_code == 0

    ((name, extras),) = pipeline.rows("events", "name", "extras::text")
    assert name == "n\ufffd"
    assert json.loads(extras) == {"note": "a\ufffdb", "k\ufffd": "\ufffd"}
    assert pipeline.rows("tokens", "token") == {("t\ufffd",)}
