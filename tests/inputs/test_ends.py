"""Whatever goes wrong, a command ends with one line and a code: no traceback, no secret."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from singer_sdk.logging import StructuredFormatter

from tap_mobile_engagement.commands import inspect, to_parquet
from tap_mobile_engagement.reading.records import RecordReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.inputs.support import Archive

SIGNATURE = "c2lnbmF0dXJlLW9mLWEtdGVzdC1vZi1lbmRz"
URL = f"https://acct.blob.core.windows.net/exports?sv=2024&sp=rl&sig={SIGNATURE}"


def unexpected(*_: object, **__: object) -> Any:
    try:
        os.environ.pop(URL)
    except KeyError:
        raise ZeroDivisionError(f"at {URL}\n2016-05-01 | ERROR | forged\x1b[2J") from None


def out_of_memory(*_: object, **__: object) -> Any:
    raise MemoryError


ENDS: dict[str, Callable[..., Any]] = {"UNEXPECTED": unexpected, "OUT_OF_MEMORY": out_of_memory}


@pytest.fixture
def structured() -> Iterator[list[str]]:
    """What the SDK's structured log has, down to the least."""
    lines: list[str] = []

    class Keeps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(StructuredFormatter().format(record))

    root, tap = logging.getLogger(), logging.getLogger("tap-mobile-engagement")
    handler = Keeps()
    levels = root.level, tap.level
    root.addHandler(handler)
    tap.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(handler)
    root.setLevel(levels[0])
    tap.setLevel(levels[1])


@pytest.mark.parametrize("code", ENDS)
def test_a_stream_of_the_tap(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, structured: list[str], code: str
) -> None:
    read = RecordReader.batches

    def of_tags(reader: RecordReader, origin: Any, chunks: Any) -> Any:
        return (ENDS[code] if origin.data_type.name == "tags" else read)(reader, origin, chunks)

    monkeypatch.setattr(RecordReader, "batches", of_tags)

    outcome = archive.run()

    # The other streams are done; the last line names the one that failed.
    assert outcome.exit_code == 1
    assert len(outcome.messages.records("events")) == 1
    assert f"tags ({code})" in outcome.complaints[-1]
    assert not [line for line in outcome.complaints if "\n" in line or "\x1b" in line]
    assert SIGNATURE not in "".join(outcome.complaints + structured)
    assert code != "UNEXPECTED" or any("Traceback" in line for line in structured)


@pytest.mark.parametrize("code", ENDS)
def test_the_tap_before_its_streams(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, structured: list[str], code: str
) -> None:
    monkeypatch.setattr("tap_mobile_engagement.sources.archive.ArchiveSource.check", ENDS[code])

    line = archive.run().refusal()

    assert line.startswith(f"{code}: ")
    assert SIGNATURE not in "".join([line, *structured])


@pytest.mark.parametrize("code", ENDS)
@pytest.mark.parametrize("command", ["inspect", "to-parquet"])
def test_the_commands_over_an_archive(
    archive: Archive,
    monkeypatch: pytest.MonkeyPatch,
    structured: list[str],
    command: str,
    code: str,
) -> None:
    monkeypatch.setattr("tap_mobile_engagement.archive.Archive.files", ENDS[code])
    main, more = {
        "inspect": (inspect.main, []),
        "to-parquet": (to_parquet.main, [str(archive.exports / "out")]),
    }[command]

    done = CliRunner().invoke(main, [str(archive.exports), *more])

    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{code}: ")
    assert done.stdout == ""
    assert SIGNATURE not in "".join([line, *structured])


@pytest.mark.parametrize(
    "arguments",
    [[], ["--discover"], ["--about"], ["--version"], ["--test"], ["--help"]],
    ids=str,
)
def test_an_output_that_is_full(
    archive: Archive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(archive.settings))
    program = [sys.executable, "-m", "tap_mobile_engagement", "--config", str(config)]

    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*program, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert done.returncode == 1
    assert "OUTPUT_CLOSED: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_an_output_that_is_closed(archive: Archive, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(archive.settings))
    command = f"{sys.executable} -m tap_mobile_engagement --config {config} >&-"

    done = subprocess.run(
        ["/bin/sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False
    )

    assert done.returncode == 1
    assert "OUTPUT_CLOSED: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
