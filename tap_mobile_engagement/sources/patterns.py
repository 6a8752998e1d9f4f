"""Which files of an archive are read, and what the settings say that they hold."""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING
from unicodedata import normalize

from msgspec import Struct

from tap_mobile_engagement.settings import ArchiveType  # noqa: TC001  (msgspec reads it)

if TYPE_CHECKING:
    from collections.abc import Sequence

_PARTS = re.compile(r"(?<![^/])\*\*/|\*\*|\*|\?|\[(?!!\])[^\]/]+\]|.", re.DOTALL)
_STARS = {"**/": "(?:.*?/)??", "**": ".*?", "*": "[^/]*?"}


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """Which files of an archive to read, and what they hold: the first type that matches."""

    pattern: str = "**"
    types: tuple[ArchiveType, ...] = ()
    encoding: str | None = None

    def looks_at(self, name: str) -> bool:
        """Whether a file of that name is read."""
        return matches(self.pattern, name)

    def data_type(self, name: str) -> str | None:
        """The name of the data type that a file is said to hold; None if nothing is said."""
        said = (rule.data_type for rule in self.types if matches(rule.pattern, name))
        return next(said, None)

    def enters(self, folder: str) -> bool:
        """Whether a file in that folder may be read; the name ends with a slash."""
        levels, names = self.pattern.split("/"), folder.rstrip("/").split("/")
        for level, name in zip(levels, names, strict=False):
            if "**" in level:
                return True
            if not matches(level, name):
                return False
        return len(names) < len(levels)

    @property
    def prefix(self) -> str:
        """What the names of all files that are read begin with, in any encoding."""
        return re.split(r"[*?\[\x80-\U0010ffff]", normalize("NFC", self.pattern))[0]


def matches(pattern: str, name: str) -> bool:
    """Whether a blob's name, with ``/`` between folders, matches a pattern.

    ``*`` stands for anything within a folder, ``**`` across folders, ``**/`` also for no
    folder, ``?`` for one character but a slash, ``[ab]`` and ``[!ab]`` for one among, or not
    among, those; ``[z-a]`` for none. Case matters; Unicode forms do not.
    """
    if not name.isascii():
        name = normalize("NFC", name)
    return _compiled(pattern).fullmatch(name) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern, whose time does not explode with long names.

    What stands between two stars is found where it occurs first and never tried again. Only
    ``**`` before a narrow star needs more: all up to the next ``**`` is found together.
    """
    groups = [[""]]  # each begins at a ``**``, and consists of pieces that begin at a star
    for part in _PARTS.findall(normalize("NFC", pattern)):
        if part.startswith("**"):
            groups.append([_STARS[part]])
        elif part == "*":
            groups[-1].append(_STARS[part])
        else:  # (of the library's pattern its end is cut off)
            one = translate(part)[:-2]
            groups[-1][-1] += one if part == "/" else f"(?!/){one}"
    *early, last = groups
    end = last.pop() if len(last) > 1 else ""
    regex = "".join(f"(?>{_joined(group)})" for group in early) + _joined(last) + end
    return re.compile(regex, re.DOTALL)


def _joined(pieces: Sequence[str]) -> str:
    return pieces[0] + "".join(f"(?>{piece})" for piece in pieces[1:])
