"""The simulator's page says what is so: its tables are complete, its examples run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from tap_mobile_engagement.simulator.faults import AnyFault, Faults
from tap_mobile_engagement.simulator.options import described

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "simulator.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def row(name: str, hint: Any, default: Any, words: str) -> str:
    """The table row of an option."""
    flag = "app" if name == "apps" else name.replace("_", "-")
    if get_origin(hint) is Literal:
        choices = ", ".join(f"`{choice}`" for choice in get_args(hint) if choice != default)
        words = f"{words} Else: {choices}."
    shown = ", ".join(default) if isinstance(default, tuple) else str(default)
    shown = {"None": "", "True": "on", "False": "off"}.get(shown, shown)
    return f"| `{flag}` | {f'`{shown}`' if shown else ''} | {words} |"


def test_every_option_is_in_the_table() -> None:
    missing = [line for line in (row(*option) for option in described()) if line not in PAGE]

    assert not missing, "\n".join(missing)


def test_every_fault_is_in_a_table_with_its_fields() -> None:
    for fault in get_args(AnyFault):
        tag = fault.__struct_config__.tag
        own = set(fault.__struct_fields__) - set(fault.__mro__[1].__struct_fields__)
        (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{tag}` |"))

        assert own <= set(re.findall(r"`(\w+)`", line)), f"{tag}: {own}"


@pytest.mark.parametrize("block", blocks("json"))
def test_plans_of_faults_are_good(block: str) -> None:
    plan = json.loads(block)

    faults = Faults(plan)

    assert len(faults.report()) == len(plan) > 0


@pytest.mark.parametrize("block", blocks("python"))
def test_python_examples_run(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    exec(compile(block, "docs/simulator.md", "exec"), {})  # noqa: S102
