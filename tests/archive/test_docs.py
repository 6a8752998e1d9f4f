"""The examples in docs/archive.md hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.archive.support import settings_for

DOC = (Path(__file__).resolve().parents[2] / "docs" / "archive.md").read_text("utf-8")


def test_the_settings_in_the_examples_are_right() -> None:
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", DOC, re.DOTALL)]
    checked = [
        settings_for(**{key: value for key, value in example.items() if key != "source"})
        for example in examples
        if "sqlalchemy_url" not in example
    ]
    assert [settings.app_names for settings in checked] == [("shop",), ()]
    assert [rule.data_type for rule in checked[1].archive_types] == ["events", "errors"]
