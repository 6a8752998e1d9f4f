"""Both paths to the output write the same messages, but for the time of extraction."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stdout
from functools import cache, partial
from io import BytesIO, TextIOWrapper
from typing import TYPE_CHECKING

import pytest
from singer_sdk.singerlib import RecordMessage

from tap_mobile_engagement.datatypes import BY_NAME, DATA_TYPES
from tap_mobile_engagement.output.lines import MessageWriter, RecordOutput, write_singly
from tap_mobile_engagement.reading.batch import Origin
from tap_mobile_engagement.reading.content import contents
from tap_mobile_engagement.reading.cutting import Block
from tap_mobile_engagement.reading.decoding import ShapedReader
from tap_mobile_engagement.reading.recognise import cut
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.reading.rejects import BadRecords
from tap_mobile_engagement.simulator import Options, Simulator

if TYPE_CHECKING:
    from pathlib import Path

Export = Callable[[str, Options], bytes]
STREAMS = [data_type.name for data_type in DATA_TYPES]
TIME = re.compile(rb',"time_extracted":"[^"]*"')


def emit(
    name: str,
    content: bytes,
    path: str,
    *,
    version: int | None = None,
    selected: list[str] | None = None,
) -> list[bytes]:
    """The messages that a path writes for a file, without the time of extraction."""
    writer = MessageWriter()
    out = TextIOWrapper(BytesIO())

    def write(record: dict[str, object]) -> None:
        writer.write_message(RecordMessage(stream=name, record=record, version=version))

    data_type = BY_NAME[name]
    output = RecordOutput(name, version, writer=writer, write_record=write)
    origin = Origin(data_type, "shop", f"{name} “1”.json", "2016-05-08T00:00:00Z")
    reader = RecordReader(data_type, BadRecords(name, skip=True, most=1000))
    if path == "item by item":
        # Shapes that are never learned, and fit nothing.
        reader._shaped.decode = lambda _: None  # type: ignore[method-assign,assignment]
        reader._shaped.lessons = 1 << 60
    fields = selected or [field.name for field in data_type.record_fields]
    write_batch = output.write
    if path == "sdk":
        write_batch = partial(write_singly, output.write_record, fields)
    count = 0
    with redirect_stdout(out):
        for batch in reader.batches(origin, [content]):
            write_batch(batch)
            count += batch.count
        writer.flush()
    lines = TIME.sub(b"", out.buffer.getvalue()).split(b"\n")
    assert count == len(lines) - 1
    return lines


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Export]:
    """Gives the content of a file that the service would write; makes each one only once."""
    folder: Path = tmp_path_factory.mktemp("exports")
    with ExitStack() as running:

        @cache
        def simulator(options: Options) -> Simulator:
            simulator = Simulator(options)
            running.callback(simulator.stop)
            return simulator

        @cache
        def export(name: str, options: Options) -> bytes:
            (written,) = simulator(options).write_export("shop", name, folder.as_uri())
            return (folder / written).read_bytes()

        yield export


OPTIONS = {
    "as documented": Options(devices=20),
    "no ids": Options(devices=20, no_id="mixed"),
    "repeats": Options(devices=20, repeats=0.3),
    "seconds": Options(devices=20, time_digits=0),
    "nanoseconds": Options(devices=20, time_digits=9),
    "without zone": Options(devices=20, time_format="no_zone"),
    "milliseconds": Options(devices=20, time_format="epoch_ms"),
    "extra fields": Options(devices=20, extra_fields=True),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_all_paths_write_the_same(name: str, options: Options, exported: Export) -> None:
    content = exported(name, options)

    by_sdk = emit(name, content, "sdk", version=7)

    assert len(by_sdk) > 1
    assert emit(name, content, "lines", version=7) == by_sdk
    assert emit(name, content, "item by item", version=7) == by_sdk


@pytest.mark.parametrize("name", STREAMS)
def test_a_choice_of_fields_leaves_all_else_as_it_is(name: str, exported: Export) -> None:
    content = exported(name, OPTIONS["as documented"])
    keys = {*BY_NAME[name].keys, "blob_name"}
    fields = [field.name for field in BY_NAME[name].record_fields]
    selected = [name for at, name in enumerate(fields) if name in keys or at % 2]

    lines = emit(name, content, "sdk", selected=selected)

    assert [*json.loads(lines[0])["record"]] == selected
    for line, whole in zip(lines[:-1], emit(name, content, "lines")[:-1], strict=True):
        record = json.loads(whole)["record"]
        assert json.loads(line)["record"] == {field: record[field] for field in selected}


@pytest.mark.parametrize("name", [name for name in STREAMS if name != "devices"])
def test_documented_files_are_read_by_types(name: str, exported: Export) -> None:
    content = exported(name, OPTIONS["as documented"])
    reader = ShapedReader(BY_NAME[name])

    for each in contents([content]):
        for block in cut(each, reader.decode):
            assert isinstance(block, Block)
            # The first block is the only lesson, and each one behind it was decoded once.
            assert block.decoded is not None or (not reader.lessons and reader.learns(block))
            assert reader.columns(block)


ODD_EVENTS = {
    "unknown field": {"name": "a", "timestamp": "2016-05-01T00:00:00Z", "more": [1]},
    "zero fraction": {"name": "a", "timestamp": "2016-05-01T00:00:00.120000Z"},
    "offset": {"name": "a", "timestamp": "2016-05-01T00:00:00+02:00"},
    "date": {"name": "a", "timestamp": "2016-05-01"},
    "impossible time": {"name": "a", "timestamp": "2016-13-01T00:00:00Z"},
    "no name": {"timestamp": "2016-05-01T00:00:00Z"},
    "other type": {"name": 7, "timestamp": "2016-05-01T00:00:00Z"},
    "zero id": {"name": "a", "timestamp": "2016-05-01T00:00:00Z", "infoId": "0" * 32},
    "unsorted extras": {
        "name": "a",
        "timestamp": "2016-05-01T00:00:00Z",
        "extras": {"b": {"z": 1, "y": [{"d": 1.50, "c": 2**70}]}, "a": "\u2028é"},
    },
    "empty extras": {"name": "a", "timestamp": "2016-05-01T00:00:00Z", "extras": {}},
    "extras as text": {"name": "a", "timestamp": "2016-05-01T00:00:00Z", "extras": '{"a":1}'},
}


@pytest.mark.parametrize("event", ODD_EVENTS.values(), ids=ODD_EVENTS.keys())
def test_an_odd_item_comes_out_the_same_among_its_neighbours(event: dict[str, object]) -> None:
    plain = {"name": "b", "timestamp": "2016-05-01T00:00:01Z"}
    content = json.dumps([{"deviceId": "d", "events": [plain, event, plain]}]).encode()

    lines = emit("events", content, "lines")

    assert lines == emit("events", content, "sdk")
    assert lines == emit("events", content, "item by item")
    ids = {json.loads(line)["record"]["record_id"] for line in lines[:-1]}
    assert len(ids) == len(lines) - 1
