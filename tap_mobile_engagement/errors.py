"""Every error that the tap raises: fix the settings, run again later, or look at the data."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import partial
from typing import Any

from singer_sdk.exceptions import SingerSDKError

from tap_mobile_engagement.redaction import shown


class Code(StrEnum):
    """Stable names of failures: they are documented, and safe to match on in scripts."""

    # Fix the settings.
    BAD_SETTING = "BAD_SETTING"
    BAD_CATALOG = "BAD_CATALOG"
    CONTAINER_URL_INVALID = "CONTAINER_URL_INVALID"
    CONTAINER_NOT_FOUND = "CONTAINER_NOT_FOUND"
    CONTAINER_ACCESS_DENIED = "CONTAINER_ACCESS_DENIED"
    NO_FILES = "NO_FILES"
    SAS_EXPIRED = "SAS_EXPIRED"
    SAS_PERMISSION_MISSING = "SAS_PERMISSION_MISSING"
    AUTH_FAILED = "AUTH_FAILED"
    ACCESS_DENIED = "ACCESS_DENIED"
    APP_NOT_FOUND = "APP_NOT_FOUND"
    AMBIGUOUS_BLOBS = "AMBIGUOUS_BLOBS"
    TASK_REJECTED = "TASK_REJECTED"
    TASK_TOO_LARGE = "TASK_TOO_LARGE"
    # Try again later.
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    TASK_CREATION_UNCERTAIN = "TASK_CREATION_UNCERTAIN"
    TASK_FAILED = "TASK_FAILED"
    TASK_TIMEOUT = "TASK_TIMEOUT"
    TASK_LOST = "TASK_LOST"
    UNKNOWN_TASK_STATE = "UNKNOWN_TASK_STATE"
    BLOB_CHANGED = "BLOB_CHANGED"
    BLOB_MISSING = "BLOB_MISSING"
    OUTPUT_CLOSED = "OUTPUT_CLOSED"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    NO_TEMPORARY_SPACE = "NO_TEMPORARY_SPACE"
    # Look at the data.
    BAD_ANSWER = "BAD_ANSWER"
    BAD_RECORD = "BAD_RECORD"
    TOO_MANY_BAD_RECORDS = "TOO_MANY_BAD_RECORDS"
    BAD_STATE = "BAD_STATE"
    BLOB_ARCHIVED = "BLOB_ARCHIVED"
    BLOB_CORRUPT = "BLOB_CORRUPT"
    BLOB_TRUNCATED = "BLOB_TRUNCATED"
    BLOB_UNREADABLE = "BLOB_UNREADABLE"
    BLOB_UNRECOGNISED = "BLOB_UNRECOGNISED"
    # The end of a run in which a stream failed; its own message names the codes above.
    STREAMS_FAILED = "STREAMS_FAILED"
    # A defect of the tap.
    UNEXPECTED = "UNEXPECTED"


_LINE_BREAKS = re.compile(r"[\r\n\v\f\x85\u2028\u2029]\s*")  # in text of a server
_COPY_AGAIN = "Copy or export the file again"
_MOST_OF_A_TEXT = 2_000  # characters
_MOST_OF_A_PLACE = 1_100  # characters; the name of a blob has 1,024 at most


class TapError(SingerSDKError):
    """A failure that the tap understands. Text of a server and URLs can be passed in.

    ``what`` and ``next_step`` are sentences without a full stop; ``where`` names app, blob, ….
    """

    def __init__(self, code: Code, what: str, *, next_step: str = "", **where: object) -> None:
        self.code = code
        self.what = what
        self.next_step = next_step
        self.where: dict[str, Any] = {}
        super().__init__()
        self.at(**where)

    def __str__(self) -> str:
        what = shown(_LINE_BREAKS.sub(" ", self.what), _MOST_OF_A_TEXT)
        if self.where:
            places = (
                f"{name}={shown(at, _MOST_OF_A_PLACE)}" for name, at in self.where.items()
            )
            what += f" ({', '.join(places)})"
        parts = [f"{self.code}: {what}", shown(self.next_step, _MOST_OF_A_TEXT)]
        return ". ".join(filter(None, parts)) + "."

    def __reduce__(self) -> tuple[Any, ...]:
        build = partial(type(self), next_step=self.next_step, **self.where)
        return build, (self.code, self.what)

    def at(self, **where: object) -> TapError:
        """Add places that a caller further up knows to this error; those already named stay."""
        for name, value in where.items():
            if value is not None:
                self.where.setdefault(name, value)
        self.args = (str(self),)
        return self


class SettingsError(TapError):
    """Something in the settings, or a right that they stand for, has to be fixed."""


class RetryLaterError(TapError):
    """The service or the storage failed; another run continues where this one stopped."""


class DataError(TapError):
    """The data is not what it should be; look at it."""


def corrupt(what: str, **where: object) -> DataError:
    """The error for a file whose content is broken."""
    return DataError(Code.BLOB_CORRUPT, what, next_step=_COPY_AGAIN, **where)


def truncated(what: str, **where: object) -> DataError:
    """The error for a file of which the end is missing."""
    return DataError(Code.BLOB_TRUNCATED, what, next_step=_COPY_AGAIN, **where)
