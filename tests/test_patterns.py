"""No pattern that meets text from outside takes more than its length in time."""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from typing import TYPE_CHECKING

import pytest

import tap_mobile_engagement

if TYPE_CHECKING:
    from collections.abc import Iterator

LENGTH = 100_000
SECONDS = 2  # of CPU; a quadratic pattern takes ten and more

FILLERS = [
    "<", " ", "\n", '"', "\\", "/", "a", "0", ".", "=", "%25", ":", "sig", "sig=", "Bearer ",
    "<a", '\\"', "\\u0026", "0-", "**/", "http://a:", "&#",
]  # fmt: skip
BOUNDED = {"_OWN_NAME"}  # meets names of files alone, which have 255 bytes at most


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    """All patterns for text that stand in modules of the package."""
    package = tap_mobile_engagement
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if ".simulator" in found.name or found.name.endswith(("__main__", ".spark")):
            continue
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            for each in _flat(value) if name not in BOUNDED else ():
                if isinstance(each, re.Pattern) and isinstance(each.pattern, str):
                    yield f"{found.name}.{name}", each


def _flat(value: object) -> Iterator[object]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _flat(each)
    else:
        yield value


PATTERNS = {f"{name} {pattern.pattern[:40]}": pattern for name, pattern in patterns()}


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_is_linear(name: str) -> None:
    pattern = PATTERNS[name]
    for filler in FILLERS:
        text = filler * (LENGTH // len(filler))
        began = time.process_time()

        pattern.search(text)

        assert time.process_time() - began < SECONDS, f"{len(text)} characters of {filler!r}"
