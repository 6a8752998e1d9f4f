"""What the Singer specification asks of a whole run, in one place, message by message.

This is what tools such as singer-check-tap look at and more: besides the shape of each message
and the fit of each record to its schema, the order of messages and what a STATE may claim.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import jsonschema

from tests.support.batches import lines_of, unpacked

if TYPE_CHECKING:
    from tests.support.messages import Messages

# Of each message the keys that it has, and those that it may have.
SHAPES: dict[str, tuple[set[str], set[str]]] = {
    "SCHEMA": ({"type", "stream", "schema", "key_properties"}, {"bookmark_properties"}),
    "RECORD": ({"type", "stream", "record"}, {"time_extracted", "version"}),
    "STATE": ({"type", "value"}, set()),
    "ACTIVATE_VERSION": ({"type", "stream", "version"}, set()),
    "BATCH": ({"type", "stream", "encoding", "manifest"}, set()),
}
_ARCHIVE = "(no partition)"


@dataclass
class _Stream:
    """What was said of a stream so far."""

    validator: jsonschema.Draft7Validator
    keys: list[str]
    incremental: bool
    version: int | None = None
    retired: bool = False
    bookmarks: dict[str, str] = field(default_factory=dict)


def check(messages: Messages) -> dict[str, int]:
    """Hold a run's messages, from its first to its last, against the conventions.

    The records of BATCH files count as records in the place of the message that names them.

    Returns:
        How many records of each stream fit their schema.

    Raises:
        AssertionError: At the first message that does not keep to them.
    """
    _check_batches(messages)
    streams: dict[str, _Stream] = {}
    counts: dict[str, int] = {}
    unclaimed: set[str] = set()
    for message in unpacked(messages).all:
        kind = message["type"]
        required, optional = SHAPES[kind]
        assert required <= message.keys() <= required | optional, message
        if kind == "STATE":
            _check_state(message["value"], streams)
            unclaimed.clear()
            continue
        name = message["stream"]
        if kind == "SCHEMA":
            assert name not in streams, f"a second SCHEMA of {name}"
            streams[name] = _stream(message)
            continue
        assert name in streams, f"{kind} before the SCHEMA of {name}"
        stream = streams[name]
        assert not stream.retired, f"{kind} behind the ACTIVATE_VERSION of {name}"
        if kind == "ACTIVATE_VERSION":
            assert stream.version in (None, message["version"])
            stream.retired = True
        else:
            _check_record(message, stream)
            counts[name] = counts.get(name, 0) + 1
            if stream.incremental:
                unclaimed.add(name)
    assert not unclaimed, f"no STATE behind the records of {unclaimed}"
    return counts


def _stream(message: dict[str, Any]) -> _Stream:
    schema = message["schema"]
    jsonschema.Draft7Validator.check_schema(schema)
    assert message["key_properties"], "no key"
    named = {*message["key_properties"], *message.get("bookmark_properties", [])}
    assert named <= schema["properties"].keys(), message
    for name in message["key_properties"]:
        assert "null" not in schema["properties"][name]["type"], f"{name} may be null"
    strict = {**schema, "additionalProperties": False}
    validator = jsonschema.Draft7Validator(strict, format_checker=jsonschema.FormatChecker())
    return _Stream(validator, message["key_properties"], "bookmark_properties" in message)


def _check_record(message: dict[str, Any], stream: _Stream) -> None:
    record = message["record"]
    error = next(stream.validator.iter_errors(record), None)
    assert error is None, f"{message['stream']}: {error}"
    assert all(record[key] is not None for key in stream.keys), message
    if "time_extracted" in message:
        assert datetime.fromisoformat(message["time_extracted"]).tzinfo is not None
    version = message.get("version")
    assert stream.version in (None, version), "a version that changes"
    stream.version = version
    claimed = stream.bookmarks.get(record["app_name"])
    assert claimed is None or claimed < record["exported_until"], (
        f"a STATE claimed {claimed} before this came: {message}"
    )
    # Files of an archive may arrive at the very same time.
    claimed = stream.bookmarks.get(_ARCHIVE)
    assert claimed is None or claimed <= record["exported_until"], (
        f"a STATE claimed {claimed} before this came: {message}"
    )


def _check_state(value: dict[str, Any], streams: dict[str, _Stream]) -> None:
    """A state holds bookmarks that only grow, and none of a stream that has not begun."""
    assert value.keys() == {"bookmarks"}
    for name, entry in value["bookmarks"].items():
        found = {
            each["context"]["app_name"]: each.get("replication_key_value")
            for each in entry.get("partitions", [])
        }
        found[_ARCHIVE] = entry.get("replication_key_value")
        for app, bookmark in found.items():
            if bookmark is None:
                continue
            assert name in streams, f"a bookmark before the SCHEMA of {name}"
            claimed = streams[name].bookmarks
            assert claimed.get(app, "") <= bookmark, f"the bookmark of {name} went back"
            claimed[app] = bookmark


def _check_batches(messages: Messages) -> None:
    """Each file is named once, is there, is what its name says, and is not empty."""
    named: set[str] = set()
    for message in messages.of_type("BATCH"):
        assert message["encoding"].keys() == {"format", "compression"}
        for url in message["manifest"]:
            assert url not in named, f"{url} is named twice"
            named.add(url)
            packed = message["encoding"]["compression"] == "gzip"
            assert url.endswith(".jsonl.gz" if packed else ".jsonl")
            assert lines_of(url), f"{url} is empty"
