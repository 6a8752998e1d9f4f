from datetime import UTC, datetime

import pytest

from tap_mobile_engagement.api.http import EXTRACT_LENGTH, LONGEST_PAUSE, Answer
from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.redaction import register_secret

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

GATEWAY_PAGE = """<html><head><title>x</title></head><body><h1>502 Bad
 Gateway</h1><!-- no --><script>f('<p>')</script>at&nbsp;nginx</body>"""


def answer(body: str | bytes = b"", status: int = 200, **headers: str) -> Answer:
    content = body.encode() if isinstance(body, str) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, content)


class TestExtract:
    @pytest.mark.parametrize(
        ("body", "content_type", "expected"),
        [
            (
                '{"error": {"code": "Gone", "message": "no app"}}',
                "application/json",
                "Gone: no app",
            ),
            ('{"error": {"message": "no app"}}', "text/plain", "no app"),
            (
                '{"error": "invalid_client", "error_description": "AADSTS7000215: wrong"}',
                "application/json; charset=utf-8",
                "invalid_client: AADSTS7000215: wrong",
            ),
            ('{"error": 7}', "application/json", '{"error": 7}'),
            ('{"error": ', "application/json", '{"error":'),
            ("plain\n  words", "text/plain", "plain words"),
            (
                GATEWAY_PAGE,
                "text/html",
                "502 Bad Gateway at nginx",
            ),
            ("<p>untyped</p>", "", "untyped"),
            ("", "text/html", "no text"),
            (b"\xff\xfe", "text/plain", "\ufffd\ufffd"),
        ],
    )
    def test_it_says_in_words_what_the_answer_says(
        self, body: str | bytes, content_type: str, expected: str
    ) -> None:
        assert answer(body, 502, Content_Type=content_type).extract() == expected

    def test_it_is_short(self) -> None:
        assert len(answer("words " * 1000).extract()) == EXTRACT_LENGTH + 1

    def test_a_secret_is_masked_also_where_the_text_is_cut(self) -> None:
        register_secret("a-secret-that-is-cut")
        text = answer("x" * (EXTRACT_LENGTH - 6) + "a-secret-that-is-cut").extract()

        assert "a-sec" not in text
        assert "sig=***" in answer("https://a/c?sv=1&sig=AbCd%2F").extract()


class TestJson:
    def test_what_only_the_lenient_decoder_takes_is_read(self) -> None:
        # (in an escaped form: no message could show the lone surrogate itself)
        assert ascii(answer(rb'{"name": "\ud800"}').json()) == r"{'name': '\ud800'}"
        assert answer(b'\xef\xbb\xbf{"a": 1}').json() == {"a": 1}

    @pytest.mark.parametrize(
        "body", [b"", b"<html>sign in</html>", b'{"a": ', b"\xff", b"[" * 10**5]
    )
    def test_what_is_not_json_is_refused(self, body: bytes) -> None:
        with pytest.raises(DataError) as caught:
            answer(body, Content_Type="text/html").json()

        assert caught.value.code is Code.BAD_ANSWER


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("0", 0), ("120", 120), (" 7 ", 7), ("1.5", 1.5), ("9" * 400, LONGEST_PAUSE)],
    )
    def test_seconds_are_taken_as_they_are(self, value: str, seconds: float) -> None:
        assert answer(Retry_After=value).retry_after(NOON) == seconds

    def test_a_date_is_compared_to_the_answers_own(self) -> None:
        asked = answer(
            Retry_After="Tue, 03 May 2016 10:00:30 GMT", Date="Tue, 03 May 2016 10:00:00 GMT"
        )

        assert asked.retry_after(NOON) == 30

    def test_a_date_without_another_is_compared_to_the_clock(self) -> None:
        asked = answer(Retry_After="Thu, 01 Jan 2026 12:01:00 GMT")

        assert asked.retry_after(NOON) == 60

    def test_a_date_in_the_past_asks_for_no_pause(self) -> None:
        assert answer(Retry_After="Thu, 01 Jan 1970 00:00:00 GMT").retry_after(NOON) == 0

    @pytest.mark.parametrize(
        "value", ["", "soon", "-5", "1e9", "Thu, 99 Foo 2026 12:01:00 GMT"]
    )
    def test_nonsense_asks_for_nothing(self, value: str) -> None:
        assert answer(Retry_After=value).retry_after(NOON) is None
