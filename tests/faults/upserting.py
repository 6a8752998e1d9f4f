"""A small target for tests that behaves as good ones do: it upserts, and commits late.

It stores rows in batches of its own choice, and hands out a state only when everything that
came before it is stored. Whatever it has not stored by the time it dies is lost.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.datatypes import BY_NAME, DATA_TYPES
from tests.support.messages import assert_same, own_fields

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from tap_mobile_engagement.simulator import Simulator

Row = dict[str, Any]


class UpsertingTarget:
    """Rows by primary key, and the last state that is certain.

    Args:
        chance: Decides how many rows are stored at once.
    """

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._stored: dict[str, dict[tuple[Any, ...], Row]] = {}
        self.state: dict[str, Any] | None = None

    def rows(self, stream: str) -> list[Row]:
        """What is stored of a stream."""
        return [*self._stored.get(stream, {}).values()]

    def assert_holds_the_truth(self, simulator: Simulator) -> None:
        """Hold what is stored against the truth, all streams of the app "shop"."""
        for data_type in DATA_TYPES:
            truth = simulator.truth("shop", data_type.name)
            assert_same(own_fields(self.rows(data_type.name)), truth)

    def take(self, output: bytes, *, dies: bool = False) -> None:
        """Take the output of one run, up to its end or to the end of the target's own life.

        Args:
            output: What the run wrote; if it was killed, that may end within a line. As with
                any target, such a line is the target's end, too.
            dies: Whether the target dies at some point of its own.
        """
        lines = output.split(b"\n")
        is_cut = lines.pop() != b""
        if dies:
            del lines[self._chance.randrange(len(lines) + 1) :]
        self._take(lines, ends_well=not is_cut and not dies)

    def _take(self, lines: Iterable[bytes], *, ends_well: bool) -> None:
        batch: list[tuple[str, Row]] = []
        state = self.state
        room = self._room()
        for line in lines:
            message = json.loads(line)
            if message["type"] == "RECORD":
                batch.append((message["stream"], message["record"]))
            elif message["type"] == "STATE":
                state = message["value"]
            if len(batch) >= room:
                self._store(batch, state)
                room = self._room()
        if ends_well:
            self._store(batch, state)

    def _room(self) -> int:
        return self._chance.choice((1, 10, 100, 1000))

    def _store(self, batch: list[tuple[str, Row]], state: dict[str, Any] | None) -> None:
        for stream, row in batch:
            key = tuple(row[name] for name in BY_NAME[stream].keys)
            self._stored.setdefault(stream, {})[key] = row
        batch.clear()
        self.state = state
