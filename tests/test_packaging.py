"""Wheel and sdist: built, installed into an empty environment, and used from there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tap_mobile_engagement.datatypes import DATA_TYPES, LISTED_TYPES
from tap_mobile_engagement.settings import SETTINGS
from tests.support.packaging import ROOT, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.packaging

# What a base install may grow to before somebody should ask why.
MOST_PACKAGES = 45
MOST_MEGABYTES = 150


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and what it needs, and nothing else but pip."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    (wheel,) = built.glob("*.whl")
    pip = (folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", wheel)
    return folder


def tap(installed: Path, *arguments: str) -> str:
    """Run the installed tap, away from the checkout."""
    return run(installed / "bin" / "tap-mobile-engagement", *arguments, cwd=installed)


def files_in(folder: Path, suffix: str) -> Sequence[str]:
    """The names of a package's files below it, as they are in the checkout."""
    return [path.relative_to(ROOT).as_posix() for path in folder.rglob(f"*{suffix}")]


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    code = [name for name in names if ".dist-info/" not in name]
    assert set(code) == {
        *files_in(ROOT / "tap_mobile_engagement", ".py"),
        "tap_mobile_engagement/py.typed",
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_sdist_holds_what_its_tests_and_readers_need(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "meltano.yml"} <= names
    assert {*files_in(ROOT / "tests", ".py"), *files_in(ROOT / "docs", ".md")} <= names
    assert not [name for name in names if name.startswith((".venv", ".tools", "benchmarks"))]


@pytest.mark.parametrize(("tag", "version"), [("v1.2.3", "1.2.3"), (None, "0.0.0")])
def test_the_version_is_that_of_the_tag(tmp_path: Path, tag: str | None, version: str) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    if tag:
        git = partial(run, "git", "-c", "user.name=x", "-c", "user.email=x@x", cwd=tmp_path)
        git("init", "--quiet")
        git("add", ".")
        git("commit", "--quiet", "--message", "x")
        git("tag", tag)

    assert run(sys.executable, "-m", "hatchling", "version", cwd=tmp_path).strip() == version


def test_the_installed_tap_tells_its_version_and_its_settings(installed: Path) -> None:
    assert tap(installed, "--version").startswith("tap-mobile-engagement v0.")

    about = json.loads(tap(installed, "--about", "--format=json"))
    assert {setting.name for setting in SETTINGS} <= about["settings"]["properties"].keys()


def test_the_installed_tap_discovers_its_streams(installed: Path) -> None:
    config = installed / "config.json"
    config.write_text(
        json.dumps({"source": "archive", "container_url": installed.as_uri()}),
    )

    catalog = json.loads(tap(installed, "--config", str(config), "--discover"))

    streams = {stream["tap_stream_id"] for stream in catalog["streams"]}
    assert streams == {data_type.name for data_type in (*DATA_TYPES, *LISTED_TYPES)}


def test_the_simulator_is_an_extra_and_says_so(installed: Path) -> None:
    simulator = installed / "bin" / "mobile-engagement-simulator"

    done = subprocess.run([simulator, "--help"], capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "pip install 'tap-mobile-engagement[simulator]'" in done.stderr.splitlines()[-1]


def test_a_base_install_stays_small(installed: Path) -> None:
    python = installed / "bin" / "python"
    listed = json.loads(run(python, "-m", "pip", "list", "--format=json"))
    packages = {each["name"] for each in listed} - {"pip", "setuptools"}
    (site,) = (installed / "lib").glob("python*/site-packages")
    size = sum(
        path.stat().st_size
        for path in site.rglob("*")
        if path.is_file() and not path.relative_to(site).parts[0].startswith("pip")
    )

    assert not packages & {"flask", "pytest", "hypothesis", "backoff"}
    assert len(packages) <= MOST_PACKAGES, sorted(packages)
    assert size / 1e6 <= MOST_MEGABYTES
    print(f"{len(packages)} packages, {size / 1e6:.0f} MB")  # noqa: T201
