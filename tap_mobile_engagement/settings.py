"""Every setting once: type, default, check, words and example; docs are rendered from it."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import date
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from tap_mobile_engagement.clock import read_time
from tap_mobile_engagement.datatypes import BY_NAME, CAMPAIGN_TYPES, CampaignType, ExportFormat
from tap_mobile_engagement.errors import Code, SettingsError
from tap_mobile_engagement.redaction import register_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REMOVED = {
    "read_workers": "Use tap-mobile-engagement-to-parquet --workers, Spark or the library",
    "delete_blobs": "Use delete_task_containers, or a lifecycle rule of the storage account",
}
"""Settings of earlier versions, and what to use instead."""

_MOST = 1_000_000_000  # of anything that is counted; as minutes it still fits a time span
_MOST_SHOWN = 200  # characters of a wrong value
# The SDK reads a fraction as a Decimal; users write 7.5.
_DECIMAL = re.compile(r"Decimal\('([^']*)'\)")
# The path of a folder holds no secret, and messages name it.
_FOLDER = re.compile(r"\s*(file:.*|(?!\w\w+:)[^?=]*)", re.DOTALL)
# ARM resource names: what may stand in a URL path segment without being quoted.
_APP_NAME = re.compile(r"(?!\.\.?\Z)[\w.()-]{1,260}")
_REQUIRED = Meta(extra={"required": True})  # by ``source: api``
_SECRET = Meta(extra_json_schema={"secret": True, "writeOnly": True})


def _described(description: str, example: Any) -> Meta:
    return Meta(description=description, examples=[example])


class Setting:
    """One setting, as users see it; default and examples as a configuration file has them."""

    def __init__(self, name: str, hint: Any, default: Any) -> None:
        self.name = name
        self.required = _REQUIRED in hint.__metadata__
        is_known = not self.required and not isinstance(default, date)
        self.default = msgspec.json.decode(msgspec.json.encode(default)) if is_known else None
        self.schema = _schema_of(hint, self.default)
        self.kind: str = self.schema["type"][0]
        self.secret = "secret" in self.schema
        value = self.schema["examples"][0]
        is_text = isinstance(value, str)
        self.example = value if is_text else json.dumps(value, ensure_ascii=False)
        self._type = hint

    def wrong(self, reason: str, example: str = "") -> SettingsError:
        """The error that names the setting and shows a right value."""
        return SettingsError(
            Code.BAD_SETTING,
            f"the setting {self.name} {reason}",
            next_step=f"Write it like this: {self.name}: {example or self.example}",
        )

    def typed(self, value: Any) -> Any:
        """A configured value in the setting's type, or the error ``BAD_SETTING``."""
        if self.secret and isinstance(value, str) and not _FOLDER.fullmatch(value):
            register_secret(value.strip())
        try:
            tidied = _tidied(value)
            if self.schema.get("format") == "date" and isinstance(tidied, str | date):
                tidied = read_time(str(tidied)).date()
            typed = msgspec.convert(tidied, self._type, strict=self.kind != "number")
            if isinstance(typed, tuple):
                return tuple(dict.fromkeys(typed))
            return _CHECKS.get(self.name, str)(typed) if isinstance(typed, str) else typed
        except (LookupError, OverflowError, ValueError) as error:  # also msgspec's
            reason = str(error)
        if "enum" in self.schema:
            reason = f"expected one of {', '.join(filter(None, self.schema['enum']))}"
        # What is in an object may be secret: credentials of a storage, values for stream maps.
        if not self.secret and self.kind != "object":
            reason += ", not " + _DECIMAL.sub(r"\1", repr(value))[:_MOST_SHOWN]
        raise self.wrong(f"is wrong: {reason}")


def _tidied(value: Any) -> Any:
    """Remove white space around texts, and refuse characters that no target can hold."""
    match value:
        case str():
            if re.search("[\0\ud800-\udfff]", value):
                raise ValueError("it holds U+0000 or half of a character")
            return value.strip()
        case list() | tuple():
            return [_tidied(each) for each in value]
        case dict():
            return {name: _tidied(each) for name, each in value.items()}
    return value


def _schema_of(hint: Any, default: Any) -> dict[str, Any]:
    schema = msgspec.json.schema(hint)
    definitions = schema.pop("$defs", {})
    for part in (schema, schema.get("items", {})):
        referred = definitions.get(part.pop("$ref", "").rpartition("/")[2], {})
        alternative, *_ = part.pop("anyOf", [{}])  # the other one is null
        part |= {**referred, **alternative, **part}
    kind = schema.get("type", "string")
    # As text too: Meltano has no kind for fractions that survives its own JSON.
    schema["type"] = ["number", "string", "null"] if kind == "number" else [kind, "null"]
    if "enum" in schema:
        schema["enum"].append(None)
    return schema if default is None else {**schema, "default": default}


def _url(value: str) -> str:
    with suppress(ValueError):  # brackets that don't match, a port that is no number
        parts = urlsplit(value)
        is_base = parts.scheme in {"http", "https"} and not parts.query + parts.fragment
        if is_base and parts.hostname and parts.port != 0:
            return value.rstrip("/")
    raise ValueError("expected an http(s) URL without a query")


def _encoding(value: str) -> str:
    "".encode(value)  # or LookupError
    return value


_CHECKS = {"api_url": _url, "authority_url": _url, "archive_encoding": _encoding}
_Text = Annotated[str, Meta(min_length=1)]


class ArchiveType(Struct, frozen=True, forbid_unknown_fields=True):
    """What the files that match a pattern hold, where their content can't tell."""

    pattern: _Text
    data_type: Annotated[str, Meta(pattern=f"^({'|'.join(BY_NAME)})$")]


_Name = Annotated[str, Meta(pattern=r"^(?!\.\.?$)"), _REQUIRED]  # no step in a path
_Count = Annotated[int, Meta(ge=1, le=_MOST)]
_CountOrNone = Annotated[int, Meta(ge=0, le=_MOST)]
_Seconds = Annotated[float, Meta(gt=0, le=_MOST)]
_CampaignTypes = Annotated[tuple[CampaignType, ...], Meta(min_length=1)]
_FailOrSkip = Literal["fail", "skip"]
_Expressions = dict[str, str | list[str] | None]
_CONTAINER = "https://ACCOUNT.blob.core.windows.net/CONTAINER?sv=…&sp=rl&se=…&sig=…"
_GUID = "00000000-0000-0000-0000-000000000000"


# fmt: off
class Settings(Struct, frozen=True, kw_only=True):
    """A checked configuration; each attribute is the setting of that name."""

    source: Annotated[Literal["api", "archive"], _described(
        "`api` creates export tasks through the service's REST API; `archive` reads export "
        "files that are already there.", "archive")] = "api"
    container_url: Annotated[str | None, _SECRET, _described(
        "The container that holds the export files: an Azure container URL with its SAS, or "
        "without one where `azure-identity` is installed (then the identity of the environment "
        "is used); or a folder, as `file:///…` or as a path. Not needed for `api` with "
        "`storage_connection_string`.", _CONTAINER)] = None
    storage_connection_string: Annotated[str | None, _SECRET, _described(
        "Connection string of an Azure Storage account. With it each export task gets a "
        "container and a SAS of its own.",
        "DefaultEndpointsProtocol=https;AccountName=…;AccountKey=…")] = None
    task_container_url: Annotated[str | None, _SECRET, _described(
        "The container URL that is handed to the service, where it must differ from "
        "`container_url` (another SAS, another host name).",
        _CONTAINER.replace("sp=rl", "sp=wl"))] = None
    subscription_id: Annotated[_Name, _described("Azure subscription of the app.", _GUID)] = ""
    resource_group: Annotated[_Name, _described(
        "Azure resource group of the app.", "MobileEngagement")] = ""
    app_collection: Annotated[_Name, _described(
        "App collection that holds the apps.", "my-collection")] = ""
    app_names: Annotated[tuple[_Text, ...], _REQUIRED, _described(
        "Resource names of the apps; each has a state of its own. For `archive` at most one: "
        "the label for `app_name`, any text.", ["shop-android", "shop-ios"])] = ()
    tenant_id: Annotated[_Name, _described(
        "Azure AD tenant of the service principal.", "contoso.onmicrosoft.com")] = ""
    client_id: Annotated[str, _REQUIRED, _described(
        "Application id of the service principal.", _GUID)] = ""
    client_secret: Annotated[str, _REQUIRED, _SECRET, _described(
        "Secret of the service principal.", "…")] = ""
    api_url: Annotated[str, _described(
        "Base URL of the REST API.", "https://management.azure.com"
    )] = "https://management.azure.com"
    authority_url: Annotated[str, _described(
        "Base URL of the token endpoint.", "https://login.microsoftonline.com"
    )] = "https://login.microsoftonline.com"
    start_date: Annotated[date, _REQUIRED, _described(
        "First day to export (UTC).", "2016-05-01")] = date.min
    end_date: Annotated[date, _described(
        "First day that is *not* exported (UTC); by default today.", "2016-06-01")] = date.max
    window_days: Annotated[_Count, _described(
        "Number of days that one export task covers.", 7)] = 7
    lookback_days: Annotated[_CountOrNone, _described(
        "Number of days before the bookmark that are exported again for late data.", 3)] = 3
    campaign_types: Annotated[_CampaignTypes, _described(
        "Campaign types of the push feedback.", ["Announcement", "Poll"])] = CAMPAIGN_TYPES
    device_details: Annotated[bool, _described(
        "Whether to fetch technical data and location of each device: one request per device.",
        False)] = True
    export_format: Annotated[ExportFormat, _described(
        "The format to ask the service for.", "JsonBlob")] = "JsonBlob"
    max_concurrent_tasks: Annotated[_Count, _described(
        "Number of export tasks that may run at once, over all streams and apps.", 4)] = 4
    task_timeout_minutes: Annotated[_Count, _described(
        "An export task that is not finished by then has failed.", 1440)] = 1440
    poll_interval_seconds: Annotated[_Seconds, _described(
        "Pause before an export task is polled first; it grows from there.", 5)] = 5
    poll_max_interval_seconds: Annotated[_Seconds, _described(
        "Longest pause between two polls of an export task; `Retry-After` wins.", 300)] = 300
    bad_records: Annotated[_FailOrSkip, _described(
        "What a record that can't be read or doesn't fit its schema does: `fail` fails the "
        "stream before its bookmark moves, `skip` continues without it.", "skip")] = "fail"
    dead_letter_path: Annotated[str | None, _described(
        "With `bad_records: skip`: a file (NDJSON) that gets every skipped record.",
        "bad-records.ndjson")] = None
    max_bad_records: Annotated[_CountOrNone, _described(
        "With `bad_records: skip`: more than this in one stream fails it.", 1000)] = 1000
    bad_files: Annotated[_FailOrSkip, _described(
        "For `archive`: what a file that is damaged or can't be had does: `fail` reads all "
        "other files, holds the bookmark and fails the stream, `skip` warns and continues.",
        "skip")] = "fail"
    unrecognised_files: Annotated[_FailOrSkip, _described(
        "For `archive`: what a sound file that is no export does.", "fail")] = "skip"
    no_files: Annotated[Literal["fail", "accept"], _described(
        "For `archive`: what it means that no file matches.", "accept")] = "fail"
    archive_pattern: Annotated[str, _described(
        "For `archive`: which files of the container to look at; `**` crosses folders.",
        "2017/**")] = "**"
    archive_types: Annotated[tuple[ArchiveType, ...], _described(
        "For `archive`: what files hold (a data type, by the name of its stream), where their "
        "content can't tell.",
        [{"pattern": "old/ev-*", "data_type": "events"}])] = ()
    archive_encoding: Annotated[str | None, _described(
        "For `archive`: encoding of text that is not UTF-8 or UTF-16.", "windows-1252")] = None
    timeline_path: Annotated[str | None, _described(
        "For `api`: a file that gets a picture (SVG) of the finished run, one bar per export "
        "task.", "timeline.svg")] = None
    delete_task_containers: Annotated[bool, _described(
        "With `storage_connection_string`: whether a task's own container is deleted, by the "
        "run after the one that read it, once the state has come back.", True)] = False


class SdkSettings(Struct, frozen=True, kw_only=True):
    """The SDK's settings; each attribute is the setting of that name."""

    emit_activate_version_messages: Annotated[bool, _described(
        "Whether a full-table stream retires the rows of the snapshot before, by an "
        "ACTIVATE_VERSION message behind the last record.", True)] = False
    stream_maps: Annotated[dict[str, _Expressions | str | None] | None, _described(
        "Mappings of streams and records, in the SDK's language.",
        {"events": {"extras": "__NULL__", "__filter__": "name != 'ping'"}})] = None
    stream_map_config: Annotated[dict[str, Any] | None, _described(
        "Values that stream maps may use, as `config`.", {"hash_seed": "…"})] = None
    faker_config: Annotated[dict[str, Any] | None, _described(
        "Seed and locale of the values that stream maps invent, as `fake` (extra `faker`).",
        {"seed": 7, "locale": "en_GB"})] = None
    flattening_enabled: Annotated[bool, _described(
        "Whether objects become columns, or JSON text at the greatest depth.", True)] = False
    flattening_max_depth: Annotated[Annotated[int, Meta(ge=0, le=100)] | None, _described(
        "Number of levels of objects that become columns.", 1)] = None
    flattening_max_key_length: Annotated[_Count, _described(
        "Greatest length of the name of such a column.", 60)] = 255
    flattening_separator: Annotated[str, _described(
        "What stands between the parts of such a name.", "_")] = "__"
    batch_config: Annotated[dict[str, Any] | None, _described(
        "Where and how records are written as files that the target reads, not as messages: "
        "`encoding` (JSON lines, `compression` `gzip` or `none`), `storage` (`root`, `prefix`, "
        "`params` for fsspec; extra `azure` for `az://`), `batch_size` (records per file).",
        {"encoding": {"format": "jsonl", "compression": "gzip"},
         "storage": {"root": "file:///data/batches"}, "batch_size": 50000})] = None
# fmt: on


def _settings_of(struct: type[Struct]) -> tuple[Setting, ...]:
    hints = get_type_hints(struct, include_extras=True)
    return tuple(Setting(name, hint, getattr(struct(), name)) for name, hint in hints.items())


SETTINGS = _settings_of(Settings)
SDK_SETTINGS = _settings_of(SdkSettings)
ALL_SETTINGS = {setting.name: setting for setting in (*SETTINGS, *SDK_SETTINGS)}


def given(config: Mapping[str, Any]) -> dict[str, Any]:
    """What is set: None and empty texts count as not set."""
    return {name: v for name, v in config.items() if v is not None and str(v).strip()}


def check(
    config: Mapping[str, Any], *, today: date
) -> tuple[Settings | None, list[SettingsError]]:
    """The settings, or every error found; ``today`` in UTC is the default of ``end_date``."""
    found = given(config)
    errors = [
        SettingsError(Code.BAD_SETTING, f"the setting {name} is gone", next_step=instead)
        for name, instead in REMOVED.items()
        if name in found
    ]
    is_api = str(found.get("source", "api")).strip() == "api"
    required = {each.name for each in SETTINGS if each.required and is_api}
    has_one = found.keys() & ({"source"} | required - {"app_names"})
    if "container_url" not in found and not (is_api and "storage_connection_string" in found):
        errors.append(ALL_SETTINGS["container_url"].wrong("is required"))
    elif is_api and not has_one:
        what = "is not set, and of what its default (api) requires there is only the container"
        errors.append(ALL_SETTINGS["source"].wrong(what))
        required.clear()
    values: dict[str, Any] = {}
    for name, setting in ALL_SETTINGS.items():
        try:
            if name in found:
                values[name] = setting.typed(found[name])
            if name in required and not values.get(name):
                raise setting.wrong("is required for source: api")
        except SettingsError as error:
            errors.append(error)
    if errors:
        return None, errors
    own = {each.name: values[each.name] for each in SETTINGS if each.name in values}
    settings = Settings(**{"end_date": today, **own})
    errors = [*_contradictions(settings, values)]
    return (None, errors) if errors else (settings, [])


def _contradictions(settings: Settings, given: Mapping[str, Any]) -> Iterator[SettingsError]:
    apps = ALL_SETTINGS["app_names"]
    if settings.source == "archive" and len(settings.app_names) > 1:
        yield apps.wrong("may hold one label for source: archive", '["shop"]')
    for name in settings.app_names if settings.source == "api" else ():
        if not _APP_NAME.fullmatch(name):
            yield apps.wrong(f"holds {name!r}, which is no app resource name")
    if settings.poll_interval_seconds > settings.poll_max_interval_seconds:
        longest = ALL_SETTINGS["poll_max_interval_seconds"]
        yield longest.wrong("must not be below poll_interval_seconds")
    start, end = settings.start_date, settings.end_date
    if start > end:
        blamed = ALL_SETTINGS["end_date" if "end_date" in given else "start_date"]
        yield blamed.wrong(f"is wrong: start_date ({start}) is after end_date ({end})")
    if given.get("flattening_enabled") and "flattening_max_depth" not in given:
        yield ALL_SETTINGS["flattening_max_depth"].wrong("is required with flattening_enabled")
    name = "faker_config" if given.get("faker_config") else "stream_maps"
    invents = name == "faker_config" or re.search(r"\bfake\.", str(given.get(name)))
    if invents and find_spec("faker") is None:
        yield SettingsError(
            Code.BAD_SETTING,
            f"the setting {name} takes the package faker, which is not installed",
            next_step="Install it: pip install 'tap-mobile-engagement[faker]'",
        )


def map_failed(error: Exception) -> SettingsError:
    """The error for stream maps that the SDK can't apply, to a stream or to a record."""
    cause = error.__cause__ or error
    what = error if cause is error else f"{error} {cause}"
    return ALL_SETTINGS["stream_maps"].wrong(
        f"can't be applied ({type(cause).__name__}): {what}"
    )
