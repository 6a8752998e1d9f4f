"""Patterns of file names, and the rules made of them."""

from __future__ import annotations

import pytest

from tap_mobile_engagement.settings import ArchiveType
from tap_mobile_engagement.sources.patterns import Rules, matches


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("**", ["a", "a/b/c.json"], []),
        ("*", ["a", "a.json"], ["a/b"]),
        ("2017/**", ["2017/a", "2017/05/a"], ["2016/a", "x/2017/a", "2017"]),
        ("**/a.json", ["a.json", "x/a.json", "x/y/a.json"], ["ba.json", "a.json/x"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb"]),
        ("*.json.gz", ["a.json.gz"], ["a.json", "x/a.json.gz", "aXjson.gz"]),
        ("file-?", ["file-1"], ["file-", "file-10", "file-/"]),
        ("[ab]*", ["a1", "b"], ["c", "", "a/b"]),
        ("[!ab]x", ["cx"], ["ax", "bx", "/x"]),
        ("[0-9][^]", ["1^"], ["a^", "1b"]),
        ("a+b(c)", ["a+b(c)"], ["aab(c)", "a+bc"]),
        ("größe/😀", ["größe/😀"], ["grösse/😀"]),
        ("Events*", ["Events1"], ["events1"]),
        ("a[", ["a["], ["a"]),
    ],
)
def test_a_pattern_matches_the_whole_name(pattern: str, yes: list[str], no: list[str]) -> None:
    assert [name for name in yes if not matches(pattern, name)] == []
    assert [name for name in no if matches(pattern, name)] == []


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("**", ""),
        ("2017/**", "2017/"),
        ("2017/05/ev-*.json", "2017/05/ev-"),
        ("a/b.json", "a/b.json"),
        ("a[bc]", "a"),
    ],
)
def test_the_prefix_is_what_all_matching_names_begin_with(pattern: str, prefix: str) -> None:
    assert Rules(pattern).prefix == prefix


def test_the_first_rule_that_matches_says_what_a_file_holds() -> None:
    rules = Rules(types=(ArchiveType("old/ev-*", "events"), ArchiveType("old/**", "errors")))
    assert rules.data_type("old/ev-1") == "events"
    assert rules.data_type("old/x/1") == "errors"
    assert rules.data_type("new/1") is None
