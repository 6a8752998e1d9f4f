"""How often the same item occurred in its group, exactly and in bounded memory."""

from __future__ import annotations

import sqlite3
from itertools import chain, repeat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_IN_MEMORY = 100_000
"""Digests of one group of flat rows that stay in memory; more go to a file."""


class Occurrences:
    """Numbers identical items of one group.

    Items are known by their digests. A group that the file nests is whole in one block. Rows of
    a file that does not nest them are of one group while they follow each other with the same
    group key, in as many blocks as it takes.
    """

    def __init__(self) -> None:
        self.end_run()

    def end_run(self) -> None:
        """Let the next flat row be the first of its group."""
        self._key: object = self  # equal to no key
        self._seen: _Seen = _Seen()

    def of(
        self, digests: Sequence[bytes], keys: Sequence[object], sizes: Sequence[int] | None
    ) -> Iterator[tuple[int, int]]:
        """The places of repeated items, each with the count of those before it in its group.

        Args:
            digests: The digests of some items.
            keys: The key of each item's group.
            sizes: How many items each nested group has; None for flat rows.
        """
        if sizes is None:
            yield from self._flat(digests, keys).items()
            return
        self.end_run()
        counts: dict[tuple[int, bytes], int] = {}
        groups = chain.from_iterable(map(repeat, range(len(sizes)), sizes))
        for place, item in enumerate(zip(groups, digests, strict=True)):
            count = counts.get(item, 0)
            counts[item] = count + 1
            if count:
                yield place, count

    def _flat(self, digests: Sequence[bytes], keys: Sequence[object]) -> dict[int, int]:
        if keys[0] != self._key:
            self.end_run()
        last = keys[-1]
        if len(set(digests)) == len(digests) and self._seen.has_none_of(digests):
            if keys.count(last) < len(keys):
                self.end_run()
                start = next(n for n in range(len(keys) - 1, -1, -1) if keys[n] != last) + 1
                digests = digests[start:]
            self._key = last
            self._seen.add(digests)
            return {}
        found: dict[int, int] = {}
        for place, (digest, key) in enumerate(zip(digests, keys, strict=True)):
            if key != self._key:
                self.end_run()
                self._key = key
            count = self._seen.count(digest)
            if count:
                found[place] = count
        return found


class _Seen:
    """Digests of the rows of one group and their counts, beyond some number in a file."""

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._file: sqlite3.Connection | None = None

    def has_none_of(self, digests: Sequence[bytes]) -> bool:
        """Whether none of them was seen; False also where only counting tells."""
        return self._file is None and self._counts.keys().isdisjoint(digests)

    def add(self, digests: Sequence[bytes]) -> None:
        """Take note of digests that were not seen before."""
        self._counts.update(zip(digests, repeat(1)))
        self._spill()

    def count(self, digest: bytes) -> int:
        """How often a digest was seen before; and take note of it."""
        before = self._counts.get(digest, 0)
        if not before and self._file is not None:
            row = self._file.execute(
                "SELECT n FROM seen WHERE digest = ?", (digest,)
            ).fetchone()
            before = row[0] if row else 0
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
            self._file.execute(
                "CREATE TABLE seen (digest BLOB PRIMARY KEY, n INTEGER) WITHOUT ROWID"
            )
        with self._file:
            self._file.execute("BEGIN")
            self._file.executemany(
                "INSERT OR REPLACE INTO seen VALUES (?, ?)", sorted(self._counts.items())
            )
        self._counts.clear()
