"""The docs: every link resolves, every file is found, and what is listed is what there is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from scripts import draw_inspection
from tap_mobile_engagement.settings import SETTINGS
from tap_mobile_engagement.simulator import Options
from tap_mobile_engagement.tap import TapMobileEngagement

ROOT = Path(__file__).resolve().parents[1]
COMMAND = Path(sys.executable).with_name("tap-mobile-engagement")
PAGES = sorted(
    chain(ROOT.glob("*.md"), ROOT.glob("docs/**/*.md"), ROOT.glob("examples/**/*.md"))
)
WORKFLOWS = sorted(
    chain(ROOT.glob(".github/**/*.yml"), ROOT.glob("examples/**/.github/**/*.yml"))
)
# Where the repository is, and its files there: the README is the package's page, too.
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Source"]
HOSTED = re.compile(re.escape(REPOSITORY) + "/(?:blob|raw|tree)/main/")
LINK = re.compile(r"\]\(([^)\s]+)\)")
DEFINITION = re.compile(r"^\[([^\]]+)\]: (\S+)$", re.MULTILINE)
REFERENCE = re.compile(r"\[([\w./]+)\](?![(:])")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
MENTION = re.compile(r"`((?:docs|tests|scripts|examples|benchmarks)/[\w./-]+)`")
SETTING_VARIABLE = re.compile(r"\bTAP_MOBILE_ENGAGEMENT_([A-Z_]+)\b")


PICTURES = sorted(ROOT.glob("docs/*.svg"))


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", text_of(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links_of(page: Path) -> list[str]:
    """All links, whether they stand in the text or below it."""
    text = CODE.sub("", text_of(page))
    return LINK.findall(text) + [link for _, link in DEFINITION.findall(text)]


def target_of(link: str, page: Path) -> Path | None:
    """The file of this project that a link leads to; None if it leads out of it."""
    name = link.partition("#")[0]
    if hosted := HOSTED.match(name):
        return ROOT / name[hosted.end() :]
    if name.startswith(("https://", "mailto:")):
        return None
    return (page.parent / name).resolve() if name else page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links_of(page):
        target = target_of(link, page)
        if target is None:
            continue
        anchor = link.partition("#")[2]
        found = target.is_relative_to(ROOT) and target.exists()
        if not found or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_are_named_are_there(page: Path) -> None:
    named = MENTION.findall(text_of(page))

    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_page_of_the_docs_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        waiting += [each for link in links_of(page) if (each := target_of(link, page))]

    assert {page for page in PAGES if page.parent == ROOT / "docs"} <= reached


def test_links_of_the_readme_work_on_the_packages_page() -> None:
    page = ROOT / "README.md"
    text = CODE.sub("", text_of(page))

    assert [each for each in links_of(page) if not each.startswith(("https://", "#"))] == []
    assert {*REFERENCE.findall(text)} <= {name for name, _ in DEFINITION.findall(text)}


def test_the_address_of_the_repository_is_the_same_everywhere() -> None:
    addresses = re.compile(r"https://github\.com/[\w.-]+/tap-mobile-engagement\b")
    found = {
        address
        for path in (
            *PAGES,
            ROOT / "pyproject.toml",
            ROOT / "hub" / "tap-mobile-engagement.yml",
        )
        for address in addresses.findall(text_of(path))
    }

    assert found == {REPOSITORY}


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_shown_on_a_page_and_loads_nothing(path: Path) -> None:
    assert ET.fromstring(text_of(path)).tag == "{http://www.w3.org/2000/svg}svg"
    assert "url(http" not in text_of(path)
    assert any(target_of(link, page) == path for page in PAGES for link in links_of(page))


def test_the_inspection_is_drawn_as_the_docs_show_it() -> None:
    assert text_of(draw_inspection.PICTURE) == draw_inspection.drawn()


def test_badges_say_what_is_so() -> None:
    # (each is a picture of its own words: none asks a service that this project has not got)
    badge = re.compile(
        r"^\[!\[([^\]]+)\]\(https://img\.shields\.io/badge/\S+\)\]", re.MULTILINE
    )
    name = "Programming Language :: Python :: "
    versions = [each.removeprefix(name) for each in PROJECT["classifiers"] if name in each]

    assert badge.findall(text_of(ROOT / "README.md")) == [
        f"Python {', '.join(versions)}",
        f"Licence {PROJECT['license']}",
        "Built with the Singer SDK",
    ]
    assert any(each.startswith("singer-sdk") for each in PROJECT["dependencies"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_and_templates_are_yaml_with_a_name(path: Path) -> None:
    content = yaml.safe_load(text_of(path))

    assert content.get("name") or path.name in {"config.yml", "dependabot.yml"}


@pytest.mark.parametrize("path", [*PAGES, *WORKFLOWS], ids=lambda path: path.name)
def test_the_package_is_installed_from_where_it_is(path: Path) -> None:
    # (with the tap installed, its name and an extra are enough: pip keeps the tap)
    by_name = r"pip install .*(?<![/\w-])tap-mobile-engagement(?![\[/\w-])"

    text = text_of(path)
    assert re.findall(by_name, text) == []
    if re.search(r"pip install '[^' ]+'", text):
        assert "installation.md" in text or path.name == "installation.md"


def test_variables_that_the_docs_show_are_settings() -> None:
    known = {setting.name.upper() for setting in SETTINGS}
    for path in (*PAGES, *WORKFLOWS, ROOT / ".env.example"):
        shown = {name for name in SETTING_VARIABLE.findall(text_of(path)) if name}
        assert {name.strip("_") for name in shown} - known == set(), path


def test_the_example_of_an_environment_is_one_that_the_tap_takes(tmp_path: Path) -> None:
    (tmp_path / "exports").mkdir()
    example = text_of(ROOT / ".env.example").replace("/data/exports", f"{tmp_path}/exports")
    (tmp_path / ".env").write_text(example)

    done = subprocess.run(
        ["sh", "-c", f"set -a; . ./.env; set +a; {COMMAND} --config=ENV --discover"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["streams"]) == 12


def test_the_example_workflow_knows_the_simulator() -> None:
    # (a workflow can't import the simulator's defaults)
    path = ROOT / "examples" / "ci" / ".github" / "workflows" / "sync.yml"
    env = yaml.safe_load(text_of(path))["jobs"]["meltano"]["env"]
    options = Options()

    for name in ("subscription_id", "resource_group", "app_collection", "tenant_id"):
        assert env[f"TAP_MOBILE_ENGAGEMENT_{name.upper()}"] == getattr(options, name)
    assert env["TAP_MOBILE_ENGAGEMENT_CLIENT_ID"] == options.client_id
    assert env["TAP_MOBILE_ENGAGEMENT_CLIENT_SECRET"] == options.client_secret
    assert json.loads(env["TAP_MOBILE_ENGAGEMENT_APP_NAMES"]) == [*options.apps]


def test_the_example_tests_pass() -> None:
    scripts = Path(sys.executable).parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=ROOT / "examples" / "ci",
        env={"PATH": f"{scripts}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


# Plugin definitions: this project's own, and the entry for the hub.


def definitions() -> list[tuple[str, dict[str, Any]]]:
    project = yaml.safe_load(text_of(ROOT / "meltano.yml"))["plugins"]["extractors"][0]
    hub = yaml.safe_load(text_of(ROOT / "hub" / "tap-mobile-engagement.yml"))
    return [("meltano.yml", project), ("hub", hub)]


@pytest.mark.parametrize(("name", "plugin"), definitions(), ids=["meltano.yml", "hub"])
def test_a_plugin_definition_says_what_the_tap_says_of_itself(
    name: str, plugin: dict[str, Any]
) -> None:
    del name
    tap = TapMobileEngagement
    tap.append_builtin_config(tap.config_jsonschema)
    settings = [setting["name"] for setting in plugin["settings"]]

    assert sorted(plugin["capabilities"]) == sorted(each.value for each in tap.capabilities)
    assert {*tap.config_jsonschema["properties"]} <= {*settings}
    assert len(settings) == len({*settings})


def test_groups_of_settings_in_the_hub_entry_are_settings() -> None:
    ((_, hub),) = definitions()[1:]
    names = {setting["name"] for setting in hub["settings"]}

    for group in hub["settings_group_validation"]:
        assert {*group} <= names


def test_a_variant_of_the_hub_entry_says_what_the_entry_says() -> None:
    ((_, hub),) = definitions()[1:]
    (variant,) = hub["variants"]

    assert {**hub, **variant} == hub
    assert variant["name"] == hub["variant"]
    assert hub["pip_url"] == f"git+{REPOSITORY}"


def test_targets_are_set_up_to_be_fast_wherever_they_are_shown() -> None:
    loaders = yaml.safe_load(text_of(ROOT / "meltano.yml"))["plugins"]["loaders"]
    values = {
        loader["name"]: {each["name"]: each.get("value") for each in loader["settings"]}
        for loader in loaders
    }

    assert values["target-postgres"]["use_copy"] is True
    for target in ("target-postgres", "target-snowflake"):
        assert values[target]["validate_records"] is False
    workflow = yaml.safe_load(text_of(ROOT / "examples/ci/.github/workflows/sync.yml"))
    env = workflow["jobs"]["meltano"]["env"]
    assert env["TARGET_POSTGRES_USE_COPY"] == "true"
    assert env["TARGET_POSTGRES_VALIDATE_RECORDS"] == "false"
    shown = [ROOT / "docs" / f"{page}.md" for page in ("start", "meltano", "performance")]
    for path in (*shown, ROOT / "hub" / "tap-mobile-engagement.yml"):
        said = " ".join(text_of(path).replace('"', "").split())
        assert "use_copy: true" in said, path
        assert "validate_records: false" in said, path
