"""Parts of a large array have the records of the whole, ids included."""

from __future__ import annotations

import json
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.archive import Archive
from tap_mobile_engagement.errors import DataError
from tests.archive.forms import FORMS, array, rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_mobile_engagement.archive import File
    from tests.archive.test_forms import ElementsOf

# Texts and objects in which a part could be taken to begin.
ODD_NAMES = ["a", 'x"},{"deviceId":"q', "],[{", "\\", ',{"deviceId":', "é"]
ODD_EXTRAS: list[Any] = [
    None,
    {"k": '},{"deviceId":'},
    {"k": [{"deviceId": "z"}, {"deviceId": "y"}]},
    {"deviceId": {"deviceId": 1}},
]


def random_elements(chance: Random) -> list[Any]:
    """Groups of events, with some in another order of keys, some empty, and flat rows."""
    elements: list[Any] = []
    for _ in range(chance.randint(1, 40)):
        device = f"d{chance.randint(0, 5)}"
        items = [
            {
                **({"deviceId": "inner"} if chance.random() < 0.2 else {}),
                "name": chance.choice(ODD_NAMES),
                "timestamp": f"2016-05-0{chance.randint(1, 3)}T00:00:00Z",
                "extras": chance.choice(ODD_EXTRAS),
            }
            for _ in range(chance.randint(0, 6))
        ]
        items += items[:1]  # identical ones are two records
        match chance.randint(0, 9):
            case 0:
                elements += [{"deviceId": "flat", **item} for item in items]
            case 1:
                elements.append({"events": items, "deviceId": device})
            case _:
                elements.append({"deviceId": device, "events": items})
    return elements


@contextmanager
def opened(folder: Path, data: bytes, stream: str) -> Iterator[tuple[Archive, File]]:
    (folder / "a.json").write_bytes(data)
    with Archive(str(folder)) as archive:
        (file,) = archive.files(stream)
        yield archive, file


def rows_in_parts(archive: Archive, file: File, size: int) -> list[list[Any]]:
    """The rows of each part that has any."""
    parts = (
        [
            row
            for batch in archive.batches(file, part=(start, min(start + size, file.size)))
            for row in batch.to_pylist()
        ]
        for start in range(0, file.size, size)
    )
    return [part for part in parts if part]


def rows_of(archive: Archive, file: File) -> list[Any]:
    return [row for batch in archive.batches(file) for row in batch.to_pylist()]


@pytest.mark.parametrize("seed", range(40))
def test_parts_have_the_records_of_the_whole(tmp_path: Path, seed: int) -> None:
    chance = Random(seed)  # noqa: S311  (no cryptography)
    elements = [{"deviceId": "d", "events": [{"name": "first", "timestamp": "2016-05-01"}]}]
    elements += random_elements(chance)
    separators = chance.choice([(",", ":"), (", ", ": "), (" ,\n", " : ")])
    indent = chance.choice([None, 1])
    data = json.dumps(elements, indent=indent, separators=separators, ensure_ascii=seed % 2 > 0)

    with opened(tmp_path, data.encode(), "events") as (archive, file):
        parts = rows_in_parts(archive, file, chance.choice([7, 50, 300, 1000]))
        assert [row for part in parts for row in part] == rows_of(archive, file)
        assert len(parts) > 1 or file.size < 3_000


@pytest.mark.parametrize("stream", ["events", "devices", "jobs", "push_feedback"])
def test_what_can_be_divided_is(tmp_path: Path, elements_of: ElementsOf, stream: str) -> None:
    with opened(tmp_path, array(elements_of(stream) * 9), stream) as (archive, file):
        assert len(rows_in_parts(archive, file, file.size // 4)) > 1


@pytest.mark.parametrize("form", FORMS)
def test_the_parts_of_any_form_have_its_records(
    tmp_path: Path, elements_of: ElementsOf, form: str
) -> None:
    data = FORMS[form].write("activities", elements_of("activities"))
    (tmp_path / "a").write_bytes(data)
    with Archive(str(tmp_path)) as archive:
        for file in archive.files("activities"):
            parts = rows_in_parts(archive, file, file.size // 3)
            assert [*archive.batches(file, part=(file.size, 2 * file.size))] == []
            assert [row for part in parts for row in part] == rows_of(archive, file)
            if form in {"gzip", "zip", "objects in lines", "CSV with commas", "UTF-16"}:
                assert len(parts) == 1


def test_flat_rows_whose_ids_number_identical_ones_stay_together(
    tmp_path: Path, elements_of: ElementsOf
) -> None:
    data = array(rows("activities", elements_of("activities")) * 3)
    with opened(tmp_path, data, "activities") as (archive, file):
        assert rows_in_parts(archive, file, 200) == [rows_of(archive, file)]


def test_a_group_within_a_group_is_an_error_and_no_lost_record(tmp_path: Path) -> None:
    event = {"name": "a", "timestamp": "2016-05-01T00:00:00Z"}
    group = {"deviceId": "d", "events": [event]}
    outer = {"deviceId": "d", "events": [{**event, "extras": {"groups": [group] * 9}}]}
    with (
        opened(tmp_path, array([group, outer, group]), "events") as (archive, file),
        pytest.raises(DataError, match="BLOB_"),
    ):
        rows_in_parts(archive, file, 100)


def test_a_part_of_more_bytes_than_come_at_once_is_read_whole(tmp_path: Path) -> None:
    item = '{"deviceId":"d%d","events":[{"name":"a","timestamp":"2016-05-01"}]}'
    data = f"[{','.join(item % n for n in range(20_000))}]".encode()

    with opened(tmp_path, data, "events") as (archive, file):
        parts = rows_in_parts(archive, file, len(data) // 2 + 1)
        names = [row["device_id"] for part in parts for row in part]

    assert names == [f"d{n}" for n in range(20_000)]
