"""Every error that the tap raises: one tree, sorted by what the reader should do.

A person (or a scheduler) that meets an error wants to know three things: can I mend it in
the settings, should I just run again later, or is something wrong with the data? The three
subclasses of :class:`TapError` answer that; the stable :class:`Code` says which failure it was.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

from singer_sdk.exceptions import SingerSDKError

from tap_mobile_engagement.redaction import redact


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


_LINE_BREAKS = re.compile(r"\s*[\r\n\v\f\x85\u2028\u2029]\s*")  # in text of a server


class TapError(SingerSDKError):
    """A failure that the tap understands, told so that its reader can act on it.

    Args:
        code: What failed, as a stable name.
        what: One sentence, without a full stop, that says what failed.
        next_step: One sentence, likewise, that says what to do now.
        where: Named places (app, stream, range, task, blob, offset …); None is left out.

    Secrets are redacted from the whole message, so that text which came from a server or a
    URL can be passed in as it is.
    """

    def __init__(self, code: Code, what: str, *, next_step: str = "", **where: object) -> None:
        self.code = code
        self.what = what
        self.next_step = next_step
        self.where = {name: value for name, value in where.items() if value is not None}
        super().__init__(str(self))

    def __str__(self) -> str:
        """The whole message on one line: code, what, where, next step."""
        places = ", ".join(f"{name}={value}" for name, value in self.where.items())
        parts = [f"{self.code}: {self.what}"]
        if places:
            parts[0] += f" ({places})"
        if self.next_step:
            parts.append(self.next_step)
        return redact(_LINE_BREAKS.sub(" ", ". ".join(parts) + "."))

    def __reduce__(self) -> tuple[Any, ...]:
        """How a copy of it is made, here or in another process."""
        return _rebuilt, (type(self), self.code, self.what, self.next_step, self.where)

    def at(self, **where: object) -> TapError:
        """Add places that only a caller further up knows; those already named stay.

        Returns:
            The same error, so that a caller can write ``raise error.at(stream=…)``.
        """
        for name, value in where.items():
            if value is not None:
                self.where.setdefault(name, value)
        self.args = (str(self),)
        return self


def _rebuilt(
    kind: type[TapError], code: Code, what: str, next_step: str, where: dict[str, object]
) -> TapError:
    return kind(code, what, next_step=next_step, **where)


class SettingsError(TapError):
    """Something in the settings, or a right that they stand for, has to be mended."""


class RetryLaterError(TapError):
    """The service or the storage failed; another run goes on where this one stopped."""


class DataError(TapError):
    """The data is not what it should be; somebody has to look at it."""
