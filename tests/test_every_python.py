"""The unit suite with every Python: none is skipped silently."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts import every_python

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
HERE = "{}.{}".format(*sys.version_info)
NOBODY = 65534


def test_the_versions_are_those_that_the_package_names() -> None:
    named = every_python.versions((ROOT / "pyproject.toml").read_text())

    assert named == ["3.11", "3.12", "3.13", "3.14"]
    listed = "[{}]".format(", ".join(f'"{version}"' for version in named))
    for workflow in ("ci.yml", "release.yml"):
        assert f"python: {listed}" in (ROOT / ".github" / "workflows" / workflow).read_text()
    hub = (ROOT / "hub" / "tap-mobile-engagement.yml").read_text()
    assert f"supported_python_versions: {listed}" in hub


def test_no_version_above_is_forbidden() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["requires-python"] == ">=3.11"


def test_the_python_that_runs_this_is_found() -> None:
    python = every_python.find(HERE)

    assert python is not None
    assert python.exists()


def test_a_stand_in_that_refuses_to_run_is_no_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given what pyenv puts on the path for a version that is not switched on,
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    assert every_python.find("3.99") is None


@pytest.fixture
def unreadable(tmp_path: Path) -> Iterator[Path]:
    """A folder of interpreters that this process may not look into, not even as root."""
    folder = tmp_path / "interpreters"
    (folder / "versions").mkdir(parents=True)
    folder.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    yield folder
    if root:
        os.seteuid(0)
    folder.chmod(0o700)


@pytest.mark.parametrize("name", ["PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "PATH"])
def test_a_folder_that_cannot_be_read_is_passed_over(
    name: str, unreadable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(unreadable))
    with pytest.raises(PermissionError):
        (unreadable / "versions").stat()

    assert every_python.find("3.99") is None


def test_one_of_another_version_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHON3_99", sys.executable)

    assert every_python.find("3.99") is None


def test_a_missing_interpreter_is_named_and_nothing_runs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHON3_12", "/no/such/python")
    monkeypatch.setenv("MAKE", "false")

    assert every_python.main([]) == 1

    written = capfd.readouterr()
    assert (
        "No Python 3.12: install it (.tools/uv/bin/uv python install 3.12), "
        "or set PYTHON3_12 to the path of one\n"
    ) in written.err
    assert written.out == ""


@pytest.mark.parametrize(("make", "code"), [("true", 0), ("false", 1)])
def test_one_that_fails_fails_the_whole(
    make: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python = Path(sys.executable)
    monkeypatch.setattr(every_python, "find", lambda _: python)
    monkeypatch.setenv("MAKE", make)

    assert every_python.main([]) == code

    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"Python 3.14: {'passed' if code == 0 else 'FAILED'}")
