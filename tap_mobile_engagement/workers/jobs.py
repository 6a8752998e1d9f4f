"""What the tap and its worker processes say to each other.

The bytes of blocks and records lie in memory that both sides map; only where they lie goes
through pipes. That saves two copies of everything, and no message can fill a pipe, so neither
side ever waits for the other to read.
"""

from __future__ import annotations

import os
from typing import IO, TypeVar

import msgspec
from msgspec import Struct

Message = TypeVar("Message")

SLOT_SIZE = 4 * 1024 * 1024
"""Bytes for the blocks of one job, with the lines of its records behind them.

Memory is taken up only so far as a job needs it.
"""

_KEPT = 16 * 1024 * 1024  # bytes; some jobs with their lines
_LENGTH_SIZE = 4  # bytes that say how long a message is


class Setup(Struct, frozen=True, array_like=True):
    """What all blocks of one part of an export have in common.

    Attributes:
        data_type: Name of the data type.
        app_name: As in :class:`~tap_mobile_engagement.reading.parts.Origin`, like the next two.
        blob_name: Likewise.
        exported_until: Likewise.
        selected: Names of the fields to write.
        opening: As in :class:`~tap_mobile_engagement.emit.Envelope`, like the next one.
        ending: Likewise.
    """

    data_type: str
    app_name: str
    blob_name: str | None
    exported_until: str
    selected: tuple[str, ...]
    opening: bytes
    ending: bytes | None


class Job(Struct, array_like=True):
    """Some blocks to encode.

    Attributes:
        at: Where they begin in the memory, one behind the other.
        sizes: Bytes of each.
        setup: What they have in common; None where that is the same as for the job before.
    """

    at: int
    sizes: list[int]
    setup: Setup | None


class Encoded(Struct, array_like=True):
    """The records of one block, as lines.

    Attributes:
        size: Bytes of the lines. Those of a job lie behind its blocks, one behind the other.
        count: How many records there are.
        repaired: Elements in which characters had to be replaced.
        end_a_run: As in :class:`~tap_mobile_engagement.reading.parts.PartRecords`.
    """

    size: int
    count: int
    repaired: int
    end_a_run: bool


class Answer(Struct, array_like=True):
    """What became of a job.

    Attributes:
        blocks: For each block its records; None where the tap has to read the block itself.
    """

    blocks: list[Encoded | None]


def send(pipe: int, message: Struct) -> None:
    """Send a message.

    Args:
        pipe: File descriptor to write to.
        message: What to send.

    Raises:
        OSError: If nobody reads.
    """
    content = msgspec.msgpack.encode(message)
    rest = memoryview(len(content).to_bytes(_LENGTH_SIZE) + content)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def receive(pipe: IO[bytes], decoder: msgspec.msgpack.Decoder[Message]) -> Message | None:
    """Wait for the next message.

    Args:
        pipe: Buffered file to read from.
        decoder: Decodes messages of the kind that comes.

    Returns:
        None if the other side has ended.
    """
    size = int.from_bytes(pipe.read(_LENGTH_SIZE))
    content = pipe.read(size)
    return decoder.decode(content) if content and len(content) == size else None


def keep_freed_memory() -> None:
    """Let the process keep memory that it frees, for the next job.

    Otherwise glibc returns that of each job to the system, and has to get it again. It stops
    doing so for sizes up to that of a large block which was once freed (``M_MMAP_THRESHOLD``
    in mallopt(3)). Elsewhere this does nothing.
    """
    bytes(_KEPT)
