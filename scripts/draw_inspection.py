"""Draw docs/inspect.svg: a terminal with the inspection that docs/start.md shows.

A test runs that page, so the picture is one of a real run::

    python -m scripts.draw_inspection
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console
from rich.text import Text

_DOCS = Path(__file__).resolve().parent.parent / "docs"
PICTURE = _DOCS / "inspect.svg"
_BLOCK = re.compile(
    r"^```console\n(\$ tap-mobile-engagement-inspect .*?)^```$", re.MULTILINE | re.DOTALL
)
# Pictures on a page may not load fonts from elsewhere.
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def drawn() -> str:
    """The picture, as SVG."""
    (shown,) = _BLOCK.findall((_DOCS / "start.md").read_text(encoding="utf-8"))
    width = max(map(len, shown.splitlines()))
    console = Console(record=True, width=width, file=io.StringIO())
    text = Text(shown.rstrip())
    text.highlight_regex(r"^\$.*", "bold green")
    text.highlight_regex(r"(?m)^notes.txt.*", "yellow")
    console.print(text)
    svg = console.export_svg(title="tap-mobile-engagement-inspect", unique_id="inspection")
    return _FONTS.sub("", svg)


if __name__ == "__main__":
    PICTURE.write_text(drawn(), encoding="utf-8")
