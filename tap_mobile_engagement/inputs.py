"""What a user hands over: configuration, catalog and state, as files and in the environment."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click
import msgspec
from msgspec import Struct
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.helpers._util import load_json

from tap_mobile_engagement.datatypes import DATA_TYPES, LISTED_TYPES
from tap_mobile_engagement.errors import Code, DataError, SettingsError, TapError
from tap_mobile_engagement.settings import ALL_SETTINGS
from tap_mobile_engagement.state import TaskEntry, Window, instant

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

log = logging.getLogger("tap-mobile-engagement")

_MOST_BYTES = 100_000_000  # of a file; a device may never end


class Input(NamedTuple):
    """A kind of file that a user hands over: what it is called, and how it is refused."""

    kind: str
    error: type[TapError]
    code: Code
    advice: str

    def bad(self, what: str) -> TapError:
        """The error for one that is none of this tap's."""
        return self.error(self.code, what, next_step=self.advice)

    def read(self, path: str) -> dict[str, Any]:
        """Read a JSON object from a file, or raise the error; an empty state is no state."""
        named = f"the {self.kind} file {path}"
        try:
            with click.open_file(path, "rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except (OSError, RuntimeError, ValueError) as error:  # no stdin; a path with U+0000
            reason = getattr(error, "strerror", None) or error
            raise self.bad(f"{named} can't be read: {reason}") from None
        if len(content) > _MOST_BYTES:
            raise self.bad(f"{named} has more than {_MOST_BYTES} bytes")
        try:
            text = content.decode("utf-8-sig")
            value = {} if self is STATE and not text.strip() else load_json(text)
            if self is not CONFIG:  # (whose settings are checked one by one)
                msgspec.json.encode(value)  # or ValueError: half of a character
        except (ValueError, RecursionError) as error:  # also of text that is not UTF-8
            raise self.bad(f"{named} holds no JSON in UTF-8: {error}") from None
        if not isinstance(value, dict):
            raise self.bad(f"{named} holds no JSON object")
        return value


_EXAMPLE = 'Write it like this: {"source": "archive", "container_url": "file:///data"}'
_DISCOVER = "Make one with: tap-mobile-engagement --discover > catalog.json"
_LAST = "Take the value of an earlier run's last STATE message; to begin anew give no state"
CONFIG = Input("configuration", SettingsError, Code.BAD_SETTING, _EXAMPLE)
CATALOG = Input("catalog", SettingsError, Code.BAD_CATALOG, _DISCOVER)
STATE = Input("state", DataError, Code.BAD_STATE, _LAST)

_BOOLEANS = dict.fromkeys(("true", "1", "yes", "on"), True)
_BOOLEANS |= dict.fromkeys(("false", "0", "no", "off"), False)
_READERS: dict[str, Callable[[str], Any]] = {
    "boolean": lambda text: _BOOLEANS[text.strip().lower()],
    "integer": int,
    "array": load_json,
    "object": load_json,
}


def read_environment(prefix: str) -> dict[str, Any]:
    """Settings from variables and a ``.env`` file; what fits no setting stays a text."""
    parse_environment_config({}, prefix)  # brings what is in ``.env`` into the environment
    values: dict[str, Any] = {}
    for variable, text in os.environ.items():
        name = variable.removeprefix(prefix).lower()
        # Meltano's own settings of a plugin begin with one more underscore.
        is_ours = variable.startswith(prefix) and not name.startswith("_")
        if is_ours and name != "loglevel" and text:
            values[name] = text
            with suppress(KeyError, ValueError, RecursionError):
                values[name] = _READERS[ALL_SETTINGS[name].kind](text)
    return values


def warn_of_unknown(names: Iterable[str], known: Collection[str], kind: str) -> None:
    """Warn of each name that is not known, with the nearest one that is."""
    for name in names:
        if name not in known:
            near = get_close_matches(name.lower(), known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            log.warning("There is no %s %s: it counts for nothing%s", kind, name, hint)


_MOST_CONTAINERS = 1_000_000  # of one data type and app in one run
_STREAMS = {data_type.name: data_type for data_type in (*DATA_TYPES, *LISTED_TYPES)}


class _Bookmark(Struct):
    context: dict[str, str] | None = None  # of a partition alone
    replication_key: Literal["exported_until"] | None = None
    replication_key_value: str | None = None
    date_range: Window | None = None
    tasks: list[TaskEntry] | None = None
    empty_range: Window | None = None
    read_containers: list[tuple[str, int, int]] | None = None
    archive: dict[str, Any] | None = None
    progress_markers: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.replication_key_value is not None:
            instant(self.replication_key_value)  # or BAD_STATE
        ranges = self.read_containers or ()
        if any(not 0 < first <= last <= _MOST_CONTAINERS for _, first, last in ranges):
            raise ValueError("read_containers that no run can have made")


class _Stream(_Bookmark):
    partitions: list[_Bookmark] = []

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(each.context is None for each in self.partitions):
            raise ValueError("a partition without context")
        contexts = [tuple(sorted((each.context or {}).items())) for each in self.partitions]
        if len({*contexts}) < len(contexts):
            raise ValueError("two partitions with the same context")


class _State(Struct):
    bookmarks: dict[str, _Stream]


def checked_state(state: dict[str, Any], source: str) -> dict[str, Any]:
    """A state of this tap, also out of a whole STATE message; anything else is BAD_STATE."""
    if state.get("type") == "STATE" and "value" in state:
        log.warning("The state is a whole STATE message: its value is taken")
        state = state["value"]
    if state == {}:
        return {}
    try:
        read = msgspec.convert(state, _State)
    except ValueError as error:  # also of text that is no Unicode
        raise STATE.bad(f"the state is none of this tap: {error}") from None
    for name, stream in read.bookmarks.items():
        if name not in _STREAMS:
            raise STATE.bad(f"the state is none of this tap: it has no stream {name!r}")
        # (no app would find it; what a run over an archive left is no bookmark of the API)
        if source == "api" and stream.replication_key_value and stream.archive is None:
            raise STATE.bad(f"the bookmark of {name} is in no partition, so no app has it")
    return state


class _Metadata(Struct, rename="kebab"):
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
        known = _STREAMS.get(self.tap_stream_id)
        if known and not {*(self.key_properties or ())} <= {*known.schema["properties"]}:
            raise ValueError("key_properties that are no fields of the stream")


class _Catalog(Struct):
    streams: list[_Entry]


def check_catalog(catalog: Mapping[str, Any]) -> None:
    """Check a catalog, or raise ``BAD_CATALOG``; warn of a stream that does not exist."""
    try:
        read = msgspec.convert(catalog, _Catalog)
    except ValueError as error:  # also of text that is no Unicode
        raise CATALOG.bad(f"the catalog has a wrong form: {error}") from None
    names = [entry.tap_stream_id for entry in read.streams]
    if not {*names} & _STREAMS.keys():
        raise CATALOG.bad("the catalog has none of this tap's streams")
    warn_of_unknown(names, _STREAMS, "stream")
