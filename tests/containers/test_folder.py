"""A folder as a container, on a real file system."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_mobile_engagement.containers import CHUNK_BYTES, FolderContainer, open_container
from tap_mobile_engagement.errors import Code, DataError, RetryLaterError, SettingsError
from tests.support.users import as_nobody, locked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tap_mobile_engagement.containers import Blob

A_YEAR_AGO = datetime.now(UTC) - timedelta(days=365)


def write(folder: Path, name: str, content: bytes = b"[]") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def read(container: FolderContainer, blob: Blob) -> bytes:
    with container.open(blob) as chunks:
        return b"".join(chunks)


def names(container: FolderContainer, prefix: str = "") -> list[str]:
    return [blob.name for blob in container.list(prefix)]


@pytest.mark.parametrize("start", [0, 1, 5, 6])
def test_a_file_can_be_read_from_any_byte_on(tmp_path: Path, start: int) -> None:
    write(tmp_path, "a", b"012345")
    container = FolderContainer(tmp_path)
    (blob,) = container.list()
    with container.open(blob, start) as chunks:
        assert b"".join(chunks) == b"012345"[start:]


def test_files_are_listed_with_name_size_and_arrival(tmp_path: Path) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    write(tmp_path, "2016/05/events.json", b"[1, 2]")

    (blob,) = FolderContainer(tmp_path).list()

    assert blob.name == "2016/05/events.json"
    assert blob.size == 6
    assert before < blob.arrived < datetime.now(UTC) + timedelta(seconds=1)
    assert blob.arrived.tzinfo is UTC


def test_a_file_that_keeps_its_old_modification_time_arrives_when_it_was_moved_in(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, "events.json")
    os.utime(path, (A_YEAR_AGO.timestamp(), A_YEAR_AGO.timestamp()))

    (blob,) = FolderContainer(tmp_path).list()

    assert blob.arrived > A_YEAR_AGO + timedelta(days=300)


@given(
    st.sets(
        st.text("ab-./", min_size=1).filter(
            lambda name: all(part and not part.startswith(".") for part in name.split("/"))
        )
    )
)
def test_names_are_sorted_as_azure_sorts_them(
    tmp_path_factory: pytest.TempPathFactory, wanted: set[str]
) -> None:
    # a name can't be a file and a folder at once
    wanted = {n for n in wanted if not any(other.startswith(f"{n}/") for other in wanted)}
    folder = tmp_path_factory.mktemp("container")
    for name in wanted:
        write(folder, name)

    assert names(FolderContainer(folder)) == sorted(wanted)


def test_only_names_with_the_prefix_are_listed(tmp_path: Path) -> None:
    for name in ("events/1", "events/2/3", "events-old", "jobs/1"):
        write(tmp_path, name)
    container = FolderContainer(tmp_path)

    assert names(container, "events") == ["events-old", "events/1", "events/2/3"]
    assert names(container, "events/2") == ["events/2/3"]
    assert names(container, "nothing") == []


def test_hidden_and_unfinished_files_are_left_out(tmp_path: Path) -> None:
    for name in (
        *(".hidden", ".azDownload-1-events.json", ".git/config", "events.json~"),
        *("events.tmp", "events.part", "events.partial", "events.crdownload"),
        *("events.json", "done.tmp/jobs.json", "part-0000"),
    ):
        write(tmp_path, name)

    assert names(FolderContainer(tmp_path)) == [
        "done.tmp/jobs.json",
        "events.json",
        "part-0000",
    ]


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    folder = tmp_path / "container"
    target = write(tmp_path, "elsewhere/a/b.json", b"[7]")
    write(folder, "a/own.json")
    (folder / "link.json").symlink_to(target)
    (folder / "2017").symlink_to(tmp_path / "elsewhere")
    container = FolderContainer(folder)

    blobs = list(container.list())

    assert [blob.name for blob in blobs] == ["2017/a/b.json", "a/own.json", "link.json"]
    assert [read(container, blob) for blob in blobs] == [b"[7]", b"[]", b"[7]"]


def test_what_is_no_file_is_a_blob_with_a_problem_and_is_never_waited_for(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/socket")
    (tmp_path / "link").symlink_to("/dev/zero")
    container = FolderContainer(tmp_path)

    found = {blob.name: blob for blob in container.list()}

    names = ("link", "pipe", "socket")
    assert {*found} == {*names}
    for name in names:
        with pytest.raises(DataError, match="it is no file, but a named pipe") as caught:
            read(container, found[name])
        assert caught.value.code == Code.BLOB_UNRECOGNISED


@pytest.mark.parametrize("by", ["pipe", "folder", "nothing", "file"])
def test_a_file_that_something_else_replaced_is_told_without_waiting(
    tmp_path: Path, by: str
) -> None:
    path = write(tmp_path, "a/events.json")
    container = FolderContainer(tmp_path)
    (blob,) = container.list()
    path.unlink()
    match by:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "file":  # where the folder was
            path.parent.rmdir()
            path.parent.touch()

    with pytest.raises(RetryLaterError, match=r"events\.json") as caught:
        read(container, blob)

    assert caught.value.code == (Code.BLOB_CHANGED if by == "pipe" else Code.BLOB_MISSING)


@pytest.mark.parametrize("place", ["", "a", "a/b"])
def test_a_link_back_to_a_folder_above_it_is_named_and_skipped(
    tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "a/b/own.json")
    (tmp_path / "a" / "b" / "circle").symlink_to(tmp_path / place)

    assert names(FolderContainer(tmp_path)) == ["a/b/own.json"]
    assert [record.getMessage() for record in caplog.records] == [
        "Skipped the link a/b/circle: it leads back to a folder above it"
    ]


@pytest.mark.parametrize("target", ["not-mounted/a.json", "itself.json"])
def test_a_link_that_leads_nowhere_is_a_blob_with_a_problem(
    tmp_path: Path, target: str
) -> None:
    write(tmp_path, "a.json")
    (tmp_path / "itself.json").symlink_to(tmp_path / target)
    container = FolderContainer(tmp_path)

    sound, broken = container.list()

    assert (sound.name, sound.problem) == ("a.json", None)
    with pytest.raises(
        DataError, match=f"itself.json.*{target}|{target}.*itself.json"
    ) as caught:
        read(container, broken)
    assert caught.value.code == Code.BLOB_UNREADABLE


def test_a_folder_that_is_not_taken_is_not_looked_at(tmp_path: Path) -> None:
    write(tmp_path, "2017/a.json")
    write(tmp_path, "lost+found/a.json")

    with locked(tmp_path / "lost+found"):
        found = FolderContainer(tmp_path).list(takes=lambda name: name != "lost+found/")
        listed = [blob.name for blob in found]

    assert listed == ["2017/a.json"]


def test_a_name_that_is_no_text_is_a_blob_with_a_problem(tmp_path: Path) -> None:
    write(tmp_path, os.fsdecode(b"ev\xff.json"))
    write(tmp_path, "sound.json")

    broken, sound = FolderContainer(tmp_path).list()

    assert sound.name == "sound.json"
    assert broken.name == r"ev\xff.json"
    assert broken.problem is not None
    assert broken.problem.code == Code.BLOB_UNREADABLE
    assert "UTF-8" in str(broken.problem)


def test_a_file_rewritten_in_place_with_its_old_time_is_another_version(tmp_path: Path) -> None:
    path = write(tmp_path, "events.json", b"[1]")
    before = path.stat()
    (first,) = FolderContainer(tmp_path).list()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_bytes(b"[2]")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    (second,) = FolderContainer(tmp_path).list()

    assert (first.size, first.written) == (second.size, second.written)
    assert first.etag != second.etag


def test_a_copy_keeps_the_time_of_its_content(tmp_path: Path) -> None:
    path = write(tmp_path, "events.json")
    os.utime(path, (A_YEAR_AGO.timestamp(), A_YEAR_AGO.timestamp()))

    (blob,) = FolderContainer(tmp_path).list()

    assert abs(blob.written - A_YEAR_AGO) < timedelta(milliseconds=1)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 1_000_000])
def test_content_comes_exactly_and_in_chunks(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    write(tmp_path, "events.json", content)
    container = FolderContainer(tmp_path)
    (blob,) = container.list()

    with container.open(blob) as chunks:
        found = list(chunks)

    assert b"".join(found) == content
    assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in found)


def test_a_file_replaced_while_it_is_read_is_detected(tmp_path: Path) -> None:
    write(tmp_path, "events.json", bytes(3 * CHUNK_BYTES))
    container = FolderContainer(tmp_path)
    (blob,) = container.list()

    with container.open(blob) as chunks:
        next(chunks)
        write(tmp_path, "new.json", bytes(3 * CHUNK_BYTES)).rename(tmp_path / "events.json")
        with pytest.raises(RetryLaterError, match=r"events\.json") as caught:
            list(chunks)

    assert caught.value.code == Code.BLOB_CHANGED


def test_a_file_that_grows_while_it_is_read_is_detected(tmp_path: Path) -> None:
    path = write(tmp_path, "events.json", bytes(3 * CHUNK_BYTES))
    container = FolderContainer(tmp_path)
    (blob,) = container.list()

    with container.open(blob) as chunks:
        next(chunks)
        with path.open("ab") as file:
            file.write(b"more")
        with pytest.raises(RetryLaterError) as caught:
            list(chunks)

    assert caught.value.code == Code.BLOB_CHANGED


def test_a_file_written_after_the_listing_gives_nothing(tmp_path: Path) -> None:
    write(tmp_path, "events.json", b"[1]")
    container = FolderContainer(tmp_path)
    (blob,) = container.list()
    write(tmp_path, "events.json", b"[1, 2]")

    with container.open(blob) as chunks, pytest.raises(RetryLaterError) as caught:
        next(chunks)

    assert caught.value.code == Code.BLOB_CHANGED


def test_a_file_that_is_shorter_than_told_is_truncated(tmp_path: Path) -> None:
    write(tmp_path, "events.json", b"[1]")
    container = FolderContainer(tmp_path)
    (blob,) = container.list()

    with pytest.raises(DataError) as caught:
        read(container, msgspec.structs.replace(blob, size=4))

    assert caught.value.code == Code.BLOB_TRUNCATED


def test_a_file_that_is_gone_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, "events.json")
    container = FolderContainer(tmp_path)
    (blob,) = container.list()
    path.unlink()

    with pytest.raises(RetryLaterError) as caught:
        read(container, blob)

    assert caught.value.code == Code.BLOB_MISSING


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_folder_that_is_none_is_not_found(tmp_path: Path, name: str) -> None:
    write(tmp_path, "file")
    container = FolderContainer(tmp_path / name)

    for ask in (container.check, lambda: list(container.list())):
        with pytest.raises(SettingsError, match=name) as caught:
            ask()
        assert caught.value.code == Code.CONTAINER_NOT_FOUND


def test_a_folder_without_rights_is_denied(tmp_path: Path) -> None:
    write(tmp_path, "locked/events.json")
    container = FolderContainer(tmp_path / "locked")

    for ask in (container.check, lambda: list(container.list())):
        with locked(tmp_path / "locked"), pytest.raises(SettingsError) as caught:
            ask()
        assert caught.value.code == Code.CONTAINER_ACCESS_DENIED


def test_a_folder_within_without_rights_is_a_blob_with_a_problem(tmp_path: Path) -> None:
    write(tmp_path, "locked/events.json")
    write(tmp_path, "sound.json")
    container = FolderContainer(tmp_path)

    with locked(tmp_path / "locked"):
        broken, sound = container.list()

    assert (broken.name, sound.name) == ("locked/", "sound.json")
    assert broken.problem is not None
    assert broken.problem.code == Code.BLOB_UNREADABLE
    assert "no right to the folder" in str(broken.problem)


def test_a_file_without_rights_is_unreadable(tmp_path: Path) -> None:
    path = write(tmp_path, "events.json")
    container = FolderContainer(tmp_path)
    path.chmod(0)
    (blob,) = container.list()

    with as_nobody(tmp_path), pytest.raises(DataError, match=r"events\.json") as caught:
        read(container, blob)

    assert caught.value.code == Code.BLOB_UNREADABLE


def test_a_folder_that_is_there_passes_the_check(tmp_path: Path) -> None:
    FolderContainer(tmp_path).check()


@pytest.mark.parametrize("address", [lambda folder: folder.as_uri(), str])
def test_a_url_or_a_path_leads_to_the_folder_and_back(
    tmp_path: Path, address: Callable[[Path], str]
) -> None:
    folder = tmp_path / "für alle & 100% #1?"
    write(folder, "events.json", b"[1]")

    container = open_container(address(folder))

    assert [blob.name for blob in container.list()] == ["events.json"]
    assert container.label == folder.as_uri()


def test_a_path_may_begin_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "exports/events.json")
    monkeypatch.chdir(tmp_path)

    for path in ("exports", "./exports", "exports/../exports/"):
        assert [blob.name for blob in open_container(path).list()] == ["events.json"]


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("file:///data/exports#2017", "file:///data/exports%232017"),
        ("file:///data/exports?2017", "file:///data/exports%3F2017"),
        ("file:///data/exports#", "file:///data/exports%23"),
    ],
)
def test_a_url_with_a_fragment_or_query_is_refused_with_the_right_spelling(
    url: str, right: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        open_container(url)

    assert caught.value.code == Code.CONTAINER_URL_INVALID
    assert right in str(caught.value)


def test_a_url_without_a_whole_path_is_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        open_container("file:data")

    assert caught.value.code == Code.CONTAINER_URL_INVALID
