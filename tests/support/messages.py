"""Singer messages as a target sees them: parsed, sorted out, and upserted."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.datatypes import BY_NAME, LINEAGE, RECORD_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Record = dict[str, Any]

_NOT_OWN = {field.name for field in (*LINEAGE, RECORD_ID)}


@dataclass(frozen=True)
class Messages:
    """What a run wrote to standard output, in order.

    Attributes:
        all: Every message, as it came.
    """

    all: tuple[dict[str, Any], ...] = ()

    @classmethod
    def parse(cls, output: bytes) -> Messages:
        """Read an output that must consist of whole lines, each of them a message."""
        assert not output or output.endswith(b"\n"), f"half a line: {output[-100:]!r}"
        return cls(tuple(json.loads(line) for line in output.splitlines()))

    def __add__(self, later: Messages) -> Messages:
        """The messages of this run, and behind them those of a later one."""
        return Messages(self.all + later.all)

    def of_type(self, kind: str, stream: str | None = None) -> list[dict[str, Any]]:
        """The messages of one type, and of one stream if it is named."""
        return [
            message
            for message in self.all
            if message["type"] == kind and stream in (None, message.get("stream"))
        ]

    def records(self, stream: str) -> list[Record]:
        """Every record of a stream, as often as it came."""
        return [message["record"] for message in self.of_type("RECORD", stream)]

    def upserted(self, stream: str) -> list[Record]:
        """The rows that a target has in the end which upserts by the stream's primary key."""
        rows = {
            tuple(record[key] for key in BY_NAME[stream].keys): record
            for record in self.records(stream)
        }
        return [*rows.values()]

    @property
    def states(self) -> list[dict[str, Any]]:
        """The value of every STATE message."""
        return [message["value"] for message in self.of_type("STATE")]

    @property
    def state(self) -> dict[str, Any]:
        """What the last STATE message holds: the state for the next run."""
        return self.states[-1]


def partition(state: dict[str, Any], stream: str, app: str = "shop") -> dict[str, Any]:
    """The state of one stream and app; empty where there is none."""
    partitions = state.get("bookmarks", {}).get(stream, {}).get("partitions", [])
    found: list[dict[str, Any]] = [
        each for each in partitions if each["context"] == {"app_name": app}
    ]
    assert len(found) <= 1, f"{stream} of {app} has several partitions: {found}"
    return found[0] if found else {}


def bookmark(state: dict[str, Any], stream: str, app: str = "shop") -> str | None:
    """The bookmark of one stream and app; None where there is none."""
    return partition(state, stream, app).get("replication_key_value")


def own_fields(records: Iterable[Record]) -> Iterator[Record]:
    """Records without lineage and record id: what the service itself said of them."""
    for record in records:
        yield {name: value for name, value in record.items() if name not in _NOT_OWN}


def assert_same(records: Iterable[Record], truth: Iterable[Record]) -> None:
    """The records are exactly those of the truth, each as often as there, in any order."""
    found, expected = _counted(records), _counted(truth)
    missing, unknown = expected - found, found - expected
    assert not missing, _some("missing", missing)
    assert not unknown, _some("not in the truth", unknown)


def assert_contains(records: Iterable[Record], truth: Iterable[Record]) -> None:
    """The truth is among the records."""
    missing = _counted(truth) - _counted(records)
    assert not missing, _some("missing", missing)


def _counted(records: Iterable[Record]) -> Counter[str]:
    return Counter(json.dumps(record, sort_keys=True) for record in records)


def _some(what: str, records: Counter[str]) -> str:
    return f"{records.total()} records {what}, such as: {[*records][:3]}"
