"""Requests to Azure Storage: one pool of connections, and patience with what may pass."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from azure.core.pipeline.transport import RequestsTransport

from tap_mobile_engagement.background import interruptible
from tap_mobile_engagement.containers.base import CHUNK_BYTES
from tap_mobile_engagement.containers.faults import Fault, explain
from tap_mobile_engagement.errors import TapError
from tap_mobile_engagement.redaction import redact
from tap_mobile_engagement.retry import RETRY, PassingError, Retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_mobile_engagement.clock import Clock
    from tap_mobile_engagement.containers.urls import Sas

USER_AGENT = "tap-mobile-engagement"
"""How requests introduce themselves, before the SDK's own words."""

ANSWER_BYTES = 32 * 1024 * 1024
"""Bytes of the largest answer that is read whole, such as a page of a listing."""

ANSWER_SECONDS = 600
"""Seconds that such an answer may take."""

_CONNECT_SECONDS = 20
_READ_SECONDS = 60
_PIECE = 1024  # bytes of an answer after which the time is checked

log = logging.getLogger(__name__)

_T = TypeVar("_T")


def new_transport() -> RequestsTransport:
    """A pool of connections; bodies that are streamed come in chunks of CHUNK_BYTES."""
    transport = RequestsTransport(
        connection_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        connection_data_block_size=CHUNK_BYTES,
    )
    transport.open()  # not at the first request, which several threads may make at once
    session: requests.Session = transport.session
    session.headers["Accept-Encoding"] = "identity"  # a blob's bytes as they are stored
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.auth = lambda request: request  # else requests takes that of a .netrc file
    session.hooks["response"].append(_read_bounded)
    return transport


def _read_bounded(response: requests.Response, **options: object) -> None:
    """Read a whole answer; RequestException if it is too large or takes too long."""
    if options["stream"]:
        return
    body, until = bytearray(), time.monotonic() + ANSWER_SECONDS
    with response:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise requests.exceptions.ContentDecodingError("the answer is compressed unasked")
        for piece in response.iter_content(_PIECE):
            body += piece
            if len(body) > ANSWER_BYTES or time.monotonic() > until:
                raise requests.exceptions.ContentDecodingError("the answer does not end")
    response._content = bytes(body)  # noqa: SLF001  (as requests does it, but for the bounds)


def client_options(transport: RequestsTransport) -> dict[str, Any]:
    """Options of the SDK's clients: its retries are off, because no stop ends them."""
    # The SDK logs each header of each request at INFO, the usual level of a tap's log.
    http_log = logging.getLogger("azure.core.pipeline.policies.http_logging_policy")
    if http_log.level == logging.NOTSET:
        http_log.setLevel(logging.WARNING)
    return {
        "transport": transport,
        "retry_total": 0,
        "permit_redirects": False,
        "user_agent": USER_AGENT,
    }


@dataclass(frozen=True, slots=True)
class Storage:
    """How requests to one container or account are made, retried and explained.

    Without a SAS the right to ask is an identity's or an account key's.
    """

    label: str
    sas: Sas | None
    clock: Clock
    is_identity: bool = False

    def call(
        self, request: Callable[[], _T], failed: str, permission: str, retry: Retry = RETRY
    ) -> _T:
        """What a request returns; it is made again while its failure may pass.

        ``failed`` is the message of a failure, ``permission`` the letter of the SAS permission
        that it takes. Raises TapError, or RunStopped if the run is stopped.
        """
        interrupted = partial(interruptible, request, self.clock)
        return self.tried(interrupted, failed, permission, retry)

    def tried(
        self,
        request: Callable[[], _T],
        failed: str,
        permission: str,
        retry: Retry = RETRY,
        **where: object,
    ) -> _T:
        """As :meth:`call`, in the calling thread: a stop ends the pauses alone."""

        def attempt() -> _T:
            try:
                return request()
            except TapError:
                raise
            except Exception as error:  # an odd answer makes the SDK stumble in many ways
                log.debug("A request failed", exc_info=True)
                fault = Fault.of(error)
                failure = explain(
                    fault,
                    failed,
                    permission,
                    sas=self.sas,
                    is_identity=self.is_identity,
                    now=self.clock.now(),
                    container=self.label,
                    **where,
                )
                if fault.is_transient:
                    reason = f"a request failed ({redact(fault.reason)})"
                    raise PassingError(failure, reason) from None
                # Without its cause: the SDK's messages hold URLs, a traceback would show them.
                raise failure from None

        return retry.call(attempt, clock=self.clock, name=self.label)
