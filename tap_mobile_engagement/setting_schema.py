"""What a setting is, read off its annotation: its JSON Schema, its words and its check."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec
from msgspec import Meta, Struct

from tap_mobile_engagement.errors import Code, SettingsError
from tap_mobile_engagement.redaction import register_secret

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_SHOWN = 200  # characters of a wrong value
# The SDK reads a fraction as a Decimal; users write 7.5.
_DECIMAL = re.compile(r"Decimal\('([^']*)'\)")
# The path of a folder holds no secret, and messages name it.
_FOLDER = re.compile(r"\s*(file:.*|(?!\w\w+:)[^?=]*)", re.DOTALL)


def described(
    description: str,
    example: Any,
    *,
    check: Callable[[str], str] = str,  # of a text; it raises ValueError
    secret: bool = False,
) -> Meta:
    """Describe a setting, as the annotation of a Struct's attribute."""
    return Meta(
        description=description,
        examples=[example],
        extra_json_schema={"secret": True, "writeOnly": True} if secret else {},
        extra={"check": check},
    )


REQUIRED = Meta(extra={"required": True})
"""Of a setting that ``source: api`` requires."""


class Setting:
    """One setting, as users see it; default and examples as a configuration file has them."""

    def __init__(self, name: str, hint: Any, default: Any) -> None:
        self.name = name
        self.required = REQUIRED in hint.__metadata__
        is_known = not self.required and not isinstance(default, date)
        self.default = msgspec.json.decode(msgspec.json.encode(default)) if is_known else None
        self.schema = _schema_of(name, hint, self.default)
        self.description: str = self.schema["description"]
        self.kind: str = self.schema["type"][0]
        self.secret = "secret" in self.schema
        value = self.schema["examples"][0]
        is_text = isinstance(value, str)
        self.example = value if is_text else json.dumps(value, ensure_ascii=False)
        self._type = hint
        self._check = hint.__metadata__[-1].extra["check"]

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
            if self.schema.get("format") == "date":
                tidied = _day(tidied)
            typed = msgspec.convert(tidied, self._type, strict=self.kind != "number")
            if isinstance(typed, tuple):
                return tuple(dict.fromkeys(typed))
            return self._check(typed) if isinstance(typed, str) else typed
        except (OverflowError, ValueError) as error:  # also msgspec's
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


def _day(value: object) -> object:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).date()
    return value


def _schema_of(name: str, hint: Any, default: Any) -> dict[str, Any]:
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
    return schema if default is None else {**schema, "default": default}


def settings_of(struct: type[Struct]) -> tuple[Setting, ...]:
    """The settings that a Struct's attributes are; all have defaults."""
    hints = get_type_hints(struct, include_extras=True)
    return tuple(Setting(name, hint, getattr(struct(), name)) for name, hint in hints.items())
