"""What a user hands over as files and in the environment.

What can't be read ends in one line that says which file, why, and what a right one looks like.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.helpers._util import load_json

from tap_mobile_engagement.errors import Code, DataError, SettingsError, TapError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from tap_mobile_engagement.setting_schema import Setting

CONFIG_EXAMPLE = 'Write it like this: {"source": "archive", "container_url": "file:///data"}'
CATALOG_EXAMPLE = "Make one with: tap-mobile-engagement --discover > catalog.json"
STATE_EXAMPLE = (
    "Take the value of the last STATE message of an earlier run; to begin anew give no state"
)


def read_config(path: str) -> dict[str, Any]:
    """Read a configuration file.

    Raises:
        SettingsError: ``BAD_SETTING`` where the file holds no JSON object.
    """
    return _read(path, "configuration", _bad_config)


def read_catalog(path: str) -> dict[str, Any]:
    """Read a catalog file.

    Raises:
        SettingsError: ``BAD_CATALOG`` where the file holds no JSON object.
    """
    return _read(path, "catalog", bad_catalog)


def read_state(path: str) -> dict[str, Any]:
    """Read a state file; an empty one is no state.

    Raises:
        DataError: ``BAD_STATE`` where the file holds no JSON object.
    """
    return _read(path, "state", bad_state, empty={})


def _bad_config(what: str) -> SettingsError:
    return SettingsError(Code.BAD_SETTING, what, next_step=CONFIG_EXAMPLE)


def bad_catalog(what: str) -> SettingsError:
    """The error for a catalog that is none of this tap's."""
    return SettingsError(Code.BAD_CATALOG, what, next_step=CATALOG_EXAMPLE)


def bad_state(what: str) -> DataError:
    """The error for a state that is none of this tap's."""
    return DataError(Code.BAD_STATE, what, next_step=STATE_EXAMPLE)


def _read(
    path: str,
    kind: str,
    bad: Callable[[str], TapError],
    empty: dict[str, Any] | None = None,
) -> dict[str, Any]:
    named = f"the {kind} file {path}"
    try:
        content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with U+0000
        reason = error.strerror if isinstance(error, OSError) else error
        raise bad(f"{named} can't be read: {reason}") from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content[:4]:
        raise bad(f"{named} is not UTF-8 but UTF-16 or UTF-32") from None
    try:
        text = content.decode("utf-8-sig")
        if not text.strip():
            if empty is not None:
                return empty
            raise bad(f"{named} is empty") from None
        value = load_json(text)
    except UnicodeDecodeError as error:
        raise bad(f"{named} is not UTF-8: byte {error.start} of it is {error.reason}") from None
    except (ValueError, RecursionError) as error:  # also numbers with too many digits
        raise bad(f"{named} holds no JSON: {error}") from None
    if not isinstance(value, dict):
        raise bad(f"{named} holds no JSON object")
    return value


_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def read_environment(settings: Collection[Setting], prefix: str) -> dict[str, Any]:
    """Read settings from environment variables, and from a ``.env`` file as the SDK does.

    A text that stands for nothing that the setting can be is left as it is, so that the check
    of the setting refuses it with its name.

    Args:
        settings: The settings.
        prefix: What the names of the variables begin with.

    Returns:
        Values by name of the setting, in lower case; also of variables that are no setting.
    """
    as_texts = {setting.name: {"type": "string"} for setting in settings}
    texts = parse_environment_config({"properties": as_texts}, prefix)
    values = {s.name: _decoded(texts[s.name], s) for s in settings if s.name in texts}
    for variable, text in os.environ.items():
        name = variable.removeprefix(prefix).lower()
        # Meltano's own settings of a plugin begin with one more underscore.
        is_ours = variable.startswith(prefix) and not name.startswith("_")
        if is_ours and name != "loglevel" and name not in values:
            values[name] = text
    return {name: value for name, value in values.items() if value != ""}


def _decoded(text: str, setting: Setting) -> Any:
    kind, word = setting.schema.get("type", ["string"])[0], text.strip().lower()
    match kind:
        case "boolean" if word in (*_TRUE, *_FALSE):
            return word in _TRUE
        case "integer" if re.fullmatch(r"[+-]?[0-9]{1,18}", word):
            return int(word)
        case "array" | "object":
            try:
                return load_json(text)
            except (ValueError, RecursionError):
                return text
    return text


def check_log_level(prefix: str) -> None:
    """Check the variable that sets the level of the log, as the SDK chooses it.

    Raises:
        SettingsError: ``BAD_SETTING`` where there is no such level.
    """
    names = (f"{prefix}LOGLEVEL", "LOGLEVEL")
    name, level = next(((n, os.environ[n]) for n in names if os.environ.get(n)), ("", "INFO"))
    if level.upper() not in logging.getLevelNamesMapping():
        raise SettingsError(
            Code.BAD_SETTING,
            f"the variable {name} is no level of a log: {level!r}",
            next_step=f"Write it like this: {name}=WARNING",
        )


def unknown_names(names: Iterable[str], known: Collection[str], kind: str) -> Iterator[str]:
    """A warning for each name that is not known, with the nearest one that is."""
    for name in names:
        if name not in known:
            near = get_close_matches(name.lower(), known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            yield f"There is no {kind} {name}: it counts for nothing{hint}"
