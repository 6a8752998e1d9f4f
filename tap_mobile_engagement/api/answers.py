"""What an HTTP answer says: its JSON, its error in words, the pause it asks for. No I/O."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from contextlib import suppress
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.clock import read_http_date
from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.elements import decode_lenient
from tap_mobile_engagement.reading.records import check_cost
from tap_mobile_engagement.reading.values import BadValue
from tap_mobile_engagement.redaction import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

EXTRACT_LENGTH = 300
"""Characters of an answer's text that go into an error message."""

LONGEST_PAUSE = 86_400.0
"""Seconds; a longer ``Retry-After`` counts as a day."""

_MOST_TEXT = 16_384  # bytes that are searched for words: more would take seconds
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")
# Tags, and what people do not see of a page.
_NO_WORDS = re.compile(
    r"(?is)<(script|style|head)\b.*?</\1[^<>]*>|<!--.*?-->|<[^<>]*>",
)


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

    def json(self) -> Any:
        """Decode the content as elements are, but replace nothing; raises BAD_ANSWER."""
        try:
            check_cost(self.body)
            return decode_lenient(self.body.removeprefix(BOM_UTF8))
        except (ValueError, RecursionError) as error:
            reason = f"{error}" if isinstance(error, BadValue) else "it is no JSON"
            raise DataError(
                Code.BAD_ANSWER,
                f"the answer can't be read, because {reason}: {self.extract()!r}",
                next_step="Check that the URL in the settings points to the service itself,"
                " not to a proxy or a sign-in page",
                **self.where,
            ) from None

    def extract(self) -> str:
        """What it says in words, in one short line without secrets.

        Reads JSON errors of Azure (``{"error": {"code", "message"}}``) and Azure Active
        Directory (``{"error", "error_description"}``), plain text, and the HTML of gateways.
        """
        text = self.body[:_MOST_TEXT].decode("utf-8", errors="replace")
        content_type = self.headers.get("Content-Type", "").lower()
        if "json" in content_type or text.lstrip().startswith("{"):
            text = _json_error(text) or text
        elif "html" in content_type or text.lstrip().startswith("<"):
            text = _words(text)
        return shown(" ".join(text.split()), EXTRACT_LENGTH) or "no text"

    def retry_after(self, now: datetime) -> float | None:
        """Seconds to wait before the next request, where the answer asks for a pause.

        RFC 9110, 10.2.3: seconds, or an HTTP date. A date is compared to the answer's own
        ``Date``, because either clock may be wrong; without one to ``now``.
        """
        value = self.headers.get("Retry-After", "").strip()
        if _SECONDS.fullmatch(value):
            return min(float(value), LONGEST_PAUSE)
        until = read_http_date(value)
        if until is None:
            return None
        since = read_http_date(self.headers.get("Date")) or now
        return min(max((until - since).total_seconds(), 0.0), LONGEST_PAUSE)


def _words(page: str) -> str:
    text = _NO_WORDS.sub(" ", page)
    with suppress(ValueError):  # a character reference of more digits than Python takes
        text = unescape(text)
    return text


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
