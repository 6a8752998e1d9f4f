"""Bad files of an archive: each kind, wherever it is, does what docs/failures.md says."""

from __future__ import annotations

import json
import os
import resource
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.archive.forms import gzipped, patched, zipped
from tests.faults.failures_page import bad_files
from tests.support.simulated import sync
from tests.support.users import as_nobody

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.support.azurite import Azurite
    from tests.support.messages import Messages

STREAMS = {"historical": "events", "snapshot": "tokens"}
NAME = "m"


def content(stream: str, first: int, count: int = 3) -> bytes:
    devices = range(first, first + count)
    if stream == "tokens":
        return json.dumps([{"deviceId": f"d{n}", "token": "t"} for n in devices]).encode()
    items = [{"name": "n", "timestamp": "2016-05-01T08:00:00Z"}]
    return json.dumps([{"deviceId": f"d{n}", "events": items} for n in devices]).encode()


def cut(data: bytes) -> bytes:
    return data[:-20]


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "gzip that ends too early": lambda data: cut(gzipped(data)),
    "gzip with a wrong checksum": lambda data: gzipped(data)[:-8] + bytes(8),
    "JSON that ends too early": cut,
    "JSON that ends within its first element": lambda data: data[:20],
    "JSON with something behind its end": lambda data: data + b"\n]",
    "zip without its end": lambda data: cut(zipped(data)),
    "zip with a broken member": lambda data: _spoilt(zipped(data)),
    "zip with a password": lambda data: patched(zipped(data), "part-0.json", 6, 1),
    "zip with Deflate64": lambda data: patched(zipped(data), "part-0.json", 8, 9),
    "zip without room for a temporary file": lambda data: zipped(
        data, os.urandom(17 << 20), method=0
    ),
    "blob in the archive tier": bytes,
}


def _spoilt(file: bytes) -> bytes:
    middle = file.index(b"PK\x01\x02") // 2 + 20
    return file[:middle] + bytes([file[middle] ^ 0xFF]) + file[middle + 1 :]


def put_in_folder(folder: Path, kind: str, stream: str) -> None:
    """Three files that arrive, and were written, one after the other; the second is bad."""
    sound = content(stream, 10, 99)
    for number, name in enumerate(("a", NAME, "z")):
        path = folder / name
        if name != NAME:
            path.write_bytes(content(stream, 1000 * number))
        elif kind in BROKEN:
            path.write_bytes(BROKEN[kind](sound))
        elif kind == "folder without permission":
            path.mkdir()
            (path / "x.json").write_bytes(sound)
            path.chmod(0)
        elif kind.startswith("link"):
            path.symlink_to(path if kind == "link to itself" else folder / "nowhere")
        else:
            path = folder / (os.fsdecode(b"m\xff") if kind == "name that is no text" else NAME)
            path.write_bytes(sound)
            path.chmod(0 if kind == "file without permission" else 0o644)
        os.utime(path, (1_400_000_000 + number,) * 2, follow_symlinks=False)
        time.sleep(0.01)


def put_in_container(azurite: Azurite, kind: str, stream: str) -> str:
    name = azurite.new_container()
    azurite.upload(name, "a", content(stream, 0))
    azurite.upload(name, NAME, BROKEN[kind](content(stream, 10, 99)))
    azurite.upload(name, "z", content(stream, 2000))
    if kind == "blob in the archive tier":
        azurite.client(name).get_blob_client(NAME).set_standard_blob_tier("Archive")
    return azurite.sas_url(name, "rl")


def met(kind: str, folder: Path) -> AbstractContextManager[None]:
    """What it takes for a file to be bad while it is read."""
    if "permission" in kind:
        return as_nobody(folder)
    return small_files() if "temporary" in kind else nullcontext()


@contextmanager
def small_files() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def blobs(messages: Messages, stream: str) -> set[str]:
    """The sound blobs that records came from; the bad one may have some before it breaks."""
    names = {record["blob_name"] for record in messages.records(stream)}
    return {name for name in names if not name.startswith(NAME)}


@dataclass(frozen=True)
class Case:
    """A kind of bad file, the stream that it belongs to, and what the settings say of it."""

    kind: str
    code: str
    stream: str
    mode: str

    def __str__(self) -> str:
        return f"{self.kind}, {self.stream}, {self.mode}"


def cases(place: str) -> list[Case]:
    return [
        Case(kind, code, stream, mode)
        for (kind, where), code in bad_files().items()
        for stream in STREAMS.values()
        for mode in ("fail", "skip")
        if where == place
    ]


def check(case: Case, url: str, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    kind, stream, code, mode = case.kind, case.stream, case.code, case.mode
    settings: dict[str, Any] = {
        "source": "archive",
        "container_url": url,
        "bad_files": mode,
        "emit_activate_version_messages": True,
    }
    with met(kind, folder):
        first = sync(settings)
        lines = [each for each in caplog.records if code in each.getMessage()]
        second = sync(settings, state=first.messages.state)

    # All that can be read is delivered, and nothing is retired.
    assert blobs(first.messages, stream) == {"a", "z"}
    assert first.messages.of_type("ACTIVATE_VERSION") == []
    # The bad file is named once, though it may concern all ten streams.
    assert [each.levelname for each in lines] == ["ERROR" if mode == "fail" else "WARNING"]
    assert NAME in lines[0].getMessage()
    if mode == "fail":
        assert code in str(first.failure)
        assert code in str(second.failure)
    else:
        assert (first.failure, second.failure) == (None, None)
    # The next run
    if stream == "tokens":
        assert blobs(second.messages, stream) == {"a", "z"}
    elif mode == "skip":
        assert blobs(second.messages, stream) == set()
    else:
        of_any_age = kind.startswith("link") or kind == "folder without permission"
        assert blobs(second.messages, stream) == ({"a", "z"} if of_any_age else {"z"})


@pytest.mark.parametrize("case", cases("folder"), ids=str)
def test_in_a_folder(folder: Path, case: Case, caplog: pytest.LogCaptureFixture) -> None:
    put_in_folder(folder, case.kind, case.stream)
    try:
        check(case, folder.as_uri(), folder, caplog)
    finally:
        for path in folder.iterdir():
            if path.is_dir():
                path.chmod(0o700)


@pytest.mark.azurite
@pytest.mark.parametrize("case", cases("container"), ids=str)
def test_in_a_container(
    azurite: Azurite, folder: Path, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    url = put_in_container(azurite, case.kind, case.stream)
    check(case, url, folder, caplog)


def test_every_kind_that_is_tested_is_on_the_page() -> None:
    assert {kind for kind, _ in bad_files()} >= {*BROKEN}
