"""Access by identity: tokens of Microsoft Entra ID, where a container's URL has no SAS."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ClientAuthenticationError

from tap_mobile_engagement.containers.urls import RIGHT_FORM
from tap_mobile_engagement.errors import Code, SettingsError
from tap_mobile_engagement.redaction import register_secret

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential

SCOPE = "https://storage.azure.com/.default"
"""What a token is asked for: any account of Azure Storage."""

_REASON_CHARACTERS = 300


class Identity:
    """A credential whose tokens are kept secret and whose failure is one line.

    The container's URL is for messages. Without a credential that of the environment is used;
    SettingsError CONTAINER_URL_INVALID if ``azure-identity`` is missing for that.
    """

    def __init__(self, credential: TokenCredential | None, container: str) -> None:
        self._credential = credential or _of_environment(container)
        self._container = container

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """A token, as Azure's credentials give it; raises SettingsError AUTH_FAILED."""
        try:
            token = self._credential.get_token(*scopes, **options)
        except ClientAuthenticationError as error:
            # Without its cause: a traceback would show what the authority answered.
            reason = textwrap.shorten(error.message, _REASON_CHARACTERS, placeholder=" …")
            raise SettingsError(
                Code.AUTH_FAILED,
                f"the identity of the environment gives no token for the storage: {reason}",
                next_step="Sign in (az login) or set the variables of an identity "
                "(AZURE_CLIENT_ID and its companions), or use the container's URL with a SAS",
                container=self._container,
            ) from None
        register_secret(token.token)
        return token


def _of_environment(container: str) -> TokenCredential:
    try:
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415  (an extra)
    except ImportError:
        raise SettingsError(
            Code.CONTAINER_URL_INVALID,
            "the container URL carries no SAS, and azure-identity is not installed",
            next_step=f"Use the URL with its SAS, {RIGHT_FORM}, or install the extra, "
            "pip install 'tap-mobile-engagement[identity]', to read as the identity of the "
            "environment",
            container=container,
        ) from None
    return DefaultAzureCredential()
