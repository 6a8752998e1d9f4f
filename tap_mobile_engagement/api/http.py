"""HTTP requests, repeated where that is safe, and answers, whose size and time have a bound."""

from __future__ import annotations

import json
import re
import threading
import time
import zlib
from codecs import BOM_UTF8
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import unescape
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError

from tap_mobile_engagement.clock import (
    RETRY,
    Clock,
    PassingError,
    Retry,
    interruptible,
    read_http_date,
)
from tap_mobile_engagement.errors import Code, DataError, RetryLaterError, SettingsError
from tap_mobile_engagement.reading.records import check_cost
from tap_mobile_engagement.reading.values import BadValue, decode_lenient
from tap_mobile_engagement.redaction import register_secret, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_mobile_engagement.errors import TapError
    from tap_mobile_engagement.settings import Settings

MOST_BYTES = 64 * 1024 * 1024  # of an answer, unpacked
MOST_ERROR_BYTES = 64 * 1024  # that are read of an answer that is an error
EXTRACT_LENGTH = 300  # characters of an answer's text in an error message
LONGEST_PAUSE = 86_400.0  # seconds; a longer Retry-After counts as a day
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")
# Tags, and what people do not see of a page; without an end it is all the rest.
_NO_WORDS = re.compile(
    r"(?is)<(script|style|head)\b(?:.*?</\1[^<>]*>|.*)|<!--(?:.*?-->|.*)|<[^<>]*>"
)
RESOURCE = "https://management.core.windows.net/"  # of the token, as Microsoft documents it
RENEW_AHEAD = timedelta(minutes=5)  # of its end; a short-lived token at half its life
_UNKNOWN_LIFE = timedelta(minutes=10)  # of a token whose answer does not tell
_LONGEST_LIFE = timedelta(days=1)  # that is believed
_TOKEN = re.compile(r"[!-~]{1,65536}")  # what a header can hold
_PIECE = 64 * 1024  # bytes that are read at once
_CONNECTIONS = 16  # that are kept open
_GRACE = 1.5  # seconds by which a creation that has begun is waited for beyond a stop
# With every 5xx, all that a service answers when another try may go well.
_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)
# What is raised when a connection breaks or an answer is cut, garbled or too slow.
_BROKEN = (requests.ConnectionError, requests.Timeout, HTTPError, TimeoutError, zlib.error)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; its body is unpacked, and of an error the beginning."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the request was fulfilled: any status of the 200s."""
        return 200 <= self.status < 300  # noqa: PLR2004  (HTTP's own numbers)

    @property
    def where(self) -> dict[str, object]:
        """The places to name in an error about it; Azure's support asks for the request id."""
        return {"status": self.status, "request_id": self.headers.get("x-ms-request-id")}

    def json(self) -> dict[str, Any]:
        """Decode an object as elements are, but replace nothing; raises BAD_ANSWER."""
        reason = "it is no JSON object"
        try:
            check_cost(self.body)
            content = decode_lenient(self.body.removeprefix(BOM_UTF8))
            if isinstance(content, dict):
                return content
        except (ValueError, RecursionError) as error:
            reason = f"{error}" if isinstance(error, BadValue) else reason
        raise DataError(
            Code.BAD_ANSWER,
            f"the answer can't be read, because {reason}: {self.extract()!r}",
            next_step="Check that the URL in the settings points to the service itself, not to "
            "a proxy or a sign-in page",
            **self.where,
        )

    def extract(self) -> str:
        """What it says in one short line: a JSON error of Azure or Azure AD, text or HTML."""
        text = self.body[:MOST_ERROR_BYTES].decode("utf-8", errors="replace")
        content_type = self.headers.get("Content-Type", "").lower()
        if "json" in content_type or text.lstrip().startswith("{"):
            text = _json_error(text) or text
        elif "html" in content_type or text.lstrip().startswith("<"):
            text = _NO_WORDS.sub(" ", text)
            with suppress(ValueError):  # a character reference of more digits than Python takes
                text = unescape(text)
        return shown(" ".join(text.split()), EXTRACT_LENGTH) or "no text"

    def retry_after(self, now: datetime) -> float | None:
        """Seconds to wait, if it asks for a pause; a date is compared to its own ``Date``."""
        value = self.headers.get("Retry-After", "").strip()
        if _SECONDS.fullmatch(value):
            return min(float(value), LONGEST_PAUSE)
        until = read_http_date(value)
        if until is None:
            return None
        since = read_http_date(self.headers.get("Date")) or now
        return min(max((until - since).total_seconds(), 0.0), LONGEST_PAUSE)


def new_session() -> requests.Session:
    """Make a session that threads may share: it keeps no cookies, and follows no redirect."""
    session = requests.Session()
    # A redirect would carry the token to another place.
    session.get_redirect_target = lambda _: None  # type: ignore[method-assign,assignment]
    session.auth = lambda request: request  # else requests takes that of a .netrc file
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = "tap-mobile-engagement"
    session.headers["Accept-Encoding"] = "gzip"
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS))
    return session


@dataclass(frozen=True, slots=True)
class Transport:
    """Sends requests and reads their answers; threads may share it."""

    session: requests.Session = field(default_factory=new_session)
    timing: Clock = field(default_factory=Clock)
    retry: Retry = RETRY
    timeouts: tuple[float, float] = (15, 120)  # seconds, to connect and for each piece
    longest: float = 600  # seconds for an answer

    def send(self, method: str, url: str, *, creates: bool = False, **options: Any) -> Answer:
        """Send a request with options of ``requests``, again where that is safe and may help.

        One that ``creates`` is only repeated when it surely never left, and any answer to it is
        returned. Raises SERVICE_UNAVAILABLE, TASK_CREATION_UNCERTAIN, BAD_SETTING, BAD_ANSWER.
        """

        def attempt() -> Answer:
            try:
                answer = interruptible(
                    lambda: self._once(method, url, options),
                    self.timing,
                    grace=_GRACE if creates else 0.0,
                    limit=self.longest,
                )
            except (*_BROKEN, requests.RequestException, ValueError) as error:
                raise _failure(error, url, creates=creates) from error
            passing = answer.status in _PASSING or answer.status >= 500  # noqa: PLR2004
            if not passing or creates:
                return answer
            trouble = f"HTTP {answer.status}: {answer.extract()}"
            retry_after = answer.retry_after(self.timing.now())
            raise _passing(url, trouble, retry_after=retry_after, **answer.where)

        return self.retry.call(attempt, clock=self.timing, name=_host(url))

    def _once(self, method: str, url: str, options: dict[str, Any]) -> Answer:
        with self.session.request(
            method, url, timeout=self.timeouts, allow_redirects=False, stream=True, **options
        ) as response:
            answer = Answer(response.status_code, response.headers, b"")
            most = MOST_BYTES if answer.ok else MOST_ERROR_BYTES
            content = _read(response, most, self.longest)
            if answer.ok and len(content) > most:
                what = f"the answer holds more than {most // 2**20} MB"
                raise DataError(Code.BAD_ANSWER, what).at(**answer.where)
            return Answer(answer.status, answer.headers, content[:most])


def _read(response: requests.Response, most: int, seconds: float) -> bytes:
    """The content of an answer, unpacked; a little more than ``most`` if it has more."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in {"", "identity", "gzip", "x-gzip"}:
        what = f"the answer is packed in a way that was not asked for: {encoding!r}"
        raise DataError(Code.BAD_ANSWER, what, status=response.status_code)
    gzip = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
    ends_at = time.monotonic() + seconds
    content = bytearray()
    packed = 0
    while len(content) <= most and not (gzip and gzip.eof):
        piece = response.raw.read1(_PIECE, decode_content=False)
        if not piece:
            if gzip and packed and not gzip.eof:
                raise zlib.error("the packed answer is cut off")
            break
        if time.monotonic() > ends_at:
            raise TimeoutError("the answer takes too long")
        packed += len(piece)
        content += gzip.decompress(piece, most + 1 - len(content)) if gzip else piece
    return bytes(content)


def creation_uncertain(trouble: str) -> RetryLaterError:
    """The error for a creation whose outcome is unknown."""
    return RetryLaterError(
        Code.TASK_CREATION_UNCERTAIN,
        f"it is unknown whether the export task was created: {trouble}",
        next_step="Run again later: the range is then exported by another task",
    )


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


def _failure(error: Exception, url: str, *, creates: bool) -> TapError | PassingError:
    """What it means that a request brought no answer."""
    # The innermost reason, below the layers of urllib3 and requests.
    reason = error.args[0] if error.args else None
    reason = (reason.reason or reason) if isinstance(reason, MaxRetryError) else reason
    trouble = type(error).__name__ + (f": {shown(reason)}" if reason else "")
    if not isinstance(error, _BROKEN) or "CERTIFICATE_VERIFY_FAILED" in str(error):
        return SettingsError(
            Code.BAD_SETTING,
            f"no request can be sent to {_host(url)}: {trouble}",
            next_step="Check api_url and authority_url, and the certificates of this machine",
        )
    no_connection = NewConnectionError | ConnectTimeoutError | requests.ConnectTimeout
    if creates and not any(isinstance(each, no_connection) for each in (error, reason)):
        return creation_uncertain(trouble)
    return _passing(url, trouble)


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or "the service"


def _json_error(text: str) -> str | None:
    try:
        answer = json.loads(text)
        error = answer.get("error")
    except (ValueError, RecursionError, AttributeError):
        return None
    if isinstance(error, dict):
        parts = (error.get("code"), error.get("message"))
    else:
        parts = (error, answer.get("error_description"))
    return ": ".join(part for part in parts if isinstance(part, str) and part) or None


class TokenProvider:
    """Gets tokens by the client credentials grant of Azure AD; threads may share it."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        register_secret(settings.client_secret)
        tenant = quote(settings.tenant_id, safe="")
        self._url = f"{settings.authority_url}/{tenant}/oauth2/token"
        self._form = {
            "grant_type": "client_credentials",
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
            "resource": RESOURCE,
        }
        self._transport = transport
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = datetime.min.replace(tzinfo=UTC)

    def token(self, *, rejected: str | None = None) -> str:
        """A token that is good for some minutes, not the ``rejected`` one; or AUTH_FAILED."""
        with self._lock:
            now = self._transport.timing.now()
            if self._token == rejected or (rejected is None and now >= self._renew_at):
                self._request(now)
            return self._token

    def _request(self, now: datetime) -> None:
        answer = self._transport.send("POST", self._url, data=self._form)
        if not answer.ok:
            raise SettingsError(
                Code.AUTH_FAILED,
                f"the authority gives no access token: {answer.extract()}",
                next_step="Check tenant_id, client_id and client_secret (a secret can expire)",
                **answer.where,
            )
        content = answer.json()
        value = content.get("access_token")
        if not isinstance(value, str) or not _TOKEN.fullmatch(value):
            raise DataError(
                Code.BAD_ANSWER,
                "the authority's answer holds no access_token",
                next_step="Check authority_url and tenant_id",
                **answer.where,
            )
        register_secret(value)
        life = _UNKNOWN_LIFE
        with suppress(KeyError, TypeError, ValueError, OverflowError):
            # Azure Active Directory writes a string, others a number.
            life = timedelta(seconds=float(content["expires_in"]))
        life = min(max(life, timedelta()), _LONGEST_LIFE)
        self._token, self._renew_at = value, now + life - min(RENEW_AHEAD, life / 2)
