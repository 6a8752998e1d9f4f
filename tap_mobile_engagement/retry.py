"""The one retry: what may pass is tried again, after pauses that a stop of the run ends."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_mobile_engagement.clock import Clock
    from tap_mobile_engagement.errors import TapError

_MOST_STEPS = 250  # enough to grow from a nanosecond to centuries by a fifth each time
_PATIENCE = 900.0  # seconds; a longer pause that a service asks for is not waited for

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class PassingError(Exception):
    """A failure that may pass: the error after the last try, and a short reason for the log."""

    def __init__(
        self, error: TapError, reason: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(reason)
        self.error = error
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Schedule:
    """Pauses in seconds; a ``Retry-After`` overrides them, but is at least the first."""

    first: float
    largest: float
    growth: float = 1.2

    def pause(self, step: int, *, retry_after: float | None = None) -> float:
        """Seconds of the pause with that number, or what the service asked for."""
        if retry_after is not None:
            return max(retry_after, self.first)
        return min(self.first * self.growth ** min(step, _MOST_STEPS), self.largest)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and at what pace a request is tried.

    Azure moves a broken part of its storage within about half a minute; all pauses together
    are two.
    """

    tries: int = 8
    schedule: Schedule = Schedule(first=1, largest=60, growth=2)

    def call(self, attempt: Callable[[], Result], *, clock: Clock, name: str) -> Result:
        """What an attempt returns; it is made again while it raises :class:`PassingError`."""

        def pause(details: Any) -> None:
            passing, step = details["exception"], details["tries"] - 1
            seconds = self.schedule.pause(step, retry_after=passing.retry_after)
            log.warning("%s: %s; trying again in %.3g s", name, passing, seconds)
            clock.pause(seconds)

        try:
            return backoff.on_exception(
                backoff.constant,
                PassingError,
                interval=0,  # a stop would not end its own sleep
                jitter=None,
                max_tries=self.tries,
                giveup=lambda passing: (passing.retry_after or 0) > _PATIENCE,
                on_backoff=pause,
                on_giveup=lambda details: details["exception"].error.at(tries=details["tries"]),
                logger=None,
            )(attempt)()
        except PassingError as passing:
            # Without its cause: messages of the network's libraries hold URLs.
            raise passing.error from None


RETRY = Retry()  # for all requests of a run
RETRY_ONCE = Retry(tries=2)  # for requests whose outcome a person waits for
