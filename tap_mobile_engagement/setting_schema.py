"""What a setting is, read off its annotation: its JSON Schema, its words and its check."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec
from msgspec import Meta, Struct

from tap_mobile_engagement.errors import Code, SettingsError
from tap_mobile_engagement.redaction import register_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST = 1_000_000_000
"""The highest number: of anything that is counted. As minutes it still fits a time span."""


class Wrong(Exception):  # noqa: N818  (an outcome of a check; it never reaches a user as it is)
    """A value does not fit; the argument completes the sentence "the setting NAME …"."""


def described(
    description: str,
    example: Any,
    *,
    check: Callable[[str], str] = str,
    least: int | None = None,
    secret: bool = False,
    required: bool = False,
) -> Meta:
    """Describe a setting, as the annotation of a Struct's attribute.

    Args:
        description: What it means, in one or two sentences.
        example: A value, as a configuration file has it.
        check: The check of a text; it raises :class:`Wrong`.
        least: The lowest number.
        secret: Whether its value must never be shown.
        required: Whether ``source: api`` can't do without it.
    """
    return Meta(
        description=description,
        examples=[example],
        ge=least,
        le=None if least is None else MOST,
        extra_json_schema={"secret": True, "writeOnly": True} if secret else {},
        extra={"check": check, "required": required},
    )


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as users see it.

    Attributes:
        name: Its key in the configuration.
        type: Its annotation.
        default: What holds when it is not set, as a configuration file has it; None for none.
        schema: Its JSON Schema, with title, description and examples.
    """

    name: str
    type: Any
    default: Any
    schema: dict[str, Any]

    @property
    def description(self) -> str:
        """What it means, in one or two sentences."""
        return str(self.schema["description"])

    @property
    def example(self) -> str:
        """A value as one would write it in YAML."""
        value = self.schema["examples"][0]
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown."""
        return "secret" in self.schema

    @property
    def required(self) -> bool:
        """Whether ``source: api`` can't do without it."""
        return bool(self._extra["required"])

    @property
    def _extra(self) -> dict[str, Any]:
        found: dict[str, Any] = self.type.__metadata__[0].extra
        return found

    def wrong(self, reason: str, example: str = "") -> SettingsError:
        """The error that names the setting and shows a right value."""
        return SettingsError(
            Code.BAD_SETTING,
            f"the setting {self.name} {reason}",
            next_step=f"Write it like this: {self.name}: {example or self.example}",
        )

    def typed(self, value: Any) -> Any:
        """A configured value in the setting's type.

        Raises:
            SettingsError: ``BAD_SETTING``, with the setting's name and an example.
        """
        if self.secret and isinstance(value, str) and not _FOLDER.fullmatch(value):
            register_secret(value.strip())
        is_object = self.schema["type"][0] == "object"
        try:
            return self._typed(_tidied(value))
        except Wrong as error:
            reason = str(error)
        except msgspec.ValidationError as error:
            reason = f"must be an object: {error}" if is_object else self.words
        # What is in an object may be secret: credentials of a storage, values for stream maps.
        shown = "" if self.secret or is_object else f", not {repr(value)[:_MOST_SHOWN]}"
        raise self.wrong(f"{reason}{shown}")

    def _typed(self, value: Any) -> Any:
        if "number" in self.schema["type"]:
            return _seconds(value)
        if self.schema.get("format") == "date":
            return _day(value)
        typed = msgspec.convert(value, self.type)
        if isinstance(typed, tuple):
            if "" in typed or (self.default and not typed):
                raise Wrong(self.words)
            return tuple(dict.fromkeys(typed))
        return self._extra["check"](typed) if isinstance(typed, str) else typed

    @property
    def words(self) -> str:
        """What a value must be."""
        match self.schema:
            case {"enum": [*choices, None]}:
                return f"must be one of {', '.join(choices)}"
            case {"type": ["integer", _], "minimum": least, "maximum": most}:
                return f"must be a whole number from {least} to {most}"
            case {"items": {"enum": choices}}:
                return f"must be a list of some of {', '.join(choices)}"
            case {"items": {"required": names}}:
                return f"must be a list of {{{', '.join(names)}}}"
            case {"items": _}:
                return "must be a list of texts, none of them empty"
        return _WORDS[self.schema["type"][0]]


_MOST_SHOWN = 200  # characters of a wrong value
_WORDS = {"boolean": "must be true or false", "string": "must be a text"}
# The path of a folder holds no secret, and messages name it.
_FOLDER = re.compile(r"\s*(file:.*|(?!\w\w+:)[^?=]*)", re.DOTALL)


def _tidied(value: Any) -> Any:
    """Remove white space around texts, and refuse characters that no target can hold."""
    match value:
        case str():
            if re.search("[\0\ud800-\udfff]", value):
                raise Wrong("must not hold U+0000 or half of a character")
            return value.strip()
        case list() | tuple():
            return [_tidied(each) for each in value]
        case dict():
            return {name: _tidied(each) for name, each in value.items()}
    return value


def _day(value: object) -> date:
    """A day in UTC, from a date or a date-time."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            value = (value.astimezone(UTC) if value.tzinfo else value).date()
    except (OverflowError, ValueError):  # no date; or in UTC before the year 1 or after 9999
        value = None
    if not isinstance(value, date):
        raise Wrong("must be a date")
    return value


def _seconds(value: object) -> float:
    number = 0.0
    # (the SDK reads fractions in a JSON file as Decimal)
    if isinstance(value, int | float | Decimal | str) and not isinstance(value, bool):
        with suppress(OverflowError, ValueError):  # too large; or no number at all
            number = float(value)
    if not 0 < number <= MOST:
        raise Wrong(f"must be a number of seconds above zero, at most {MOST}")
    return number


def settings_of(struct: type[Struct]) -> tuple[Setting, ...]:
    """Read the settings off a Struct, whose attributes all have defaults."""
    hints = get_type_hints(struct, include_extras=True)
    return tuple(_setting(name, hint, getattr(struct(), name)) for name, hint in hints.items())


def _setting(name: str, hint: Any, default: Any) -> Setting:
    if hint.__metadata__[0].extra["required"] or isinstance(default, date):
        default = None
    default = msgspec.json.decode(msgspec.json.encode(default))
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
    title = name.replace("_", " ").capitalize()
    schema["title"] = title.replace("Api", "API").replace("url", "URL")
    if default is not None:
        schema["default"] = default
    return Setting(name, hint, default, schema)


def json_schema(settings: Iterable[Setting]) -> dict[str, Any]:
    """The JSON Schema of a configuration, as the SDK shows it in ``--about``."""
    return {"type": "object", "properties": {each.name: each.schema for each in settings}}
