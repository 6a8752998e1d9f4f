"""The access token of a service principal, renewed while the tap waits for hours."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from tap_mobile_engagement.errors import Code, DataError, SettingsError
from tap_mobile_engagement.redaction import register_secret

if TYPE_CHECKING:
    import requests

    from tap_mobile_engagement.api.answers import Answer
    from tap_mobile_engagement.api.transport import Transport

RESOURCE = "https://management.core.windows.net/"
"""What the token is for: the management service, as documented by Microsoft for this API."""

RENEW_AHEAD = timedelta(minutes=5)
"""A token is renewed so long before it expires; a short-lived one at half its life."""

_UNKNOWN_LIFE = timedelta(minutes=10)  # of a token whose answer does not tell
_LONGEST_LIFE = timedelta(days=1)  # that is believed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    renew_at: datetime


@dataclass(frozen=True, slots=True)
class BearerAuth:
    """Signs a request with a token, as ``requests`` wants it."""

    token: str

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request

    def __repr__(self) -> str:
        """Without the token."""
        return "BearerAuth(***)"


class TokenProvider:
    """Gets tokens by the client credentials grant; safe to share between threads.

    The protocol is version 1 of Azure Active Directory: a form posted to
    ``{authority_url}/{tenant_id}/oauth2/token``. The secret and every token are registered,
    so that they never show in a log or an error.

    Args:
        authority_url: Where tokens are given out.
        tenant_id: Tenant, an id or a domain.
        client_id: Id of the service principal.
        client_secret: Its secret.
        transport: Sends the requests; its clock tells when a token is due.
    """

    def __init__(
        self,
        *,
        authority_url: str,
        tenant_id: str,
        client_id: str,
        client_secret: str,
        transport: Transport,
    ) -> None:
        register_secret(client_secret)
        self._url = f"{authority_url.rstrip('/')}/{quote(tenant_id, safe='')}/oauth2/token"
        self._form = urlencode(
            {
                "grant_type": "client_credentials",
                "client_id": client_id,
                "client_secret": client_secret,
                "resource": RESOURCE,
            }
        ).encode("ascii")
        self._transport = transport
        self._lock = threading.Lock()
        self._current: _Token | None = None

    def token(self) -> str:
        """A token that is good for some minutes at least.

        Raises:
            SettingsError: ``AUTH_FAILED`` if the tenant, the client or the secret is refused.
            RetryLaterError: ``SERVICE_UNAVAILABLE`` if the authority can't be reached.
            DataError: ``BAD_ANSWER`` if its answer holds no token.
        """
        with self._lock:
            if self._current is None or self._transport.timing.now() >= self._current.renew_at:
                self._current = self._request()
            return self._current.value

    def renew(self, rejected: str) -> str:
        """Another token in the place of one that the service rejected before its time.

        When several threads had the same token rejected, only the first of them gets a new
        one; the others get that.

        Raises:
            TapError: As :meth:`token`.
        """
        with self._lock:
            if self._current is None or self._current.value == rejected:
                self._current = self._request()
            return self._current.value

    def _request(self) -> _Token:
        asked_at = self._transport.timing.now()
        answer = self._transport.send(
            "POST",
            self._url,
            body=self._form,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        if not answer.ok:
            raise _refused(answer)
        content = answer.json()
        value = content.get("access_token") if isinstance(content, dict) else None
        if not isinstance(value, str) or not value:
            raise DataError(
                Code.BAD_ANSWER,
                "the authority's answer holds no access_token",
                next_step="Check authority_url and tenant_id",
                **answer.where,
            )
        register_secret(value)
        life = _life(content, asked_at)
        log.debug("got an access token, good for %.0f s", life.total_seconds())
        return _Token(value, asked_at + life - min(RENEW_AHEAD, life / 2))


def _life(content: dict[str, Any], asked_at: datetime) -> timedelta:
    """How long a token lives, counted from the moment it was asked for.

    ``expires_in`` is preferred to ``expires_on``, for it does not depend on our clock being
    right. Azure Active Directory writes both as strings; other authorities write numbers.
    """
    expires_in, expires_on = _number(content, "expires_in"), _number(content, "expires_on")
    try:
        if expires_in is not None:
            life = timedelta(seconds=expires_in)
        elif expires_on is not None:
            life = datetime.fromtimestamp(expires_on, UTC) - asked_at
        else:
            return _UNKNOWN_LIFE
    except (OverflowError, ValueError, OSError):
        return _UNKNOWN_LIFE
    return min(max(life, timedelta()), _LONGEST_LIFE)


def _number(content: dict[str, Any], name: str) -> float | None:
    try:
        return float(content[name])
    except (KeyError, TypeError, ValueError):
        return None


def _refused(answer: Answer) -> SettingsError:
    return SettingsError(
        Code.AUTH_FAILED,
        f"the authority gives no access token: {answer.extract()}",
        next_step="Check tenant_id, client_id and client_secret (a secret can expire)",
        **answer.where,
    )
