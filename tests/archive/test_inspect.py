"""The command that shows what an archive holds."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tap_mobile_engagement.archive import Archive
from tap_mobile_engagement.commands.inspect import Finding, main
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, DataError
from tests.archive.forms import array, gzipped, table, zipped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

    from tests.archive.test_forms import ElementsOf
    from tests.support.azurite import Azurite


@pytest.fixture(autouse=True)
def log_factory() -> Iterator[None]:
    """Puts back how log records are made: the command changes it for its process."""
    before = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(before)


@pytest.fixture
def archive(tmp_path: Path, elements_of: ElementsOf) -> Path:
    (tmp_path / "a").write_bytes(array(elements_of("events")))
    (tmp_path / "b").write_bytes(gzipped(table("tags", elements_of("tags"))))
    (tmp_path / "c").write_bytes(zipped(array(elements_of("jobs")), b"hello"))
    (tmp_path / "d").write_bytes(b"[]")
    return tmp_path


def run(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, [folder.as_uri(), *options])


def test_as_json_each_file_is_a_line(archive: Path, elements_of: ElementsOf) -> None:
    result = run(archive, "--json", "--count")
    assert result.exit_code == 0
    found = {line["name"]: line for line in map(json.loads, result.stdout.splitlines())}
    items = [item for group in elements_of("events") for item in group["events"]]
    times = sorted(item["timestamp"].replace(".000Z", "Z") for item in items)
    events = found["a"]
    assert events["data_type"] == "events"
    assert (events["format"], events["compression"]) == ("array", "none")
    assert (events["elements"], events["records"]) == (len(elements_of("events")), len(items))
    assert (events["first"], events["last"]) == (times[0], times[-1])
    assert (found["b"]["data_type"], found["b"]["format"]) == ("tags", "csv")
    assert found["b"]["compression"] == "gzip"
    assert found["c/part-0.json"]["records"] == len(elements_of("jobs"))
    assert found["c/part-0.json"]["compression"] == "zip"
    assert found["c/part-1.json"]["data_type"] is None
    assert "neither JSON nor CSV" in found["c/part-1.json"]["problem"]
    assert found["d"] == {
        "name": "d",
        "size": 2,
        "arrived": found["d"]["arrived"],
        "modified": found["d"]["modified"],
        "data_type": None,
        "format": "array",
        "compression": "none",
        "encoding": "utf-8",
    }


def test_nothing_is_counted_unasked(archive: Path) -> None:
    result = run(archive, "--json")
    assert [key for key in ("elements", "records") if key in result.stdout] == []
    assert '"first":"2016-05-' in result.stdout


def test_the_table_ends_with_a_line_per_data_type(archive: Path) -> None:
    result = run(archive)
    assert result.exit_code == 0
    header, *rows = result.stdout.splitlines()
    assert header.split() == [
        "file",
        "data",
        "type",
        "form",
        "size",
        "arrived",
        "first",
        "last",
    ]
    assert any(row.startswith("a              events") for row in rows)
    assert "c/part-1.json: it is neither JSON nor CSV with a header of known fields" in rows
    assert any(row.startswith("events: 1 file, ") for row in rows)
    assert any(row.startswith("none of them: 2 files, ") for row in rows)
    assert result.stderr == ""  # progress is for terminals


def test_a_pattern_narrows_it(archive: Path) -> None:
    names = [
        json.loads(line)["name"]
        for line in run(archive, "--json", "--pattern", "[ab]").stdout.splitlines()
    ]
    assert sorted(names) == ["a", "b"]


def test_a_file_that_breaks_while_it_is_counted_is_shown_with_the_reason(
    archive: Path, elements_of: ElementsOf
) -> None:
    (archive / "a").write_bytes(array(elements_of("events"))[:-1])
    line = json.loads(run(archive, "--json", "--count", "--pattern", "a").stdout)
    assert line["data_type"] == "events"
    assert line["problem"] == "the content ends before its array is closed"


@pytest.mark.parametrize("name", ["nowhere", "a"])
def test_a_folder_that_is_none_is_one_line_on_standard_error(archive: Path, name: str) -> None:
    result = run(archive / name)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("CONTAINER_NOT_FOUND: there is no such folder")
    assert result.stderr.count("\n") == 1


def test_one_record_is_no_records(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b'[{"deviceId":"d","token":"t"},{"token":"t"}]')
    result = run(tmp_path, "--count")
    assert result.stdout.endswith("tokens: 1 file, 44 B, 1 record, 1 bad record\n")


def test_every_data_type_is_shown(tmp_path: Path, elements_of: ElementsOf) -> None:
    for name in BY_NAME:
        (tmp_path / name).write_bytes(array(elements_of(name)))
    lines = map(json.loads, run(tmp_path, "--json").stdout.splitlines())
    assert [(line["name"], line["data_type"]) for line in lines] == [(n, n) for n in BY_NAME]


def test_a_problem_is_a_row_and_never_the_end(
    archive: Path, elements_of: ElementsOf, tmp_path: Path
) -> None:
    # Given files that are damaged, that can't be had and that are no exports, among others
    (archive / "cut.zip").write_bytes(zipped(array(elements_of("jobs")))[:-9])
    (archive / "nas").symlink_to(tmp_path / "not-mounted")
    (archive / "later").write_bytes(gzipped(array(elements_of("tokens")))[:-1])
    (archive / ".DS_Store").write_bytes(b"Bud1")

    result = run(archive, "--json", "--count")
    table = run(archive)

    assert (result.exit_code, table.exit_code) == (0, 0)
    found = {line["name"]: line for line in map(json.loads, result.stdout.splitlines())}
    codes = {name: line["code"] for name, line in found.items() if "code" in line}
    assert codes == {
        "cut.zip": "BLOB_TRUNCATED",
        "nas": "BLOB_UNREADABLE",
        "later": "BLOB_TRUNCATED",
        "c/part-1.json": "BLOB_UNRECOGNISED",
    }
    assert found["a"]["records"] > 0
    assert all(f"\n{name}: " in table.stdout for name in ("cut.zip", "nas"))
    assert table.stdout.endswith("skipped for their names: 1\n")


def test_text_of_another_encoding_is_counted_as_it_is_said(tmp_path: Path) -> None:
    event = '[{"deviceId": "d", "events": [{"name": "größe", "timestamp": "2016-05-01"}]}]'
    (tmp_path / "a").write_bytes(event.encode("cp500"))
    line = json.loads(run(tmp_path, "--json", "--count", "--encoding", "cp500").stdout)
    assert (line["data_type"], line["records"], line["encoding"]) == ("events", 1, "cp500")


def test_no_file_at_all_is_one_line_on_standard_error(archive: Path) -> None:
    result = run(archive, "--pattern", "*.csv")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("NO_FILES: no file matches *.csv")
    assert result.stderr.count("\n") == 1


def test_no_secret_of_a_server_is_in_a_problem(archive: Path) -> None:
    with Archive(str(archive)) as files:
        finding = Finding.of(next(files.files()))
    error = "the storage answered: https://a/c?sp=rl&sig=c2VjcmV0"
    finding.fail(DataError(Code.BLOB_UNREADABLE, error))
    assert finding.problem == "the storage answered: https://a/c?sp=rl&sig=***"


@pytest.mark.azurite
def test_blobs_in_the_archive_tier_are_rows(azurite: Azurite, elements_of: ElementsOf) -> None:
    name = azurite.new_container()
    for blob in ("a", "b", "c"):
        azurite.upload(name, blob, array(elements_of("jobs")))
    for blob in ("a", "b"):
        azurite.client(name).get_blob_client(blob).set_standard_blob_tier("Archive")

    result = CliRunner().invoke(main, [azurite.sas_url(name, "rl"), "--json"])

    assert result.exit_code == 0
    lines = [*map(json.loads, result.stdout.splitlines())]
    assert [(line["name"], line.get("code")) for line in lines] == [
        ("a", "BLOB_ARCHIVED"),
        ("b", "BLOB_ARCHIVED"),
        ("c", None),
    ]
