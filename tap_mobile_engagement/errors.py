"""Every error that the tap raises, by what to do about it, and how it ends a command."""

from __future__ import annotations

import logging
import os
import re
import sys
from contextlib import contextmanager, suppress
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from click.exceptions import Abort, ClickException, Exit
from singer_sdk.exceptions import ConfigValidationError, SingerSDKError

from tap_mobile_engagement.redaction import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click import Command

log = logging.getLogger("tap-mobile-engagement")

_LINE_BREAKS = re.compile(r"[\r\n\v\f\x85\u2028\u2029]\s*")  # in text of a server
_MOST_OF_A_TEXT, _MOST_OF_A_PLACE = 2_000, 1_100  # characters; a blob's name has up to 1,024


class Code(StrEnum):
    """Stable names of failures: they are documented, and safe to match on in scripts."""

    # Fix the settings.
    BAD_SETTING = "BAD_SETTING"
    BAD_CATALOG = "BAD_CATALOG"
    CONTAINER_URL_INVALID = "CONTAINER_URL_INVALID"
    CONTAINER_NOT_FOUND = "CONTAINER_NOT_FOUND"
    CONTAINER_ACCESS_DENIED = "CONTAINER_ACCESS_DENIED"
    NO_FILES = "NO_FILES"
    SAS_EXPIRED = "SAS_EXPIRED"
    SAS_PERMISSION_MISSING = "SAS_PERMISSION_MISSING"
    AUTH_FAILED = "AUTH_FAILED"
    ACCESS_DENIED = "ACCESS_DENIED"
    APP_NOT_FOUND = "APP_NOT_FOUND"
    AMBIGUOUS_BLOBS = "AMBIGUOUS_BLOBS"
    TASK_REJECTED = "TASK_REJECTED"
    TASK_TOO_LARGE = "TASK_TOO_LARGE"
    # Try again later.
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    TASK_CREATION_UNCERTAIN = "TASK_CREATION_UNCERTAIN"
    TASK_FAILED = "TASK_FAILED"
    TASK_TIMEOUT = "TASK_TIMEOUT"
    TASK_LOST = "TASK_LOST"
    UNKNOWN_TASK_STATE = "UNKNOWN_TASK_STATE"
    BLOB_CHANGED = "BLOB_CHANGED"
    BLOB_MISSING = "BLOB_MISSING"
    OUTPUT_CLOSED = "OUTPUT_CLOSED"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    NO_TEMPORARY_SPACE = "NO_TEMPORARY_SPACE"
    # Look at the data.
    BAD_ANSWER = "BAD_ANSWER"
    BAD_RECORD = "BAD_RECORD"
    TOO_MANY_BAD_RECORDS = "TOO_MANY_BAD_RECORDS"
    BAD_STATE = "BAD_STATE"
    BLOB_ARCHIVED = "BLOB_ARCHIVED"
    BLOB_CORRUPT = "BLOB_CORRUPT"
    BLOB_TRUNCATED = "BLOB_TRUNCATED"
    BLOB_UNREADABLE = "BLOB_UNREADABLE"
    BLOB_UNRECOGNISED = "BLOB_UNRECOGNISED"
    STREAMS_FAILED = "STREAMS_FAILED"  # the end of a run; its message names the codes above
    UNEXPECTED = "UNEXPECTED"  # a defect of the tap


class TapError(SingerSDKError):
    """A failure that the tap understands. Text of a server and URLs can be passed in.

    ``what`` and ``next_step`` are sentences without a full stop; ``where`` names app, blob, ….
    """

    def __init__(self, code: Code, what: str, *, next_step: str = "", **where: object) -> None:
        self.code = code
        self.what = what
        self.next_step = next_step
        self.where: dict[str, Any] = {}
        super().__init__()
        self.at(**where)

    def __str__(self) -> str:
        what = shown(_LINE_BREAKS.sub(" ", self.what), _MOST_OF_A_TEXT)
        places = [f"{name}={shown(at, _MOST_OF_A_PLACE)}" for name, at in self.where.items()]
        where = f" ({', '.join(places)})" if places else ""
        next_step = shown(self.next_step, _MOST_OF_A_TEXT)
        return f"{self.code}: {what}{where}." + (f" {next_step}." if next_step else "")

    def __reduce__(self) -> tuple[Any, ...]:
        build = partial(type(self), next_step=self.next_step, **self.where)
        return build, (self.code, self.what)

    def at(self, **where: object) -> TapError:
        """Add places that a caller further up knows to this error; those already named stay."""
        for name, value in where.items():
            if value is not None:
                self.where.setdefault(name, value)
        self.args = (str(self),)
        return self


class SettingsError(TapError):
    """Something in the settings, or a right that they stand for, has to be fixed."""


class RetryLaterError(TapError):
    """The service or the storage failed; another run continues where this one stopped."""


class DataError(TapError):
    """The data is not what it should be; look at it."""


# The errors for a file whose content is broken, and for one of which the end is missing.
_damaged = partial(DataError, next_step="Copy or export the file again")
corrupt = partial(_damaged, Code.BLOB_CORRUPT)
truncated = partial(_damaged, Code.BLOB_TRUNCATED)


@contextmanager
def errors_on_one_line(tell: Callable[[str], object] = log.error) -> Iterator[None]:
    """Turn an error, also of Python's last flush, into one line and exit code 1."""
    try:
        try:
            yield
        except (Exit, SystemExit) as end:  # as an option that prints ends a command
            if not any(end.args):
                print(end="", flush=True)  # noqa: T201
            raise
        print(end="", flush=True)  # noqa: T201
    except (Abort, ClickException, Exit):  # click's own ways to end a command
        raise
    except ConfigValidationError as error:
        for message in error.errors:
            tell(message)
        sys.exit(1)
    except Exception as error:  # noqa: BLE001  (this is the end of all)
        tell(str(tap_error(error)))
        sys.exit(1)


def ends_on_one_line(command: Command, tell: Callable[[str], object] = log.error) -> Command:
    """A command that ends so: its options, itself, and its help where it can't be printed."""
    guard = errors_on_one_line(tell)
    parts: list[Any] = [command, *command.params]
    for part in parts:
        if part.callback is not None:
            part.callback = guard(part.callback)
    command.main = guard(command.main)  # type: ignore[method-assign]
    return command


def tap_error(error: Exception) -> TapError:
    """What an exception means to the user; an error of the tap is returned as it is."""
    if isinstance(error, TapError):
        return error
    if isinstance(error, MemoryError):
        return RetryLaterError(
            Code.OUT_OF_MEMORY,
            "there is not enough memory",
            next_step="Give the process more memory, or run fewer things beside it",
        )
    if isinstance(error, OSError) or sys.stdout is None:  # (Python has none if it is closed)
        return _output_closed(error)
    if os.environ.get("LOGLEVEL", "").upper() == "DEBUG":
        logging.basicConfig(level=logging.DEBUG)  # for a command without a log of its own
    log.debug("Traceback of an unexpected error", exc_info=error)
    return TapError(
        Code.UNEXPECTED,
        f"{type(error).__name__}: {error}",
        next_step="Report this defect with the traceback, which LOGLEVEL=DEBUG shows",
    )


def _output_closed(error: Exception) -> TapError:
    """All other files and connections have errors of the tap; mostly the target ended."""
    # Else Python would fail once more, with a traceback, when it flushes the rest at exit.
    with suppress(AttributeError, OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    reason = getattr(error, "strerror", None) or "standard output is closed"
    return RetryLaterError(
        Code.OUTPUT_CLOSED,
        f"what was read can't be handed on: {reason}",
        next_step="Look at the log of the target, if it ended before the tap did, or make room "
        "on the disk, then run again: the run continues from the last state that was stored",
    )
