"""Records of files and of elements, as the streams read them, without a run of the tap."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.datatypes import BY_NAME, LINEAGE
from tap_mobile_engagement.reading import recognise as recognition
from tap_mobile_engagement.reading.batch import Origin
from tap_mobile_engagement.reading.content import contents, open_content
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.reading.rejects import BadRecords

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.recognise import Recognition

Record = dict[str, Any]


class Rejected(BadRecords):
    """Collects bad records, as reason and item."""

    def __init__(self) -> None:
        super().__init__("test", skip=True, most=1 << 60)
        self.found: list[tuple[str, Any]] = []

    def reject(self, reason: str, item: Any, *, blob: str | None, offset: int) -> None:
        del blob, offset
        self.count += 1
        self.found.append((reason, item))


def recognise_all(chunks: Iterable[bytes]) -> Iterator[Recognition]:
    """What each content of a file holds."""
    return (recognition.recognise(content) for content in contents(chunks))


def recognise(chunks: Iterable[bytes], data_type: DataType | None = None) -> Recognition:
    """What a file holds that is no zip file."""
    return recognition.recognise(open_content(chunks), data_type)


def origin(stream: str, app_name: str = "shop") -> Origin:
    return Origin(BY_NAME[stream], app_name, "a.json", "2016-05-08T00:00:00Z")


def read_file(
    stream: str, chunks: Iterable[bytes], rejected: Rejected | None = None, app: str = "shop"
) -> list[Record]:
    """All records of a file; one that can't be read fails the test if nobody asks for it."""
    bad = rejected or Rejected()
    reader = RecordReader(BY_NAME[stream], bad)
    batches = reader.batches(origin(stream, app), chunks)
    records = [record for batch in batches for record in batch.dictionaries()]
    assert rejected is not None or bad.found == []
    return records


def read_elements(
    stream: str, *elements: Any, rejected: Rejected | None = None
) -> list[Record]:
    """The records of elements: one by one, and as a file of them, which has to be the same."""
    bad = rejected or Rejected()
    reader = RecordReader(BY_NAME[stream], bad)
    batches = reader.batches_of_elements(origin(stream), elements)
    records = [record for batch in batches for record in batch.dictionaries()]
    by_file = Rejected()
    content = json.dumps(elements).encode()
    assert read_file(stream, [content], by_file) == records
    assert by_file.found == bad.found
    assert rejected is not None or bad.found == []
    return records


def own_values(records: Iterable[Record]) -> list[Record]:
    """Records without what the tap adds."""
    added = {field.name for field in LINEAGE} | {"record_id"}
    return [{k: v for k, v in record.items() if k not in added} for record in records]
