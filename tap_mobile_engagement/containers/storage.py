"""Requests to Azure Storage: one pool of connections, and patience with what may pass."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport

from tap_mobile_engagement.background import interruptible
from tap_mobile_engagement.containers.base import CHUNK_BYTES
from tap_mobile_engagement.containers.faults import REQUEST_ERRORS, Action, Fault, explain
from tap_mobile_engagement.redaction import redact
from tap_mobile_engagement.retry import RETRY, PassingError, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_mobile_engagement.clock import Clock
    from tap_mobile_engagement.containers.urls import Sas

USER_AGENT = "tap-mobile-engagement"
"""How requests introduce themselves, before the SDK's own words."""

_CONNECT_SECONDS = 20
_READ_SECONDS = 60

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

    The SDK's own retries are off: no stop ends them, and they would multiply with ours.
    """
    # The SDK logs each header of each request at INFO, which is the usual level of a tap's
    # log. Whoever has set a level for it gets what was asked for.
    http_log = logging.getLogger("azure.core.pipeline.policies.http_logging_policy")
    if http_log.level == logging.NOTSET:
        http_log.setLevel(logging.WARNING)
    return {"transport": transport, "retry_total": 0, "user_agent": USER_AGENT}


@dataclass(frozen=True, slots=True)
class Storage:
    """How requests to one container or account are made, tried again, and explained.

    Attributes:
        label: The container's or account's name for messages, a URL without any secret.
        sas: What gives the right to ask; None if an account key or an identity does.
        clock: Tells the time, and of a stop.
        is_identity: Whether an identity does.
    """

    label: str
    sas: Sas | None
    clock: Clock
    is_identity: bool = False

    def call(
        self,
        request: Callable[[], _T],
        failed: str,
        permission: str,
        *,
        blob: str | None = None,
        retry: Retry = RETRY,
    ) -> _T:
        """Make a request, again if need be, and return what it returns.

        Args:
            request: Makes the request once.
            failed: What to say if it fails: "the blob could not be read".
            permission: The letter of the SAS permission that it takes.
            blob: Name of the blob that it is about, if it is about one.
            retry: How often it is tried.

        Raises:
            TapError: What its failure means.
            RunStopped: If the run is stopped meanwhile.
        """
        action = Action(failed, permission, self.label, blob)
        return self.tried(lambda: interruptible(request, self.clock), action, retry)

    def listing(
        self,
        by_page: Callable[[str | None], Iterator[Iterator[_T]]],
        failed: str = "the container could not be listed",
        *,
        retry: Retry = RETRY,
    ) -> Iterator[_T]:
        """All that a listing has, read page by page while it is consumed.

        Args:
            by_page: The SDK's method of that name, of a listing that may be begun anew.
            failed: What to say if it fails.
            retry: How often a page is asked for.

        Raises:
            TapError: What keeps it from being listed.
        """
        token: str | None = None
        while True:
            # Each try begins a new listing at the page's token: an iterator of the SDK that
            # stumbled over an answer may take itself for finished.
            page, token = self.call(partial(_page, by_page, token), failed, "l", retry=retry)
            yield from page
            if not token:
                return

    def tried(self, request: Callable[[], _T], action: Action, retry: Retry = RETRY) -> _T:
        """As :meth:`call`, in the calling thread: a stop ends the pauses alone."""

        def attempt() -> _T:
            try:
                return request()
            except REQUEST_ERRORS as error:
                fault = Fault.of(error)
                failure = explain(
                    fault,
                    action,
                    sas=self.sas,
                    is_identity=self.is_identity,
                    now=self.clock.now(),
                )
                if fault.is_transient:
                    reason = f"a request failed ({redact(fault.reason)})"
                    raise PassingError(failure, reason) from None
                # Without its cause: the SDK's messages hold URLs, a traceback would show them.
                raise failure from None

        return retry.call(attempt, clock=self.clock, name=self.label)


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
