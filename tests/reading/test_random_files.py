"""The same records and the same bad records, however a file is read.

In one block or in many, by the shape of its elements or item by item, as lines or as the
dictionaries that the SDK gets. Seeded; 3,000 files by default, RANDOM_FILES=100000 for more.
"""

from __future__ import annotations

import json
import os
from contextlib import redirect_stdout
from io import BytesIO, TextIOWrapper
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import pytest

from tap_mobile_engagement.errors import DataError
from tap_mobile_engagement.output.lines import MessageWriter, RecordOutput
from tap_mobile_engagement.reading import records as records_module
from tap_mobile_engagement.reading.records import RecordReader
from tests.reading.random_files import Maker
from tests.support.records import Rejected, origin

if TYPE_CHECKING:
    from tap_mobile_engagement.datatypes import DataType

FILES = int(os.environ.get("RANDOM_FILES", "3000"))
PARTS = 20


class Outcome(NamedTuple):
    """What comes of a file: records, bad records, repaired elements, the error that ends it."""

    records: list[dict[str, Any]]
    rejected: list[tuple[str, str]]
    repaired: int
    error: str


def read(
    data_type: DataType,
    content: bytes,
    *,
    block_size: int = 1 << 16,
    chunk_size: int = 1 << 16,
    by_item: bool = False,
    as_lines: bool = False,
    most_shared: int = 8 << 20,
) -> Outcome:
    rejected = Rejected()
    reader = RecordReader(data_type, rejected, block_size=block_size)
    if by_item:
        reader._shaped.columns = lambda _: None  # type: ignore[method-assign,assignment]
    chunks = (content[at : at + chunk_size] for at in range(0, len(content), chunk_size))
    found: list[dict[str, Any]] = []
    error = ""
    try:
        with patch.object(records_module, "_MOST_SHARED", most_shared):
            for batch in reader.batches(origin(data_type.name), chunks):
                found += lines_of(data_type, batch) if as_lines else batch.dictionaries()
    except DataError as failure:
        error = failure.code
    bad = [(reason, repr(item)) for reason, item in rejected.found]
    return Outcome(found, bad, reader.repaired, error)


def lines_of(data_type: DataType, batch: Any) -> list[dict[str, Any]]:
    writer = MessageWriter()
    output = RecordOutput(data_type.name, None, writer=writer, write_record=print)
    out = TextIOWrapper(BytesIO())
    with redirect_stdout(out):
        output.write(batch)
        writer.flush()
    return [json.loads(line)["record"] for line in out.buffer.getvalue().splitlines()]


@pytest.mark.parametrize("part", range(PARTS))
def test_a_file_gives_the_same_however_it_is_read(part: int) -> None:
    records = rejected = 0
    for seed in range(part, FILES, PARTS):
        maker = Maker(seed)
        content = maker.content()
        data_type = maker.data_type
        usual = read(data_type, content)

        assert read(data_type, content, block_size=300, chunk_size=77) == usual, seed
        assert read(data_type, content, block_size=5000, chunk_size=1) == usual, seed
        assert read(data_type, content, by_item=True, most_shared=500) == usual, seed
        assert read(data_type, content, most_shared=100) == usual, seed
        as_lines = read(data_type, content, as_lines=True)
        dumped = [json.loads(json.dumps(record, default=float)) for record in usual.records]
        assert as_lines._replace(records=[]) == usual._replace(records=[]), seed
        assert as_lines.records == dumped, seed
        for record in usual.records:
            assert all(record[key] is not None for key in data_type.keys), seed
        records += len(usual.records)
        rejected += len(usual.rejected)
    assert records > FILES / PARTS
    assert rejected > 0
