"""How a run ends for the one who looks at its last lines: what failed, and what to do now."""

from __future__ import annotations

import logging
import os
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from singer_sdk.exceptions import ConfigValidationError

from tap_mobile_engagement.errors import Code, RetryLaterError, SettingsError, TapError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_mobile_engagement.sources.base import Check

log = logging.getLogger("tap-mobile-engagement")

_NAMED = 20  # failures that the last line names; each has a line of its own above it


@contextmanager
def errors_on_one_line() -> Iterator[None]:
    """Turn an error of the tap into one line of the log and exit code 1: no traceback.

    Of wrong settings each is a line.
    """
    try:
        yield
    except TapError as error:
        log.error("%s", error)  # noqa: TRY400  (the message says all)
        sys.exit(1)
    except ConfigValidationError as error:
        for message in error.errors:
            log.error("%s", message)  # noqa: TRY400
        sys.exit(1)


def streams_failed(failures: Sequence[TapError]) -> TapError:
    """Tell of all failures once more, one line each, and make the error that ends the run.

    Args:
        failures: What failed, in order.
    """
    named = [f"{_place(error)} ({error.code})" for error in failures[:_NAMED]]
    if len(failures) > _NAMED:
        named.append("…")
    log.error("These failed; all other streams and apps are done:")
    for error in failures:
        log.error("- %s", error)
    return TapError(
        Code.STREAMS_FAILED,
        f"{len(failures)} failed: {', '.join(named)}",
        next_step="The lines above say what to do about each; what was committed stays, and "
        "the next run goes on from there",
    )


def _place(error: TapError) -> str:
    """Where it failed, in short: stream and app, or the file that concerns several."""
    stream = error.where.get("stream") or error.where.get("blob", "the tap")
    app = error.where.get("app")
    return f"{stream} of {app}" if app else str(stream)


@contextmanager
def output_refused_is_told() -> Iterator[None]:
    """Turn a system error into one of the tap: messages or batch files can't be written.

    All other files and connections have errors of the tap already. Mostly the target ended.

    Raises:
        RetryLaterError: ``OUTPUT_CLOSED``.
    """
    try:
        yield
    except OSError as error:
        raise _output_closed(error) from error


def _output_closed(error: OSError) -> RetryLaterError:
    # Else Python would fail once more, with a traceback, when it flushes the rest at exit.
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    return RetryLaterError(
        Code.OUTPUT_CLOSED,
        f"what was read can't be handed on: {error.strerror}",
        next_step="Look at the log of the target, if it ended before the tap did, or make room "
        "on the disk, then run again; the last state that was stored tells where to go on",
    )


def report_checks(checks: Sequence[Check]) -> None:
    """Run all checks and tell the verdict on each, also of those behind one that failed.

    Raises:
        TapError: The failed one, or one that counts them if they are several.
    """
    failures = []
    for check in checks:
        try:
            check.run()
        except TapError as error:
            failures.append(error)
            log.error("Check of %s: FAILED: %s", check.subject, error)  # noqa: TRY400
        else:
            log.info("Check of %s: passed", check.subject)
    if len(failures) > 1:
        first = failures[0].what.rstrip(".")
        raise SettingsError(
            failures[0].code,
            f"{len(failures)} of {len(checks)} checks failed; the first: {first}",
            next_step=failures[0].next_step,
        )
    if failures:
        raise failures[0]


def is_test_by_meltano() -> bool:
    """Whether ``meltano config test`` started the tap, which runs it as for a sync.

    It is certain where the parent process is that very command, and both outputs go into one
    pipe of it (``ExtractorTestService.validate`` of Meltano 4.4). Where the command line of the
    parent can't be read, as outside Linux, nothing is certain, and a run is a run.
    """
    try:
        words = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().decode().split("\0")
        output, errors = os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # no such file; an output that is no file
        return False
    program = [Path(word).name for word in words]
    started = program[program.index("meltano") + 1 :] if "meltano" in program else []
    is_test = "config" in started and "test" in started[started.index("config") :]
    return is_test and stat.S_ISFIFO(output.st_mode) and os.path.samestat(output, errors)
