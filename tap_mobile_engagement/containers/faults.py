"""What a failed request to Azure Storage means: try again, or tell the user what to do.

Only the HTTP status decides. Error codes differ between Azure, its emulator and kinds of
accounts; messages quote them.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, HttpResponseError
from urllib3.exceptions import HTTPError

from tap_mobile_engagement.clock import read_http_date
from tap_mobile_engagement.containers.base import blob_changed, blob_missing
from tap_mobile_engagement.errors import (
    Code,
    DataError,
    RetryLaterError,
    SettingsError,
    TapError,
)

if TYPE_CHECKING:
    from datetime import datetime

    from tap_mobile_engagement.containers.urls import Sas

# The SDK's errors, and urllib3's own where a body breaks off.
_REQUEST_ERRORS = (AzureError, HTTPError)

_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_REASON_CHARACTERS = 300
_CONTINUES = "it continues where this run stopped"


@dataclass(frozen=True, slots=True)
class Fault:
    """One request that failed, in the storage's or the network's words.

    The status is None if there was no whole answer. The server's time is aware; Microsoft's
    support asks for the request id.
    """

    status: int | None
    reason: str
    request_id: str | None = None
    server_time: datetime | None = None

    @classmethod
    def of(cls, error: Exception) -> Fault:
        """The fault behind what a request raised."""
        if not isinstance(error, _REQUEST_ERRORS):
            return cls(None, f"the answer can't be understood ({type(error).__name__})")
        # Any: the SDK has two kinds of responses, whose common type lacks the headers.
        response: Any = error.response if isinstance(error, HttpResponseError) else None
        if response is None or response.status_code < HTTPStatus.MULTIPLE_CHOICES:
            # No answer, or one that broke off. A message may contain a whole answer.
            line = str(error)[: 2 * _REASON_CHARACTERS].partition("\n")[0]
            return cls(None, textwrap.shorten(line, _REASON_CHARACTERS, placeholder=" …"))
        headers = response.headers
        return cls(
            status=response.status_code,
            reason=headers.get("x-ms-error-code") or response.reason or "unknown",
            request_id=headers.get("x-ms-request-id"),
            server_time=read_http_date(headers.get("Date")),
        )

    @property
    def is_transient(self) -> bool:
        """Whether the same request may well succeed in a moment."""
        return self.status is None or self.status in _TRANSIENT


def explain(
    fault: Fault,
    failed: str,
    permission: str,
    *,
    sas: Sas | None,
    is_identity: bool,
    now: datetime,
    **where: object,
) -> TapError:
    """The error for a fault that another try does not help: what failed, and what to do."""
    if fault.status is None:
        return RetryLaterError(
            Code.STORAGE_UNAVAILABLE,
            f"{failed}: {fault.reason}",
            next_step="Make sure that the host's name is right and that this machine reaches "
            f"it, then run again; {_CONTINUES}",
            **where,
        )
    where |= {"status": fault.status, "reason": fault.reason, "request": fault.request_id}
    match fault.status:
        case status if status in _REFUSED and is_identity:
            code = Code.CONTAINER_ACCESS_DENIED
            what = "the storage refused the identity of the environment"
            next_step = (
                "Give it the role Storage Blob Data Reader for the container, wait some "
                "minutes until Azure knows it, and make sure that the account's firewall "
                "admits this machine"
            )
        case status if status in _REFUSED:
            # The server judges the SAS, so its clock counts where it is later.
            now = max(now, fault.server_time or now)
            code, what, next_step = _refused(permission, sas, now)
        case status if status < HTTPStatus.BAD_REQUEST:
            code, what = Code.CONTAINER_URL_INVALID, "the storage redirects to another address"
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
        case _:
            next_step = f"Run again later; {_CONTINUES}"
            return RetryLaterError(
                Code.STORAGE_UNAVAILABLE, failed, next_step=next_step, **where
            )
    return SettingsError(code, f"{failed}: {what}", next_step=next_step, **where)


def _refused(permission: str, sas: Sas | None, now: datetime) -> tuple[Code, str, str]:
    """Code, reason and next step where the storage refused an account key or a SAS."""
    code = Code.CONTAINER_ACCESS_DENIED
    if sas is None:
        what = "the storage account refused it"
        next_step = (
            "Make sure that the account key was not renewed, and that the account's firewall "
            "admits this machine"
        )
    elif sas.expires is not None and sas.expires <= now:
        code, what = Code.SAS_EXPIRED, f"its SAS ended at {sas.expires:%Y-%m-%dT%H:%M:%SZ}"
        next_step = (
            "Make a new SAS for the container, put its URL in the settings and run again; "
            + _CONTINUES
        )
    elif missing := sas.missing(frozenset(permission)):
        code, what = Code.SAS_PERMISSION_MISSING, f"its SAS does not allow {', '.join(missing)}"
        next_step = (
            f"Make a SAS for the container that has sp={permission} among its permissions, "
            "and put its URL in the settings"
        )
    else:
        what = "the storage refused its SAS"
        next_step = (
            "Make sure that the URL was copied whole, that the key or the policy behind its "
            "SAS was not renewed or removed, and that the account's firewall admits this "
            "machine"
        )
    return code, what, next_step


def blob_archived(**where: object) -> DataError:
    """The error for a blob whose content is offline."""
    return DataError(
        Code.BLOB_ARCHIVED,
        "the blob can't be read: it is in the archive tier, or still on its way out of it",
        next_step="Move it to the Hot or Cool tier, wait until Azure has done so, which takes "
        "hours, then run again",
        **where,
    )
