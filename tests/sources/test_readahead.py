from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tap_mobile_engagement.errors import Code, RetryLaterError
from tap_mobile_engagement.sources.base import Part
from tap_mobile_engagement.sources.readahead import fetched

if TYPE_CHECKING:
    from collections.abc import Iterator


class Network:
    """A part whose chunks can be counted as they are asked for."""

    def __init__(self, chunks: list[bytes], error: Exception | None = None) -> None:
        self.chunks = chunks
        self.error = error
        self.given = 0
        self.closed = threading.Event()
        self.waits_for = threading.Event()

    @contextmanager
    def open(self) -> Iterator[Iterator[bytes]]:
        try:
            yield self._give()
        finally:
            self.closed.set()

    def _give(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.given += 1
            if self.given == len(self.chunks):
                self.waits_for.set()
            yield chunk
        if self.error:
            raise self.error

    @property
    def part(self) -> Part:
        return Part("blob", sum(map(len, self.chunks)), self.open, remote=True)


def read(part: Part) -> list[bytes]:
    with part.open() as chunks:
        return list(chunks)


@pytest.mark.parametrize("budget", [1, 100, 10_000])
def test_all_chunks_come_in_order_whatever_the_budget(budget: int) -> None:
    chunks = [bytes([n]) * 50 for n in range(100)]

    assert read(fetched(Network(chunks).part, budget=budget)) == chunks


def test_it_begins_before_it_is_opened_and_stays_within_its_budget() -> None:
    network = Network([b"x" * 50] * 5)

    ahead = fetched(network.part, at_once=True, budget=250)

    assert network.waits_for.wait(10)
    assert read(ahead) == network.chunks


def test_no_more_is_fetched_than_the_budget_holds() -> None:
    network = Network([b"x" * 50] * 100)
    ahead = fetched(network.part, budget=200)

    with ahead.open() as chunks:
        taken = [next(chunks) for _ in range(10)]

    assert network.closed.wait(10), "the download goes on though nobody reads it"
    assert len(taken) == 10
    assert network.given <= 10 + 4 + 1


def test_an_error_reaches_the_reader_behind_what_came_before_it() -> None:
    error = RetryLaterError(Code.STORAGE_UNAVAILABLE, "gone")
    ahead = fetched(Network([b"a", b"b"], error).part, at_once=True)

    with ahead.open() as chunks:
        assert [next(chunks), next(chunks)] == [b"a", b"b"]
        with pytest.raises(RetryLaterError, match="gone"):
            next(chunks)
