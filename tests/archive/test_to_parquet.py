"""``tap-mobile-engagement-to-parquet``: the rows are the records, whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tap_mobile_engagement.archive import Archive
from tap_mobile_engagement.commands.parquet_files import Plan
from tap_mobile_engagement.commands.to_parquet import Run
from tap_mobile_engagement.containers import FolderContainer
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, RetryLaterError
from tests.archive.forms import FORMS, array, gzipped, write_every_form, zipped

if TYPE_CHECKING:
    from tap_mobile_engagement.containers import Blob
    from tests.archive.test_forms import ElementsOf
    from tests.support.azurite import Azurite

COMMAND = Path(sys.executable).with_name("tap-mobile-engagement-to-parquet")
INSPECT = COMMAND.with_name("tap-mobile-engagement-inspect")
Rows = dict[str, list[str]]
BAD_LINE = b'{"deviceId":"","token":"t"}\n'
TOKENS = [{"deviceId": f"d{number}", "token": "t"} for number in range(9)]
LINES = b"".join(json.dumps(token).encode() + b"\n" for token in TOKENS)


def run(url: object, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(COMMAND), str(url), str(output), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def comparable(table: Any) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in table.to_pylist())


def rows_of(output: Path) -> Rows:
    """The rows of all Parquet files, by folder."""
    found: Rows = {}
    for path in output.glob("*/*.parquet"):
        with pq.ParquetFile(path) as file:
            found.setdefault(path.parent.name, []).extend(comparable(file.read()))
    return {stream: sorted(rows) for stream, rows in found.items()}


def truth(folder: object, app_name: str = "") -> Rows:
    """The rows that the library finds."""
    found: Rows = {}
    with Archive(str(folder), app_name=app_name) as archive:
        for file in archive.files():
            if file.stream:
                for batch in archive.batches(file):
                    found.setdefault(file.stream, []).extend(comparable(batch))
    return {stream: sorted(rows) for stream, rows in found.items()}


def manifest(output: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((output / "_manifest.json").read_bytes())
    assert content["version"] == 1
    assert not content.get("pending")
    return {entry["name"]: entry for entry in content["files"]}


def assert_nothing_stray(output: Path) -> None:
    """Every file is the manifest, or stands in it."""
    files = {
        each.relative_to(output).as_posix() for each in output.rglob("*") if each.is_file()
    }
    paths = {entry["path"] for entry in manifest(output).values() if "path" in entry}
    assert files == {"_manifest.json"} | paths


@pytest.fixture
def folder(tmp_path: Path, elements_of: ElementsOf) -> Path:
    """An archive of all data types, in several forms."""
    folder = tmp_path / "archive"
    (folder / "2017").mkdir(parents=True)
    forms = ["array", "gzip", "objects in lines", "zip", "CSV with commas"]
    for number, name in enumerate(BY_NAME):
        form = "array" if name in {"events", "errors"} else forms[number % len(forms)]
        (folder / "2017" / name).write_bytes(FORMS[form].write(name, elements_of(name)))
    (folder / "both.zip").write_bytes(
        zipped(array(elements_of("jobs")), array(elements_of("tags")))
    )
    (folder / "empty").write_bytes(b"[]")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_rows_are_those_of_the_library(folder: Path, output: Path, workers: str) -> None:
    done = run(folder, output, "--app-name", "shop", "--workers", workers)

    assert (done.returncode, done.stderr) == (0, "")
    assert rows_of(output) == truth(folder, "shop")
    assert {*rows_of(output)} == {*BY_NAME}
    assert "jobs: 2 files, " in done.stdout
    assert_nothing_stray(output)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_rows_of_every_form_are_those_of_the_library(
    tmp_path: Path, output: Path, elements_of: ElementsOf, workers: str
) -> None:
    folder = tmp_path / "forms"
    folder.mkdir()
    write_every_form(folder, elements_of)

    done = run(folder, output, "--workers", workers)

    assert (done.returncode, done.stderr) == (0, "")
    assert rows_of(output) == truth(folder)
    assert len({*output.glob("*/*.parquet")}) >= len(FORMS) * len(BY_NAME)


def test_files_are_compressed_and_say_what_their_fields_are(folder: Path, output: Path) -> None:
    run(folder, output)

    path = next((output / "events").iterdir())
    with pq.ParquetFile(path) as file:
        assert file.metadata.row_group(0).column(0).compression == "ZSTD"
        with Archive(str(folder)) as archive:
            assert file.schema_arrow.equals(archive.schema("events"), check_metadata=True)


def test_the_manifest_says_what_the_inspection_says(folder: Path, output: Path) -> None:
    (folder / "bad.json").write_bytes(LINES + BAD_LINE)
    (folder / "cut.gz").write_bytes(gzipped(LINES * 99)[:-9])
    run(folder, output, "--bad-records", "skip")
    command = [str(INSPECT), str(folder), "--json", "--count"]
    lines = subprocess.run(command, capture_output=True, check=True).stdout.splitlines()

    entries = manifest(output)
    for line in map(json.loads, lines):
        entry = entries.pop(line["name"])
        assert entry.pop("etag")
        assert line["name"].startswith(entry.pop("blob"))
        assert ("path" in entry) == bool(line.get("records"))
        entry.pop("path", None)
        assert entry == line
    assert entries == {}


def test_a_second_run_takes_what_is_new_or_changed(
    folder: Path, output: Path, elements_of: ElementsOf
) -> None:
    # Given a run, and then a new file, a changed one, and one that holds something else now
    run(folder, output)
    before = {path: path.stat().st_mtime_ns for path in output.glob("*/*.parquet")}
    (folder / "new").write_bytes(array(elements_of("tokens")))
    (folder / "2017" / "tokens").write_bytes(array(elements_of("tokens")[:1]))
    (folder / "2017" / "devices").write_bytes(array(elements_of("sessions")))
    (folder / "both.zip").write_bytes(zipped(array(elements_of("jobs"))))

    # When it runs again
    done = run(folder, output)

    # Then only those are written, and what the changed ones had made is gone
    assert done.returncode == 0
    assert rows_of(output) == truth(folder)
    assert "devices" not in rows_of(output)
    assert done.stdout.splitlines()[-1] == "unchanged: 10"
    after = {path: path.stat().st_mtime_ns for path in output.glob("*/*.parquet")}
    changed = {path.name.split("-")[0] for path in after if after[path] != before.get(path)}
    assert changed == {"new", "tokens", "devices", "part"}
    assert_nothing_stray(output)


def test_a_parquet_file_that_somebody_removed_is_written_again(
    folder: Path, output: Path
) -> None:
    run(folder, output)
    next((output / "events").iterdir()).unlink()
    assert run(folder, output).returncode == 0
    assert rows_of(output) == truth(folder)


def test_streams_can_be_chosen_one_after_another(folder: Path, output: Path) -> None:
    run(folder, output, "--stream", "jobs", "--stream", "events")
    assert {*rows_of(output)} == {"jobs", "events"}

    run(folder, output)

    assert rows_of(output) == truth(folder)
    assert_nothing_stray(output)


def test_what_a_run_does_not_select_stays(
    folder: Path, output: Path, elements_of: ElementsOf
) -> None:
    # Given a run, and then a changed file of another stream than the next run selects
    run(folder, output)
    before = rows_of(output)
    (folder / "2017" / "events").write_bytes(array(elements_of("events")[:1]))
    (folder / "both.zip").write_bytes(
        zipped(array(elements_of("jobs")[:1]), array(elements_of("tags")))
    )

    # When a run selects one stream, also one of two in the same zip file
    assert run(folder, output, "--stream", "jobs").returncode == 0

    # Then the others have the rows that they had, until a run selects them
    assert rows_of(output) == {**before, "jobs": truth(folder)["jobs"]}
    assert_nothing_stray(output)
    assert run(folder, output).returncode == 0
    assert rows_of(output) == truth(folder)
    assert_nothing_stray(output)


def test_without_a_manifest_too_what_a_run_does_not_select_stays(
    folder: Path, output: Path
) -> None:
    run(folder, output)
    (output / "_manifest.json").unlink()

    assert run(folder, output, "--stream", "jobs").returncode == 0

    assert rows_of(output) == truth(folder)


@pytest.mark.parametrize("option", ["fail", "skip"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_bad_file_spares_the_others(
    folder: Path, output: Path, option: str, workers: str
) -> None:
    expected = truth(folder)
    (folder / "half.gz").write_bytes(gzipped(b"[1]")[:12])
    (folder / "cut.json").write_bytes(array([{"deviceId": "d", "token": "t"}] * 9_000)[:-9])

    done = run(folder, output, "--bad-files", option, "--workers", workers)

    rows = rows_of(output)
    assert len(rows["tokens"]) > len(expected["tokens"])  # what can be read of it
    assert rows | {"tokens": 0} == expected | {"tokens": 0}
    told = sorted(done.stderr.splitlines())
    assert ["half.gz" in line for line in told].count(True) == 1
    assert ["cut.json" in line for line in told].count(True) == 1
    assert len(told) == 2
    assert done.returncode == (1 if option == "fail" else 0)
    assert manifest(output)["cut.json"]["code"] == "BLOB_TRUNCATED"

    # And once they are whole, the next run reads them
    (folder / "half.gz").unlink()
    (folder / "cut.json").write_bytes(array([{"deviceId": "d", "token": "t"}] * 9_000))
    assert run(folder, output).returncode == 0
    assert len(rows_of(output)["tokens"]) == len(expected["tokens"]) + 9_000


def test_bad_records_fail_or_are_skipped(tmp_path: Path, output: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    for name in "ab":
        (folder / name).write_bytes(LINES + BAD_LINE)
    letters = tmp_path / "letters"

    failed = run(folder, output)
    assert failed.returncode == 1
    assert failed.stderr.count("BAD_RECORD: ") == 2
    many = run(folder, output, "--bad-records", "skip", "--max-bad-records", "1")
    assert many.returncode == 1
    assert many.stderr.startswith("TOO_MANY_BAD_RECORDS: 2 records")
    assert [e.get("code") for e in manifest(output).values()].count("TOO_MANY_BAD_RECORDS") == 1
    skipped = run(
        folder, tmp_path / "new", "--bad-records", "skip", "--dead-letter-path", str(letters)
    )

    assert (skipped.returncode, skipped.stderr) == (0, "")
    assert len(rows_of(tmp_path / "new")["tokens"]) == 2 * len(TOKENS)
    assert [entry["bad_records"] for entry in manifest(tmp_path / "new").values()] == [1, 1]
    assert len(letters.read_bytes().splitlines()) == 2


def test_the_output_may_be_a_folder_of_the_archive(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_bytes(LINES)
    for _ in range(2):
        done = run(tmp_path, tmp_path / "parquet")
        assert (done.returncode, done.stderr) == (0, "")
    assert len(rows_of(tmp_path / "parquet")["tokens"]) == len(TOKENS)


@pytest.mark.parametrize("large", ["stackTrace", "aFieldThatTheSchemaDoesNotName"])
def test_large_rows_make_small_batches_and_row_groups(
    tmp_path: Path, output: Path, large: str
) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    with (folder / "crashes").open("w") as file:
        for _ in range(700):
            crash = {"crashId": "c", "timestamp": "2016-05-01", large: "x" * 65536}
            json.dump({"deviceId": "d", "crashes": [crash]}, file)

    with Archive(str(folder)) as archive:
        sizes = [b.nbytes for file in archive.files("crashes") for b in archive.batches(file)]
    assert max(sizes) < 10_000_000
    assert run(folder, output).returncode == 0
    (path,) = output.glob("crashes/*.parquet")
    assert pq.read_metadata(path).num_row_groups == 2


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--pattern", "nothing*"), "NO_FILES"),
        (("--app-name", "other"), "BAD_STATE"),
        (("--encoding", "klingon"), "BAD_SETTING"),
        (("--bad-records", "skip", "--dead-letter-path", "/no/folder/x"), "BAD_SETTING"),
    ],
)
def test_what_can_not_work_is_one_line(
    folder: Path, output: Path, options: tuple[str, ...], code: str
) -> None:
    run(folder, output, "--app-name", "shop")
    before = rows_of(output)
    done = run(folder, output, *options)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"{code}: ")
    assert done.stderr.count("\n") == 1
    assert rows_of(output) == before


DEEP = b'{"x":' + b"[" * 10_000


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": "x"}', b"\xff\xfe", DEEP])
def test_a_manifest_that_can_not_be_read_is_one_line(
    folder: Path, output: Path, content: bytes
) -> None:
    output.mkdir()
    (output / "_manifest.json").write_bytes(content)
    done = run(folder, output)
    assert done.returncode == 1
    assert done.stderr.startswith("BAD_STATE: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("path", ["../other", "tokens/../../other", "{other}"])
def test_a_manifest_removes_no_file_but_its_own(
    tmp_path: Path, output: Path, path: str
) -> None:
    # Given a manifest that names a file elsewhere
    other, source = tmp_path / "other", tmp_path / "archive" / "a"
    source.parent.mkdir()
    source.write_bytes(LINES)
    run(source.parent, output)
    other.write_text("mine")
    named = manifest(output)["a"]["path"], path.format(other=other)
    text = (output / "_manifest.json").read_text().replace(*named)
    (output / "_manifest.json").write_text(text)
    # When the source is new, then its file is written and the other one stays
    source.write_bytes(LINES + LINES)
    assert run(source.parent, output).returncode == 0
    assert other.read_text() == "mine"
    assert manifest(output)["a"]["path"] == named[0]


def test_a_storage_that_fails_spares_the_files_found_before(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a container whose second file can't be had for now
    (tmp_path / "archive").mkdir()
    for name in "ab":
        (tmp_path / "archive" / name).write_bytes(LINES)
    opened = FolderContainer.open

    def fail(container: FolderContainer, blob: Blob, start: int = 0) -> Any:
        if blob.name == "b":
            raise RetryLaterError(Code.STORAGE_UNAVAILABLE, "it is busy")
        return opened(container, blob, start)

    # When the command runs, then it writes the first one
    monkeypatch.setattr(FolderContainer, "open", fail)
    plan = Plan(
        url=str(tmp_path / "archive"),
        output=output,
        streams=frozenset(BY_NAME),
        app_name="",
        pattern="**",
        encoding=None,
        workers=1,
        bad_files="fail",
        bad_records="fail",
        max_bad_records=0,
        dead_letter_path=None,
    )
    run = Run(plan)
    run.write()
    (failure,) = run.failures
    assert failure.code is Code.STORAGE_UNAVAILABLE
    assert len(rows_of(output)["tokens"]) == len(TOKENS)
    assert [*manifest(output)] == ["a"]


def test_two_runs_do_not_write_into_one_folder(folder: Path, output: Path) -> None:
    import fcntl  # noqa: PLC0415  (not on every system)

    output.mkdir()
    descriptor = os.open(output, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        done = run(folder, output)
    finally:
        os.close(descriptor)
    assert done.returncode == 1
    assert "another run writes to" in done.stderr


def test_the_url_may_come_from_the_environment(folder: Path, output: Path) -> None:
    environment = {**os.environ, "TAP_MOBILE_ENGAGEMENT_CONTAINER_URL": str(folder)}
    for command in ([COMMAND, output], [INSPECT]):
        subprocess.run(command, env=environment, capture_output=True, check=True)
    assert rows_of(output) == truth(folder)
    for command in ([COMMAND, output], [INSPECT]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "URL" in done.stderr


def test_only_the_owner_reads_what_is_written(folder: Path, output: Path) -> None:
    run(folder, output)
    modes = {oct(path.stat().st_mode & 0o777) for path in output.rglob("*") if path.is_file()}
    assert modes == {"0o600"}


def test_a_file_of_somebody_else_stays(folder: Path, output: Path) -> None:
    (output / "events").mkdir(parents=True)
    theirs = [output / "events" / name for name in ("mine.parquet", ".x.1.partial")]
    for path in theirs:
        path.write_bytes(b"")
    for _ in range(2):
        run(folder, output)
    assert all(path.exists() for path in theirs)


def test_names_that_are_no_text_are_escaped(tmp_path: Path, output: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "line\nbreak\x1b[31m.json").write_bytes(LINES)
    (folder / os.fsdecode(b"\xff.json")).symlink_to("nowhere")
    (folder / os.fsdecode(b"\xfe.json")).write_bytes(LINES)

    assert run(folder, output).returncode == 1
    shown = subprocess.run([INSPECT, folder], capture_output=True, text=True, check=True).stdout
    told = subprocess.run([INSPECT, folder, "--json"], capture_output=True, check=True).stdout

    assert len(rows_of(output)["tokens"]) == len(TOKENS)
    names = {json.loads(line)["name"] for line in told.splitlines()}
    assert (
        names
        == {*manifest(output)}
        == {"line\nbreak\x1b[31m.json", "\\udcff.json", "\\xfe.json"}
    )
    assert "\x1b" not in shown
    assert r"line\nbreak\x1b[31m.json" in shown


@pytest.mark.azurite
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_container_gives_the_same_and_no_secret(
    azurite: Azurite, folder: Path, output: Path, workers: str
) -> None:
    name = azurite.new_container()
    for path in folder.rglob("*"):
        if path.is_file():
            azurite.upload(name, path.relative_to(folder).as_posix(), path.read_bytes())
    azurite.upload(name, "cut.gz", gzipped(LINES)[:-9])
    url = azurite.sas_url(name, "rl")

    done = run(url, output, "--workers", workers)

    assert done.returncode == 1  # of the damaged file
    ours = {stream: len(rows) for stream, rows in rows_of(output).items()}
    theirs = {stream: len(rows) for stream, rows in truth(folder).items()}
    assert ours.pop("tokens") >= theirs.pop("tokens")
    assert ours == theirs
    signature = url.partition("sig=")[2].partition("&")[0]
    shown = done.stdout + done.stderr + (output / "_manifest.json").read_text()
    assert signature not in shown


def many_files(folder: Path, count: int, tokens: int) -> None:
    folder.mkdir()
    for number in range(count):
        some = [{"deviceId": f"{number}-{n}", "token": "t"} for n in range(tokens)]
        data = array(some)
        (folder / f"{number}.json").write_bytes(data if number % 2 else zipped(data, data))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_ends_it_with_its_number(
    tmp_path: Path, output: Path, number: signal.Signals, workers: str
) -> None:
    many_files(tmp_path / "archive", 40, 4_000)
    process = subprocess.Popen([COMMAND, tmp_path / "archive", output, "--workers", workers])
    while not [*output.glob("tokens/*.parquet")]:
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(number)
    asked = time.monotonic()
    assert process.wait(30) == 128 + number
    assert time.monotonic() - asked < 3
    assert [*output.rglob("*.partial")] == []

    assert run(tmp_path / "archive", output).returncode == 0
    tables = [pq.read_table(path) for path in output.glob("tokens/*.parquet")]
    with Archive(str(tmp_path / "archive")) as archive:
        batches = [each for file in archive.files() for each in archive.batches(file)]
    assert in_order(tables).equals(in_order([pa.Table.from_batches(batches)]))
    assert_nothing_stray(output)


def in_order(tables: list[pa.Table]) -> pa.Table:
    """All rows of tables without nested values, sorted by every column."""
    table = pa.concat_tables(tables)
    return table.sort_by([(name, "ascending") for name in table.column_names])


KILLS = int(os.environ.get("PARQUET_KILLS", "12"))


def test_a_run_that_is_killed_is_completed_by_the_next(tmp_path: Path, output: Path) -> None:
    # Given an archive, and runs of one or two processes that die at random moments
    chance = Random(7)  # noqa: S311  (no cryptography)
    folder = tmp_path / "archive"
    many_files(folder, 12, 2_000)
    begun = time.monotonic()
    assert run(folder, tmp_path / "whole").returncode == 0
    duration = time.monotonic() - begun
    deaths = 0
    for _ in range(KILLS):
        workers = chance.choice(["1", "2"])
        with subprocess.Popen([COMMAND, folder, output, "--workers", workers]) as process:
            try:
                process.wait(chance.uniform(0.3, 1.2) * duration)
            except subprocess.TimeoutExpired:
                process.kill()
            deaths += process.wait() == -signal.SIGKILL
        # no file under its name is a half one
        for path in output.glob("*/*.parquet"):
            pq.read_metadata(path)
        # and some of them change
        for number in chance.sample(range(12), 4):
            tokens = [{"deviceId": str(chance.random()), "token": "t"}] * 2_000
            (folder / f"{number}.json").write_bytes(array(tokens))

    # When one comes to its end
    done = run(folder, output)

    # Then the rows are the truth, and no file is stray
    assert (done.returncode, done.stderr) == (0, "")
    assert deaths
    assert rows_of(output) == truth(folder)
    assert_nothing_stray(output)
