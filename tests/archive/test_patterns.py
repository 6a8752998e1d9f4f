"""Patterns of file names, and the rules made of them."""

from __future__ import annotations

import re
import time
from typing import Literal
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_mobile_engagement.settings import ArchiveType
from tap_mobile_engagement.sources.patterns import Rules, matches

Form = Literal["NFC", "NFD"]


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
        ("[!]", ["[!]"], ["a"]),
        ("[+-0]", ["-"], ["/"]),
        ("[a&&b-]", ["&", "-"], ["c"]),
    ],
)
def test_a_pattern_matches_the_whole_name(pattern: str, yes: list[str], no: list[str]) -> None:
    assert [name for name in yes if not matches(pattern, name)] == []
    assert [name for name in no if matches(pattern, name)] == []


@pytest.mark.parametrize("pattern", ["[z-a]", "a/[9-0]*"])
def test_an_impossible_range_matches_nothing(pattern: str) -> None:
    assert [
        name for name in ("a", "z", "-", "a/9", "a/0", "a/-") if matches(pattern, name)
    ] == []


@pytest.mark.parametrize("pattern", ["[[a]", "[a&&b]", "[a||b]", "[a~~b]"])
def test_signs_in_brackets_mean_themselves(pattern: str) -> None:
    assert [sign for sign in "ab[&|~c" if matches(pattern, sign)] == sorted(
        {*pattern[1:-1]}, key="ab[&|~c".index
    )


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        ("**", ""),
        ("2017/**", "2017/"),
        ("2017/05/ev-*.json", "2017/05/ev-"),
        ("a/b.json", "a/b.json"),
        ("a[bc]", "a"),
        ("gr\u00f6\u00dfe/2017", "gr"),
    ],
)
def test_the_prefix_is_what_all_matching_names_begin_with(pattern: str, prefix: str) -> None:
    assert Rules(pattern).prefix == prefix


def test_the_first_rule_that_matches_says_what_a_file_holds() -> None:
    rules = Rules(types=(ArchiveType("old/ev-*", "events"), ArchiveType("old/**", "errors")))
    assert rules.data_type("old/ev-1") == "events"
    assert rules.data_type("old/x/1") == "errors"
    assert rules.data_type("new/1") is None


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("other", ["NFC", "NFD"])
def test_letters_are_the_same_however_they_are_encoded(form: Form, other: Form) -> None:
    name = normalize(form, "für/größe-1")
    rules = Rules(normalize(other, "für/gr?ße-*"))
    assert rules.looks_at(name)
    assert name.startswith(rules.prefix)
    assert rules.enters(normalize(form, "für/"))


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("**", ["a/", "a/b/"], []),
        ("*.json", [], ["a/"]),
        ("2017/*", ["2017/"], ["lost+found/", "2017/05/"]),
        ("2017/**", ["2017/", "2017/05/"], ["lost+found/"]),
        ("*/a.json", ["x/"], ["x/y/"]),
        ("**/a.json", ["x/", "x/y/"], []),
        ("2017/05/ev-*", ["2017/", "2017/05/"], ["2016/", "2017/06/", "2017/05/ev-/"]),
        ("a**b", ["a/", "x/"], []),
        ("[a/]b", ["[a/"], ["a/", "x/"]),
    ],
)
def test_a_folder_is_entered_only_if_a_name_in_it_may_match(
    pattern: str, yes: list[str], no: list[str]
) -> None:
    assert [folder for folder in yes if not Rules(pattern).enters(folder)] == []
    assert [folder for folder in no if Rules(pattern).enters(folder)] == []


def matches_slowly(parts: tuple[str, ...], name: str) -> bool:
    """What a pattern matches, by trying all that each star may stand for."""
    if not parts:
        return not name
    first, *others = parts
    rest = tuple(others)
    match first:
        case "**/":
            ends = [0, *(found.end() for found in re.finditer("/", name))]
        case "**":
            ends = [*range(len(name) + 1)]
        case "*":
            ends = [*range(len(name.partition("/")[0]) + 1)]
        case "?":
            ends = [1] if name and name[0] != "/" else []
        case "[ab]":
            ends = [1] if name and name[0] in "ab" else []
        case _:
            ends = [1] if name.startswith(first) else []
    return any(matches_slowly(rest, name[end:]) for end in ends)


@given(
    st.lists(st.sampled_from(["a", "b", "/", "*", "**", "?", "[ab]"]), max_size=7),
    st.text("ab/", max_size=9),
)
def test_a_star_stands_for_whatever_makes_the_pattern_match(
    parts: list[str], name: str
) -> None:
    pattern = "".join(parts)
    found = re.findall(r"(?<![^/])\*\*/|\*\*|\[ab\]|.", pattern)
    assert matches(pattern, name) == matches_slowly(tuple(found), name)


@pytest.mark.parametrize("pattern", ["*a" * 20 + "*b", "**a" * 20 + "**b", "**/*a*/*a" * 9])
@pytest.mark.parametrize("name", ["a" * 1024, "a/" * 512, "aa/" * 340])
def test_no_name_takes_long(pattern: str, name: str) -> None:
    started = time.process_time()
    matches(pattern, name)
    assert time.process_time() - started < 1


@given(st.text("[]!-^\\&|~#azAZ09/*?", max_size=12), st.text("az-!/", max_size=3))
def test_any_text_is_a_pattern(pattern: str, name: str) -> None:
    matches(pattern, name)
    Rules(pattern).enters(f"{name}/")


@given(st.text("a/*?[]!", min_size=1, max_size=8), st.text("ab/", min_size=1, max_size=8))
def test_no_folder_with_a_match_is_passed_by(pattern: str, name: str) -> None:
    if matches(pattern, name) and not re.search("^/|//|/$", name):
        for at in (found.end() for found in re.finditer("/", name)):
            assert Rules(pattern).enters(name[:at])
