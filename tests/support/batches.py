"""BATCH messages as a target takes them: the records of their files in place of each."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

from upath import UPath

from tests.support.messages import Messages

if TYPE_CHECKING:
    from pathlib import Path


def batches_in(folder: Path | str, **changes: Any) -> dict[str, Any]:
    """The setting ``batch_config`` for a folder, or for the URL of one."""
    root = folder if isinstance(folder, str) else folder.as_uri()
    return {"storage": {"root": root}, **changes}


def files_named(messages: Messages, stream: str | None = None) -> list[str]:
    """The URLs of all files that BATCH messages name, in order."""
    return [url for message in messages.of_type("BATCH", stream) for url in message["manifest"]]


def lines_of(url: str) -> list[bytes]:
    """The lines of a file, unpacked if it is named as a packed one."""
    content = UPath(url).read_bytes()
    return (gzip.decompress(content) if url.endswith(".gz") else content).splitlines()


def unpacked(messages: Messages) -> Messages:
    """The same messages, with RECORD messages in place of each BATCH message."""
    all_: list[dict[str, Any]] = []
    for message in messages.all:
        if message["type"] != "BATCH":
            all_.append(message)
            continue
        for url in message["manifest"]:
            for line in lines_of(url):
                record = json.loads(line)
                all_.append({"type": "RECORD", "stream": message["stream"], "record": record})
    return Messages(tuple(all_))
