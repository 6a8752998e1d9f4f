"""Records and Arrow batches of the library: the same as the tap's records, for every form."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pytest

from tap_mobile_engagement.archive import Archive, BadRecord
from tap_mobile_engagement.datatypes import BY_NAME, DATA_TYPES, Kind
from tap_mobile_engagement.errors import Code, DataError, SettingsError
from tests.archive.forms import FORMS, array
from tests.support.simulated import sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.archive.test_forms import ElementsOf

Record = dict[str, Any]
ENCODER = msgspec.json.Encoder(decimal_format="number")

ODD: dict[str, list[Any]] = {
    "activities": [
        {"sessionId": None, "activities": [{"name": "a", "timestamp": 1462089600123}] * 2}
    ],
    "events": [
        {
            "deviceId": "d",
            "more": [1, {"x": 1e300}],
            "events": [
                {"name": "n\u0000", "timestamp": "2016-05-01T08:00:00.123456789+02:00"},
                {"name": "n", "timestamp": "1700-01-01", "extras": {"b": 1.10, "a": "\ud800"}},
                {"name": "n", "timestamp": "9999-12-31 23:59:59", "extras": [], "new": 0},
            ],
        }
    ],
    "devices": [
        {"deviceId": "d", "meta": {}, "appInfo": {"a": 12345678901234567890}, "odd": None}
    ],
    "push_feedback": [
        {"deviceId": "d", "campaignType": "Poll", "campaignId": 2**63 - 1, "status": []}
    ],
}
LINES = b"\n".join(
    b'{"deviceId":"d","events":[{"name":"n","timestamp":"%s"}]}' % time
    for time in (b"2016-05-01", b"soon", b"2016-05-02")
)


def by_the_tap(folder: Path, **settings: Any) -> dict[str, list[Record]]:
    config = {"source": "archive", "container_url": str(folder), "app_names": ["shop"]}
    messages = sync(config | settings).messages
    return {stream: messages.records(stream) for stream in BY_NAME}


def by_the_library(archive: Archive, stream: str) -> list[Record]:
    records = [record for file in archive.files(stream) for record in archive.records(file)]
    found: list[Record] = json.loads(ENCODER.encode(records))
    return found


def as_rows(stream: str, records: list[Record]) -> list[Record]:
    """Records as rows of a table have them."""
    rows = []
    for record in records:
        row = dict(record)
        for field in BY_NAME[stream].record_fields:
            value = record[field.name]
            if value is not None and field.kind is Kind.TIME:
                head, dot, digits = value.removesuffix("Z").partition(".")
                row[field.name] = datetime.fromisoformat(f"{head}{dot}{digits[:6]}+00:00")
        rows.append(row)
    return rows


def with_objects(stream: str, rows: list[Record]) -> list[Record]:
    """Rows of a table with their JSON texts decoded."""
    objects = [f.name for f in BY_NAME[stream].record_fields if f.kind is Kind.OBJECT]
    return [
        row | {name: json.loads(row[name]) for name in objects if row[name] is not None}
        for row in rows
    ]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_records_of_the_tap(
    tmp_path: Path, elements_of: ElementsOf, form: str
) -> None:
    # Given a file of each data type in one form, and what its content can't tell
    for name in BY_NAME:
        (tmp_path / name).write_bytes(FORMS[form].write(name, elements_of(name)))
    types = [{"pattern": name, "data_type": name} for name in ("events", "errors", "crashes")]

    # When the tap and the library read them
    expected = by_the_tap(tmp_path, archive_types=types)
    with Archive(str(tmp_path), app_name="shop", types=types) as archive:
        for stream, records in expected.items():
            # Then they find the same, and the rows hold it
            assert records
            assert by_the_library(archive, stream) == records
            batches = [each for file in archive.files(stream) for each in archive.batches(file)]
            table = pa.Table.from_batches(batches, archive.schema(stream))
            table.validate(full=True)
            assert with_objects(stream, table.to_pylist()) == as_rows(stream, records)


@pytest.mark.parametrize("stream", ODD)
def test_odd_values_are_in_the_rows_as_in_the_records(tmp_path: Path, stream: str) -> None:
    (tmp_path / "a").write_text(json.dumps(ODD[stream]))
    expected = by_the_tap(tmp_path)[stream]
    assert expected

    with Archive(str(tmp_path), app_name="shop") as archive:
        assert by_the_library(archive, stream) == expected
        (file,) = archive.files(stream)
        table = pa.Table.from_batches(archive.batches(file))

    table.validate(full=True)
    assert with_objects(stream, table.to_pylist()) == as_rows(stream, expected)


@pytest.mark.parametrize("data_type", DATA_TYPES, ids=lambda each: each.name)
def test_a_schema_says_what_its_fields_are(tmp_path: Path, data_type: Any) -> None:
    schema = Archive(str(tmp_path)).schema(data_type.name)

    assert schema.names == [*data_type.schema["properties"]]
    for field in data_type.record_fields:
        found = schema.field(field.name)
        assert found.metadata == {b"description": field.description.encode()}
        assert found.nullable == field.nullable
        expected: Any = {
            Kind.TIME: pa.timestamp("us", "UTC"),
            Kind.INTEGER: pa.int64(),
            Kind.BOOLEAN: pa.bool_(),
            Kind.FLAGS: pa.list_(pa.string()),
        }
        assert found.type == expected.get(field.kind, pa.string())


def test_a_large_file_comes_in_batches_of_some_size(tmp_path: Path) -> None:
    count = 40_000
    tokens = [{"deviceId": f"d{number}", "token": "t"} for number in range(count)]
    (tmp_path / "a").write_text(json.dumps(tokens))
    with Archive(str(tmp_path)) as archive:
        (file,) = archive.files()
        sizes = [batch.num_rows for batch in archive.batches(file)]
    assert sum(sizes) == count
    assert 2 <= len(sizes) <= 4


def test_a_bad_record_raises_behind_those_before_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(LINES)
    with Archive(str(tmp_path)) as archive:
        (file,) = archive.files()
        for read in (archive.records, archive.batches):
            with pytest.raises(DataError) as caught:
                [*read(file)]
            assert caught.value.code is Code.BAD_RECORD
            assert caught.value.where["blob"] == "a"
            again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  (our own)
            assert (type(again), str(again)) == (DataError, str(caught.value))


def test_bad_records_go_to_a_callback(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(LINES)
    bad: list[BadRecord] = []
    with Archive(str(tmp_path)) as archive:
        (file,) = archive.files()
        records = [*archive.records(file, on_bad_record=bad.append)]
        (batch,) = archive.batches(file, on_bad_record=bad.append)
    assert [record["timestamp"][:10] for record in records] == ["2016-05-01", "2016-05-02"]
    assert batch["record_id"].to_pylist() == [record["record_id"] for record in records]
    assert bad[:1] == bad[1:]
    assert (bad[0].stream, bad[0].blob, bad[0].item["timestamp"]) == ("events", "a", "soon")
    assert LINES[bad[0].offset :].startswith(
        b'{"deviceId":"d","events":[{"name":"n","timestamp":"soon'
    )


@pytest.mark.parametrize(("label", "expected"), [(None, ""), ("", ""), (" shop ", "shop")])
def test_a_label_is_what_the_setting_would_be(
    tmp_path: Path, label: Any, expected: str
) -> None:
    (tmp_path / "a").write_bytes(LINES.partition(b"\n")[0])
    with Archive(str(tmp_path), app_name=label) as archive:
        (file,) = archive.files()
        (record,) = archive.records(file)
        (row,) = next(archive.batches(file)).to_pylist()
    assert record["app_name"] == row["app_name"] == expected


@pytest.mark.parametrize("option", [{"app_name": "\ud800"}, {"app_name": 1}, {"pattern": None}])
def test_options_that_no_setting_may_be_are_refused(tmp_path: Path, option: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        Archive(str(tmp_path), **option)
    assert caught.value.code is Code.BAD_SETTING


def test_what_can_be_read_of_a_damaged_file_comes_before_the_error(
    tmp_path: Path, elements_of: ElementsOf
) -> None:
    whole = array(elements_of("tokens") * 2_000)
    (tmp_path / "a").write_bytes(whole[: len(whole) // 2])
    with Archive(str(tmp_path)) as archive:
        (file,) = archive.files()
        rows: list[int] = []
        with pytest.raises(DataError) as caught:
            rows.extend(batch.num_rows for batch in archive.batches(file))
    assert caught.value.code is Code.BLOB_TRUNCATED
    assert sum(rows) > len(elements_of("tokens"))


def test_files_that_are_no_exports_have_no_records(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"[]")
    (tmp_path / "photo").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")
    with Archive(str(tmp_path)) as archive:
        empty, photo = sorted(archive.files(), key=lambda file: file.name)
        assert [*archive.records(empty)] == [*archive.batches(empty)] == []
        with pytest.raises(DataError) as caught:
            next(archive.records(photo))
    assert caught.value.code is Code.BLOB_UNRECOGNISED


def test_without_pyarrow_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "tap_mobile_engagement.output.arrow", raising=False)
    monkeypatch.delattr("tap_mobile_engagement.output.arrow", raising=False)
    with Archive(str(tmp_path)) as archive, pytest.raises(SettingsError) as caught:
        archive.schema("events")
    assert "pip install 'tap-mobile-engagement[parquet]'" in str(caught.value)


def test_pyarrow_is_not_imported_before_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(LINES.partition(b"\n")[0])
    script = (
        "import sys\nfrom tap_mobile_engagement.archive import Archive\n"
        "import tap_mobile_engagement.tap, tap_mobile_engagement.commands.inspect\n"
        "archive = Archive(sys.argv[1])\n"
        "assert [*archive.records(next(archive.files()))]\n"
        "print([name for name in sys.modules if name.startswith('pyarrow')])"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
