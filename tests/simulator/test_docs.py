"""The simulator's page says what is so: its tables are complete, its examples run."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from tap_mobile_engagement.simulator.faults import AnyFault, Faults
from tap_mobile_engagement.simulator.options import described
from tests.docs.pages import commands_on

SHOWN_URL = "http://127.0.0.1:8377"
# A stand-in for curl, which not every machine has: what the page uses of it, and no more.
CURL = """#!{python}
import argparse, urllib.request
parser = argparse.ArgumentParser()
parser.add_argument("-X", dest="method", default="GET")
parser.add_argument("-H", dest="header")
parser.add_argument("-d", dest="data")
parser.add_argument("url")
asked = parser.parse_args()
headers = dict([asked.header.split(": ")]) if asked.header else {{}}
data = asked.data.encode() if asked.data else None
request = urllib.request.Request(asked.url, data, headers, method=asked.method)
print(urllib.request.urlopen(request).read().decode())
"""

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


def test_console_examples_print_what_is_shown(tmp_path: Path) -> None:
    # Given the simulator as the first example starts it, on a free port,
    start, *others = commands_on("docs/simulator.md")
    curl = tmp_path / "curl"
    curl.write_text(CURL.format(python=sys.executable))
    curl.chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    (tmp_path / "exports").mkdir()
    program, *arguments = shlex.split(start.text)
    assert program == "mobile-engagement-simulator"
    line = [sys.executable, "-m", "tap_mobile_engagement.simulator", *arguments, "--port", "0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            url = said.split()[-1]
            assert said.replace(url, SHOWN_URL) == start.output

            # when the others run, then each prints what is shown.
            for command in others:
                done = subprocess.run(
                    ["sh", "-c", command.text.replace(SHOWN_URL, url)],
                    cwd=tmp_path,
                    env=env,
                    check=True,
                    capture_output=True,
                    text=True,
                )
                assert done.stdout.strip() == command.output.strip()
        finally:
            process.send_signal(signal.SIGTERM)
