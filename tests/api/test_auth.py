import threading
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from urllib.parse import parse_qs

import pytest

from tap_mobile_engagement.api.http import TokenProvider, Transport
from tap_mobile_engagement.errors import Code, DataError, RetryLaterError, SettingsError
from tap_mobile_engagement.redaction import redact
from tests.support.times import FakeTime

from .fakes import (
    AUTHORITY_URL,
    CLIENT_SECRET,
    SETTINGS,
    FakeService,
    Outcome,
    Reply,
    cut_off,
    session_with,
    token_reply,
)


def provider(
    *script: Outcome, tokens: Iterator[Outcome] | None = None, time: FakeTime | None = None
) -> tuple[TokenProvider, FakeService]:
    service = FakeService(tokens=iter(script) if script else tokens)
    timing = (time or FakeTime()).timing
    return TokenProvider(
        SETTINGS, Transport(session=session_with(service), timing=timing)
    ), service


def test_the_request_is_the_documented_form() -> None:
    auth, service = provider()

    auth.token()

    (request,) = service.token_requests
    assert request.method == "POST"
    assert request.url == f"{AUTHORITY_URL}/contoso.example/oauth2/token"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert isinstance(request.body, str)
    assert parse_qs(request.body) == {
        "grant_type": ["client_credentials"],
        "client_id": ["the-client"],
        "client_secret": [CLIENT_SECRET],
        "resource": ["https://management.core.windows.net/"],
    }


@pytest.mark.parametrize(
    ("expires", "seconds"),
    [
        ({"expires_in": "3599"}, 3599 - 300),
        ({"expires_in": 3600}, 3600 - 300),
        ({"expires_in": "100"}, 50),
        ({"expires_in": "soon"}, 300),
        ({}, 300),
        ({"expires_in": "1e300"}, 300),
        ({"expires_in": "nan"}, 300),
    ],
)
def test_a_token_is_kept_until_shortly_before_it_expires(
    expires: dict[str, object], seconds: int
) -> None:
    time = FakeTime()
    first = Reply(content={"access_token": "first-token", **expires})
    auth, service = provider(first, token_reply("second-token"), time=time)

    tokens = []
    for wait in (0, seconds - 1, 2):
        time.now += timedelta(seconds=wait)
        tokens.append(auth.token())

    assert tokens == ["first-token", "first-token", "second-token"]
    assert len(service.token_requests) == 2


def test_a_rejected_token_is_renewed_once_for_all_who_had_it() -> None:
    auth, service = provider()
    old = auth.token()

    renewed = [auth.token(rejected=old) for _ in range(5)]

    assert set(renewed) == {"token-2"}
    assert len(service.token_requests) == 2


def test_threads_that_need_a_token_at_once_get_the_same_one() -> None:
    nobody_else = threading.Event()

    def slow_authority() -> Iterator[Outcome]:
        for number in count(1):
            nobody_else.wait(0.1)  # time enough for the other threads to ask as well
            yield token_reply(f"token-{number}")

    auth, service = provider(tokens=slow_authority())
    all_here, tokens = threading.Barrier(8), []

    def work() -> None:
        all_here.wait(10)
        tokens.append(auth.token())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert tokens == ["token-1"] * 8
    assert len(service.token_requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_refused_credentials_are_an_error_of_the_settings(status: int) -> None:
    refusal = {
        "error": "invalid_client",
        "error_description": f"AADSTS7000215: Invalid client secret {CLIENT_SECRET}.",
    }
    auth, _ = provider(Reply(status, refusal))

    with pytest.raises(SettingsError) as caught:
        auth.token()

    assert caught.value.code is Code.AUTH_FAILED
    assert "invalid_client: AADSTS7000215: Invalid client secret ***" in str(caught.value)
    assert CLIENT_SECRET not in str(caught.value)


@pytest.mark.parametrize("trouble", [cut_off(), Reply(503, "busy"), Reply(429, "slowly")])
def test_an_authority_in_trouble_is_asked_again(trouble: Outcome) -> None:
    auth, service = provider(trouble, token_reply("the-token"))

    assert auth.token() == "the-token"
    assert len(service.token_requests) == 2


def test_an_authority_that_stays_in_trouble_is_given_up() -> None:
    auth, _ = provider(*[cut_off()] * 8)

    with pytest.raises(RetryLaterError, match=r"SERVICE_UNAVAILABLE.*login\.example"):
        auth.token()


@pytest.mark.parametrize("content", ["<html>sign in</html>", [], {}, {"access_token": 7}])
def test_an_answer_without_a_token_is_refused(content: object) -> None:
    auth, _ = provider(Reply(content=content))

    with pytest.raises(DataError, match="BAD_ANSWER"):
        auth.token()


def test_no_secret_shows() -> None:
    auth, _ = provider(token_reply("eyJ0eXAiOiJKV1Qi.marked"))

    token = auth.token()

    assert redact(f"a {token} b {CLIENT_SECRET}") == "a *** b ***"
