"""Requests to Azure Storage: one pool of connections, patience, and what a failure means.

Only the HTTP status decides that. Error codes differ between Azure, its emulator and kinds of
accounts; messages quote them.
"""

from __future__ import annotations

import logging
import textwrap
import time
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from urllib3.exceptions import HTTPError

from tap_mobile_engagement.clock import RETRY, PassingError, interruptible, read_http_date
from tap_mobile_engagement.containers.base import CHUNK_BYTES, blob_changed, blob_missing
from tap_mobile_engagement.errors import (
    Code,
    DataError,
    RetryLaterError,
    SettingsError,
    TapError,
)
from tap_mobile_engagement.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_mobile_engagement.clock import Clock, Retry
    from tap_mobile_engagement.containers.urls import Sas

USER_AGENT = "tap-mobile-engagement"  # before the SDK's own words
ANSWER_BYTES = 32 * 1024 * 1024  # of the largest answer that is read whole, a page of a listing
ANSWER_SECONDS = 600  # that it may take
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_REASON_CHARACTERS = 300
_CONTINUES = "it continues where this run stopped"
_CONNECT_SECONDS = 20
_READ_SECONDS = 60
_PIECE = 1024  # bytes of an answer after which the time is checked
_CHECK_ACCESS = (
    "Make sure that the URL was copied whole, that the account key or the policy behind its "
    "SAS was not renewed, that an identity has the role Storage Blob Data Reader, and that the "
    "account's firewall admits this machine"
)

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
    session.headers["User-Agent"] = USER_AGENT
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
    """How requests to one container or account are made, retried and explained."""

    label: str
    sas: Sas | None
    clock: Clock

    def call(
        self, request: Callable[[], _T], failed: str, permission: str, retry: Retry = RETRY
    ) -> _T:
        """What a request returns; it is made again while its failure may pass.

        ``failed`` is the message of a failure, ``permission`` the letter of the right it takes.
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
                # Without its cause: the SDK's messages hold URLs, a traceback would show them.
                raise self._failure(error, failed, permission, where) from None

        return retry.call(attempt, clock=self.clock, name=self.label)

    def _failure(
        self, error: Exception, failed: str, permission: str, where: dict[str, object]
    ) -> TapError | PassingError:
        """What failed, and what to do; a PassingError where another try may help."""
        where = {"container": self.label, **where}
        # Any: the SDK has two kinds of responses, whose common type lacks the headers.
        response: Any = error.response if isinstance(error, HttpResponseError) else None
        if response is None or response.status_code < HTTPStatus.MULTIPLE_CHOICES:
            # No answer, or one that broke off. A message may contain a whole answer.
            reason = str(error)[: 2 * _REASON_CHARACTERS].partition("\n")[0]
            reason = textwrap.shorten(reason, _REASON_CHARACTERS, placeholder=" …")
            if not isinstance(error, AzureError | HTTPError):
                reason = f"the answer can't be understood ({type(error).__name__})"
            lost = RetryLaterError(
                Code.STORAGE_UNAVAILABLE,
                f"{failed}: {reason}",
                next_step="Make sure that the host's name is right and that this machine "
                f"reaches it, then run again; {_CONTINUES}",
                **where,
            )
            return PassingError(lost, f"a request failed ({redact(reason)})")
        headers = response.headers
        reason = headers.get("x-ms-error-code") or response.reason or "unknown"
        request_id = headers.get("x-ms-request-id")
        where |= {"status": response.status_code, "reason": reason, "request": request_id}
        match response.status_code:
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                # The server judges the SAS, so its clock counts where it is later.
                now = self.clock.now()
                now = max(now, read_http_date(headers.get("Date")) or now)
                code, what = Code.CONTAINER_ACCESS_DENIED, "the storage denies access"
                next_step = _CHECK_ACCESS
                if self.sas and (refusal := self.sas.refusal(permission, now)):
                    code, what, next_step = refusal
                    what = f"its SAS {what}"
            case status if status < HTTPStatus.BAD_REQUEST:
                code = Code.CONTAINER_URL_INVALID
                what = "the storage redirects to another address"
                next_step = "Use the URL of the container itself"
            case HTTPStatus.NOT_FOUND if where.get("blob") is None:
                code, what = Code.CONTAINER_NOT_FOUND, "there is no such container"
                next_step = "Make it, or correct its name or URL in the settings"
            case HTTPStatus.NOT_FOUND:
                return blob_missing(failed, **where)
            case HTTPStatus.PRECONDITION_FAILED | HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return blob_changed(failed, **where)
            case HTTPStatus.CONFLICT if permission == "r":
                return blob_archived(**where)
            case status:
                step = f"Run again later; {_CONTINUES}"
                error = RetryLaterError(
                    Code.STORAGE_UNAVAILABLE, failed, next_step=step, **where
                )
                is_passing = status in _TRANSIENT
                return (
                    PassingError(error, f"a request failed ({reason})") if is_passing else error
                )
        return SettingsError(code, f"{failed}: {what}", next_step=next_step, **where)


def blob_archived(**where: object) -> DataError:
    """The error for a blob whose content is offline."""
    return DataError(
        Code.BLOB_ARCHIVED,
        "the blob can't be read: it is in the archive tier, or still on its way out of it",
        next_step="Move it to the Hot or Cool tier, wait until Azure has done so, which takes "
        "hours, then run again",
        **where,
    )
