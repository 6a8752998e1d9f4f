"""Which files of an archive are looked at, and what the settings say that they hold."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from tap_mobile_engagement.settings import ArchiveType  # noqa: TC001  (msgspec reads it)

if TYPE_CHECKING:
    from tap_mobile_engagement.settings import Settings

_WILD = "*?["


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """What the settings say about the files of an archive.

    Attributes:
        pattern: Which files to look at.
        types: What files hold, where their content can't tell; the first match counts.
    """

    pattern: str = "**"
    types: tuple[ArchiveType, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """The rules in the settings."""
        return cls(settings.archive_pattern, settings.archive_types)

    def looks_at(self, name: str) -> bool:
        """Whether a file of that name is looked at."""
        return matches(self.pattern, name)

    def data_type(self, name: str) -> str | None:
        """The name of the data type that a file is said to hold; None if nothing is said."""
        for rule in self.types:
            if matches(rule.pattern, name):
                return rule.data_type
        return None

    @property
    def prefix(self) -> str:
        """What the names of all files that are looked at begin with."""
        at = next((i for i, char in enumerate(self.pattern) if char in _WILD), None)
        return self.pattern[:at]

    def to_state(self) -> Any:
        """The rules as a state holds them."""
        return msgspec.to_builtins(self)


def matches(pattern: str, name: str) -> bool:
    """Whether a blob's name matches a pattern, letter by letter.

    Args:
        pattern: ``*`` stands for anything within a folder, ``**`` for anything across folders,
            ``**/`` also for no folder, ``?`` for one character but a slash, ``[ab]`` and
            ``[!ab]`` for one that is, or is not, among those in the brackets.
        name: With ``/`` between folders.
    """
    return _compiled(pattern).fullmatch(name) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.findall(r"\*\*/|\*\*|\*|\?|\[!?[^\]]+\]|.", pattern, re.DOTALL)
    return re.compile("".join(map(_regex, parts)), re.DOTALL)


def _regex(part: str) -> str:
    match part:
        case "**/":
            return r"(?:.*/)?"
        case "**":
            return r".*"
        case "*":
            return r"[^/]*"
        case "?":
            return r"[^/]"
        case _ if len(part) > 1:
            negated = part[1] == "!"
            chars = re.sub(r"[\\^\[]", r"\\\g<0>", part[1 + negated : -1])
            return f"[{'^/' if negated else ''}{chars}]"
        case _:
            return re.escape(part)
