"""The clock, times as text, and pauses that a stop ends; what waits has them as parameters."""

from __future__ import annotations

import time
from collections.abc import Callable  # noqa: TC003  (in an annotation of a class)
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Protocol

SLICE = 0.1  # seconds; how long a stop may go unnoticed


class RunStopped(BaseException):
    """The run was asked to stop; no ``Exception``, which a stream's failure would be."""


class Stoppable(Protocol):
    """What can be waited on and told to stop; ``threading.Event`` fits as well."""

    def is_set(self) -> bool:
        """Whether the run has been asked to stop."""

    def wait(self, timeout: float, /) -> bool:
        """Sleep for that many seconds, or until a stop; tell whether there was one."""


class StopFlag:
    """A stop flag that a signal handler may set; ``threading.Event.set`` can deadlock there."""

    def __init__(self) -> None:
        self._asked: list[None] = []
        # No method: it is asked before every block of a file, and methods cost more to call.
        self.is_set = partial(bool, self._asked)

    def set(self) -> None:
        """Ask the run to stop; safe in a signal handler and from any thread."""
        self._asked.append(None)

    def wait(self, timeout: float, /) -> bool:
        """As :meth:`Stoppable.wait`."""
        until = time.monotonic() + timeout
        while not self._asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, SLICE))
        return self.is_set()


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def read_time(text: str) -> datetime:
    """A time in ISO 8601, in UTC, which is its zone if it has none; raises ValueError."""
    try:
        return _in_utc(datetime.fromisoformat(text))
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from None


def read_http_date(text: str | None) -> datetime | None:
    """A date of an HTTP header, in UTC; None where it is none."""
    try:
        return _in_utc(parsedate_to_datetime(text)) if text else None
    except (ValueError, IndexError, TypeError, OverflowError):
        return None


def _in_utc(time_: datetime) -> datetime:
    return time_.astimezone(UTC) if time_.tzinfo else time_.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of a run, and what tells it to stop. ``now`` is aware, in UTC."""

    now: Callable[[], datetime] = utc_now
    stop: Stoppable = field(default_factory=StopFlag)

    def check(self) -> None:
        """Raise RunStopped if the run is asked to stop."""
        if self.stop.is_set():
            raise RunStopped

    def pause(self, seconds: float) -> None:
        """Wait for that many seconds; raise RunStopped if the run is asked to stop."""
        if self.stop.wait(max(seconds, 0.0)):
            raise RunStopped
