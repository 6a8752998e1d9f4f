"""Every setting once: its type, default, check and words.

The table :data:`SETTINGS` is the only definition. ``--about``, the settings in ``meltano.yml``
and the table in the README are rendered from it; :func:`parse` holds a configuration against
it and returns typed :class:`Settings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tap_mobile_engagement import setting_checks as checks
from tap_mobile_engagement.datatypes import BY_NAME, CAMPAIGN_TYPES, EXPORT_FORMATS
from tap_mobile_engagement.errors import Code, SettingsError
from tap_mobile_engagement.redaction import register_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class SourceKind(StrEnum):
    """Where exports come from."""

    API = "api"
    ARCHIVE = "archive"


class BadRecords(StrEnum):
    """What a record that can't be read, or doesn't fit its schema, does."""

    FAIL = "fail"
    SKIP = "skip"


class Settings(Struct, frozen=True, kw_only=True):
    """A checked configuration; each attribute is the setting of that name."""

    source: SourceKind
    container_url: str | None
    storage_connection_string: str | None
    task_container_url: str | None
    subscription_id: str
    resource_group: str
    app_collection: str
    app_names: tuple[str, ...]
    tenant_id: str
    client_id: str
    client_secret: str
    api_url: str
    authority_url: str
    start_date: date
    end_date: date
    window_days: int
    lookback_days: int
    campaign_types: tuple[str, ...]
    device_details: bool
    export_format: str
    max_concurrent_tasks: int
    task_timeout_minutes: int
    poll_interval_seconds: float
    poll_max_interval_seconds: float
    bad_records: BadRecords
    dead_letter_path: str | None
    max_bad_records: int
    archive_pattern: str
    archive_types: tuple[checks.ArchiveType, ...]
    timeline_path: str | None


_TEXTS = {"type": "array", "items": {"type": "string"}}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as users see it.

    Attributes:
        name: Its key in the configuration.
        label: A short title.
        description: What it means, in one or two sentences.
        kind: Its kind in Meltano's terms.
        json_type: Its JSON Schema without words.
        check: Turns a configured value into a typed one, or raises with the reason.
        example: A value as one would write it in YAML.
        default: What holds when it is not set, as configured; None for none.
        secret: Whether its value must never be shown.
        required_for: The source that can't do without it; None where it is optional.
    """

    name: str
    label: str
    description: str
    kind: str
    json_type: Mapping[str, Any]
    check: Callable[[object], Any]
    example: str
    default: Any = None
    secret: bool = False
    required_for: SourceKind | None = None


def _string(
    name: str,
    label: str,
    description: str,
    example: str,
    *,
    check: Callable[[object], Any] = checks.text,
    default: str | None = None,
    secret: bool = False,
    required_for: SourceKind | None = None,
    choices: tuple[str, ...] = (),
) -> Setting:
    json_type: dict[str, Any] = {"type": "string"}
    if choices:
        json_type["enum"] = [*choices]
        check = checks.choice(*choices)
    kind = "password" if secret else "options" if choices else "string"
    return Setting(
        name, label, description, kind, json_type, check, example, default, secret, required_for
    )


def _date(name: str, label: str, description: str, example: str, **more: Any) -> Setting:
    return Setting(
        name,
        label,
        description,
        "date_iso8601",
        {"type": "string"},
        checks.day,
        example,
        **more,
    )


def _integer(name: str, label: str, description: str, default: int, least: int) -> Setting:
    json_type = {"type": "integer", "minimum": least}
    return Setting(
        name,
        label,
        description,
        "integer",
        json_type,
        checks.whole(least),
        str(default),
        default,
    )


def _number(name: str, label: str, description: str, default: int) -> Setting:
    # Also as text: Meltano has no kind for fractions that survives its own JSON.
    json_type = {"type": ["number", "string"], "exclusiveMinimum": 0}
    return Setting(
        name, label, description, "string", json_type, checks.seconds, str(default), default
    )


def _array(
    name: str,
    label: str,
    description: str,
    check: Callable[[object], Any],
    example: str,
    **more: Any,
) -> Setting:
    return Setting(
        name, label, description, "array", more.pop("items", _TEXTS), check, example, **more
    )


_CONTAINER_EXAMPLE = "https://ACCOUNT.blob.core.windows.net/CONTAINER?sv=…&sp=rl&se=…&sig=…"
_API = SourceKind.API

SETTINGS: tuple[Setting, ...] = (
    _string(
        "source", "Source",
        "`api` creates export tasks through the service's REST API; `archive` reads export "
        "files that are already there.",
        "archive", default="api", choices=tuple(SourceKind),
    ),
    _string(
        "container_url", "Container URL",
        "The container that holds the export files: an Azure container URL with its SAS, or a "
        "folder as `file:///…`. Not needed for `api` with `storage_connection_string`.",
        _CONTAINER_EXAMPLE, secret=True,
    ),
    _string(
        "storage_connection_string", "Storage connection string",
        "Connection string of an Azure Storage account. With it each export task gets a "
        "container and a SAS of its own.",
        "DefaultEndpointsProtocol=https;AccountName=…;AccountKey=…", secret=True,
    ),
    _string(
        "task_container_url", "Container URL for the service",
        "The container URL that is handed to the service, where it must differ from "
        "`container_url` (another SAS, another host name).",
        _CONTAINER_EXAMPLE, secret=True,
    ),
    _string(
        "subscription_id", "Subscription", "Azure subscription of the app.",
        "00000000-0000-0000-0000-000000000000", required_for=_API,
    ),
    _string(
        "resource_group", "Resource group", "Azure resource group of the app.",
        "MobileEngagement", required_for=_API,
    ),
    _string(
        "app_collection", "App collection", "App collection that holds the apps.",
        "my-collection", required_for=_API,
    ),
    _array(
        "app_names", "Apps",
        "Resource names of the apps; each has a state of its own. For `archive` at most one: "
        "the label for `app_name`.",
        checks.app_names, '["shop-android", "shop-ios"]', required_for=_API,
    ),
    _string(
        "tenant_id", "Tenant", "Azure Active Directory tenant of the service principal.",
        "contoso.onmicrosoft.com", required_for=_API,
    ),
    _string(
        "client_id", "Client id", "Application id of the service principal.",
        "00000000-0000-0000-0000-000000000000", required_for=_API,
    ),
    _string(
        "client_secret", "Client secret", "Secret of the service principal.",
        "…", secret=True, required_for=_API,
    ),
    _string(
        "api_url", "API URL", "Base URL of the REST API.",
        "https://management.azure.com", check=checks.url, default="https://management.azure.com",
    ),
    _string(
        "authority_url", "Authority URL", "Base URL of the token endpoint.",
        "https://login.microsoftonline.com", check=checks.url,
        default="https://login.microsoftonline.com",
    ),
    _date(
        "start_date", "Start date", "First day to export (UTC).", "2016-05-01",
        required_for=_API,
    ),
    _date(
        "end_date", "End date",
        "First day that is *not* exported (UTC); today where it is not set.", "2016-06-01",
    ),
    _integer(
        "window_days", "Days per export task", "How many days one export task covers.", 7, 1,
    ),
    _integer(
        "lookback_days", "Days to export again",
        "How many days before the bookmark are exported again, for data that arrived late.",
        3, 0,
    ),
    _array(
        "campaign_types", "Campaign types", "Campaign types to export push feedback of.",
        checks.campaign_types, '["Announcement", "Poll"]', default=[*CAMPAIGN_TYPES],
    ),
    Setting(
        "device_details", "Device details",
        "Whether to fetch technical data and location of each device: one request per device.",
        "boolean", {"type": "boolean"}, checks.flag, "false", default=True,
    ),
    _string(
        "export_format", "Export format", "The format to ask the service for.",
        "JsonBlob", default="JsonBlob", choices=EXPORT_FORMATS,
    ),
    _integer(
        "max_concurrent_tasks", "Export tasks at once",
        "How many export tasks may run at once, over all streams and apps.", 4, 1,
    ),
    _integer(
        "task_timeout_minutes", "Task time-out (minutes)",
        "An export task that is not finished by then has failed.", 1440, 1,
    ),
    _number(
        "poll_interval_seconds", "First polling interval (seconds)",
        "Pause before an export task is polled for the first time; it grows from there.", 5,
    ),
    _number(
        "poll_max_interval_seconds", "Longest polling interval (seconds)",
        "Longest pause between two polls of an export task.", 300,
    ),
    _string(
        "bad_records", "Bad records",
        "What a record that can't be read or doesn't fit its schema does: `fail` fails the "
        "stream before its bookmark moves, `skip` goes on without the record.",
        "skip", default="fail", choices=tuple(BadRecords),
    ),
    _string(
        "dead_letter_path", "Dead letter file",
        "With `bad_records: skip`: a file (NDJSON) that gets every skipped record.",
        "bad-records.ndjson",
    ),
    _integer(
        "max_bad_records", "Bad records at most",
        "With `bad_records: skip`: more bad records than this in one stream fail it.", 1000, 0,
    ),
    _string(
        "archive_pattern", "Archive pattern",
        "For `archive`: which files of the container to look at; `**` crosses folders.",
        "2017/**", default="**",
    ),
    _array(
        "archive_types", "Archive types",
        "For `archive`: what files hold, where their content can't tell.",
        checks.archive_types, '[{"pattern": "old/ev-*", "data_type": "events"}]', default=[],
        items={
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pattern": {"type": "string"},
                    "data_type": {"type": "string", "enum": [*BY_NAME]},
                },
                "required": ["pattern", "data_type"],
            },
        },
    ),
    _string(
        "timeline_path", "Timeline file",
        "For `api`: a file that gets a picture of the finished run (SVG), one bar per export "
        "task, so that one sees where the time went.",
        "timeline.svg",
    ),
)  # fmt: skip


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the configuration, as the SDK shows it in ``--about``."""
    properties = {}
    for setting in SETTINGS:
        types = setting.json_type["type"]
        types = [types] if isinstance(types, str) else types
        schema = {**setting.json_type, "type": [*types, "null"]}
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
        schema |= {"title": setting.label, "description": setting.description}
        if setting.default is not None:
            schema["default"] = setting.default
        if setting.secret:
            schema |= {"secret": True, "writeOnly": True}
        properties[setting.name] = schema
    return {"type": "object", "properties": properties}


def _wrong(setting: Setting, reason: str) -> SettingsError:
    return SettingsError(
        Code.BAD_SETTING,
        f"the setting {setting.name} {reason}",
        next_step=f"Write it like this: {setting.name}: {setting.example}",
    )


# What `archive` may leave out and never reads, but for the label in `app_names`.
_UNUSED: dict[str, Any] = {
    **{setting.name: "" for setting in SETTINGS if setting.required_for is _API},
    "app_names": (),
    "start_date": date.min,
}


def check(
    config: Mapping[str, Any], *, today: date
) -> tuple[Settings | None, list[SettingsError]]:
    """Hold a configuration against the table.

    Args:
        config: What the user configured; None and empty texts count as not set. Settings that
            the table does not name (the SDK's own) are left alone.
        today: The current day in UTC, the default of ``end_date``.

    Returns:
        The settings and no error, or None and every error found.
    """
    values, errors = _check_each(config)
    errors = errors or _check_together(values)
    if errors:
        return None, errors
    for name, empty in _UNUSED.items():
        values[name] = values[name] or empty
    values["end_date"] = values["end_date"] or today
    if values["start_date"] > values["end_date"]:
        return None, [_reversed_range(values, today)]
    values["source"] = SourceKind(values["source"])
    values["bad_records"] = BadRecords(values["bad_records"])
    return Settings(**values), []


def _reversed_range(values: dict[str, Any], today: date) -> SettingsError:
    """Blame the setting that the user wrote: ``end_date`` may be today by default."""
    if values["end_date"] == today:
        reason = f"must not be after end_date, which is today ({today}) unless it is set"
        return _wrong(_BY_NAME["start_date"], f"{reason}, not {values['start_date']}")
    reason = f"must not be before start_date ({values['start_date']}), not {values['end_date']}"
    return _wrong(_BY_NAME["end_date"], reason)


def _check_each(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[SettingsError]]:
    """Check every value by itself; what is not set has its default, or None."""
    values: dict[str, Any] = {}
    errors = []
    for setting in SETTINGS:
        value = config.get(setting.name)
        if value is None or (isinstance(value, str) and not value.strip()):
            value = setting.default
        values[setting.name] = value
        if value is None:
            continue
        # A folder's URL is a place to name in messages, and holds no secret.
        if setting.secret and isinstance(value, str) and not value.startswith("file:"):
            register_secret(value.strip())
        try:
            values[setting.name] = setting.check(value)
        except checks.Wrong as wrong:
            shown = "" if setting.secret else f", not {value!r}"
            errors.append(_wrong(setting, f"{wrong}{shown}"))
    return values, errors


def _check_together(values: dict[str, Any]) -> list[SettingsError]:
    """Find what is wrong between settings that are right each by itself."""
    source = SourceKind(values["source"])
    errors = [
        _wrong(setting, f"is required for source: {source}")
        for setting in SETTINGS
        if setting.required_for is source and not values[setting.name]
    ]
    has_account = values["storage_connection_string"] and source is _API
    if not values["container_url"] and not has_account:
        errors.append(_wrong(_BY_NAME["container_url"], "is required"))
    if source is SourceKind.ARCHIVE and len(values["app_names"] or ()) > 1:
        errors.append(_wrong(_BY_NAME["app_names"], "may hold one label for source: archive"))
    if values["poll_interval_seconds"] > values["poll_max_interval_seconds"]:
        reason = "must not be below poll_interval_seconds"
        errors.append(_wrong(_BY_NAME["poll_max_interval_seconds"], reason))
    return errors


_BY_NAME = {setting.name: setting for setting in SETTINGS}


def parse(config: Mapping[str, Any], *, today: date) -> Settings:
    """As :func:`check`, but raise the first error.

    Raises:
        SettingsError: ``BAD_SETTING``, with the setting's name and an example.
    """
    settings, errors = check(config, today=today)
    if settings is None:
        raise errors[0]
    return settings
