"""How a command ends: whatever went wrong is one line with a code, and exit code 1."""

from __future__ import annotations

import logging
import os
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from click.exceptions import Abort, ClickException, Exit
from singer_sdk.exceptions import ConfigValidationError

from tap_mobile_engagement.errors import Code, RetryLaterError, TapError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click import Command

log = logging.getLogger("tap-mobile-engagement")


@contextmanager
def errors_on_one_line(tell: Callable[[str], object] = log.error) -> Iterator[None]:
    """Turn an error into one line and exit code 1; of wrong settings each is a line."""
    try:
        try:
            yield
        except (Exit, SystemExit) as end:  # as an option that prints ends a command
            if not any(end.args):
                _flush()
            raise
        _flush()
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
    """A command whose own help ends so, too, where it can't be printed."""
    command.main = errors_on_one_line(tell)(command.main)  # type: ignore[method-assign]
    return command


def _flush() -> None:
    """Write out what was printed: where Python does it at exit, a full disk has no line."""
    if sys.stdout is not None:
        sys.stdout.flush()


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
        next_step="This is a defect of the tap: report it with the traceback, which "
        "LOGLEVEL=DEBUG shows",
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


def is_test_by_meltano() -> bool:
    """Whether ``meltano config test`` started the tap, which runs it as for a sync.

    Only where the parent process is that command, and both outputs go into one pipe of it
    (Meltano 4.4); elsewhere, as outside Linux, it is False.
    """
    try:
        words = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().decode().split("\0")
        output, errors = os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # no such file; an output that is no file
        return False
    program = [Path(word).name for word in words]
    started = program[program.index("meltano") + 1 :] if "meltano" in program else []
    is_test = "config" in started and "test" in started[started.index("config") :]
    return is_test and stat.S_ISFIFO(output.st_mode) and os.path.samestat(output, errors)
