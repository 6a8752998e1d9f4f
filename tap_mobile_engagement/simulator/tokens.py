"""The token endpoint of the directory (Azure AD, version 1): client credentials for a token."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_mobile_engagement.simulator.clock import SimulatorClock
    from tap_mobile_engagement.simulator.options import Options

_RESOURCES = ("https://management.core.windows.net/", "https://management.azure.com/")


@dataclass(frozen=True)
class TokenAnswer:
    """An answer of the token endpoint: HTTP status and JSON body."""

    status: int
    body: dict[str, Any]


class TokenOffice:
    """Issues access tokens and knows which are good.

    Args:
        options: Whose credentials are accepted, and how long a token lives.
        clock: Timers for the life of tokens, calendar for ``expires_on``.
    """

    def __init__(self, options: Options, clock: SimulatorClock) -> None:
        self._options = options
        self._clock = clock
        self._good_until: dict[str, float] = {}

    def issue(self, tenant: str, form: Mapping[str, str]) -> TokenAnswer:
        """Answer ``POST /{tenant}/oauth2/token``.

        The errors carry the codes and the form of Azure AD's; the numbers in seconds are
        strings, as they are there.
        """
        options = self._options
        if tenant != options.tenant_id:
            return _refusal(
                400, "invalid_request", f"AADSTS90002: Tenant '{tenant}' not found."
            )
        if form.get("grant_type") != "client_credentials":
            return _refusal(
                400, "unsupported_grant_type", "AADSTS70003: Unsupported grant type."
            )
        if form.get("client_id") != options.client_id:
            message = "AADSTS700016: Application was not found in the directory."
            return _refusal(400, "unauthorized_client", message)
        if form.get("client_secret") != options.client_secret:
            message = "AADSTS7000215: Invalid client secret provided."
            return _refusal(401, "invalid_client", message)
        if form.get("resource") not in _RESOURCES:
            message = "AADSTS500011: The resource principal was not found."
            return _refusal(400, "invalid_resource", message)
        token = secrets.token_urlsafe(32)
        self._good_until[token] = self._clock.elapsed() + options.token_seconds
        now = int(self._clock.now().timestamp())
        life = str(int(options.token_seconds))
        return TokenAnswer(
            200,
            {
                "token_type": "Bearer",
                "expires_in": life,
                "ext_expires_in": life,
                "expires_on": str(now + int(options.token_seconds)),
                "not_before": str(now),
                "resource": form["resource"],
                "access_token": token,
            },
        )

    def accepts(self, header: str | None) -> bool:
        """Whether an ``Authorization`` header carries a token that is still good."""
        scheme, _, token = (header or "").partition(" ")
        good_until = self._good_until.get(token, 0.0)
        return scheme.lower() == "bearer" and self._clock.elapsed() < good_until

    def revoke_all(self) -> None:
        """Forget all tokens; the next request with one of them gets 401."""
        self._good_until.clear()


def _refusal(status: int, error: str, description: str) -> TokenAnswer:
    return TokenAnswer(status, {"error": error, "error_description": description})
