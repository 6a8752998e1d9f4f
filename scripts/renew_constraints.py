"""Write the exact versions in requirements/ anew, from fresh environments.

Run it with the oldest Python that is supported (`make constraints PYTHON=python3.11`): newer
ones need a part of what that one needs. Only names and versions are written, so the files hold
wherever packages come from.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
LIBRARIES = ("pandas", "polars", "duckdb", "dask[dataframe]", "dlt")
"""What docs/library.md hands Arrow batches to."""


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment whose versions are pinned.

    Attributes:
        file: Name of the file in requirements/.
        install: Arguments of ``pip install``, in the project's folder.
        keep_root: Whether the file names the installed package itself, not only what it needs.
    """

    file: str
    install: tuple[str, ...]
    keep_root: bool = False


def environments() -> tuple[Environment, ...]:
    """Everything that is pinned; the versions asked for are those in use."""
    meltano = _pinned("meltano", REQUIREMENTS / "meltano.txt")
    target = _pinned("meltanolabs-target-postgres", ROOT / "meltano.yml")
    snowflake = _pinned("meltanolabs-target-snowflake", ROOT / "meltano.yml")
    jsonl = _pinned("target-jsonl", ROOT / "meltano.yml")
    return (
        Environment("constraints.txt", ("-e", ".[dev]")),
        Environment("meltano.txt", (meltano,), keep_root=True),
        Environment("target-postgres.txt", (target,)),
        Environment("target-snowflake.txt", (snowflake, "fakesnow"), keep_root=True),
        Environment("target-jsonl.txt", (jsonl,), keep_root=True),
        Environment("library.txt", ("-e", ".[parquet]", *LIBRARIES), keep_root=True),
        Environment("spark.txt", ("-e", ".[spark]"), keep_root=True),
        Environment("bench-airbyte.txt", ("airbyte-cdk[file-based]",), keep_root=True),
        Environment("bench-dlt.txt", ("dlt[filesystem,parquet]",), keep_root=True),
        Environment("bench-floors.txt", ("msgspec", "orjson"), keep_root=True),
        Environment("bench-singer-python.txt", ("singer-python",), keep_root=True),
    )


def renew(environment: Environment) -> None:
    """Install into a fresh environment and write its versions; the file's heading stays."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", *environment.install], cwd=ROOT, check=True)
        freeze = [*pip, "freeze", "--exclude-editable"]
        frozen = subprocess.run(freeze, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    versions = frozen.stdout.splitlines(keepends=True)
    if not environment.keep_root:
        versions = [line for line in versions if line.strip() not in environment.install]
    path = REQUIREMENTS / environment.file
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    heading = [line for line in lines if line.startswith("#")]
    path.write_text("".join([*heading, *versions]), encoding="utf-8")
    print(f"requirements/{environment.file}: {len(versions)} packages")


def _pinned(package: str, path: Path) -> str:
    """The package with its version, as a file pins it.

    Raises:
        ValueError: If the file does not.
    """
    found = re.search(rf"\b{package}==\S+", path.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{path.name} does not pin {package}")
    return found.group()


def main() -> int:
    """Renew every file."""
    for environment in environments():
        renew(environment)
    return 0


if __name__ == "__main__":
    sys.exit(main())
