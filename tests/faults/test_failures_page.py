"""docs/failures.md tells of every code and every fault, as they are."""

from __future__ import annotations

import ast
from pathlib import Path

import tap_mobile_engagement
from benchmarks.bombs import ANSWERS, BOMBS
from tap_mobile_engagement.errors import Code
from tests.faults.failures_page import DONE, IMPOSSIBLE, outcomes, sections
from tests.faults.plans import PLANS, STREAMS

KINDS = {
    "SettingsError": "Fix the settings",
    "RetryLaterError": "Try again later",
    "DataError": "Look at the data",
}
ENDS = "At the end of a run"


def documented() -> dict[str, str]:
    """The section of each documented code."""
    return {
        row[0]: heading
        for heading, rows in sections()
        if heading in {*KINDS.values(), ENDS}
        for row in rows
    }


def raised() -> set[tuple[str, str]]:
    """The error classes and codes that stand together in the tap's own source."""
    found = set()
    for path in Path(tap_mobile_engagement.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id=kind),
                    args=[ast.Attribute(value=ast.Name(id="Code"), attr=code), *_],
                ) if kind in KINDS:
                    found.add((kind, code))
    return found


def test_every_code_is_documented() -> None:
    assert {*documented()} == {code.value for code in Code}


def test_every_code_is_documented_as_what_it_is_raised_as() -> None:
    raised_as = raised()

    assert len(raised_as) > 20
    assert {(KINDS[kind], code) for kind, code in raised_as} <= {
        (heading, code) for code, heading in documented().items()
    }


def test_every_code_has_a_meaning_and_a_next_step() -> None:
    for heading, rows in sections():
        if heading in {*KINDS.values(), ENDS}:
            for row in rows:
                assert len(row) == 3, row
                assert all(len(cell) > 10 for cell in row[1:]), row


def test_every_fault_has_a_documented_outcome() -> None:
    assert {fault for fault, _ in outcomes()} == {*PLANS}
    assert {kind for _, kind in outcomes()} == {*STREAMS}
    assert {*outcomes().values()} <= {DONE, IMPOSSIBLE, *Code}


def test_every_attack_is_a_kind_of_the_benchmark_or_names_its_test() -> None:
    (rows,) = (rows for heading, rows in sections() if heading == "Hostile files and answers")
    tests = Path(__file__).parents[1]

    measured = {attack for attack, *_, shown in rows if shown == "bombs"}
    assert measured == {kind.strip("`") for kind in (*BOMBS, *ANSWERS)}
    named = [shown.split("::") for *_, shown in rows if shown != "bombs"]
    assert len(named) > 10
    for file, test in named:
        assert f"def {test}(" in (tests / file).read_text(), test
