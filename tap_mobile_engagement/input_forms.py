"""The forms of a state and of a catalog, and what is none of this tap's."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from tap_mobile_engagement.datatypes import DATA_TYPES, LISTED_TYPES
from tap_mobile_engagement.inputs import bad_catalog, bad_state, unknown_names

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("tap-mobile-engagement")

_STREAMS = {data_type.name: data_type for data_type in (*DATA_TYPES, *LISTED_TYPES)}


class _DateRange(Struct):
    start: date
    end: date


class _Task(Struct):
    id: Annotated[str, Meta(pattern=r"^[\w-]+$")]
    created: Annotated[datetime, Meta(tz=True)]
    start: date | None = None
    end: date | None = None
    campaign_type: str | None = None
    container: str | None = None

    def __post_init__(self) -> None:
        if (self.start is None) != (self.end is None):
            raise ValueError("half a date range")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("an empty date range")


class _Bookmark(Struct):
    """What is kept of a partition, or of a stream without partitions."""

    replication_key: Literal["exported_until"] | None = None
    replication_key_value: str | None = None
    date_range: _DateRange | None = None
    tasks: list[_Task] | None = None
    archive: dict[str, Any] | None = None
    progress_markers: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.replication_key_value is not None:
            try:
                datetime.fromisoformat(self.replication_key_value).astimezone(UTC)
            except (ValueError, OverflowError):
                raise ValueError("a replication_key_value that is no date-time") from None


class _Partition(_Bookmark, kw_only=True):
    context: dict[str, str]


class _Stream(_Bookmark):
    partitions: list[_Partition] = []

    def __post_init__(self) -> None:
        super().__post_init__()
        contexts = [tuple(sorted(each.context.items())) for each in self.partitions]
        if len({*contexts}) < len(contexts):
            raise ValueError("two partitions with the same context")


class _State(Struct):
    bookmarks: dict[str, _Stream]


def checked_state(state: dict[str, Any]) -> dict[str, Any]:
    """A state as an earlier run of this tap left it.

    Args:
        state: The state, or a whole STATE message, whose value is taken; empty for none.

    Raises:
        DataError: ``BAD_STATE`` for anything else.
    """
    if state.get("type") == "STATE" and "value" in state:
        log.warning("The state is a whole STATE message: its value is taken")
        state = state["value"]
        if not isinstance(state, dict):
            raise bad_state("the state is a STATE message without a state as its value")
    if not state:
        return {}
    try:
        read = msgspec.convert(state, _State)
    except msgspec.ValidationError as error:
        raise bad_state(f"the state is none of this tap: {error}") from None
    for name in read.bookmarks:
        if name not in _STREAMS:
            raise bad_state(f"the state is none of this tap: it has no stream {name!r}")
    return state


def check_place_of_state(state: Mapping[str, Any], source: str) -> None:
    """Check that bookmarks are where the source looks for them, and so are not overlooked.

    Raises:
        DataError: ``BAD_STATE`` where a bookmark for the API is in no partition.
    """
    for name, stream in state["bookmarks"].items():
        # (what a run over an archive left is no bookmark of the API)
        if source == "api" and stream.get("replication_key_value") and "archive" not in stream:
            raise bad_state(f"the bookmark of {name} is in no partition, so no app has it")


class _Metadata(Struct, rename="kebab"):
    """The metadata of a stream or of a field."""

    selected: bool | None = None
    selected_by_default: bool | None = None
    inclusion: Literal["available", "automatic", "unsupported"] | None = None
    table_key_properties: list[str] | None = None
    replication_key: Literal["exported_until"] | None = None
    forced_replication_method: Literal["FULL_TABLE", "INCREMENTAL"] | None = None


class _Breadcrumb(Struct):
    breadcrumb: list[str]
    metadata: _Metadata


class _Schema(Struct):
    properties: dict[str, dict[str, Any]] = {}


class _Entry(Struct):
    tap_stream_id: str
    schema: _Schema
    stream: str | None = None
    key_properties: list[str] | None = None
    replication_key: Literal["exported_until"] | None = None
    replication_method: Literal["FULL_TABLE", "INCREMENTAL"] | None = None
    metadata: list[_Breadcrumb] = []

    def __post_init__(self) -> None:
        if self.stream not in {None, self.tap_stream_id}:
            raise ValueError("two names for a stream")
        fields = _STREAMS[self.tap_stream_id].schema["properties"] if self.is_ours else {}
        if self.is_ours and not {*(self.key_properties or ())} <= {*fields}:
            raise ValueError("key_properties that are no fields of the stream")

    @property
    def is_ours(self) -> bool:
        return self.tap_stream_id in _STREAMS


class _Catalog(Struct):
    streams: list[_Entry]


def check_catalog(catalog: Mapping[str, Any]) -> None:
    """Check a catalog; a stream that does not exist gets a warning.

    Raises:
        SettingsError: ``BAD_CATALOG`` if it has the wrong form, or none of the tap's streams.
    """
    try:
        read = msgspec.convert(catalog, _Catalog)
    except msgspec.ValidationError as error:
        raise bad_catalog(f"the catalog has a wrong form: {error}") from None
    names = [entry.tap_stream_id for entry in read.streams]
    if not {*names} & _STREAMS.keys():
        raise bad_catalog("the catalog has none of this tap's streams")
    for warning in unknown_names(names, _STREAMS, "stream"):
        log.warning("%s", warning)
