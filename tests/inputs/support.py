"""The tap's command in this process, on an archive of one small file per stream."""

from __future__ import annotations

import io
import json
import logging
import sys
import warnings
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.tap import TapMobileEngagement
from tests.support.messages import Messages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIME = "2016-05-01T08:00:00Z"
EVENTS = [{"deviceId": "d1", "events": [{"name": "like", "timestamp": TIME, "infoId": "i1"}]}]
TAGS = [{"deviceId": "d1", "tags": {"plan": "free"}}]


@dataclass(frozen=True)
class Outcome:
    """What became of the command.

    Attributes:
        exit_code: Its exit code.
        complaints: Its log from warnings on, without time and logger.
        output: Standard output.
    """

    exit_code: int
    complaints: list[str]
    output: bytes

    @property
    def messages(self) -> Messages:
        """The Singer messages."""
        return Messages.parse(self.output)

    def refusal(self) -> str:
        """The one line of a run that was refused before it wrote anything."""
        assert self.exit_code == 1, self.complaints
        assert self.output == b""
        (line,) = self.complaints
        assert "\n" not in line
        return line


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += f"\n{record.exc_info[1]!r}"
        self.lines.append(text)


@contextmanager
def _logged() -> Iterator[list[str]]:
    handler = _Lines()
    root, tap = logging.getLogger(), logging.getLogger("tap-mobile-engagement")
    root.addHandler(handler)
    propagates, tap.propagate = tap.propagate, True
    excepthook = sys.excepthook
    try:
        with warnings.catch_warnings():
            yield handler.lines
    finally:
        sys.excepthook = excepthook
        logging.captureWarnings(capture=False)
        tap.propagate = propagates
        root.removeHandler(handler)


def tap(*arguments: str) -> Outcome:
    """Run the command in this process. What escapes from it would be a traceback."""
    output = io.TextIOWrapper(io.BytesIO())
    exit_code = 0
    with _logged() as lines, redirect_stdout(output):
        try:
            TapMobileEngagement.get_singer_command().main([*arguments])
        except SystemExit as end:
            exit_code = end.code if isinstance(end.code, int) else int(bool(end.code))
    output.flush()
    buffer = output.buffer
    assert isinstance(buffer, io.BytesIO)
    return Outcome(exit_code, lines, buffer.getvalue())


class Archive:
    """An archive with an event and tags of a device, and files beside it.

    Args:
        folder: Where all of it goes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.exports = folder / "exports"
        self.exports.mkdir()
        (self.exports / "events.json").write_text(json.dumps(EVENTS))
        (self.exports / "tags.json").write_text(json.dumps(TAGS))
        self.settings = {"source": "archive", "container_url": self.exports.as_uri()}

    def file(self, name: str, content: Any) -> str:
        """The path of a new file: bytes as they are, all else as JSON."""
        path = self._folder / name
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        path.write_bytes(text)
        return str(path)

    def run(self, *arguments: str, config: Any = None, **files: Any) -> Outcome:
        """Run the tap on it.

        Args:
            arguments: More arguments.
            config: The content of the configuration file, instead of the right one; or more
                settings.
            files: The contents of files, by the options that name them.
        """
        if isinstance(config, bytes):
            files["config"] = config
        else:
            files["config"] = {**self.settings, **(config or {})}
        options: list[str] = []
        for option, content in files.items():
            options += [f"--{option}", self.file(f"{option}.json", content)]
        return tap(*options, *arguments)
