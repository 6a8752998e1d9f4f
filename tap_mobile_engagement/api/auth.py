"""The access token of a service principal, renewed while the tap waits for hours."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from tap_mobile_engagement.errors import Code, DataError, SettingsError
from tap_mobile_engagement.redaction import register_secret

if TYPE_CHECKING:
    import requests

    from tap_mobile_engagement.api.transport import Transport

RESOURCE = "https://management.core.windows.net/"
"""What the token is for: the management service, as documented by Microsoft for this API."""

RENEW_AHEAD = timedelta(minutes=5)
"""A token is renewed so long before it expires; a short-lived one at half its life."""

_UNKNOWN_LIFE = timedelta(minutes=10)  # of a token whose answer does not tell
_LONGEST_LIFE = timedelta(days=1)  # that is believed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BearerAuth:
    """Signs a request with a token, as ``requests`` wants it."""

    token: str = field(repr=False)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class TokenProvider:
    """Gets tokens by the client credentials grant; safe to share between threads.

    The protocol is version 1 of Azure Active Directory: a form posted to
    ``{authority_url}/{tenant_id}/oauth2/token``. The secret and every token are registered,
    so that they never show in a log or an error.
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
        form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
            "resource": RESOURCE,
        }
        self._form = urlencode(form).encode("ascii")
        self._transport = transport
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = datetime.min.replace(tzinfo=UTC)

    def token(self, *, rejected: str | None = None) -> str:
        """A token that is good for some minutes at least.

        Args:
            rejected: One that the service rejected before its time. When several threads had
                the same one rejected, only the first of them asks for another.

        Raises:
            SettingsError: ``AUTH_FAILED`` if the tenant, the client or the secret is refused.
            RetryLaterError: ``SERVICE_UNAVAILABLE`` if the authority can't be reached.
            DataError: ``BAD_ANSWER`` if its answer holds no token.
        """
        with self._lock:
            is_due = self._transport.timing.now() >= self._renew_at
            if self._token == rejected or (rejected is None and is_due):
                self._request()
            return self._token

    def _request(self) -> None:
        asked_at = self._transport.timing.now()
        answer = self._transport.send(
            "POST",
            self._url,
            body=self._form,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        if not answer.ok:
            raise SettingsError(
                Code.AUTH_FAILED,
                f"the authority gives no access token: {answer.extract()}",
                next_step="Check tenant_id, client_id and client_secret (a secret can expire)",
                **answer.where,
            )
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
        self._token, self._renew_at = value, asked_at + life - min(RENEW_AHEAD, life / 2)


def _life(content: dict[str, Any], asked_at: datetime) -> timedelta:
    """How long a token lives, counted from the moment it was asked for.

    ``expires_in`` does not depend on our clock being right, so it is preferred. Azure Active
    Directory writes both as strings; other authorities write numbers.
    """
    life = _UNKNOWN_LIFE
    for name in ("expires_on", "expires_in"):
        try:
            seconds = float(content[name])
            if name == "expires_in":
                life = timedelta(seconds=seconds)
            else:
                life = datetime.fromtimestamp(seconds, UTC) - asked_at
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            continue
    return min(max(life, timedelta()), _LONGEST_LIFE)
