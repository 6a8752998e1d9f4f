"""Reads JSON lines with the loop that most taps on singer-python have.

python singer_python.py FILE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import singer

STRING = {"type": ["null", "string"]}
SCHEMA = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("device_id", "session_id", "name", "info_id", "location_id"), STRING),
        "timestamp": {"type": ["null", "string"], "format": "date-time"},
        "extras": {"type": ["null", "object"]},
    },
}


def main() -> None:
    """Write a RECORD message for each line."""
    singer.write_schema("events", SCHEMA, [])
    with Path(sys.argv[1]).open("rb") as lines, singer.Transformer() as transformer:
        for line in lines:
            singer.write_record("events", transformer.transform(json.loads(line), SCHEMA))


if __name__ == "__main__":
    main()
