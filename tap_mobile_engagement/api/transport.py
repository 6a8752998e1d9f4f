"""HTTP requests that are repeated where that is safe, and only there.

A request can fail in three ways: it surely did not reach the service (it is repeated), the
service asked to come back later (likewise), or nobody knows. In the last case a request that
only reads is repeated; one that may have created something is not, and its caller is told.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

# Imported here and not on first use, for it costs nothing: singer_sdk imports both itself.
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

from tap_mobile_engagement.api.answers import Answer
from tap_mobile_engagement.background import interruptible
from tap_mobile_engagement.clock import Clock
from tap_mobile_engagement.errors import Code, RetryLaterError, SettingsError
from tap_mobile_engagement.retry import RETRY, PassingError, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Sign = Callable[[requests.PreparedRequest], requests.PreparedRequest]

# With every 5xx, all that a service answers when another try may go well.
_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)
_SERVER_ERRORS = HTTPStatus.INTERNAL_SERVER_ERROR
# What requests raises when a connection breaks or an answer is cut or garbled.
_BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
_GRACE = 1.5  # seconds by which a creation that has begun is waited for beyond a stop


class AnswerLostError(Exception):
    """A request may have reached the service, but its answer never came.

    Raised only for requests that must not be repeated.
    """


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for a connection, and for each piece of an answer."""

    connect: float = 15
    read: float = 120


def new_session(*, connections: int = 16) -> requests.Session:
    """Make a session that threads may share.

    It keeps no cookies, so that nothing in it changes while it is in use.

    Args:
        connections: How many are kept open at a time.
    """
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = "tap-mobile-engagement"
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=connections))
    return session


@dataclass(frozen=True, slots=True)
class Transport:
    """Sends requests and reads their answers; safe to share between threads.

    Attributes:
        session: Holds the connections.
        timing: Clock and stop flag.
        retry: How often a request is repeated.
        timeouts: How long to wait for the network.
    """

    session: requests.Session = field(default_factory=new_session)
    timing: Clock = field(default_factory=Clock)
    retry: Retry = RETRY
    timeouts: Timeouts = field(default_factory=Timeouts)

    def send(
        self,
        method: str,
        url: str,
        *,
        sign: Sign | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> Answer:
        """Send a request, again where that is safe and may help.

        Redirects are not followed: they would carry the token to wherever they point.

        Args:
            method: HTTP method.
            url: Where to.
            sign: Adds credentials to each try of the request.
            body: Content.
            headers: More headers.
            repeatable: Whether it does no harm to do it twice. If not, it is only repeated
                when it surely never left, and any answer is handed back as it is.

        Raises:
            RetryLaterError: ``SERVICE_UNAVAILABLE`` when all tries are used up.
            SettingsError: ``BAD_SETTING`` when the URL or its certificate is no good.
            AnswerLostError: If not ``repeatable``, and nobody knows whether it was done.
            RunStopped: If the run is stopped meanwhile; a creation that has begun is waited
                for a moment, so that its task is known.
        """

        def attempt() -> Answer:
            try:
                answer = interruptible(
                    lambda: self._once(method, url, sign=sign, body=body, headers=headers),
                    self.timing,
                    grace=0.0 if repeatable else _GRACE,
                )
            except _BROKEN as error:
                if _is_bad_certificate(error):
                    raise _unusable(url, error) from error
                if not repeatable and not _never_left(error):
                    raise AnswerLostError(_cause(error)) from error
                raise _passing(url, _cause(error)) from error
            except requests.RequestException as error:
                raise _unusable(url, error) from error
            passing = answer.status in _PASSING or answer.status >= _SERVER_ERRORS
            if not passing or not repeatable:
                return answer
            trouble = f"HTTP {answer.status}: {answer.extract()}"
            retry_after = answer.retry_after(self.timing.now())
            raise _passing(url, trouble, retry_after=retry_after, **answer.where)

        return self.retry.call(attempt, clock=self.timing, name=_host(url))

    def _once(
        self,
        method: str,
        url: str,
        *,
        sign: Sign | None,
        body: bytes | None,
        headers: Mapping[str, str] | None,
    ) -> Answer:
        response = self.session.request(
            method,
            url,
            # Without an `auth`, requests would put the credentials of a .netrc file there.
            auth=sign or _unsigned,
            data=body,
            headers=dict(headers or {}),
            timeout=(self.timeouts.connect, self.timeouts.read),
            allow_redirects=False,
        )
        return Answer(response.status_code, response.headers, response.content, url)


def _unsigned(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _passing(
    url: str, trouble: str, *, retry_after: float | None = None, **where: object
) -> PassingError:
    error = RetryLaterError(
        Code.SERVICE_UNAVAILABLE,
        f"{_host(url)} can't be used at the moment: {trouble}",
        next_step="Run again later; the state tells where to continue",
        **where,
    )
    return PassingError(error, trouble, retry_after=retry_after)


def _never_left(error: requests.RequestException) -> bool:
    """Tell whether there was not even a connection to send the request over."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def _is_bad_certificate(error: BaseException) -> bool:
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, ssl.SSLCertVerificationError):
            return True
        chain = chain.__cause__ or chain.__context__
    return False


def _unusable(url: str, error: requests.RequestException) -> SettingsError:
    return SettingsError(
        Code.BAD_SETTING,
        f"no request can be sent to {_host(url)}: {_cause(error)}",
        next_step="Check api_url and authority_url, and the certificates of this machine",
    )


def _cause(error: requests.RequestException) -> str:
    """The innermost reason, without the layers that urllib3 and requests put around it."""
    cause: object = error.args[0] if error.args else None
    if isinstance(cause, MaxRetryError) and cause.reason:
        cause = cause.reason
    return f"{type(error).__name__}: {cause}" if cause else type(error).__name__


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or "the service"
