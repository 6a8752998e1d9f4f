"""The blocks of code in the README and the docs, and the commands of a console."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HERE_DOCUMENT = re.compile(r"<<'?(\w+)'?")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code on a page.

    Attributes:
        page: The page, as a path from the project's folder.
        language: What it says of itself.
        text: What it holds.
    """

    page: str
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a console block.

    Attributes:
        text: The command, with its continued lines and its here-document.
        output: What the page shows behind it.
    """

    text: str
    output: str


def blocks(*languages: str, page: str | None = None, section: str = "") -> list[Block]:
    """The blocks in one of the languages, on one page or on all, below one heading or any."""
    found = []
    for path in PAGES:
        name = path.relative_to(ROOT).as_posix()
        if page not in (None, name):
            continue
        content = path.read_text(encoding="utf-8")
        if section:
            content = content.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
            assert content, f"{name} has no section {section}"
        for language, text in _BLOCK.findall(content):
            if language in languages:
                found.append(Block(name, language, text))
    return found


def commands(block: Block) -> list[Command]:
    """The commands of a console block, in order."""
    found: list[Command] = []
    lines = iter(block.text.splitlines())
    for line in lines:
        if not line.startswith("$ "):
            assert found, f"{block.page}: output before any command: {line}"
            last = found.pop()
            found.append(Command(last.text, f"{last.output}{line}\n"))
            continue
        text = line.removeprefix("$ ")
        while text.endswith("\\"):
            text += "\n" + next(lines)
        if here := _HERE_DOCUMENT.search(text):
            end = None
            while end != here[1]:
                end = next(lines)
                text += f"\n{end}"
        found.append(Command(text, ""))
    return found


def commands_on(page: str, section: str = "") -> list[Command]:
    """The commands of all console blocks of a page or of a section, in order."""
    shown = blocks("console", page=page, section=section)
    return [each for block in shown for each in commands(block)]
