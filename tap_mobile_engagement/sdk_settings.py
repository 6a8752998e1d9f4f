"""The settings of the Singer SDK that the tap honours, defined as its own are."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct

from tap_mobile_engagement.errors import Code, SettingsError
from tap_mobile_engagement.setting_schema import described, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_mobile_engagement.setting_schema import Setting

_Expressions = dict[str, str | list[str] | None]


# fmt: off
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
    flattening_max_key_length: Annotated[int, described(
        "Greatest length of the name of such a column.", 60, least=1)] = 255
    flattening_separator: Annotated[str, described(
        "What stands between the parts of such a name.", "_")] = "__"
    batch_config: Annotated[dict[str, Any] | None, described(
        "Where and how records are written as files that the target reads, not as messages: "
        "`encoding` (JSON lines, `compression` `gzip` or `none`), `storage` (`root`, `prefix`, "
        "`params` for fsspec; extra `azure` for `az://`), `batch_size` (records per file).",
        {"encoding": {"format": "jsonl", "compression": "gzip"},
         "storage": {"root": "file:///data/batches"}, "batch_size": 50000})] = None
# fmt: on


SDK_SETTINGS = settings_of(SdkSettings)


def check_sdk_settings(config: Mapping[str, Any]) -> list[SettingsError]:
    """Every error in the SDK's settings; those that are None count as not set."""
    errors = []
    for setting in SDK_SETTINGS:
        if config.get(setting.name) is not None:
            try:
                setting.typed(config[setting.name])
            except SettingsError as error:
                errors.append(error)
    return errors or [*_incomplete(config)]


def _incomplete(config: Mapping[str, Any]) -> Iterator[SettingsError]:
    """What takes another setting, or a package that is not installed."""
    if config.get("flattening_enabled") and config.get("flattening_max_depth") is None:
        yield _setting("flattening_max_depth").wrong("is required with flattening_enabled")
    name = "faker_config" if config.get("faker_config") else "stream_maps"
    invents = name == "faker_config" or _FAKE.search(str(config.get("stream_maps")))
    if invents and find_spec("faker") is None:
        yield SettingsError(
            Code.BAD_SETTING,
            f"the setting {name} takes the package faker, which is not installed",
            next_step="Install it: pip install 'tap-mobile-engagement[faker]'",
        )


def _setting(name: str) -> Setting:
    return next(setting for setting in SDK_SETTINGS if setting.name == name)


_FAKE = re.compile(r"\bfake\.")


def map_failed(error: Exception) -> SettingsError:
    """The error for stream maps that the SDK can't apply, to a stream or to a record."""
    cause = error.__cause__ or error
    what = str(error) if error.__cause__ is None else f"{error} {cause}"
    return _setting("stream_maps").wrong(f"can't be applied ({type(cause).__name__}): {what}")
