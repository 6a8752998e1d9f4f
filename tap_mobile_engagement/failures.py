"""What failed in a run: streams, files of an archive, and checks before it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tap_mobile_engagement.errors import Code, TapError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_mobile_engagement.sources.base import Check

log = logging.getLogger("tap-mobile-engagement")


class Failures:
    """Takes note of failures: of streams as they come, of each file once."""

    def __init__(self) -> None:
        self._streams: list[TapError] = []
        self._files: list[TapError] = []
        self._known_files: dict[tuple[object, object], TapError] = {}

    def add(self, error: TapError) -> None:
        """Note a failure of a stream; the run continues with the others."""
        log.error("%s", error)
        self._streams.append(error)

    def add_file(self, error: TapError, *, is_skipped: bool) -> None:
        """Note a bad file once, whichever streams meet it; warn of one that is skipped."""
        where = error.where
        key = where.get("blob"), where.get("member")
        known = self._known_files.setdefault(key, error)
        if known is not error:
            if known.where.get("stream") != where.get("stream"):
                known.where.pop("stream", None)  # it concerns more than one
        elif is_skipped:
            name = "/".join(str(part) for part in key if part)
            log.warning("Skipped the file %s: %s: %s", name, error.code, error.what)
        else:
            self._files.append(error)

    def end(self) -> None:
        """Log each failure, and raise ``STREAMS_FAILED`` if there is any."""
        failures = [*self._streams, *self._files]
        if not failures:
            return
        log.error("These failed; all other streams and apps are done:")
        for error in failures:
            log.error("- %s", error)
        named = (f"{_place(error)} ({error.code})" for error in failures)
        raise TapError(
            Code.STREAMS_FAILED,
            f"{len(failures)} failed: {', '.join(named)}",
            next_step="The lines above say what to do about each; what was committed stays, "
            "and the next run continues from there",
        )


def _place(error: TapError) -> str:
    """Where it failed, in short: stream and app, or the file that concerns several."""
    stream = error.where.get("stream") or error.where.get("blob", "the tap")
    app = error.where.get("app")
    return f"{stream} of {app}" if app else str(stream)


def report_checks(checks: Sequence[Check]) -> None:
    """Run all checks and log what came of each; then raise the first failure."""
    failures = []
    for check in checks:
        try:
            check.run()
        except TapError as error:
            failures.append(error)
            log.error("Check of %s: FAILED: %s", check.subject, error)  # noqa: TRY400
        else:
            log.info("Check of %s: passed", check.subject)
    if failures:
        raise failures[0]
