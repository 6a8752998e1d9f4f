"""The settings are defined once; meltano.yml and the docs must show what is defined."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.render_settings import BLOCKS, Block, meltano_settings, settings_table
from tap_mobile_engagement.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.path.name)
def test_a_file_shows_the_settings_as_they_are_defined(block: Block) -> None:
    text = block.path.read_text(encoding="utf-8")

    assert block.renewed(text) == text, "stale: run `make settings`"


@pytest.mark.parametrize("render", [meltano_settings, settings_table])
def test_every_setting_is_rendered_with_its_words(render: Callable[[], str]) -> None:
    shown = " ".join(render().split())

    for setting in SETTINGS:
        assert setting.name in shown
        assert setting.schema["description"] in shown
        assert setting.example in shown.replace('\\"', '"')


def test_secrets_are_marked_as_such_for_meltano_and_for_readers() -> None:
    for setting in SETTINGS:
        assert ("sensitive: true" in meltano_settings((setting,))) is setting.secret
        assert (", secret" in settings_table((setting,))) is setting.secret


def test_only_the_block_is_renewed() -> None:
    block = Block(Path("file"), "begin", "end", 2, lambda: "a\nb")

    assert block.renewed("x\n  begin\nold\n  end\ny\n") == "x\n  begin\n  a\n  b\n  end\ny\n"


@pytest.mark.parametrize("text", ["", "begin\n", "end\nbegin\n", "begin\nend\nbegin\nend\n"])
def test_a_file_without_its_markers_is_refused(text: str) -> None:
    block = Block(Path("file"), "begin", "end", 0, lambda: "a")

    with pytest.raises(ValueError, match="file needs the lines begin and end"):
        block.renewed(text)
