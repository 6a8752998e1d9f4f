"""Chance that is none: numbers drawn from names, the same in every run."""

from __future__ import annotations

from random import Random


def chance(*names: object) -> Random:
    """A source of random numbers that depends on nothing but the names.

    Seeding with text is stable over Python's versions and processes, unlike ``hash``.
    """
    return Random("/".join(map(str, names)))  # noqa: S311  (nothing secret is drawn from it)
