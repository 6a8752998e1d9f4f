"""Run the unit suite with every Python that the package supports, each in its own environment.

Usage: python -m scripts.every_python [make arguments, as PYTEST_ARGS="-n 2"]

The versions are those of the classifiers in pyproject.toml. An interpreter is looked for on the
path, among pyenv's versions and among uv's; a variable names one that is elsewhere::

    PYTHON3_12=/opt/python3.12/bin/python3 make unit-all

A missing one is an error before anything runs, because a version that is skipped silently would
look like one that passed. A folder that can't be read is passed over.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from glob import escape, iglob
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
_CLASSIFIER = re.compile(r"Programming Language :: Python :: (3\.\d+)")
_ASK = "import sys; print('%d.%d' % sys.version_info[:2])"
_SUMMARY = re.compile(r"^=* ?(\d+ (?:passed|failed|error).* in .*?)(?: \(.*\))? ?=*$")


def versions(pyproject: str) -> list[str]:
    """The versions that the classifiers in a pyproject.toml name, oldest first."""
    classifiers = tomllib.loads(pyproject)["project"]["classifiers"]
    found = [_CLASSIFIER.fullmatch(each) for each in classifiers]
    return sorted((each[1] for each in found if each), key=lambda name: int(name[2:]))


def find(version: str) -> Path | None:
    """An interpreter of that version that runs; None if there is none."""
    return next((path for path in _candidates(version) if _runs(path, version)), None)


def variable(version: str) -> str:
    """The name of the variable that may hold an interpreter's path."""
    return f"PYTHON{version.replace('.', '_')}"


def _candidates(version: str) -> Iterator[Path]:
    if named := os.environ.get(variable(version)):
        yield Path(named)
        return
    yield Path(sys.executable)
    for folder in os.get_exec_path():
        yield Path(folder) / f"python{version}"
    # pyenv puts stand-ins on the path that refuse a version which is not switched on; the
    # interpreters themselves do not.
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from _matches(pyenv / "versions", f"{version}.*/bin/python")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local/share/uv/python")
    yield from _matches(uv, f"cpython-{version}*/bin/python3")


def _matches(folder: Path, pattern: str) -> list[Path]:
    # Path.glob raises PermissionError where the folder can't be read.
    found = iglob(f"{escape(str(folder))}/{pattern}")  # noqa: PTH207
    return sorted(Path(path) for path in found)


def _runs(path: Path, version: str) -> bool:
    try:
        answer = subprocess.run([path, "-c", _ASK], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return answer.stdout.strip() == version


def run(version: str, python: Path, arguments: Sequence[str]) -> tuple[bool, str]:
    """Run the unit suite, with the environment set up if there is none.

    Returns:
        Whether it passed, and pytest's own last line.
    """
    make = os.environ.get("MAKE", "make")
    command = [make, "unit", f"PYTHON={python}", f"VENV=.venv-{version}", *arguments]
    last = "it did not come to the tests"
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if summary := _SUMMARY.match(line.rstrip()):
                last = summary[1]
    return process.returncode == 0, last


def main(arguments: Sequence[str]) -> int:
    """Run every version; the exit code is 0 only if each was there and passed."""
    found = {each: find(each) for each in versions((ROOT / "pyproject.toml").read_text())}
    pythons = {version: python for version, python in found.items() if python is not None}
    for version in found.keys() - pythons.keys():
        print(
            f"No Python {version}: install it (.tools/uv/bin/uv python install {version}), "
            f"or set {variable(version)} to the path of one",
            file=sys.stderr,
        )
    if pythons.keys() != found.keys():
        return 1
    results = {version: run(version, python, arguments) for version, python in pythons.items()}
    print()
    for version, (passed, last) in results.items():
        print(f"Python {version}: {'passed' if passed else 'FAILED'}: {last}")
    return 0 if all(passed for passed, _ in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
