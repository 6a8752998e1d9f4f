"""The files of an archive as a library, and the same files wherever they are."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.archive import Archive, File
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, SettingsError, TapError
from tap_mobile_engagement.sources.files import OPEN_ZIPS
from tests.archive.forms import array, gzipped, rows, zipped
from tests.support.simulated import sync

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.archive.test_forms import ElementsOf
    from tests.support.azurite import Azurite


def put(folder: Path, files: Mapping[str, bytes]) -> Path:
    for number, (name, data) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (1_400_000_000 + number,) * 2)
    return folder


def packed(files: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return file.getvalue()


@pytest.fixture
def files(elements_of: ElementsOf) -> dict[str, bytes]:
    """Files of all kinds; what is skipped for its name would be an export."""
    jobs = array(elements_of("jobs"))
    inner = {"a": jobs, "__MACOSX/._a": jobs, ".b": jobs, "c.tmp": jobs}
    return {
        "2017/events.json": array(elements_of("events")),
        "tags.gz": gzipped(array(elements_of("tags"))),
        "jobs.zip": packed(inner),
        "empty": b"[]",
        "cut.gz": gzipped(array(elements_of("tokens")))[:-9],
        "half.gz": gzipped(b"[1]")[:12],
        "photo.jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF",
        "rows.json": array(rows("events", elements_of("events"))),
        **dict.fromkeys((".DS_Store", "2017/._events.json", ".git/x", ".git/y"), jobs),
        **dict.fromkeys(("__MACOSX/2017/x", "sessions.json.part", "y~"), jobs),
    }


SKIPPED = {
    *(".DS_Store", "2017/._events.json", ".git/", "__MACOSX/", "sessions.json.part", "y~"),
    *("jobs.zip/__MACOSX/", "jobs.zip/.b", "jobs.zip/c.tmp"),
}


def test_files_come_in_order_with_what_they_are(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    put(tmp_path, files)
    with Archive(str(tmp_path)) as archive:
        found = [*archive.files()]
        assert [(file.name, file.stream) for file in found] == [
            ("2017/events.json", "events"),
            ("tags.gz", "tags"),
            ("jobs.zip/a", "jobs"),
            ("empty", None),
            ("cut.gz", "tokens"),
            ("half.gz", None),
            ("photo.jpg", None),
            ("rows.json", None),
        ]
        codes = {file.name: file.problem.code for file in found if file.problem}
        codes.pop("cut.gz", None)  # its head may tell that it breaks, or not
        assert codes == {
            "half.gz": Code.BLOB_TRUNCATED,
            "photo.jpg": Code.BLOB_UNRECOGNISED,
            "rows.json": Code.BLOB_UNRECOGNISED,
        }
        assert [file.size for file in found[:2]] == [
            len(files["2017/events.json"]),
            len(files["tags.gz"]),
        ]
        assert found[0].modified.isoformat() == "2014-05-13T16:53:20+00:00"
        assert found[0].arrived > found[0].modified
        assert archive.skipped == SKIPPED


def test_the_files_of_a_stream_can_be_opened(
    tmp_path: Path, files: dict[str, bytes], elements_of: ElementsOf
) -> None:
    put(tmp_path, files)
    with Archive(tmp_path.as_uri(), pattern="*.zip") as archive:
        (file,) = archive.files("jobs")
        with archive.open(file) as chunks:
            assert json.loads(b"".join(chunks)) == elements_of("jobs")


def test_a_damaged_file_may_be_of_any_stream(tmp_path: Path, files: dict[str, bytes]) -> None:
    put(tmp_path, files)
    with Archive(str(tmp_path)) as archive:
        found = [*archive.files("tags")]
        assert [file.name for file in found] == ["tags.gz", "half.gz"]
        with pytest.raises(TapError, match="BLOB_TRUNCATED"):
            next(archive.records(found[1]))


def test_settings_say_what_content_can_not(tmp_path: Path, files: dict[str, bytes]) -> None:
    put(tmp_path, files)
    types = [{"pattern": "rows*", "data_type": "errors"}]
    with Archive(str(tmp_path), pattern="*.json", types=types) as archive:
        assert [file.name for file in archive.files("errors")] == ["rows.json"]


def test_a_file_can_be_sent_to_another_process(tmp_path: Path, files: dict[str, bytes]) -> None:
    put(tmp_path, files)
    with Archive(str(tmp_path)) as archive, Archive(str(tmp_path)) as other:
        for file in archive.files():
            again = pickle.loads(pickle.dumps(file))  # noqa: S301  (of our own making)
            assert isinstance(again, File)
            assert (again.name, again.stream, str(again.problem)) == (
                file.name,
                file.stream,
                str(file.problem),
            )
            if file.stream:
                with archive.open(file) as here, other.open(again) as there:
                    assert b"".join(here) == b"".join(there)


@pytest.mark.parametrize(
    "options", [{"encoding": "rot13"}, {"types": [{"pattern": "*", "data_type": "event"}]}]
)
def test_what_no_setting_may_be_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        Archive(tmp_path, **options)
    assert caught.value.code == Code.BAD_SETTING


def test_a_stream_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with Archive(str(tmp_path)) as archive, pytest.raises(ValueError, match="activities"):
        next(archive.files("event"))


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("*.csv", "no file matches *.csv"),
        ("/2017/**", "There is 2017/events.json"),
        ("2017/EVENTS*", "There is 2017/events.json"),
    ],
)
def test_no_file_is_an_error_that_says_what_is_there(
    tmp_path: Path, files: dict[str, bytes], pattern: str, told: str
) -> None:
    put(tmp_path, files)
    with Archive(str(tmp_path), pattern=pattern) as archive:
        with pytest.raises(SettingsError) as caught:
            archive.check()
        assert caught.value.code is Code.NO_FILES
        assert told in str(caught.value)
        assert tmp_path.as_uri() in str(caught.value)


def test_names_that_are_skipped_are_no_files(tmp_path: Path) -> None:
    put(tmp_path, {".a": b"[]", "b.tmp": b"[]"})
    with Archive(str(tmp_path)) as archive, pytest.raises(SettingsError) as caught:
        archive.check()
    assert "2 are skipped for their names" in str(caught.value)


@pytest.mark.azurite
def test_a_container_with_the_same_files_gives_the_same(
    azurite: Azurite, tmp_path: Path, files: dict[str, bytes]
) -> None:
    # Given the same files in a folder and in a container
    folder = put(tmp_path / "folder", files)
    name = azurite.new_container()
    for blob, data in files.items():
        azurite.upload(name, blob, data)
    url = azurite.sas_url(name, "rl")
    # Then the library finds the same
    with Archive(str(folder)) as here, Archive(url) as there:
        found = [
            sorted(
                (f.name, f.size, f.stream, f.problem and f.problem.what) for f in each.files()
            )
            for each in (here, there)
        ]
        assert found[0] == found[1]
        assert here.skipped == there.skipped == SKIPPED
    # And the tap makes the same records of it
    settings = {"source": "archive", "app_names": ["shop"]}
    runs = [sync({**settings, "container_url": each}).messages for each in (str(folder), url)]
    for stream in BY_NAME:
        ours, theirs = (
            sorted(
                json.dumps({**record, "exported_until": ""}, sort_keys=True)
                for record in messages.records(stream)
            )
            for messages in runs
        )
        assert ours == theirs


def test_a_damaged_member_spares_the_rest_of_a_zip(
    tmp_path: Path, elements_of: ElementsOf
) -> None:
    whole = zipped(array(elements_of("jobs")), array(elements_of("jobs")))
    at = whole.index(b"PK\x03\x04", 9) + 60
    put(tmp_path, {"all.zip": whole[:at] + b"?" * 9 + whole[at + 9 :]})
    with Archive(str(tmp_path)) as archive:
        sound, broken = archive.files()
        assert (sound.stream, sound.problem) == ("jobs", None)
        assert broken.problem is not None
        assert broken.problem.where["member"] == "part-1.json"


@pytest.mark.parametrize("odd", [rb"\ud800", b"\xff", rb"\u0000"])
def test_odd_characters_in_every_element_are_no_damage(tmp_path: Path, odd: bytes) -> None:
    put(
        tmp_path,
        {"a": b'[{"deviceId":"d%s","token":"t"},{"deviceId":"%s","token":"t"}]' % (odd, odd)},
    )
    with Archive(str(tmp_path)) as archive:
        (file,) = archive.files()
        assert (file.stream, file.problem) == ("tokens", None)


def test_zip_files_can_be_read_side_by_side(tmp_path: Path) -> None:
    # Given more zip files than are kept open, of more than one block
    tokens = [{"deviceId": f"d{number}", "token": "t"} for number in range(9_000)]
    data = packed({"a": array(tokens)})
    put(tmp_path, {f"{number}.zip": data for number in range(OPEN_ZIPS + 2)})

    # When a record of each is taken in turn, then all come
    with Archive(str(tmp_path)) as archive:
        readers = map(archive.records, archive.files("tokens"))
        taken = [*zip(*readers, strict=True)]
    assert [len({token["device_id"] for token in turn}) for turn in taken] == [1] * len(tokens)
