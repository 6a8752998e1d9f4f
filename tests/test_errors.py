"""Errors: one line that says what, where and what to do; and never a secret."""

from __future__ import annotations

import pickle
from copy import copy
from typing import TYPE_CHECKING

import pytest
from singer_sdk.exceptions import SingerSDKError

from tap_mobile_engagement.errors import (
    Code,
    DataError,
    RetryLaterError,
    SettingsError,
    TapError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNATURE = "c2lnbmF0dXJlLW9mLWFuLWVycm9y"
URL = f"https://acct.blob.core.windows.net/exports?sv=2015-04-05&sig={SIGNATURE}&se=2016"


def test_a_message_says_what_where_and_what_next() -> None:
    error = DataError(
        Code.BLOB_TRUNCATED,
        "the content ends too early",
        next_step="Copy it again",
        blob="a.json",
        offset=17,
    )

    assert str(error) == (
        "BLOB_TRUNCATED: the content ends too early (blob=a.json, offset=17). Copy it again."
    )


def test_what_is_not_known_is_left_out() -> None:
    assert str(TapError(Code.TASK_FAILED, "it failed", app=None)) == "TASK_FAILED: it failed."


def test_a_place_of_zero_is_a_place() -> None:
    assert "(offset=0)" in str(DataError(Code.BLOB_CORRUPT, "it is broken", offset=0))


def test_a_caller_adds_places_but_changes_none() -> None:
    error = DataError(Code.BLOB_CORRUPT, "it is broken", offset=5)

    same = error.at(stream="events", offset=99, app=None)

    assert same is error
    assert error.where == {"offset": 5, "stream": "events"}
    assert str(error) == "BLOB_CORRUPT: it is broken (offset=5, stream=events)."
    assert error.args == (str(error),)


@pytest.mark.parametrize("kind", [SettingsError, RetryLaterError, DataError])
def test_the_tree_tells_what_to_do(kind: type[TapError]) -> None:
    error = kind(Code.STREAMS_FAILED, "it failed")

    assert isinstance(error, TapError)
    assert isinstance(error, SingerSDKError)
    assert error.code is Code.STREAMS_FAILED


def test_a_code_is_its_own_name() -> None:
    assert {code.value for code in Code} == set(Code.__members__)


def test_secrets_are_masked_wherever_they_come_in() -> None:
    error = TapError(
        Code.SERVICE_UNAVAILABLE,
        f"{URL} answered 503",
        next_step=f"Try {URL} again",
        blob=URL,
    ).at(container=URL)

    for text in (str(error), repr(error), *error.args):
        assert SIGNATURE not in text
    assert str(error).count("sig=***&se=2016") == 4


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n  ", "\u2028"])
def test_text_of_a_server_stays_on_one_line(ending: str) -> None:
    error = TapError(Code.BAD_ANSWER, f"<html>{ending}<b>gone</b>{ending}</html>")

    assert str(error) == "BAD_ANSWER: <html> <b>gone</b> </html>."


def test_a_place_shows_what_it_is_named_without_moving_a_terminal() -> None:
    error = DataError(Code.BLOB_CORRUPT, "it is\x1b[2J broken", blob="a\nb\u202e", member="ü…")

    assert str(error) == (r"BLOB_CORRUPT: it is\x1b[2J broken (blob=a\nb\u202e, member=ü…).")


def test_a_message_is_cut_and_keeps_all_its_parts() -> None:
    error = DataError(Code.BAD_RECORD, "x" * 10**6, next_step="Look at it", blob="y" * 10**6)

    assert len(str(error)) < 4000
    assert str(error).startswith("BAD_RECORD: xxx")
    assert "… (blob=yyy" in str(error)
    assert str(error).endswith("…). Look at it.")


def pickled(error: TapError) -> TapError:
    found: TapError = pickle.loads(pickle.dumps(error))  # noqa: S301  (of our own making)
    return found


@pytest.mark.parametrize("again", [copy, pickled])
def test_an_error_can_be_copied_and_sent_to_another_process(
    again: Callable[[TapError], TapError],
) -> None:
    error = DataError(Code.BLOB_CORRUPT, "it is broken", next_step="Look at it", blob="a")

    other = again(error)
    other.at(stream="tags")

    assert type(other) is DataError
    assert str(other) == "BLOB_CORRUPT: it is broken (blob=a, stream=tags). Look at it."
    assert str(error) == "BLOB_CORRUPT: it is broken (blob=a). Look at it."
