"""What the tests of the array reader share: JSON to read, and ways to write and cut it."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tap_mobile_engagement.reading.arrays import ArrayCutter
from tap_mobile_engagement.reading.content import contents
from tap_mobile_engagement.reading.cutting import BLOCK_SIZE
from tap_mobile_engagement.reading.recognise import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_mobile_engagement.reading.cutting import Block

# What looks like the text between two elements, wherever it stands.
AWKWARD = (
    *r"""" \ \" [ ] { } , : },{ ]},{ "},{" "}]},{"deviceId" ,, [] {} é 😀""".split(),  # noqa: SIM905
    *(" ", "\n", "\t", "\0", "}, {", "\n  },\n  {"),
)

awkward_text = st.lists(st.sampled_from(AWKWARD) | st.characters(codec="utf-8")).map("".join)
numbers = st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False, allow_infinity=False)
scalars = awkward_text | numbers | st.booleans() | st.none()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(awkward_text, inner, max_size=4)
    ),
    max_leaves=12,
)
# Mostly what an export holds: objects. The rest must get through as well.
elements = st.lists(st.dictionaries(awkward_text, values, max_size=4) | values, max_size=12)


@dataclass(frozen=True)
class Writer:
    """One way to write JSON."""

    indent: int | str | None = None
    separators: tuple[str, str] | None = None
    ascii_only: bool = False
    behind: str = ""

    def write(self, value: Any) -> bytes:
        text = json.dumps(
            value,
            indent=self.indent,
            separators=self.separators,
            ensure_ascii=self.ascii_only,
        )
        return f"{text}{self.behind}".encode()


COMPACT = Writer(separators=(",", ":"))
WRITERS = (
    COMPACT,
    Writer(),
    Writer(indent=2),
    Writer(indent="\t", behind="\r\n"),
    Writer(separators=(" , ", " : "), ascii_only=True, behind=" \n"),
)
writers = st.sampled_from(WRITERS)


@st.composite
def chunked(draw: st.DrawFn, content: bytes) -> list[bytes]:
    """Cut bytes into pieces of any size, empty ones among them."""
    cuts = draw(st.lists(st.integers(0, len(content)), max_size=20).map(sorted))
    bounds = [0, *cuts, len(content)]
    return [content[start:end] for start, end in itertools.pairwise(bounds)]


def rechunk(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Cut chunks that are larger than some bytes."""
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            yield chunk[start : start + size]


def read_blocks(chunks: Iterable[bytes]) -> Iterator[Any]:
    """The blocks of a file, whatever its form: a Block, or Rows."""
    for content in contents(chunks):
        yield from cut(content)


def cut_array(chunks: Iterable[bytes], block_size: int = BLOCK_SIZE) -> Iterator[Block]:
    """The blocks of an array."""
    return ArrayCutter(chunks, block_size=block_size).blocks()


def decoded(blocks: Iterable[Block]) -> list[Any]:
    """All elements of blocks, each of which has to be sound."""
    found = []
    for block in blocks:
        assert block.sound, block
        found += [json.loads(bytes(raw)) for raw in block.elements()]
    return found


def texts(blocks: Iterable[Block]) -> list[bytes]:
    """The texts of all elements, those of unsound blocks among them."""
    return [
        text
        for block in blocks
        for text in (map(bytes, block.elements()) if block.sound else [block.data])
    ]
