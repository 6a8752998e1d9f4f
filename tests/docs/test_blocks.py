"""Every block of code on every page: it parses, and what it names exists or was run.

Pages that are run from their first command to their last have tests of their own; for the
others a command is looked up: its target, its options, its package, or the test that runs it.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tap_mobile_engagement.commands import inspect, to_parquet
from tap_mobile_engagement.simulator.__main__ import main as simulator_command
from tap_mobile_engagement.tap import TapMobileEngagement
from tests.docs.pages import PAGES, ROOT, Command, blocks, commands, commands_on
from tests.support.messages import assert_contains, bookmark, own_fields
from tests.support.simulated import settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import click

    from tap_mobile_engagement.simulator import Simulator

RUN_AS_THEY_STAND = {
    "README.md": "tests/docs/test_readme.py",
    "docs/start.md": "tests/docs/test_start.py",
    "docs/settings.md": "tests/docs/test_settings_page.py",
    "docs/simulator.md": "tests/simulator/test_docs.py",
}
MELTANO_PAGE = "docs/meltano.md"  # tests/warehouse/test_meltano.py runs its commands
LANGUAGES = {"console", "json", "yaml", "python", "mermaid", "sql"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Source"]
OUR_PACKAGE = re.compile(rf"tap-mobile-engagement\[(\w+)\](?: @ git\+{REPOSITORY})?")
SOURCES = {f"git+{REPOSITORY}", "./tap-mobile-engagement"}


def looked_up() -> list[tuple[str, Command]]:
    return [
        (block.page, command)
        for block in blocks("console")
        if block.page not in RUN_AS_THEY_STAND
        for command in commands(block)
    ]


@pytest.mark.parametrize("test", RUN_AS_THEY_STAND.values())
def test_the_tests_that_are_named_are_there(test: str) -> None:
    assert (ROOT / test).exists()


def test_every_block_says_its_language() -> None:
    for page in PAGES:
        fences = re.findall(r"^```(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert {*fences[::2]} <= LANGUAGES | {"text"}, page.name
        assert {*fences[1::2]} <= {""}, page.name


@pytest.mark.parametrize(("page", "command"), looked_up(), ids=str)
def test_a_command_is_known(page: str, command: Command) -> None:
    for part in command.text.partition("#")[0].split("|"):
        words = shlex.split(part)
        check = CHECKS.get(words[0])
        assert check, f"{page}: what is {words[0]}?"
        check(page, words)


def _make(_: str, words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {*words[1:]} <= {*re.findall(r"^([\w-]+):.*##", makefile, re.MULTILINE)}


def _pip(_: str, words: list[str]) -> None:
    packages = words[words.index("install") + 1 :]
    for word in packages:
        package = OUR_PACKAGE.fullmatch(word)
        assert package or word in {"pytest", "meltano[azure]", *SOURCES}, word
        if package:
            assert package[1] in PROJECT["optional-dependencies"]


def _git(_: str, words: list[str]) -> None:
    assert words[1:] == ["clone", REPOSITORY]


def _program(command: click.Command) -> Callable[[str, list[str]], None]:
    options = {name for each in command.params for name in each.opts}

    def check(_: str, words: list[str]) -> None:
        given = {word.partition("=")[0] for word in words[1:] if word.startswith("-")}
        assert given <= options | {"--help", "--version"}, words

    return check


def _project() -> Any:
    return yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))


def _meltano(page: str, words: list[str]) -> None:
    assert page == MELTANO_PAGE, words


def _quoted(page: str, _: list[str]) -> None:
    # Microsoft's; the page says that no test can run them.
    assert page == "docs/archive.md"


def _harmless(_: str, words: list[str]) -> None:
    # (the names of variables are looked at in tests/test_docs.py)
    assert words


CHECKS: dict[str, Callable[[str, list[str]], None]] = {
    "make": _make,
    "pip": _pip,
    "tap/bin/pip": _pip,
    "uv": _pip,
    "git": _git,
    "tap/bin/tap-mobile-engagement": _program(TapMobileEngagement.cli),
    "tap-mobile-engagement": _program(TapMobileEngagement.cli),
    "tap-mobile-engagement-inspect": _program(inspect.main),
    "tap-mobile-engagement-to-parquet": _program(to_parquet.main),
    "mobile-engagement-simulator": _program(simulator_command),
    "meltano": _meltano,
    "az": _quoted,
    "azcopy": _quoted,
    "export": _harmless,
    "pytest": _harmless,
    "python3": _harmless,
}


# Data.


@pytest.mark.parametrize("block", blocks("json"), ids=lambda block: block.page)
def test_json_is_json(block: Any) -> None:
    assert json.loads(block.text)


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.page)
def test_yaml_is_yaml_and_names_settings_of_the_tap(block: Any) -> None:
    content = yaml.safe_load(block.text)
    alone = [{"config": content.get("config")}]
    extractors = content.get("plugins", {}).get("extractors", alone)
    known = {setting["name"] for setting in _project()["plugins"]["extractors"][0]["settings"]}

    for extractor in extractors:
        assert {*(extractor.get("config") or {})} <= known


def test_the_same_streams_are_off_in_every_definition() -> None:
    (block,) = blocks("yaml", page="docs/streams.md")
    (shown,) = yaml.safe_load(block.text)["plugins"]["extractors"]
    hub = yaml.safe_load((ROOT / "hub" / "tap-mobile-engagement.yml").read_text("utf-8"))
    (variant,) = hub["variants"]

    (ours,) = _project()["plugins"]["extractors"]
    assert ours["select"] == shown["select"] == variant["select"] == hub["select"]


def test_the_state_that_is_shown_is_taken_up(simulator: Simulator, folder: Path) -> None:
    block, _ = blocks("json", page="docs/state.md")
    state = json.loads(block.text)
    # (the day behind the range of its task: that one is unknown here, and made anew)
    settings = settings_for(simulator, folder, lookback_days=0)

    messages = sync(settings, state=state).checked()

    assert bookmark(state, "events") == "2016-05-08T00:00:00Z"
    assert bookmark(messages.state, "events") == "2016-05-15T00:00:00Z"
    truth = simulator.truth("shop", "events")
    new = [record for record in truth if record["timestamp"] >= "2016-05-08"]
    assert_contains(own_fields(messages.records("events")), new)
    tasks = [task.request for task in simulator.tasks if task.request.data_type == "events"]
    assert min(str(request.start) for request in tasks) == "2016-05-08"


def test_the_state_of_an_archive_is_as_it_is_shown(folder: Path) -> None:
    _, block = blocks("json", page="docs/state.md")
    shown = json.loads(block.text)["bookmarks"]["events"]
    event = {"deviceId": "d", "events": [{"name": "n", "timestamp": "2016-05-01"}]}
    (folder / "a.json").write_text(json.dumps([event]))

    messages = sync({"source": "archive", "container_url": str(folder)}).checked()

    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shape(inner) for key, inner in value.items() if key != "files"}
        return [*map(shape, value)] if isinstance(value, list) else type(value)

    state = messages.state["bookmarks"]["events"]
    assert shape(state) == shape(shown)
    assert [*map(len, (state["archive"]["files"], shown["archive"]["files"]))] == [1, 1]


# The index.


def test_the_index_leads_to_every_page_and_back() -> None:
    index = ROOT / "docs" / "README.md"
    pages = sorted({*(ROOT / "docs").glob("*.md")} - {index})
    linked = re.findall(r"^\| \[(\w+\.md)\]\(\1\) \|", index.read_text("utf-8"), re.MULTILINE)

    assert sorted(linked) == [page.name for page in pages]
    for page in pages:
        assert "](README.md)" in page.read_text(encoding="utf-8"), page.name
    assert commands_on("docs/README.md") == []
