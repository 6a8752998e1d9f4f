"""How often the same item occurred in its group, exactly and in bounded memory."""

from __future__ import annotations

import sqlite3
from itertools import compress, count, pairwise, repeat
from operator import ne
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_IN_MEMORY = 100_000
"""Digests of one group that stay in memory; more go to a file."""


class Occurrences:
    """Numbers identical items of one group, known by their digests.

    Without nesting, rows that follow each other with the same group key are a group.
    """

    def __init__(self) -> None:
        self._key: object = self  # equal to no key
        self._counts: dict[bytes, int] = {}
        self._file: sqlite3.Connection | None = None

    def of(
        self, digests: Sequence[bytes], keys: Sequence[object], starts: Sequence[int] | None
    ) -> Iterator[tuple[int, int]]:
        """The places of repeated items, each with the count of those before it in its group."""
        if starts is None:
            starts = [] if keys[0] == self._key else [0]
            starts += compress(count(1), map(ne, keys, keys[1:]))
            self._key = keys[-1]
        else:
            self._key = self
        continued = digests[: starts[0]] if starts else digests
        is_new = self._file is None and self._counts.keys().isdisjoint(continued)
        if is_new and len({*digests}) == len(digests):
            if starts:
                self._counts.clear()
            self._counts.update(zip(digests[starts[-1] :] if starts else digests, repeat(1)))
            self._spill()
            return
        for number, (start, end) in enumerate(pairwise([0, *starts, len(digests)])):
            if number:  # before the first start the last group continues
                self._counts.clear()
                self._file = None
            for place in range(start, end):
                before = self._count(digests[place])
                if before:
                    yield place, before

    def _count(self, digest: bytes) -> int:
        """Note a digest, and return how often it was seen before."""
        before = self._counts.get(digest, 0)
        if not before and self._file is not None:
            query = "SELECT n FROM seen WHERE digest = ?"
            (before,) = self._file.execute(query, (digest,)).fetchone() or (0,)
        self._counts[digest] = before + 1
        self._spill()
        return before

    def _spill(self) -> None:
        if len(self._counts) < MOST_IN_MEMORY:
            return
        if self._file is None:
            # The empty name is a file of SQLite's own, which it deletes with the connection.
            self._file = sqlite3.connect("", isolation_level=None)
            self._file.execute("PRAGMA journal_mode = OFF")
            table = "seen (digest BLOB PRIMARY KEY, n INTEGER) WITHOUT ROWID"
            self._file.execute(f"CREATE TABLE {table}")
        with self._file:
            self._file.execute("BEGIN")
            rows = sorted(self._counts.items())
            self._file.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", rows)
        self._counts.clear()
