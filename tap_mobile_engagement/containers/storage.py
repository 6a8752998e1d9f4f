"""Requests to Azure Storage: one pool of connections, and patience with what may pass."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport

from tap_mobile_engagement.containers.base import CHUNK_BYTES
from tap_mobile_engagement.containers.faults import REQUEST_ERRORS, Action, Fault, explain
from tap_mobile_engagement.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tap_mobile_engagement.containers.urls import Sas

PAUSES: tuple[float, ...] = (1, 2, 4, 8, 16, 30)
"""Seconds before each further try of a request; a fault that outlasts them all is raised.

Azure moves a busy or broken part of its storage to another server within about half a minute.
"""
SHORT_PAUSES: tuple[float, ...] = (1,)
"""The same where a person waits for the verdict."""

USER_AGENT = "tap-mobile-engagement"
"""How requests introduce themselves, before the SDK's own words."""

_CONNECT_SECONDS = 20
_READ_SECONDS = 60

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


def new_transport() -> RequestsTransport:
    """A pool of connections; bodies that are streamed come in chunks of CHUNK_BYTES."""
    transport = RequestsTransport(
        connection_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        connection_data_block_size=CHUNK_BYTES,
    )
    transport.open()  # not at the first request, which several threads may make at once
    return transport


def client_options(transport: RequestsTransport) -> dict[str, Any]:
    """Options of every client of the Azure SDK here.

    The SDK's own retries are off: they wait in real time, and would multiply with those of
    :class:`Storage`.
    """
    # The SDK logs each header of each request at INFO, which is the usual level of a tap's
    # log. Whoever has set a level for it gets what was asked for.
    http_log = logging.getLogger("azure.core.pipeline.policies.http_logging_policy")
    if http_log.level == logging.NOTSET:
        http_log.setLevel(logging.WARNING)
    return {"transport": transport, "retry_total": 0, "user_agent": USER_AGENT}


@dataclass(frozen=True, slots=True)
class Storage:
    """How requests to one container or account are tried, tried again, and explained.

    Attributes:
        label: The container's or account's name for messages, a URL without any secret.
        sas: What gives the right to ask; None if an account key or an identity does.
        clock: Tells the time, aware.
        sleep: Waits for the given seconds.
        is_identity: Whether an identity does.
    """

    label: str
    sas: Sas | None
    clock: Callable[[], datetime]
    sleep: Callable[[float], object]
    is_identity: bool = False

    def call(
        self,
        request: Callable[[], _T],
        failed: str,
        permission: str,
        *,
        blob: str | None = None,
        pauses: tuple[float, ...] = PAUSES,
    ) -> _T:
        """Make a request, again if need be, and return what it returns.

        Args:
            request: Makes the request once.
            failed: What to say if it fails: "the blob could not be read".
            permission: The letter of the SAS permission that it takes.
            blob: Name of the blob that it is about, if it is about one.
            pauses: Seconds before each further try.

        Raises:
            TapError: What its failure means.
        """
        tries = self.tries(failed, permission, blob=blob, pauses=pauses)
        while True:
            try:
                return request()
            except REQUEST_ERRORS as error:
                tries.failed(error)

    def listing(
        self,
        by_page: Callable[[str | None], Iterator[Iterator[_T]]],
        failed: str = "the container could not be listed",
        *,
        pauses: tuple[float, ...] = PAUSES,
    ) -> Iterator[_T]:
        """All that a listing has, read page by page while it is consumed.

        Args:
            by_page: The SDK's method of that name, of a listing that may be begun anew.
            failed: What to say if it fails.
            pauses: Seconds before each further try.

        Raises:
            TapError: What keeps it from being listed.
        """
        token: str | None = None
        while True:
            # Each try begins a new listing at the page's token: an iterator of the SDK that
            # stumbled over an answer may take itself for finished.
            page, token = self.call(partial(_page, by_page, token), failed, "l", pauses=pauses)
            yield from page
            if not token:
                return

    def tries(
        self,
        failed: str,
        permission: str,
        *,
        blob: str | None = None,
        pauses: tuple[float, ...] = PAUSES,
    ) -> Tries:
        """Keep count of tries where :meth:`call` does not fit; the same arguments."""
        return Tries(self, Action(failed, permission, self.label, blob), pauses)


class Tries:
    """The tries of one action: how long to pause after a fault, and when to give up."""

    def __init__(self, storage: Storage, action: Action, pauses: tuple[float, ...]) -> None:
        self._storage = storage
        self._action = action
        self._pauses = pauses
        self._left = iter(pauses)

    def succeeded(self) -> None:
        """It went on: faults before this no longer count."""
        self._left = iter(self._pauses)

    def failed(self, error: Exception, **where: object) -> None:
        """Pause before the next try.

        Args:
            error: One of the REQUEST_ERRORS.
            where: More places to name in what is raised.

        Raises:
            TapError: What the error means, if another try would not help or none is left.
        """
        fault = Fault.of(error)
        pause = next(self._left, None)
        storage = self._storage
        if pause is None or not fault.is_transient:
            # Without its cause: the SDK's messages hold URLs, a traceback would show them.
            failure = explain(
                fault,
                self._action,
                sas=storage.sas,
                is_identity=storage.is_identity,
                now=storage.clock(),
            )
            raise failure.at(**where) from None
        logger.warning(
            "%s: a request failed (%s); trying again in %g s",
            storage.label,
            redact(fault.reason),
            pause,
        )
        storage.sleep(pause)


def _page(
    by_page: Callable[[str | None], Iterator[Iterator[_T]]], token: str | None
) -> tuple[list[_T], str | None]:
    """One page of a listing, and the token of the next; None if it is the last."""
    pages: Any = by_page(token)
    try:
        return list(next(pages)), pages.continuation_token
    except AttributeError as error:
        # What the SDK makes of an answer that was cut off within its headers.
        raise ServiceResponseError("the answer broke off") from error
