"""Characters that no target can take are replaced, and a warning says where and how often."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tests.support.simulated import sync

if TYPE_CHECKING:
    from pathlib import Path

EVENT = '{"deviceId":"d","events":[{"name":"%s","timestamp":"2016-05-01T00:00:00Z"}]}'
FILES = {
    "an escaped NUL": EVENT.encode() % rb"a\u0000b",
    "a raw NUL": EVENT.encode() % b"a\0b",
    "half an emoji": EVENT.encode() % rb"a\ud83db",
    "Latin-1": EVENT.encode() % b"a\xe9b",
    "a NUL in CSV": b"deviceId,name,timestamp,events\nd,a\0b,2016-05-01T00:00:00Z,\n",
}


@pytest.mark.parametrize("kind", FILES)
def test_what_was_replaced_is_said_with_the_files_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    content = FILES[kind]
    good = EVENT.encode() % b"good"
    file = content if kind.endswith("CSV") else b"[%b,%b,%b]" % (content, good, content)
    count = 1 if kind.endswith("CSV") else 2
    (tmp_path / "x").write_bytes(file)
    said = [{"pattern": "**", "data_type": "events"}]
    settings = {"source": "archive", "container_url": tmp_path.as_uri(), "archive_types": said}

    with caplog.at_level(logging.WARNING):
        records = sync(settings).checked().records("events")

    assert {record["name"] for record in records} <= {"good", "a\ufffdb"}
    assert len(records) == (1 if count == 1 else 3)
    warnings = [r.getMessage() for r in caplog.records if "no target can take" in r.msg]
    assert warnings == [f"Replaced characters that no target can take in {count} elements of x"]
