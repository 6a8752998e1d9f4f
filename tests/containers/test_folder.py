"""A folder as a container, on a real file system."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_mobile_engagement.containers import CHUNK_BYTES, FolderContainer, open_container
from tap_mobile_engagement.errors import Code, DataError, RetryLaterError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_mobile_engagement.containers import Blob

A_YEAR_AGO = datetime.now(UTC) - timedelta(days=365)


def write(folder: Path, name: str, content: bytes = b"[]") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A folder that nobody may read; root, who may read everything, is nobody meanwhile."""
    user = os.geteuid()
    folder.chmod(0)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o700)


def read(container: FolderContainer, blob: Blob) -> bytes:
    with container.open(blob) as chunks:
        return b"".join(chunks)


def names(container: FolderContainer, prefix: str = "") -> list[str]:
    return [blob.name for blob in container.list(prefix)]


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


def test_links_to_files_are_followed_and_other_things_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "container"
    target = write(tmp_path, "elsewhere.json", b"[7]")
    write(folder, "a/own.json")
    (folder / "link.json").symlink_to(target)
    (folder / "broken.json").symlink_to(tmp_path / "nowhere")
    (folder / "a" / "circle").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    container = FolderContainer(folder)

    blobs = list(container.list())

    assert [blob.name for blob in blobs] == ["a/own.json", "link.json"]
    assert read(container, blobs[1]) == b"[7]"


def test_a_name_that_is_no_text_is_refused_instead_of_lost(tmp_path: Path) -> None:
    write(tmp_path, os.fsdecode(b"ev\xff.json"))

    with pytest.raises(SettingsError, match="UTF-8"):
        list(FolderContainer(tmp_path).list())


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


def test_deleting_takes_the_file_away_and_a_second_time_is_fine(tmp_path: Path) -> None:
    write(tmp_path, "events.json")
    container = FolderContainer(tmp_path)
    (blob,) = container.list()

    container.delete(blob)
    container.delete(blob)

    assert names(container) == []


def test_deleting_leaves_another_version_alone(tmp_path: Path) -> None:
    write(tmp_path, "events.json", b"[1]")
    container = FolderContainer(tmp_path)
    (blob,) = container.list()
    path = write(tmp_path, "events.json", b"[1, 2]")

    with pytest.raises(RetryLaterError) as caught:
        container.delete(blob)

    assert caught.value.code == Code.BLOB_CHANGED
    assert path.read_bytes() == b"[1, 2]"


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

    with locked(tmp_path / "locked"), pytest.raises(SettingsError) as caught:
        list(FolderContainer(tmp_path).list())

    assert caught.value.code == Code.CONTAINER_ACCESS_DENIED


def test_a_folder_that_is_there_passes_the_check(tmp_path: Path) -> None:
    FolderContainer(tmp_path).check()


def test_a_url_leads_to_the_folder_and_back(tmp_path: Path) -> None:
    folder = tmp_path / "für alle & 100%"
    write(folder, "events.json", b"[1]")

    container = open_container(folder.as_uri())

    assert [blob.name for blob in container.list()] == ["events.json"]
    assert container.label == folder.as_uri()


def test_a_url_without_a_whole_path_is_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        open_container("file:data")

    assert caught.value.code == Code.CONTAINER_URL_INVALID
