"""The picture in docs/design.md shows the code as it is: imports go along its arrows."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import tap_mobile_engagement

PACKAGE = Path(tap_mobile_engagement.__file__).parent
PAGE = (PACKAGE.parent / "docs" / "design.md").read_text(encoding="utf-8")
PICTURE = PAGE.partition("```mermaid\n")[2].partition("```")[0]
SIMULATOR = "simulator"
# A stream knows the type of its tap, and nothing else of it.
UPWARD = {("streams", "tap")}
NODE = re.compile(r'^ *(?:subgraph )?(\w+)\["([^"<]+)(?:<br>[^"<]+)*"\]$')
EDGES = re.compile(r"^ *\w+(?: --> \w+)+$")


def drawn() -> tuple[dict[str, str], set[tuple[str, str]]]:
    """The node of each module or folder of the package, and the arrows between nodes."""
    nodes: dict[str, str] = {}
    arrows: set[tuple[str, str]] = set()
    folder: str | None = None
    first, *lines = PICTURE.splitlines()
    assert first == "flowchart TD"
    for line in lines:
        if line.strip() == "end":
            folder = None
        elif EDGES.match(line):
            arrows |= {*pairwise(line.strip().split(" --> "))}
        else:
            node = NODE.match(line)
            assert node, f"no line of a flowchart as this page has them: {line}"
            if folder is not None:  # a part of a folder that is drawn around it
                arrows |= {(folder, node[1]), (node[1], folder)}
                names = [f"{folder}/{name}" for name in node[2].split(" · ")]
                assert all((PACKAGE / name).exists() for name in names), line
                continue
            if line.lstrip().startswith("subgraph"):
                folder = node[1]
            for name in node[2].partition(":")[0].split(" · "):
                assert (PACKAGE / name).exists(), line
                nodes[name.removesuffix(".py").rstrip("/")] = node[1]
    return nodes, arrows


def below(node: str, arrows: set[tuple[str, str]]) -> set[str]:
    """The node and all that arrows lead to from it."""
    reached, waiting = set[str](), {node}
    while waiting:
        here = waiting.pop()
        reached.add(here)
        waiting |= {end for start, end in arrows if start == here} - reached
    return reached


def imported(path: Path) -> set[str]:
    """What a file imports of the package: its modules and folders, for types too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ImportFrom(module="tap_mobile_engagement", names=found):
                names |= {each.name for each in found}
            case ast.ImportFrom(module=str(module)):
                found_in = module.split(".")
                if found_in[0] == "tap_mobile_engagement":
                    names.add(found_in[1])
            case ast.Import(names=found):
                parts = [each.name.split(".") for each in found]
                names |= {part[1] for part in parts if part[0] == "tap_mobile_engagement"}
    return names


def parts() -> list[str]:
    """The modules and folders of the package."""
    return sorted(
        path.stem
        for path in PACKAGE.iterdir()
        if not path.stem.startswith("__")
        and (path.suffix == ".py" or (path / "__init__.py").exists())
    )


def files_of(part: str) -> list[Path]:
    folder = PACKAGE / part
    return [*folder.rglob("*.py")] if folder.is_dir() else [folder.with_suffix(".py")]


def test_every_part_of_the_package_is_in_the_picture() -> None:
    nodes, _ = drawn()

    assert sorted([*nodes, SIMULATOR]) == parts()


@pytest.mark.parametrize("part", [part for part in parts() if part != SIMULATOR])
def test_imports_go_along_the_arrows(part: str) -> None:
    nodes, arrows = drawn()
    may_know = below(nodes[part], arrows)

    for path in files_of(part):
        for name in imported(path):
            known = (part, name) in UPWARD or nodes.get(name) in may_know
            assert known, f"{path.relative_to(PACKAGE)} imports {name}"


def test_no_arrow_leads_back_up() -> None:
    nodes, arrows = drawn()

    for start, end in arrows:
        inside = {(start, end), (end, start)} <= arrows
        assert inside or start not in below(end, arrows), f"{start} --> {end}"
    assert {*nodes.values()} <= below("tap", arrows) | below("commands", arrows)


def test_the_simulator_imports_the_data_types_at_most() -> None:
    for path in files_of(SIMULATOR):
        assert imported(path) <= {SIMULATOR, "datatypes"}, path


def modules() -> dict[str, set[str]]:
    """Of every module what it imports, but for types."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        parts = (PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for_types = [
            node
            for part in tree.body
            if isinstance(part, ast.If) and ast.unparse(part.test) == "TYPE_CHECKING"
            for node in part.body
        ]
        imports: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node not in for_types:
                imports |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
        found[".".join(parts).removesuffix(".__init__")] = imports
    return found


def test_no_two_modules_import_each_other() -> None:
    found = modules()

    for one, imports in found.items():
        for other in imports & found.keys():
            assert one not in found[other], f"{one} and {other}"


def test_the_side_of_the_archive_knows_nothing_of_the_api() -> None:
    for part in ("archive", "commands", "containers", "output", "reading", "sources", "spark"):
        for path in files_of(part):
            assert "api" not in imported(path), path


def test_a_file_fits_in_a_few_screens() -> None:
    lines = {
        path.name: len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }

    # (the data types are one table)
    assert {name for name, count in lines.items() if count > 400} <= {"datatypes.py"}


# Counts the functions of the package that are entered once for (nearly) every block.
TRACE = """
import json, sys
from collections import Counter
from tap_mobile_engagement.tap import TapMobileEngagement
package, config, blocks = sys.argv[1:]
entered = Counter()
def note(frame, event, _):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(package) and "<" not in code.co_name:
        entered[code.co_filename, code.co_qualname] += 1
sys.setprofile(note)
try:
    TapMobileEngagement.cli(["--config", config], standalone_mode=False)
finally:
    sys.setprofile(None)
    found = [name for name, count in entered.items() if count > 0.8 * int(blocks)]
    print(json.dumps(found), file=sys.stderr)
"""


def test_a_block_passes_few_functions_in_few_files(tmp_path: Path) -> None:
    event = {"timestamp": "2016-05-01T10:00:00.000Z", "sessionId": "b" * 32}
    groups = [
        {"deviceId": f"{k:032x}", "events": [{"name": f"n{i}", **event} for i in range(100)]}
        for k in range(1_500)
    ]
    archive = tmp_path / "archive"
    archive.mkdir()
    content = json.dumps(groups).encode()
    (archive / "events").write_bytes(content)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"source": "archive", "container_url": archive.as_uri()}))

    done = subprocess.run(
        [sys.executable, "-c", TRACE, PACKAGE, config, str(len(content) // 65536)],
        capture_output=True,
        check=True,
        text=True,
    )

    found = json.loads(done.stderr.splitlines()[-1])
    assert 5 < len(found) <= 15, found
    assert len({file for file, _ in found}) <= 7
