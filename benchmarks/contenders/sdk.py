"""Reads JSON lines with a stream of the Singer SDK, as its documentation shows it.

    python sdk.py FILE [--fast]

``--fast`` takes the SDK's fastest configuration: msgspec decodes and writes, and records are
not made to conform to the schema.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from singer_sdk import Stream, Tap
from singer_sdk import typing as th
from singer_sdk.contrib.msgspec import MsgSpecWriter

if TYPE_CHECKING:
    from collections.abc import Iterable

FAST = "--fast" in sys.argv


class Events(Stream):
    """The events of a file of JSON lines."""

    name = "events"
    schema: ClassVar[dict[str, Any]] = th.PropertiesList(
        th.Property("device_id", th.StringType),
        th.Property("session_id", th.StringType),
        th.Property("name", th.StringType, required=True),
        th.Property("timestamp", th.DateTimeType, required=True),
        th.Property("info_id", th.StringType),
        th.Property("location_id", th.StringType),
        th.Property("extras", th.ObjectType(additional_properties=True)),
    ).to_dict()

    def get_records(self, context: Any) -> Iterable[dict[str, Any]]:
        """One record per line."""
        del context
        decode = msgspec.json.Decoder().decode if FAST else json.loads
        with Path(sys.argv[1]).open("rb") as lines:
            for line in lines:
                yield decode(line)


class BenchTap(Tap):
    """A tap with that stream alone."""

    name = "bench"
    config_jsonschema: ClassVar[dict[str, Any]] = th.PropertiesList().to_dict()

    def discover_streams(self) -> list[Stream]:
        """That stream."""
        return [Events(self)]


if FAST:
    Events.TYPE_CONFORMANCE_LEVEL = Stream.TYPE_CONFORMANCE_LEVEL.NONE
    BenchTap.message_writer_class = MsgSpecWriter

if __name__ == "__main__":
    BenchTap(config={}).sync_all()
