"""What a failed request to Azure Storage means, in one place: try again, or tell what to do.

Decisions rest on the HTTP status alone. The error codes in the answers differ between Azure
and its emulator and between kinds of accounts; they go into messages, to be searched for.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, HttpResponseError
from urllib3.exceptions import HTTPError

from tap_mobile_engagement.errors import (
    Code,
    DataError,
    RetryLaterError,
    SettingsError,
    TapError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tap_mobile_engagement.containers.urls import Sas

REQUEST_ERRORS = (AzureError, HTTPError)
"""What a request may raise: the SDK's errors, and urllib3's own where a body breaks off."""

ARCHIVE_TIER = "Archive"
"""The access tier of blobs whose content is offline."""

_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_REASON_CHARACTERS = 300
_GOES_ON = "it goes on where this run stopped"


@dataclass(frozen=True, slots=True)
class Fault:
    """One request that failed.

    Attributes:
        status: HTTP status of the answer; None if there was no whole answer.
        reason: Why, in the storage's or the network's words.
        request_id: Under which Microsoft's support finds the request.
        server_time: When it was answered, by the server's clock, aware.
    """

    status: int | None
    reason: str
    request_id: str | None = None
    server_time: datetime | None = None

    @classmethod
    def of(cls, error: Exception) -> Fault:
        """The fault that one of the :data:`REQUEST_ERRORS` tells of."""
        # Any: the SDK has two kinds of responses, whose common type lacks the headers.
        response: Any = error.response if isinstance(error, HttpResponseError) else None
        if response is None or response.status_code < HTTPStatus.BAD_REQUEST:
            return cls(None, _in_brief(error))  # no answer, or one that broke off
        headers = response.headers
        return cls(
            status=response.status_code,
            reason=headers.get("x-ms-error-code") or response.reason or "unknown",
            request_id=headers.get("x-ms-request-id"),
            server_time=_read_date(headers.get("Date")),
        )

    @property
    def is_transient(self) -> bool:
        """Whether the same request may well succeed in a moment."""
        return self.status is None or self.status in _TRANSIENT


@dataclass(frozen=True, slots=True)
class Action:
    """What was asked of the storage, as far as it matters for telling what went wrong.

    Attributes:
        failed: What to say if it failed: "the blob could not be read".
        permission: The letter of the SAS permission that it takes.
        container: Label of the container, or of the account.
        blob: Name of the blob; None if it was not about one.
    """

    failed: str
    permission: str
    container: str
    blob: str | None = None


def explain(
    fault: Fault, action: Action, *, sas: Sas | None, is_identity: bool = False, now: datetime
) -> TapError:
    """The error for a fault that is not worth another try: what failed, and what to do.

    Args:
        fault: What the storage answered.
        action: What it was asked.
        sas: What gave the right to ask; None if an account key or an identity did.
        is_identity: Whether an identity did.
        now: The time by this machine's clock, aware. The server's counts where it is later,
            for the server judges the SAS.
    """
    where: dict[str, object] = {"container": action.container, "blob": action.blob}
    if fault.status is None:
        return RetryLaterError(
            Code.STORAGE_UNAVAILABLE,
            f"{action.failed}: {fault.reason}",
            next_step="Make sure that the host's name is right and that this machine reaches "
            f"it, then run again; {_GOES_ON}",
            **where,
        )
    where |= {"status": fault.status, "reason": fault.reason, "request": fault.request_id}
    if fault.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        if is_identity:
            return _explain_refused_identity(action, where)
        return _explain_refusal(action, sas, max(now, fault.server_time or now), where)
    return _explain_answer(fault.status, action, where)


def _explain_answer(status: int, action: Action, where: Mapping[str, object]) -> TapError:
    failed = action.failed
    match status:
        case HTTPStatus.NOT_FOUND if action.blob is None:
            return SettingsError(
                Code.CONTAINER_NOT_FOUND,
                f"{failed}: there is no such container",
                next_step="Make it, or mend its name or URL in the settings",
                **where,
            )
        case HTTPStatus.NOT_FOUND:
            return blob_missing(failed, where)
        case HTTPStatus.PRECONDITION_FAILED | HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return blob_changed(failed, where)
        case HTTPStatus.CONFLICT if action.permission == "r":
            return blob_archived(**where)
        case _:
            return RetryLaterError(
                Code.STORAGE_UNAVAILABLE,
                failed,
                next_step=f"Run again later; {_GOES_ON}",
                **where,
            )


def blob_archived(**where: object) -> DataError:
    """The error for a blob whose content is offline."""
    return DataError(
        Code.BLOB_ARCHIVED,
        "the blob can't be read: it is in the archive tier, or still on its way out of it",
        next_step="Move it to the Hot or Cool tier, wait until Azure has done so, which takes "
        "hours, then run again",
        **where,
    )


def blob_missing(failed: str, where: Mapping[str, object]) -> RetryLaterError:
    """The error for a blob that was listed and is gone."""
    return RetryLaterError(
        Code.BLOB_MISSING,
        f"{failed}: it was listed, but is gone",
        next_step="Run again; if it was removed by mistake, restore it first",
        **where,
    )


def blob_changed(failed: str, where: Mapping[str, object]) -> RetryLaterError:
    """The error for a blob that is not the version that was listed."""
    return RetryLaterError(
        Code.BLOB_CHANGED,
        f"{failed}: it was written again after it was listed",
        next_step="Run again; it is then read as it is by then",
        **where,
    )


def _explain_refused_identity(action: Action, where: Mapping[str, object]) -> SettingsError:
    return SettingsError(
        Code.CONTAINER_ACCESS_DENIED,
        f"{action.failed}: the storage refused the identity of the environment",
        next_step="Give it the role Storage Blob Data Reader for the container, wait some "
        "minutes until Azure knows it, and make sure that the account's firewall admits this "
        "machine",
        **where,
    )


def _explain_refusal(
    action: Action, sas: Sas | None, now: datetime, where: Mapping[str, object]
) -> SettingsError:
    failed = action.failed
    if sas is None:
        return SettingsError(
            Code.CONTAINER_ACCESS_DENIED,
            f"{failed}: the storage account refused it",
            next_step="Make sure that the account key was not renewed, and that the account's "
            "firewall admits this machine",
            **where,
        )
    if sas.expires is not None and sas.expires <= now:
        return SettingsError(
            Code.SAS_EXPIRED,
            f"{failed}: its SAS ended at {sas.expires:%Y-%m-%dT%H:%M:%SZ}",
            next_step="Make a new SAS for the container, put its URL in the settings and run "
            f"again; {_GOES_ON}",
            **where,
        )
    missing = (*sas.gaps, *sas.missing(frozenset(action.permission)))
    if missing:
        return SettingsError(
            Code.SAS_PERMISSION_MISSING,
            f"{failed}: its SAS does not allow {', '.join(missing)}",
            next_step=f"Make a SAS for the container that has sp={action.permission} among "
            "its permissions, and put its URL in the settings",
            **where,
        )
    return SettingsError(
        Code.CONTAINER_ACCESS_DENIED,
        f"{failed}: the storage refused its SAS",
        next_step="Make sure that the URL was copied whole, that the key or the policy behind "
        "its SAS was not renewed or removed, and that the account's firewall admits this "
        "machine",
        **where,
    )


def _in_brief(error: Exception) -> str:
    """The beginning of an error's message, which may go on with a whole answer."""
    line = str(error).partition("\n")[0]
    return textwrap.shorten(line, _REASON_CHARACTERS, placeholder=" …")


def _read_date(text: str | None) -> datetime | None:
    """The time of an HTTP ``Date`` header; None if it is missing or none."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC) if text else None
    except ValueError:
        return None
