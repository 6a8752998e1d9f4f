"""The access token of a service principal, renewed while the tap waits for hours."""

from __future__ import annotations

import logging
import re
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from tap_mobile_engagement.errors import Code, DataError, SettingsError
from tap_mobile_engagement.redaction import register_secret

if TYPE_CHECKING:
    from tap_mobile_engagement.api.http import Transport
    from tap_mobile_engagement.settings import Settings

RESOURCE = "https://management.core.windows.net/"  # of the token, as Microsoft documents it
RENEW_AHEAD = timedelta(minutes=5)  # of its end; a short-lived token at half its life
_UNKNOWN_LIFE = timedelta(minutes=10)  # of a token whose answer does not tell
_LONGEST_LIFE = timedelta(days=1)  # that is believed
_TOKEN = re.compile(r"[!-~]{1,65536}")  # what a header can hold

log = logging.getLogger(__name__)


class TokenProvider:
    """Gets tokens by the client credentials grant of Azure AD; threads may share it."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        register_secret(settings.client_secret)
        tenant = quote(settings.tenant_id, safe="")
        self._url = f"{settings.authority_url}/{tenant}/oauth2/token"
        self._form = urlencode(
            {
                "grant_type": "client_credentials",
                "client_id": settings.client_id,
                "client_secret": settings.client_secret,
                "resource": RESOURCE,
            }
        ).encode("ascii")
        self._transport = transport
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = datetime.min.replace(tzinfo=UTC)

    def token(self, *, rejected: str | None = None) -> str:
        """A token that is good for some minutes, and is not the ``rejected`` one.

        Raises AUTH_FAILED, SERVICE_UNAVAILABLE or BAD_ANSWER.
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
        if not isinstance(value, str) or not _TOKEN.fullmatch(value):
            raise DataError(
                Code.BAD_ANSWER,
                "the authority's answer holds no access_token",
                next_step="Check authority_url and tenant_id",
                **answer.where,
            )
        register_secret(value)
        life = _life(content)
        log.debug("got an access token, good for %.0f s", life.total_seconds())
        self._token, self._renew_at = value, asked_at + life - min(RENEW_AHEAD, life / 2)


def _life(answer: dict[str, Any]) -> timedelta:
    """How long a token lives; Azure Active Directory writes a string, others a number."""
    try:
        life = timedelta(seconds=float(answer["expires_in"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        life = _UNKNOWN_LIFE
    return min(max(life, timedelta()), _LONGEST_LIFE)
