"""Every setting once: its type, default, check, words and example.

``--about``, ``meltano.yml``, the hub file and docs/settings.md are rendered from the Structs
:class:`Settings` and :class:`SdkSettings`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from tap_mobile_engagement.datatypes import BY_NAME, CAMPAIGN_TYPES, CampaignType, ExportFormat
from tap_mobile_engagement.errors import Code, SettingsError
from tap_mobile_engagement.setting_schema import REQUIRED, described, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def _url(value: str) -> str:
    with suppress(ValueError):  # brackets that don't match, a port that is no number
        parts = urlsplit(value)
        is_base = parts.scheme in {"http", "https"} and not parts.query + parts.fragment
        if is_base and parts.hostname and parts.port != 0:
            return value.rstrip("/")
    raise ValueError("expected an http(s) URL without a query")


def _encoding(value: str) -> str:
    try:
        b"ABCD".decode(value)
    except UnicodeError:  # the encoding exists, but these bytes are no text in it
        return value
    except LookupError:
        raise ValueError("expected an encoding of text that Python knows") from None
    return value


_Text = Annotated[str, Meta(min_length=1)]


class ArchiveType(Struct, frozen=True, forbid_unknown_fields=True):
    """What the files that match a pattern hold, where their content can't tell."""

    pattern: _Text
    data_type: Annotated[str, Meta(pattern=f"^({'|'.join(BY_NAME)})$")]


MOST = 1_000_000_000
"""The highest number: of anything that is counted. As minutes it still fits a time span."""

_Name = Annotated[str, Meta(pattern=r"^(?!\.\.?$)"), REQUIRED]  # no step in a path
_Count = Annotated[int, Meta(ge=1, le=MOST)]
_CountOrNone = Annotated[int, Meta(ge=0, le=MOST)]
_Seconds = Annotated[float, Meta(gt=0, le=MOST)]
_CampaignTypes = Annotated[tuple[CampaignType, ...], Meta(min_length=1)]
_FailOrSkip = Literal["fail", "skip"]
_Expressions = dict[str, str | list[str] | None]
_CONTAINER = "https://ACCOUNT.blob.core.windows.net/CONTAINER?sv=…&sp=rl&se=…&sig=…"
_GUID = "00000000-0000-0000-0000-000000000000"


# fmt: off
class Settings(Struct, frozen=True, kw_only=True):
    """A checked configuration; each attribute is the setting of that name."""

    source: Annotated[Literal["api", "archive"], described(
        "`api` creates export tasks through the service's REST API; `archive` reads export "
        "files that are already there.", "archive")] = "api"
    container_url: Annotated[str | None, described(
        "The container that holds the export files: an Azure container URL with its SAS, or "
        "without one where `azure-identity` is installed (then the identity of the environment "
        "is used); or a folder, as `file:///…` or as a path. Not needed for `api` with "
        "`storage_connection_string`.", _CONTAINER, secret=True)] = None
    storage_connection_string: Annotated[str | None, described(
        "Connection string of an Azure Storage account. With it each export task gets a "
        "container and a SAS of its own.",
        "DefaultEndpointsProtocol=https;AccountName=…;AccountKey=…", secret=True)] = None
    task_container_url: Annotated[str | None, described(
        "The container URL that is handed to the service, where it must differ from "
        "`container_url` (another SAS, another host name).",
        _CONTAINER.replace("sp=rl", "sp=wl"), secret=True)] = None
    subscription_id: Annotated[_Name, described("Azure subscription of the app.", _GUID)] = ""
    resource_group: Annotated[_Name, described(
        "Azure resource group of the app.", "MobileEngagement")] = ""
    app_collection: Annotated[_Name, described(
        "App collection that holds the apps.", "my-collection")] = ""
    app_names: Annotated[tuple[_Text, ...], REQUIRED, described(
        "Resource names of the apps; each has a state of its own. For `archive` at most one: "
        "the label for `app_name`, any text.", ["shop-android", "shop-ios"])] = ()
    tenant_id: Annotated[_Name, described(
        "Azure Active Directory tenant of the service principal.", "contoso.onmicrosoft.com",
    )] = ""
    client_id: Annotated[str, REQUIRED, described(
        "Application id of the service principal.", _GUID)] = ""
    client_secret: Annotated[str, REQUIRED, described(
        "Secret of the service principal.", "…", secret=True)] = ""
    api_url: Annotated[str, described(
        "Base URL of the REST API.", "https://management.azure.com", check=_url,
    )] = "https://management.azure.com"
    authority_url: Annotated[str, described(
        "Base URL of the token endpoint.", "https://login.microsoftonline.com", check=_url,
    )] = "https://login.microsoftonline.com"
    start_date: Annotated[date, REQUIRED, described(
        "First day to export (UTC).", "2016-05-01")] = date.min
    end_date: Annotated[date, described(
        "First day that is *not* exported (UTC); today if it is not set.", "2016-06-01",
    )] = date.max
    window_days: Annotated[_Count, described(
        "Number of days that one export task covers.", 7)] = 7
    lookback_days: Annotated[_CountOrNone, described(
        "Number of days before the bookmark that are exported again for late data.", 3)] = 3
    campaign_types: Annotated[_CampaignTypes, described(
        "Campaign types of the push feedback.", ["Announcement", "Poll"])] = CAMPAIGN_TYPES
    device_details: Annotated[bool, described(
        "Whether to fetch technical data and location of each device: one request per device.",
        False)] = True
    export_format: Annotated[ExportFormat, described(
        "The format to ask the service for.", "JsonBlob")] = "JsonBlob"
    max_concurrent_tasks: Annotated[_Count, described(
        "Number of export tasks that may run at once, over all streams and apps.", 4)] = 4
    task_timeout_minutes: Annotated[_Count, described(
        "An export task that is not finished by then has failed.", 1440)] = 1440
    poll_interval_seconds: Annotated[_Seconds, described(
        "Pause before an export task is polled first; it grows from there.", 5)] = 5
    poll_max_interval_seconds: Annotated[_Seconds, described(
        "Longest pause between two polls of an export task; `Retry-After` wins.", 300)] = 300
    bad_records: Annotated[_FailOrSkip, described(
        "What a record that can't be read or doesn't fit its schema does: `fail` fails the "
        "stream before its bookmark moves, `skip` continues without the record.", "skip",
    )] = "fail"
    dead_letter_path: Annotated[str | None, described(
        "With `bad_records: skip`: a file (NDJSON) that gets every skipped record.",
        "bad-records.ndjson")] = None
    max_bad_records: Annotated[_CountOrNone, described(
        "With `bad_records: skip`: more than this in one stream fails it.", 1000)] = 1000
    bad_files: Annotated[_FailOrSkip, described(
        "For `archive`: what a file that is damaged or can't be had does: `fail` reads all "
        "other files, holds the bookmark and fails the stream, `skip` warns and continues.",
        "skip")] = "fail"
    unrecognised_files: Annotated[_FailOrSkip, described(
        "For `archive`: what a sound file that is no export does.", "fail")] = "skip"
    no_files: Annotated[Literal["fail", "accept"], described(
        "For `archive`: what it means that no file matches.", "accept")] = "fail"
    archive_pattern: Annotated[str, described(
        "For `archive`: which files of the container to look at; `**` crosses folders.",
        "2017/**")] = "**"
    archive_types: Annotated[tuple[ArchiveType, ...], described(
        "For `archive`: what files hold (a data type, by the name of its stream), where their "
        "content can't tell.",
        [{"pattern": "old/ev-*", "data_type": "events"}])] = ()
    archive_encoding: Annotated[str | None, described(
        "For `archive`: encoding of text that is not UTF-8 or UTF-16.", "windows-1252",
        check=_encoding)] = None
    timeline_path: Annotated[str | None, described(
        "For `api`: a file that gets a picture (SVG) of the finished run, one bar per export "
        "task.", "timeline.svg")] = None
    delete_task_containers: Annotated[bool, described(
        "With `storage_connection_string`: whether a task's own container is deleted, by the "
        "run after the one that read it, once the state has come back.", True)] = False


class SdkSettings(Struct, frozen=True, kw_only=True):
    """The SDK's settings; each attribute is the setting of that name."""

    emit_activate_version_messages: Annotated[bool, described(
        "Whether a full-table stream retires the rows of the snapshot before, by an "
        "ACTIVATE_VERSION message behind the last record.", True)] = False
    stream_maps: Annotated[dict[str, _Expressions | str | None] | None, described(
        "Mappings of streams and records, in the SDK's language.",
        {"events": {"extras": "__NULL__", "__filter__": "name != 'ping'"}})] = None
    stream_map_config: Annotated[dict[str, Any] | None, described(
        "Values that stream maps may use, as `config`.", {"hash_seed": "…"})] = None
    faker_config: Annotated[dict[str, Any] | None, described(
        "Seed and locale of the values that stream maps invent, as `fake` (extra `faker`).",
        {"seed": 7, "locale": "en_GB"})] = None
    flattening_enabled: Annotated[bool, described(
        "Whether objects become columns, or JSON text at the greatest depth.", True)] = False
    flattening_max_depth: Annotated[Annotated[int, Meta(ge=0, le=100)] | None, described(
        "Number of levels of objects that become columns.", 1)] = None
    flattening_max_key_length: Annotated[_Count, described(
        "Greatest length of the name of such a column.", 60)] = 255
    flattening_separator: Annotated[str, described(
        "What stands between the parts of such a name.", "_")] = "__"
    batch_config: Annotated[dict[str, Any] | None, described(
        "Where and how records are written as files that the target reads, not as messages: "
        "`encoding` (JSON lines, `compression` `gzip` or `none`), `storage` (`root`, `prefix`, "
        "`params` for fsspec; extra `azure` for `az://`), `batch_size` (records per file).",
        {"encoding": {"format": "jsonl", "compression": "gzip"},
         "storage": {"root": "file:///data/batches"}, "batch_size": 50000})] = None
# fmt: on


REMOVED = {
    "read_workers": "Read files side by side with tap-mobile-engagement-to-parquet --workers, "
    "with Spark or with the library",
    "delete_blobs": "Use delete_task_containers with storage_connection_string, or a lifecycle "
    "rule of the storage account",
}
"""Settings of earlier versions, and what to use instead."""

# ARM resource names: what may stand in a URL path segment without being quoted.
_APP_NAME = re.compile(r"(?!\.\.?\Z)[\w.()-]{1,260}")
_FAKE = re.compile(r"\bfake\.")
SETTINGS = settings_of(Settings)
SDK_SETTINGS = settings_of(SdkSettings)
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
    values: dict[str, Any] = {}
    for name, setting in ALL_SETTINGS.items():
        try:
            if name in found:
                values[name] = setting.typed(found[name])
        except SettingsError as error:
            errors.append(error)
    if errors:
        return None, errors
    own = {each.name: values[each.name] for each in SETTINGS if each.name in values}
    settings = Settings(**{"end_date": today, **own})
    errors = [*_missing(settings, values), *_contradictions(settings, values)]
    return (None, errors) if errors else (settings, [])


def _missing(settings: Settings, given: Mapping[str, Any]) -> Iterator[SettingsError]:
    is_api = settings.source == "api"
    required = [each for each in SETTINGS if each.required and is_api]
    needed = {each.name for each in required} - {"app_names"}
    if is_api and settings.container_url and not given.keys() & {"source", *needed}:
        yield ALL_SETTINGS["source"].wrong(
            "is not set, and of what its default (api) requires there is only the container"
        )
        return
    for setting in required:
        if not given.get(setting.name):
            yield setting.wrong("is required for source: api")
    if not settings.container_url and not (is_api and settings.storage_connection_string):
        yield ALL_SETTINGS["container_url"].wrong("is required")


def _contradictions(settings: Settings, given: Mapping[str, Any]) -> Iterator[SettingsError]:
    apps = ALL_SETTINGS["app_names"]
    if settings.source == "api":
        for name in settings.app_names:
            if not _APP_NAME.fullmatch(name):
                yield apps.wrong(f"holds {name!r}, which is no app resource name")
    elif len(settings.app_names) > 1:
        yield apps.wrong("may hold one label for source: archive", '["shop"]')
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
    invents = name == "faker_config" or _FAKE.search(str(given.get(name)))
    if invents and find_spec("faker") is None:
        yield SettingsError(
            Code.BAD_SETTING,
            f"the setting {name} takes the package faker, which is not installed",
            next_step="Install it: pip install 'tap-mobile-engagement[faker]'",
        )


def parse(config: Mapping[str, Any], *, today: date) -> Settings:
    """As :func:`check`, but raise the first error."""
    settings, errors = check(config, today=today)
    if settings is None:
        raise errors[0]
    return settings


def map_failed(error: Exception) -> SettingsError:
    """The error for stream maps that the SDK can't apply, to a stream or to a record."""
    cause = error.__cause__ or error
    what = str(error) if error.__cause__ is None else f"{error} {cause}"
    reason = f"can't be applied ({type(cause).__name__}): {what}"
    return ALL_SETTINGS["stream_maps"].wrong(reason)
