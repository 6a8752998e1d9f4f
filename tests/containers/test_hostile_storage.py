"""A storage that answers oddly: what comes out is the content, or one line with a code.

300 storages by default, HOSTILE_STORAGES=5000 and HOSTILE_SEED=1 for others.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import pytest

from tap_mobile_engagement.containers.azure import AzureContainer
from tap_mobile_engagement.errors import TapError
from tests.containers.scripted_storage import Answer, ScriptedStorage
from tests.support.times import FakeTime

if TYPE_CHECKING:
    from collections.abc import Mapping

STORAGES = int(os.environ.get("HOSTILE_STORAGES", "300"))
SEED = int(os.environ.get("HOSTILE_SEED", "0"))
BATCH = 50  # storages of one test

CONTENT = b"0123456789" * 3
NAMES = (
    "a",
    "2017/\u00fc.json",
    "../b",
    "/c",
    "d\\e",
    "..",
    "x" * 1024,
    "f\u202eg",
    "a b?#%41",
)
ODD = (
    *("", "abc", "-1", "1e3", " 5 ", "9" * 30, "9" * 5000, "\u0663", "None", "0x5"),
    *("bytes", "bytes 0-/", "bytes 0-9/*", "bytes -5-9/30", "bytes 0-29/" + "9" * 5000),
    *("Sun, 08 May 2016 25:61:61 GMT", "Mon, 01 Jan 0000 00:00:00 GMT", "\x00", "\x1b[31m"),
    *('"', "'", "<", "&", "utf-9", "gzip", "text/html", "application/json", "identity"),
)
STATUSES = (200, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 409, 410, 412, 416, 418, 429)
HEADERS = (
    *("ETag", "Content-Range", "Content-Type", "Content-Encoding", "Last-Modified", "Date"),
    *("x-ms-error-code", "x-ms-request-id", "Location", "Retry-After", "Content-Length"),
)
BODIES = (
    *(
        b"",
        b"<",
        b"<html>" * 2000,
        b"<" * 100_000,
        b"{}",
        b'{"error": []}',
        b"[1]",
        b"\xff\xfe",
    ),
    *(b"<?xml version='1.0'?><Error/>", b"<Error><Code>Nope</Code></Error>"),
    b"<EnumerationResults/>",
    b"<EnumerationResults><Blobs/><NextMarker>again</NextMarker></EnumerationResults>",
)


class HostileStorage(ScriptedStorage):
    """Answers as Azure does, with some things gone wrong; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)  # noqa: S311
        self._rate = self._random.choice([0.02, 0.1, 0.5])

    def answer(self, path: str, headers: Mapping[str, str]) -> Answer:
        """An answer to a listing or a download."""
        if len(self.requests) > 400:  # a listing that never ends
            return Answer(404)
        right = self._listing() if "comp=list" in path else self._download(path, headers)
        return self._bent(right)

    def _is_odd(self) -> bool:
        return self._random.random() < self._rate

    def _listing(self) -> Answer:
        blobs = "".join(map(self._listed, self._random.sample(NAMES, 3)))
        marker = self._random.choice(["same", str(self._random.random())]) * self._is_odd()
        body = (
            '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="x"'
            f' ContainerName="c"><Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker>'
            "</EnumerationResults>"
        ).encode()
        if self._is_odd():
            body = body[: self._random.randrange(len(body))]
        return Answer(200, body, {"Content-Type": "application/xml"})

    def _listed(self, name: str) -> str:
        properties = {
            "Last-Modified": "Sun, 08 May 2016 10:00:00 GMT",
            "Etag": "0x8D",
            "Content-Length": str(len(CONTENT)),
            "BlobType": "BlockBlob",
            "AccessTier": "Hot",
        }
        for key in [*properties]:
            if self._is_odd():
                properties[key] = escape(self._odd())
            if self._is_odd():
                del properties[key]
        inner = "".join(f"<{key}>{value}</{key}>" for key, value in properties.items())
        named = f"<Name>{escape(name)}</Name>" if not self._is_odd() else ""
        return f"<Blob>{named}<Properties>{inner}</Properties></Blob>"

    def _download(self, path: str, headers: Mapping[str, str]) -> Answer:
        del path
        first, last = headers.get("Range", "bytes=0-29").removeprefix("bytes=").split("-")
        start, end = int(first), min(int(last), 29)
        more = {"ETag": '"0x8D"', "Content-Range": f"bytes {start}-{end}/{len(CONTENT)}"}
        body = CONTENT[start : end + 1]
        if self._is_odd():
            body = self._random.choice([body[:3], body + b"more", b"", body * 2])
        return Answer(206, body, more)

    def _bent(self, answer: Answer) -> Answer:
        status, body, headers = answer.status, answer.body, dict(answer.headers)
        for name in HEADERS:
            if self._is_odd():
                headers[name] = self._odd().encode().decode("latin-1")
            if self._is_odd():
                headers.pop(name, None)
        if self._is_odd():
            status = self._random.choice([*STATUSES, 500, 503, 599])
        # Another content under the right headers is one that the storage vouches for.
        is_content = "ETag" in answer.headers and status in {200, 206}
        if self._is_odd() and not is_content:
            body = self._random.choice(BODIES)
        return Answer(status, body, headers)

    def _odd(self) -> str:
        return self._random.choice(ODD)


@pytest.mark.parametrize("first", range(SEED, SEED + STORAGES, BATCH))
def test_an_odd_answer_is_read_right_or_told_in_one_line(first: int) -> None:
    outcomes = set()
    for seed in range(first, min(first + BATCH, SEED + STORAGES)):
        with HostileStorage(seed) as storage:
            container = AzureContainer.from_url(storage.url, clock=FakeTime().timing)
            try:
                container.check()
                blobs = [*container.list()]
            except TapError as error:
                outcomes.add(told(error))
                continue
            for blob in blobs:
                try:
                    with container.open(blob) as chunks:
                        assert b"".join(chunks) == CONTENT[: blob.size], seed
                    outcomes.add("read")
                except TapError as error:
                    outcomes.add(told(error))
    assert "read" in outcomes
    assert len(outcomes) > 2


def told(error: TapError) -> str:
    """The code of an error, which is one line that a terminal shows as it is."""
    assert str(error).isprintable(), error
    assert "c2VjcmV0" not in str(error)
    assert len(str(error)) < 3000
    return error.code
