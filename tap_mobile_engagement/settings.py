"""Every setting once: its type, default, check, words and example.

The Struct :class:`Settings` is the only definition. ``--about``, ``meltano.yml``, the hub file
and the table in docs/settings.md are rendered from it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from tap_mobile_engagement.datatypes import BY_NAME, CAMPAIGN_TYPES, CampaignType, ExportFormat
from tap_mobile_engagement.errors import Code, SettingsError
from tap_mobile_engagement.setting_schema import Wrong, described, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SourceKind = Literal["api", "archive"]
FailOrSkip = Literal["fail", "skip"]
FailOrAccept = Literal["fail", "accept"]


class ArchiveType(Struct, frozen=True, forbid_unknown_fields=True):
    """What the files that match a pattern hold, where their content can't tell."""

    pattern: Annotated[str, Meta(min_length=1)]
    data_type: Annotated[str, Meta(pattern=f"^({'|'.join(BY_NAME)})$")]


def _url(value: str) -> str:
    with suppress(ValueError):  # brackets that don't match, a port that is no number
        parts = urlsplit(value)
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return value.rstrip("/")
    raise Wrong("must be an http(s) URL")


def _encoding(value: str) -> str:
    try:
        b"ABCD".decode(value)
    except UnicodeError:  # the encoding exists, but these bytes are no text in it
        return value
    except LookupError:
        raise Wrong("must be an encoding of text that Python knows") from None
    return value


_CONTAINER = "https://ACCOUNT.blob.core.windows.net/CONTAINER?sv=…&sp=rl&se=…&sig=…"
_GUID = "00000000-0000-0000-0000-000000000000"


# fmt: off
class Settings(Struct, frozen=True, kw_only=True):
    """A checked configuration; each attribute is the setting of that name."""

    source: Annotated[SourceKind, described(
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
    subscription_id: Annotated[str, described(
        "Azure subscription of the app.", _GUID, required=True)] = ""
    resource_group: Annotated[str, described(
        "Azure resource group of the app.", "MobileEngagement", required=True)] = ""
    app_collection: Annotated[str, described(
        "App collection that holds the apps.", "my-collection", required=True)] = ""
    app_names: Annotated[tuple[str, ...], described(
        "Resource names of the apps; each has a state of its own. For `archive` at most one: "
        "the label for `app_name`, any text.",
        ["shop-android", "shop-ios"], required=True)] = ()
    tenant_id: Annotated[str, described(
        "Azure Active Directory tenant of the service principal.", "contoso.onmicrosoft.com",
        required=True)] = ""
    client_id: Annotated[str, described(
        "Application id of the service principal.", _GUID, required=True)] = ""
    client_secret: Annotated[str, described(
        "Secret of the service principal.", "…", secret=True, required=True)] = ""
    api_url: Annotated[str, described(
        "Base URL of the REST API.", "https://management.azure.com", check=_url,
    )] = "https://management.azure.com"
    authority_url: Annotated[str, described(
        "Base URL of the token endpoint.", "https://login.microsoftonline.com", check=_url,
    )] = "https://login.microsoftonline.com"
    start_date: Annotated[date, described(
        "First day to export (UTC).", "2016-05-01", required=True)] = date.min
    end_date: Annotated[date, described(
        "First day that is *not* exported (UTC); today if it is not set.", "2016-06-01",
    )] = date.max
    window_days: Annotated[int, described(
        "Number of days that one export task covers.", 7, least=1)] = 7
    lookback_days: Annotated[int, described(
        "Number of days before the bookmark that are exported again, as data arrives late.", 3,
        least=0)] = 3
    campaign_types: Annotated[tuple[CampaignType, ...], described(
        "Campaign types to export push feedback of.", ["Announcement", "Poll"],
    )] = CAMPAIGN_TYPES
    device_details: Annotated[bool, described(
        "Whether to fetch technical data and location of each device: one request per device.",
        False)] = True
    export_format: Annotated[ExportFormat, described(
        "The format to ask the service for.", "JsonBlob")] = "JsonBlob"
    max_concurrent_tasks: Annotated[int, described(
        "Number of export tasks that may run at once, over all streams and apps.", 4, least=1,
    )] = 4
    task_timeout_minutes: Annotated[int, described(
        "An export task that is not finished by then has failed.", 1440, least=1)] = 1440
    poll_interval_seconds: Annotated[float, described(
        "Pause before an export task is polled for the first time; it grows from there.", 5,
    )] = 5
    poll_max_interval_seconds: Annotated[float, described(
        "Longest pause between two polls of an export task; `Retry-After` wins.", 300)] = 300
    bad_records: Annotated[FailOrSkip, described(
        "What a record that can't be read or doesn't fit its schema does: `fail` fails the "
        "stream before its bookmark moves, `skip` continues without the record.", "skip",
    )] = "fail"
    dead_letter_path: Annotated[str | None, described(
        "With `bad_records: skip`: a file (NDJSON) that gets every skipped record.",
        "bad-records.ndjson")] = None
    max_bad_records: Annotated[int, described(
        "With `bad_records: skip`: more bad records than this in one stream fail it.", 1000,
        least=0)] = 1000
    bad_files: Annotated[FailOrSkip, described(
        "For `archive`: what a file that is damaged or can't be had does: `fail` reads all "
        "other files, holds the bookmark and fails the stream, `skip` warns and continues.",
        "skip")] = "fail"
    unrecognised_files: Annotated[FailOrSkip, described(
        "For `archive`: what a sound file that is no export does.", "fail")] = "skip"
    no_files: Annotated[FailOrAccept, described(
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
# fmt: on


REMOVED = {
    "read_workers": "Read files side by side with tap-mobile-engagement-to-parquet --workers, "
    "with Spark or with the library",
    "delete_blobs": "Use delete_task_containers with storage_connection_string, or a lifecycle "
    "rule of the storage account",
}
"""Settings of earlier versions, and what to use instead."""


SETTINGS = settings_of(Settings)
_BY_NAME = {setting.name: setting for setting in SETTINGS}
# ARM resource names: what may stand in a URL path segment without being quoted.
_APP_NAME = re.compile(r"[\w.()-]{1,260}")


def given(config: Mapping[str, Any]) -> dict[str, Any]:
    """What is set: None and empty texts count as not set."""
    return {
        name: value
        for name, value in config.items()
        if value is not None and not (isinstance(value, str) and not value.strip())
    }


def check(
    config: Mapping[str, Any], *, today: date
) -> tuple[Settings | None, list[SettingsError]]:
    """Check a configuration.

    Args:
        config: What the user configured; None and empty texts count as not set. Settings that
            are not defined here (the SDK's own) are left alone.
        today: The current day in UTC, the default of ``end_date``.

    Returns:
        The settings and no error, or None and every error found.
    """
    found = given(config)
    errors = [
        SettingsError(Code.BAD_SETTING, f"the setting {name} is gone", next_step=instead)
        for name, instead in REMOVED.items()
        if name in found
    ]
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        try:
            if setting.name in found:
                values[setting.name] = setting.typed(found[setting.name])
        except SettingsError as error:
            errors.append(error)
    if errors:
        return None, errors
    settings = Settings(**{"end_date": today, **values})
    errors = [*_missing(settings, values), *_contradictions(settings, values)]
    return (None, errors) if errors else (settings, [])


def _missing(settings: Settings, given: Mapping[str, Any]) -> Iterator[SettingsError]:
    """What the source can't do without."""
    if settings.source == "archive":
        if not settings.container_url:
            yield _BY_NAME["container_url"].wrong("is required")
        return
    missing = [each for each in SETTINGS if each.required and not given.get(each.name)]
    needed = {each.name for each in SETTINGS if each.required} - {"app_names"}
    if settings.container_url and not given.keys() & {"source", *needed}:
        yield _BY_NAME["source"].wrong(
            "is not set, and of what its default (api) requires there is only the container"
        )
        return
    for setting in missing:
        yield setting.wrong("is required for source: api")
    if not settings.container_url and not settings.storage_connection_string:
        yield _BY_NAME["container_url"].wrong("is required")


def _contradictions(settings: Settings, given: Mapping[str, Any]) -> Iterator[SettingsError]:
    """What is wrong between settings that are right each by itself."""
    apps = _BY_NAME["app_names"]
    if settings.source == "api":
        for name in settings.app_names:
            if not _APP_NAME.fullmatch(name):
                yield apps.wrong(f"holds {name!r}, which is no app resource name")
    elif len(settings.app_names) > 1:
        yield apps.wrong("may hold one label for source: archive", '["shop"]')
    if settings.poll_interval_seconds > settings.poll_max_interval_seconds:
        longest = _BY_NAME["poll_max_interval_seconds"]
        yield longest.wrong("must not be below poll_interval_seconds")
    start, end = settings.start_date, settings.end_date
    if start > end and "end_date" in given:
        yield _BY_NAME["end_date"].wrong(f"must not be before start_date ({start}), not {end}")
    elif start > end:
        reason = f"must not be after end_date, which is today ({end}) unless it is set"
        yield _BY_NAME["start_date"].wrong(f"{reason}, not {start}")


def parse(config: Mapping[str, Any], *, today: date) -> Settings:
    """As :func:`check`, but raise the first error.

    Raises:
        SettingsError: ``BAD_SETTING``, with the setting's name and an example.
    """
    settings, errors = check(config, today=today)
    if settings is None:
        raise errors[0]
    return settings
