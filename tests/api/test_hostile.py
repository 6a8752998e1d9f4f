"""Answers that are made to use up memory or time, and what they cost."""

from __future__ import annotations

import gzip
import threading
import time
import tracemalloc
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.api.http import (
    EXTRACT_LENGTH,
    MOST_BYTES,
    MOST_ERROR_BYTES,
    Answer,
    Transport,
    new_session,
)
from tap_mobile_engagement.clock import Clock, Retry, RunStopped
from tap_mobile_engagement.errors import Code, DataError, RetryLaterError, TapError
from tests.support.times import FakeTime

from .fakes import FakeService, Reply, client_of, failing
from .test_transport import Server

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

MEGABYTE = 2**20


def head(status: int = 200, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Some", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answers(*pieces: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    """Sends these pieces, with pauses between them, as far as the client takes them."""

    def behave(connection: socket.socket) -> None:
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
        except OSError:
            pass

    return behave


def ask(
    behave: Callable[[socket.socket], None], *, answer: float = 30, clock: Any = None
) -> Any:
    with Server(behave) as server, new_session() as session:
        session.trust_env = False
        transport = Transport(
            session=session,
            timing=clock or FakeTime().timing,
            retry=Retry(tries=1),
            timeouts=(5, 5),
            longest=answer,
        )
        return transport.send("GET", f"http://127.0.0.1:{server.port}/x")


def packed(size: int, times: int = 1) -> bytes:
    """That many zeros as gzip, gzip of gzip, ...: a megabyte is in memory at a time."""
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    parts = [packer.compress(b"0" * step) for step in steps(size)]
    data = b"".join([*parts, packer.flush()])
    for _ in range(times - 1):
        data = gzip.compress(data, 9)
    return data


def steps(size: int) -> Iterator[int]:
    for at in range(0, size, MEGABYTE):
        yield min(MEGABYTE, size - at)


def deflated(size: int) -> bytes:
    packer = zlib.compressobj()
    parts = [packer.compress(b"0" * step) for step in steps(size)]
    return b"".join([*parts, packer.flush()])


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([], lambda: b"0" * (MOST_BYTES + MEGABYTE)),
        (["Content-Encoding: gzip"], lambda: packed(300 * MEGABYTE)),
        (["Content-Encoding: GZIP "], lambda: packed(300 * MEGABYTE)),
        (["Content-Encoding: gzip, gzip, gzip"], lambda: packed(300 * MEGABYTE, 3)),
        (
            ["Content-Encoding: gzip", "Content-Encoding: gzip"],
            lambda: packed(300 * MEGABYTE, 2),
        ),
        (["Content-Encoding: deflate"], lambda: deflated(300 * MEGABYTE)),
        (["Content-Encoding: br"], lambda: b"x" * 100),
        (["Content-Encoding: gzip"], lambda: packed(10) + b"x" * (MOST_BYTES + MEGABYTE)),
    ],
    ids=["plain", "gzip", "upper", "nested", "twice", "deflate", "other", "behind the end"],
)
def test_an_answer_holds_64_mb_at_most(headers: list[str], body: Callable[[], bytes]) -> None:
    content = body()
    tracemalloc.start()
    with suppress(DataError):
        answer = ask(answers(head(200, *headers), content))
        assert len(answer.body) == 10, "only a complete packed content is taken"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * MOST_BYTES


@pytest.mark.parametrize("status", [301, 404])
def test_of_an_error_the_beginning_is_read(status: int) -> None:
    # (a redirect is one, too: requests would read all of it)
    behave = answers(head(status, "Location: http://127.0.0.1:1/"), b"word " * 2**24)

    assert len(ask(behave).body) == MOST_ERROR_BYTES


@pytest.mark.parametrize("part", ["headers", "body", "packed body"])
def test_an_answer_that_trickles_has_its_time(part: str) -> None:
    pieces = {
        "headers": [b"HTTP/1.1 200 OK\r\n", *[b"X-Filler: y\r\n"] * 30],
        "body": [head(), *[b" "] * 30],
        "packed body": [
            head(200, "Content-Encoding: gzip"),
            *(b"%c" % byte for byte in packed(9)),
        ],
    }
    began = time.monotonic()

    with pytest.raises(RetryLaterError, match="SERVICE_UNAVAILABLE"):
        ask(answers(*pieces[part], pause=0.1), answer=0.5)

    assert time.monotonic() - began < 10


def test_a_stop_ends_an_answer_that_trickles() -> None:
    clock = Clock()
    threading.Timer(0.3, setattr, (clock, "is_stopped", True)).start()
    began = time.monotonic()

    with pytest.raises(RunStopped):
        ask(answers(head(), *[b" "] * 20, pause=0.1), clock=clock)

    assert time.monotonic() - began < 10


@pytest.mark.parametrize("item", [b"{}", b"[]", b'"",', b'{"":', b"0,"])
def test_an_answer_holds_no_more_values_than_memory_can_take(item: bytes) -> None:
    body = b'{"value": [' + item * (MEGABYTE // len(item))

    with pytest.raises(DataError, match="more than 200000 values") as caught:
        Answer(200, {}, body).json()

    assert caught.value.code is Code.BAD_ANSWER


FILLERS = ["<", " ", '"', "<script", "<script>", "</", "<!--", "&", "&#", "<head ", "&#9", "\\"]


@pytest.mark.parametrize("filler", FILLERS)
@pytest.mark.parametrize("kind", ["text/html", "application/json", "text/plain"])
def test_the_words_of_an_answer_take_no_time(filler: str, kind: str) -> None:
    body = filler * (400_000 // len(filler))
    for text in (body, f"<html>{body}", "&#" + "9" * 400_000, f'{{"error": "{body}'):
        began = time.monotonic()

        said = Answer(502, {"Content-Type": kind}, text.encode()).extract()

        assert len(said) <= EXTRACT_LENGTH + 1
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "token",
    [
        {"access_token": "a\nX-Evil: yes"},
        {"access_token": "half an emoji \ud83d"},
        {"access_token": "\u20ac"},
        {"access_token": "a" * 10**6},
        {"access_token": ""},
        {"access_token": ["a"]},
        {},
    ],
)
def test_a_token_that_no_header_can_hold_is_no_token(token: dict[str, Any]) -> None:
    service = FakeService(tokens=iter([Reply(content=token)]))

    assert failing(service, "check_app").code is Code.BAD_ANSWER


@pytest.mark.parametrize("name", ["expires_in", "expires_on"])
@pytest.mark.parametrize(
    "life",
    ["9" * 400, 10**300, 1e300, -1, "-1e9", True, None, [], {}, "NaN", "inf", "\ud83d", ""],
)
def test_a_token_may_say_anything_of_its_life(name: str, life: object) -> None:
    tokens = [Reply(content={"access_token": "the-token", name: life})] * 3
    service = FakeService(Reply(content={"value": []}), tokens=iter(tokens))

    client_of(service).check_app("shop")

    assert service.requests[0].headers["Authorization"] == "Bearer the-token"


@pytest.mark.parametrize("name", ["Retry-After", "Date", "x-ms-request-id", "Location"])
@pytest.mark.parametrize(
    "value",
    [
        "9" * 5000,
        "-5",
        "\u0663",
        "1e400",
        "Thu, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Thu, 01 Jan 2026 12:00:00 +999999",
        "Thu, 99 Foo",
        "\x1b[31m",
        "a" * 60_000,
    ],
)
def test_a_header_may_say_anything(name: str, value: str) -> None:
    headers = {"Retry-After": "Thu, 01 Jan 2026 12:00:09 GMT", name: value}
    time_ = FakeTime()

    for status in (429, 503, 302, 403):
        with pytest.raises(TapError) as caught:
            client_of(FakeService(*[Reply(status, "", headers)] * 8), time_).check_app("shop")
        assert len(str(caught.value)) < 2_000
        assert "\x1b" not in str(caught.value)
