"""A reader of Singer messages that keeps up: it parses each and keeps none.

    tap … | python parsing_reader.py

At the end it prints how many there were.
"""

from __future__ import annotations

import os
import sys

import msgspec

READ_SIZE = 1024 * 1024  # bytes


def main() -> None:
    """Parse the lines of standard input."""
    decoder = msgspec.json.Decoder()
    count = 0
    rest = b""
    while chunk := os.read(sys.stdin.fileno(), READ_SIZE):
        lines, newline, end = chunk.rpartition(b"\n")
        if newline:
            count += len(decoder.decode_lines(rest + lines))
            rest = end
        else:
            rest += end
    print(count)


if __name__ == "__main__":
    main()
