"""No secret gets out: by value in every encoding, by shape where nobody knew it, by any log."""

from __future__ import annotations

import contextlib
import html
import http.server
import io
import json
import logging
import re
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, quote_plus, urlencode

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient
from singer_sdk.logging import StructuredFormatter

from tap_mobile_engagement import redaction
from tap_mobile_engagement.redaction import (
    MASK,
    install_log_redaction,
    redact,
    register_secret,
    shown,
    warn_of_plain_http,
)
from tap_mobile_engagement.settings import ALL_SETTINGS
from tap_mobile_engagement.tap import TapMobileEngagement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# With all that encodings change: as a base64 signature, a client secret and worse have it.
SECRET = "ab+cd/ef==&g'h\"i\\j é😀<k>~"
UNKNOWN = "bm9ib2R5K3JlZ2lzdGVyZWQ/dGhpcw=="

ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "repr": repr,
    "repr of repr": lambda s: repr([s]),
    "URL": lambda s: quote(s, safe=""),
    "URL, slashes kept": quote,
    "URL, lower case": lambda s: _lower_escapes(quote(s, safe="")),
    "URL twice": lambda s: quote(quote(s, safe=""), safe=""),
    "form": quote_plus,
    "form field": lambda s: urlencode({"x": s}),
    "JSON": json.dumps,
    "JSON in UTF-8": lambda s: json.dumps(s, ensure_ascii=False),
    "JSON with slashes escaped": lambda s: json.dumps(s).replace("/", "\\/"),
    "HTML": html.escape,
    "URL, in part": lambda s: s.replace("+", "%2b").replace("=", "%3D"),
    "URL twice, lower case": lambda s: _lower_escapes(quote(quote(s, safe=""), safe="")),
    "URL three times": lambda s: quote(quote(quote(s, safe=""), safe=""), safe=""),
    "JSON of a web framework": lambda s: _escaped(json.dumps(s), "&<>'+=", "\\u{:04x}"),
    "JSON in upper case": lambda s: re.sub("(?<=u)....", lambda u: u[0].upper(), json.dumps(s)),
    "Python in ASCII": lambda s: s.encode("unicode_escape").decode().replace(r"\xe9", "é"),
    "JSON in JSON": lambda s: json.dumps(json.dumps(s)),
    "HTML by number": lambda s: _escaped(s, "&<>'\"+=/", "&#{};"),
    "HTML in hexadecimal": lambda s: _escaped(s, "&<>'\"+=/", "&#x{:X};"),
    "HTML twice": lambda s: html.escape(html.escape(s)),
    "HTML of a URL": lambda s: html.escape(quote(s, safe="&'")),
    "URL of JSON": lambda s: quote(json.dumps(s), safe=""),
    "base64": lambda s: b64encode(s.encode()).decode(),
    "base64 behind a user": lambda s: b64encode(f"me:{s}".encode()).decode(),
    "base64 for URLs": lambda s: urlsafe_b64encode(f"x{s}".encode()).decode(),
    "over two lines": lambda s: f"{s[:9]}\r\n   {s[9:]}",
    "over two lines of JSON": lambda s: json.dumps(f"{s[:9]}\n{s[9:]}"),
    "around a tag": lambda s: f"{s[:9]}<wbr class='x'>{s[9:]}",
    "around an end of a line that few know": lambda s: f"{s[:9]}\u2028{s[9:]}",
    "within a tag": lambda s: f"<a href='{s}'>",
}


def _lower_escapes(url: str) -> str:
    return re.sub("%..", lambda escape: escape[0].lower(), url)


def _escaped(text: str, characters: str, form: str) -> str:
    return "".join(form.format(ord(c)) if c in characters else c for c in text)


@pytest.fixture(autouse=True)
def no_other_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests registered must not help here, nor this there."""
    monkeypatch.setattr(redaction, "_known", set())
    monkeypatch.setattr(redaction, "_warned_of", set())


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that any logger writes at any level, through a handler of its own."""
    factory = logging.getLogRecordFactory()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    install_log_redaction()
    try:
        yield stream
    finally:
        logging.setLogRecordFactory(factory)
        root.setLevel(level)
        root.removeHandler(handler)


# Secrets that are known.


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_known_secret_is_masked_in_every_encoding(encoding: str) -> None:
    register_secret(SECRET)
    written = ENCODINGS[encoding](SECRET)

    clean = redact(f"before {written} after")

    assert MASK in clean
    assert clean.startswith("before ")
    assert clean.endswith(" after")
    for part in ("ab+cd", "ab%2", "ab%252", "ef==", "ef%3", "g'h", "k>~"):
        assert part not in clean
    middle = len(written) // 2
    assert written[middle - 4 : middle + 4] not in clean


def test_a_short_secret_is_not_found_across_words() -> None:
    register_secret("sins")

    assert redact("tokens in streams; si\nns; my sins") == "tokens in streams; si\nns; my ***"


@pytest.mark.parametrize("secret", ["a-plain-secret", "9f8e7d6c-1234-4321-abcd-1234567890ab"])
def test_a_known_secret_is_masked_everywhere(secret: str) -> None:
    register_secret(secret)

    assert redact(f"{secret}{secret} x{secret}y") == "****** x***y"


def test_the_longer_of_two_secrets_goes_first() -> None:
    register_secret("token-1")
    register_secret("token-1-and-more")

    assert redact("token-1-and-more token-1") == "*** ***"


@pytest.mark.parametrize("nothing", [None, "", "abc"])
def test_what_is_too_short_to_be_a_secret_is_not_registered(nothing: str | None) -> None:
    register_secret(nothing)

    assert redact("abc and nothing else") == "abc and nothing else"


# Secrets that nobody registered, known by their shape.

ACCOUNT = "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey={};EndpointSuffix=x"
SAS = "https://acct.blob.core.windows.net/c/b.json?sv=2015&sp=rl&sig={}&se=2016-05-01"

SHAPES = {
    "SAS": SAS.format(quote(UNKNOWN, safe="")),
    "SAS at the end": f"https://a/c?sv=1&sig={quote(UNKNOWN, safe='')}",
    "SAS first": f"https://a/c?sig={quote(UNKNOWN, safe='')}&sv=1",
    "SAS not encoded": SAS.format(UNKNOWN),
    "SAS within a URL": f"https://a/?url={quote(SAS.format(quote(UNKNOWN, safe='')), safe='')}",
    "SAS within a URL, twice": quote(quote(SAS.format(quote(UNKNOWN, safe="")), safe="")),
    "SAS in JSON": json.dumps({"containerUrl": SAS.format(quote(UNKNOWN, safe=""))}),
    "SAS in JSON of .NET": SAS.format(UNKNOWN.replace("=", "\\u003d")).replace("&", "\\u0026"),
    "SAS in HTML": html.escape(SAS.format(quote(UNKNOWN, safe=""))),
    "SAS in repr": repr({"url": SAS.format(UNKNOWN)}),
    "SAS parameters": repr({"sv": "2015", "sig": UNKNOWN}),
    "SAS in brackets": f"(sig={UNKNOWN})",
    "account": ACCOUNT.format(UNKNOWN),
    "account in JSON": json.dumps({"storage_connection_string": ACCOUNT.format(UNKNOWN)}),
    "account encoded": quote(ACCOUNT.format(UNKNOWN), safe=""),
    "account with a SAS": f"BlobEndpoint=https://a;SharedAccessSignature=sv=1&sig={UNKNOWN}",
    "account in capitals": ACCOUNT.format(UNKNOWN).upper().replace(UNKNOWN.upper(), UNKNOWN),
    "bearer": f"Authorization: Bearer {UNKNOWN}",
    "bearer in repr": repr({"Authorization": f"Bearer {UNKNOWN}"}),
    "bearer in JSON": json.dumps({"Authorization": f"bearer {UNKNOWN}"}),
    "shared key": f"Authorization: SharedKey acct:{UNKNOWN}",
    "token answer": json.dumps({"expires_in": "3599", "access_token": UNKNOWN}),
    "token answer in repr": repr({"access_token": UNKNOWN, "token_type": "x"}),
    "token answer in bytes": repr(json.dumps({"access_token": UNKNOWN}).encode()),
    "token answer in JSON": json.dumps({"body": json.dumps({"access_token": UNKNOWN})}),
    "token request": urlencode({"client_id": "me", "client_secret": UNKNOWN, "resource": "r"}),
    "SAS in HTML, by number": SAS.format(UNKNOWN.replace("=", "&#61;")).replace(
        "&sig", "&#38;sig"
    ),
    "SAS in HTML, in part": f"https://a/c?sv=1&sig={UNKNOWN.replace('+', '&#43;')}&amp;se=1",
    "basic": f"Authorization: Basic {UNKNOWN}",
    "password in a URL": f"http://me:{UNKNOWN.replace('/', '%2F')}@host:8080/c?x=1",
    "password with an @": f"http://me:{UNKNOWN.replace('/', '@')}@host",
    "password in a URL in a URL": quote(f"http://me:{quote(UNKNOWN, safe='')}@host"),
    "token request in JSON": json.dumps({"client_secret": 'qu"ote' + UNKNOWN}),
    "quote of another kind in JSON": json.dumps({"client_secret": "quote'," + UNKNOWN}),
    "quote of another kind in Python": repr({"client_secret": 'quote",' + UNKNOWN}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_secret_is_masked_by_its_shape(shape: str) -> None:
    clean = redact(SHAPES[shape])

    assert MASK in clean
    for start in range(0, len(UNKNOWN) - 10, 5):
        assert UNKNOWN[start : start + 10] not in clean
    assert quote(UNKNOWN, safe="")[-12:] not in clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (SAS.format("abc%3D"), SAS.format(MASK)),
        (ACCOUNT.format("abc=="), ACCOUNT.format(MASK)),
        (SAS.format("…abc"), SAS.format(MASK)),
        (SAS.format("….abc"), SAS.format(MASK)),
        ('{"access_token": "abc", "expires_in": "3599"}', None),
        ("grant_type=x&client_secret=abc&resource=r", None),
    ],
)
def test_what_stands_around_a_secret_is_kept(text: str, clean: str | None) -> None:
    assert redact(text) == (clean or text.replace("abc", MASK))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://acct.blob.core.windows.net/c/b.json?sv=2015-04-05&sp=rl&se=2016-05-01",
        "the SAS has no sig; write it as ?sv=…&sp=rl",
        f"Write it like this: {SAS.format('…')}.",
        "?sv=…&sig=…. Or AccountName=…;AccountKey=…",
        "design=blue&signal=5&assign=x",
        "tokens: 5 records, token_type=gcm",
        '{"device_id": "d1", "token": "APA91b"}',
        "AccountName=acct;EndpointSuffix=core.windows.net",
        "http://127.0.0.1:8080/path/to?mail=me@example.com",
        "https://acct.blob.core.windows.net/c/a:b@c",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_redacting_twice_changes_nothing_more() -> None:
    for text in SHAPES.values():
        assert redact(redact(text)) == redact(text)


HOSTILE = [
    *("\\", '"', "'", "<", "< ", "<a>", " ", "\n", "+", "&", "&amp;", "&amp;amp;", "%", "%25"),
    *(
        "%2525",
        "\\u0041",
        "a",
        "é",
        "\x1b[",
        "sig=",
        'sig="',
        '"sig":"',
        '"sig":\\"',
        "'sig' : ",
    ),
    *("://", "://a:", "://a:b", "Bearer ", "Bearer\t", SECRET[:12], SECRET),
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_long_text_costs_no_more_than_its_length_asks_for(unit: str) -> None:
    register_secret(SECRET)
    text = unit * (400_000 // len(unit))

    began = time.process_time()
    redact(text)

    assert time.process_time() - began < 5  # less than one; a quadratic pattern takes minutes


# What is shown.


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Café & Söhne / iOS 店 😀…", "Café & Söhne / iOS 店 😀…"),
        ("a\nb\r\x0b\x0cc\x85d\u2028e\u2029", r"a\nb\r\x0b\x0cc\x85d\u2028e\u2029"),
        ("\x1b[2J\x9b31m\a\b\x7f\0", r"\x1b[2J\x9b31m\x07\x08\x7f\x00"),
        ("\u202egpj.exe\u2066\u200f\u061c", r"\u202egpj.exe\u2066\u200f\u061c"),
        ("half \ud83d", r"half \ud83d"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_is_shown_moves_no_terminal_and_forges_no_line(text: str, clean: str) -> None:
    assert shown(text) == clean
    assert shown(clean) == clean


def test_what_is_too_long_is_cut_and_never_within_a_secret_that_would_show() -> None:
    register_secret(SECRET)

    assert shown("a" * 100, 10) == "a" * 10 + "…"
    assert shown("a" * 8 + SECRET, 10) == "a" * 8 + "**…"


# Secrets on their way.


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://api.example.com",
            "HTTP://user@10.0.0.7:8080/x",
            "http://[2001:db8::1]/c?sig=x",
        ),
        "http://localhost.example.com",
    ],
)
def test_a_secret_over_plain_http_is_warned_of_once(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        warn_of_plain_http(url)

    (record,) = caplog.records
    assert record.getMessage().startswith("A secret goes to ")
    assert "https" in record.getMessage()


@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://api.example.com",
            "http://localhost:9",
            "http://127.3.2.1:80/x",
            "http://[::1]",
        ),
        *("http://x.localhost", "", "file:///data", "/data"),
    ],
)
def test_no_warning_where_no_secret_can_be_read(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_plain_http(url)

    assert caplog.records == []


@pytest.mark.parametrize(
    "settings",
    [
        {
            "container_url": f"http://acct.blob.files.example/exports?sv=2024-11-04&sr=c&se=2030-01-01&sp=rwl&sig={UNKNOWN}"
        },
        {"api_url": "http://api.example"},
        {"authority_url": "http://login.example"},
        {
            "task_container_url": f"http://acct.blob.files.example/exports?sv=2024-11-04&sr=c&se=2030-01-01&sp=wl&sig={UNKNOWN}"
        },
        {
            "container_url": None,
            "storage_connection_string": f"BlobEndpoint=http://a.example/acct;AccountName=acct;"
            f"AccountKey={UNKNOWN}",
        },
    ],
    ids=lambda settings: next(reversed(settings)),
)
def test_every_setting_with_a_url_is_looked_at(
    settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    api: dict[str, Any] = {name: "x" for name, each in ALL_SETTINGS.items() if each.required}
    api |= {"app_names": ["x"], "start_date": "2016-05-01", "container_url": "/data"}

    _ = TapMobileEngagement(config=api | settings).source

    (warning,) = (each for each in caplog.records if each.levelname == "WARNING")
    assert warning.getMessage().startswith("A secret goes to ")


# Logs.


def test_arguments_of_a_log_call_are_redacted(logged: io.StringIO) -> None:
    register_secret(SECRET)
    log = logging.getLogger("any.library")

    log.debug("at %s with %r", SHAPES["SAS"], {"client_secret": SECRET})
    log.info("%(url)s", {"url": SHAPES["SAS not encoded"]})
    log.warning(SECRET)
    log.error("%s", ValueError(SECRET))

    text = logged.getvalue()
    assert len(text.splitlines()) == 4
    assert MASK in text.splitlines()[3]
    assert UNKNOWN not in text
    assert quote(UNKNOWN, safe="") not in text
    assert "ab+cd" not in text


def test_tracebacks_are_redacted_and_stay_tracebacks(logged: io.StringIO) -> None:
    register_secret(SECRET)

    try:
        _fail_twice(SECRET, SHAPES["SAS"])
    except ValueError:
        logging.getLogger("any.library").exception("it failed")

    text = logged.getvalue()
    assert "ab+cd" not in text
    assert quote(UNKNOWN, safe="") not in text
    assert "Traceback (most recent call last)" in text
    assert f"OSError: {MASK}" in text
    assert "in _fail_twice" in text


def _fail(text: str) -> None:
    raise OSError(text)


def _fail_twice(first: str, second: str) -> None:
    try:
        _fail(first)
    except OSError as error:
        raise ValueError(second) from error


class Keeps(logging.Handler):
    """A handler that keeps records as it gets them, in the SDK's structured form too."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.structured: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.structured.append(StructuredFormatter().format(record))


def test_no_formatter_shows_the_secret_of_a_suppressed_cause(logged: io.StringIO) -> None:
    log = logging.getLogger("any.library")
    log.addHandler(handler := Keeps())

    try:
        try:
            _fail(SHAPES["SAS not encoded"])
        except OSError:
            raise ValueError("second") from None
    except ValueError:
        log.exception("it failed")

    log.removeHandler(handler)
    for text in (logged.getvalue(), *handler.structured):
        assert "ValueError: second" in text
        assert "Traceback (most recent call last)" in text
        assert UNKNOWN not in text


class Unprintable:
    """An argument whose own methods fail."""

    def __str__(self) -> str:
        raise RuntimeError(SECRET)


@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("%d bytes", (SHAPES["SAS not encoded"],)),
        ("%s and %s", (SHAPES["SAS not encoded"],)),
        ("no place", (SHAPES["SAS not encoded"],)),
        ("%(other)s", ({"url": SHAPES["SAS not encoded"]},)),
        ("%s", (Unprintable(),)),
        (SHAPES["SAS not encoded"] + " %d", ("x",)),
    ],
    ids=["wrong type", "one too few", "one too many", "other name", "own method", "message"],
)
def test_a_malformed_log_call_reports_itself_without_the_secret(
    message: str,
    args: tuple[Any, ...],
    logged: io.StringIO,
    capsys: pytest.CaptureFixture[str],
) -> None:
    register_secret(SECRET)
    log = logging.getLogger("any.library")

    # Straight to a handler that reports what is wrong: pytest's own would raise it.
    record = log.makeRecord(log.name, logging.WARNING, __file__, 1, message, args, None)
    logging.StreamHandler(logged).handle(record)

    seen = capsys.readouterr().err + logged.getvalue()
    assert __file__ in seen or MASK in seen
    assert UNKNOWN not in seen
    assert "ab+cd" not in seen


def test_redaction_is_installed_once() -> None:
    factory = logging.getLogRecordFactory()
    try:
        install_log_redaction()
        installed = logging.getLogRecordFactory()
        install_log_redaction()

        assert logging.getLogRecordFactory() is installed
    finally:
        logging.setLogRecordFactory(factory)


FORGED = "2016-05-01 00:00:00,000 | ERROR | tap-mobile-engagement | forged"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x85", "\u2028", "\x0b"])
def test_no_line_of_a_log_is_forged(logged: io.StringIO, end: str) -> None:
    log = logging.getLogger("any.library")

    log.info("read %s", f"a{end}{FORGED}")
    try:
        _fail(f"a{end}{FORGED}\x1b[2J")
    except OSError:
        log.exception("b%s", f"{end}{FORGED}")

    assert not [line for line in logged.getvalue().splitlines() if line.startswith(FORGED)]
    assert "\x1b" not in logged.getvalue()
    assert end == "\n" or end not in logged.getvalue()


# Libraries that log what they send.


class Refuses(http.server.BaseHTTPRequestHandler):
    """Answers everything with 403, and repeats the URL in body and headers."""

    paths: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.paths.append(self.path)
        body = f"<Error><Code>AuthenticationFailed</Code><Message>{self.path}</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("x-ms-error-detail", self.path)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Be silent: only the clients' logs are looked at."""


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()
            thread.join()


def test_requests_and_urllib3_log_no_secret(server: str, logged: io.StringIO) -> None:
    Refuses.paths.clear()

    requests.get(f"{server}/c?sv=1", params={"sig": UNKNOWN}, timeout=10).close()

    assert quote(UNKNOWN, safe="") in Refuses.paths[0]
    assert "urllib3.connectionpool DEBUG" in logged.getvalue()
    assert "sig=***" in logged.getvalue()
    assert quote(UNKNOWN, safe="") not in logged.getvalue()


def test_the_azure_sdk_logs_no_secret(server: str, logged: io.StringIO) -> None:
    Refuses.paths.clear()
    url = f"{server}/acct/exports?sv=2015-04-05&sp=rl&sig={quote(UNKNOWN, safe='')}"

    with (
        ContainerClient.from_container_url(url, logging_enable=True, retry_total=0) as client,
        contextlib.suppress(HttpResponseError),
    ):
        next(iter(client.list_blobs()))

    assert quote(UNKNOWN, safe="") in Refuses.paths[0]
    assert "azure." in logged.getvalue()
    assert quote(UNKNOWN, safe="") not in logged.getvalue()
    assert UNKNOWN not in logged.getvalue()
