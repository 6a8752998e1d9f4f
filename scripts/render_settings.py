"""Write the tap's settings into meltano.yml, the hub entry and docs/settings.md.

They are defined once. Each file holds a block between two markers; everything else in it is
written by hand::

    python -m scripts.render_settings           # renew the blocks
    python -m scripts.render_settings --check   # exit with 1 when a block is stale
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.settings import SDK_SETTINGS, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_mobile_engagement.settings import Setting

ROOT = Path(__file__).resolve().parent.parent
_LINE_LENGTH = 96


def meltano_settings(settings: tuple[Setting, ...] = (*SETTINGS, *SDK_SETTINGS)) -> str:
    """The settings as Meltano's plugin definition has them: a YAML list."""
    return "\n".join(_meltano_setting(setting) for setting in settings)


def settings_table(settings: tuple[Setting, ...] = SETTINGS) -> str:
    """The settings as a Markdown table."""
    rows = [
        "| setting | kind | default | meaning | example |",
        "| --- | --- | --- | --- | --- |",
    ]
    rows += [_row(setting) for setting in settings]
    return "\n".join(rows)


def _meltano_setting(setting: Setting) -> str:
    schema = setting.schema
    label = setting.name.replace("_", " ").capitalize()
    lines = [
        f"- name: {setting.name}",
        f"  label: {_yaml(label.replace('Api', 'API').replace('url', 'URL'))}",
        f"  kind: {_meltano_kind(schema)}",
    ]
    if setting.secret:
        lines.append("  sensitive: true")
    if "enum" in schema:
        lines.append("  options:")
        for choice in _choices(schema):
            lines += [f"  - label: {_yaml(choice)}", f"    value: {_yaml(choice)}"]
    if setting.default is not None:
        lines.append(f"  value: {_yaml(setting.default)}")
    lines.append(f"  placeholder: {_yaml(setting.example)}")
    lines.append("  description: >-")
    lines.append(_wrapped(setting.schema["description"], "    "))
    return "\n".join(lines)


def _meltano_kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "options"
    if schema.get("format") == "date":
        return "date_iso8601"
    kind = str(schema["type"][0])
    return "string" if kind == "number" else kind


def _choices(schema: dict[str, Any]) -> list[str]:
    return [choice for choice in schema["enum"] if choice is not None]


def _yaml(value: Any) -> str:
    """A value in YAML's flow style; JSON is a part of YAML."""
    return json.dumps(value, ensure_ascii=False)


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(
        text,
        _LINE_LENGTH - _MELTANO_INDENT,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _row(setting: Setting) -> str:
    schema = setting.schema
    if "enum" in schema:
        kind = ", ".join(f"`{choice}`" for choice in _choices(schema))
    else:
        kind = schema.get("format") or schema["type"][0]
    if setting.secret:
        kind += ", secret"
    if setting.required:
        default = "required for `api`"
    else:
        default = "" if setting.default is None else f"`{_plain(setting.default)}`"
    cells = (
        f"`{setting.name}`",
        kind,
        default,
        setting.schema["description"],
        f"`{setting.example}`",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Block:
    """A rendered block of a file.

    Attributes:
        path: The file.
        begin: The line before the block.
        end: The line after it.
        indent: How far the block is indented, in columns.
        render: Makes its text.
    """

    path: Path
    begin: str
    end: str
    indent: int
    render: Callable[[], str]

    def renewed(self, text: str) -> str:
        """The file's text with a fresh block.

        Raises:
            ValueError: If the text does not hold both markers, each once and in order.
        """
        lines = text.splitlines()
        places = [n for n, line in enumerate(lines) if line.strip() in {self.begin, self.end}]
        if [lines[n].strip() for n in places] != [self.begin, self.end]:
            raise ValueError(f"{self.path.name} needs the lines {self.begin} and {self.end}")
        first, last = places
        block = textwrap.indent(self.render(), " " * self.indent)
        return "\n".join([*lines[: first + 1], block, *lines[last:]]) + "\n"


_MELTANO_INDENT = 4
BLOCKS = (
    Block(
        ROOT / "meltano.yml",
        "# Rendered from tap_mobile_engagement/settings.py by `make settings`:",
        "# End of the rendered settings.",
        _MELTANO_INDENT,
        meltano_settings,
    ),
    Block(
        ROOT / "hub" / "tap-mobile-engagement.yml",
        "# Rendered from tap_mobile_engagement/settings.py by `make settings`:",
        "# End of the rendered settings.",
        0,
        meltano_settings,
    ),
    Block(
        ROOT / "docs" / "settings.md",
        "<!-- Rendered from tap_mobile_engagement/settings.py by `make settings`. -->",
        "<!-- End of the rendered settings. -->",
        0,
        settings_table,
    ),
    Block(
        ROOT / "docs" / "settings.md",
        "<!-- Rendered from tap_mobile_engagement/settings.py by `make settings`: SDK. -->",
        "<!-- End of the rendered settings of the SDK. -->",
        0,
        lambda: settings_table(SDK_SETTINGS),
    ),
)


def main() -> int:
    """Renew the blocks, or check them; the exit code is 1 when a check finds a stale one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing, only check")
    only_check = parser.parse_args().check
    stale = False
    for block in BLOCKS:
        text = block.path.read_text(encoding="utf-8")
        renewed = block.renewed(text)
        if renewed == text:
            continue
        stale = True
        if only_check:
            print(f"{block.path.name}: the settings are stale, run `make settings`")
        else:
            block.path.write_text(renewed, encoding="utf-8")
            print(f"{block.path.name}: renewed")
    return 1 if stale and only_check else 0


if __name__ == "__main__":
    sys.exit(main())
