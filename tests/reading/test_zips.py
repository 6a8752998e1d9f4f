"""Zip files: which members are read, when they were written, and what is wrong with others."""

from __future__ import annotations

import io
import struct
import tempfile
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tap_mobile_engagement.errors import Code, DataError, RetryLaterError
from tap_mobile_engagement.reading.content import ZipContent, modified
from tests.archive.forms import patched

if TYPE_CHECKING:
    from collections.abc import Mapping

EXACT = datetime(2016, 5, 8, 12, 30, 1, tzinfo=UTC)
TICKS = (EXACT - datetime(1601, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10

FULL = Path("/dev/full")


def packed(
    members: Mapping[str, bytes],
    *,
    time: tuple[int, int, int, int, int, int] = (2016, 5, 8, 14, 30, 2),
    extra: bytes = b"",
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, time)
            info.extra = extra
            archive.writestr(info, data)
    return file.getvalue()


def time_of(file: bytes) -> datetime | None:
    with ZipContent([file]) as content:
        (member,) = content.members
        return modified(member)


def read(file: bytes) -> dict[str, bytes | DataError]:
    found: dict[str, bytes | DataError] = {}
    with ZipContent([file]) as content:
        for member in content.members:
            try:
                with content.open(member) as chunks:
                    found[member.filename] = b"".join(chunks)
            except DataError as error:
                found[member.filename] = error
    return found


def test_members_with_names_that_are_skipped_are_no_members() -> None:
    names = ("a.json", "__MACOSX/._a.json", "._b", "x/.DS_Store", "x/c.tmp", "x/c", "./../d")
    file = packed(dict.fromkeys(names, b"[]"))
    with ZipContent([file]) as content:
        assert [member.filename for member in content.members] == ["a.json", "x/c", "./../d"]
        assert content.skipped == {"__MACOSX/", "._b", "x/.DS_Store", "x/c.tmp"}


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (6, 0x1, "is encrypted"),
        (6, 0x41, "is encrypted"),
        (8, 9, "is compressed by Deflate64"),
        (8, 93, "is compressed by Zstandard"),
        (8, 19, "is compressed by method 19"),
        (8, 12, "is compressed by bzip2"),
        (8, 14, "is compressed by LZMA"),
    ],
)
def test_a_member_that_can_not_be_read_spares_the_others(
    offset: int, value: int, reason: str
) -> None:
    file = packed({"a.json": b"[1]", "b.json": b"[2]", "c.json": b"[3]"})

    found = read(patched(file, "b.json", offset, value))

    assert (found["a.json"], found["c.json"]) == (b"[1]", b"[3]")
    error = found["b.json"]
    assert isinstance(error, DataError)
    assert error.code is Code.BLOB_CORRUPT
    assert f"a member of the zip file {reason}" in str(error)
    assert error.where["member"] == "b.json"


@pytest.mark.parametrize(
    ("extra", "time"),
    [
        (b"", datetime(2016, 5, 8, 14, 30, 2, tzinfo=UTC)),
        (struct.pack("<HHBI", 0x5455, 5, 1, int(EXACT.timestamp())), EXACT),
        (struct.pack("<HHB", 0x5455, 1, 0), datetime(2016, 5, 8, 14, 30, 2, tzinfo=UTC)),
        (
            struct.pack("<HH", 0x7875, 2)
            + b"xx"
            + struct.pack("<HHIHHQQQ", 0xA, 32, 0, 1, 24, TICKS, 0, 0),
            EXACT,
        ),
        (struct.pack("<HHB", 0x5455, 1, 1), None),
        (
            struct.pack("<HHHHB", 0x5455, 0, 0x7875, 1, 0),  # an extra field without content
            datetime(2016, 5, 8, 14, 30, 2, tzinfo=UTC),
        ),
    ],
)
def test_the_time_of_a_member_is_the_exact_one_where_it_has_one(
    extra: bytes, time: datetime | None
) -> None:
    assert time_of(packed({"a": b"[]"}, extra=extra)) == time


def test_a_member_without_a_time_has_none() -> None:
    assert time_of(packed({"a": b"[]"}, time=(1980, 1, 1, 0, 0, 0))) is None
    no_month = patched(packed({"a.json": b"[]"}), "a.json", 12, 0x4800)
    assert time_of(no_month) is None


def test_members_that_overlap_are_refused() -> None:
    file = packed({"a.json": b"[1]" * 1000, "b.json": b"[2]"})
    at = file.index(b"PK\x01\x02", file.index(b"PK\x01\x02") + 1)
    both = file[: at + 42] + bytes(4) + file[at + 46 :]

    with pytest.raises(DataError, match="members overlap") as caught:
        ZipContent([both]).__enter__()
    assert caught.value.code is Code.BLOB_CORRUPT


def test_a_table_of_very_many_members_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(25_000):
            archive.writestr(f"{number:040}", b"")

    with pytest.raises(DataError, match="zip table has more than") as caught:
        ZipContent([file.getvalue()]).__enter__()
    assert caught.value.code is Code.BLOB_CORRUPT


def test_no_room_for_a_large_zip_file_is_an_error_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A real file that is always full, in place of the temporary one.
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", lambda _: FULL.open("wb", 0))
    with pytest.raises(RetryLaterError, match="No space left") as caught:
        ZipContent([b"PK\x03\x04"]).__enter__()
    assert caught.value.code is Code.NO_TEMPORARY_SPACE
