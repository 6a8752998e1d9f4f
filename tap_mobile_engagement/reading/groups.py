"""Take the text of one element apart: a group and its items, each by itself."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from tap_mobile_engagement.reading.arrays import cut_array
from tap_mobile_engagement.reading.cutting import BRACKET, QUOTE, tokens
from tap_mobile_engagement.reading.names import plain

if TYPE_CHECKING:
    import re
    from collections.abc import Collection, Iterator

    from tap_mobile_engagement.reading.cutting import Block

_END = ord("]")
_IN_LIST = 2  # levels, in the list of a group


class Group(NamedTuple):
    """The text of a group: with its lists empty, and its lists by name."""

    shell: bytes
    place: int  # of the first list's items in the shell
    lists: list[tuple[str, bytes]]

    def with_items(self, items: bytes) -> bytes:
        """The text of the group with just these items."""
        return b"[%b%b%b]" % (self.shell[: self.place], items, self.shell[self.place :])

    def items(self) -> Iterator[Block]:
        """The items of all lists, in blocks."""
        return chain.from_iterable(cut_array([each]) for _, each in self.lists)


def split_group(element: bytes, list_names: Collection[str]) -> Group | None:
    """A group of items, by its strings and brackets alone; None if the element is none."""
    begin = taken = place = 0
    shell = b""
    string: re.Match[bytes] | None = None
    name = ""
    lists: list[tuple[str, bytes]] = []
    for token, byte, depth in tokens(element):
        if depth == 1:
            if byte == QUOTE:
                string = token
            elif begin and byte == _END:
                at = token.start()
                lists.append((name, element[begin - 1 : at + 1]))
                shell += element[taken:begin]
                place = place or len(shell)
                taken, begin = at, 0
        elif depth == _IN_LIST and byte == BRACKET:
            name = _text(string[0]) if string else ""
            begin = token.end() if plain(name) in list_names else 0
    return None if begin or not lists else Group(shell + element[taken:], place, lists)


def _text(name: bytes) -> str:
    try:
        return str(json.loads(name.decode("utf-8", "replace"), strict=False))
    except ValueError:
        return ""
