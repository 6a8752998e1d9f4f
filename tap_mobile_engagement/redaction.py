"""Secrets never reach a log, an error, a state or a record.

Two nets: secrets known by value (every secret setting, every access token) are replaced
wherever they occur; secrets known by shape (SAS signatures, account keys, bearer tokens) are
replaced even where nobody registered them, as in a URL that a server sent back.
"""

from __future__ import annotations

import html
import json
import logging
import re
import traceback
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"

# Query parameters and connection string parts that carry secrets, and the HTTP header; each
# also as it looks URL-encoded, once or again, or in JSON of .NET, which escapes `&` and `+`.
_SHAPES = re.compile(
    r"""(?ix)
    ( (?: (?<![a-z0-9_]) | %(?:25)*[0-9a-f]{2} | \\u[0-9a-f]{4} )
      (?: sig | signature | client_secret | access_token | refresh_token | assertion
        | AccountKey | SharedAccessSignature )
      (?: = | %(?:25)*3D | \\u003d )
    | \b (?:Bearer|SharedKey(?:Lite)?) (?: \s+ | \+ | %20 )
    )
    (?: [^\s&;"'<>,)\]}\\] | \\u00(?!26)[0-9a-f]{2} | \\/ )+
    """
)
# `Authorization: 'Bearer …'` as a mapping prints it is covered above; a JSON body is not. Such
# a body may be a text in another one, with its quotes escaped (bounded, to stay linear).
_JSON_SHAPES = re.compile(
    r"""(?ix)
    ( \\{0,7}["']
      (?: client_secret | access_token | refresh_token | sig | signature | AccountKey )
      \\{0,7}["'] \s{0,9}:\s{0,9}
    )
    (?: "(?:[^"\\]|\\.)*"
      | '(?:[^'\\]|\\.)*'
      | \\{1,7}["'] (?:[^"'\\]|\\{1,7}[^"'\\])* \\{1,7}["']
    )
    """
)
# What JSON encoders of web frameworks escape beyond need.
_WEB_ESCAPES = str.maketrans({char: f"\\u{ord(char):04X}" for char in "&<>'+`"})
_MIN_SECRET_LENGTH = 4  # a shorter value would mask ordinary text

_PERCENT = re.compile("%[0-9A-F]{2}")

_known: set[str] = set()


def register_secret(value: str | None) -> None:
    """Remember a secret by value; from now on :func:`redact` masks it in every encoding."""
    if value and len(value) >= _MIN_SECRET_LENGTH:
        _known.update(_encodings(value))


def _encodings(value: str) -> Iterator[str]:
    """A secret as it may stand in a URL, in JSON, in HTML, or in Python's own notation."""
    yield value
    for quoted in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield quoted
        yield _PERCENT.sub(lambda escape: escape[0].lower(), quoted)
    yield quote(quote(value, safe=""), safe="")
    for escaped in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        yield escaped[1:-1]
        yield escaped[1:-1].replace("/", "\\/")
        yield escaped[1:-1].translate(_WEB_ESCAPES)
    yield repr(value)[1:-1]
    yield html.escape(value)


def redact(text: str) -> str:
    """Return the text with every known or recognisable secret masked."""
    for secret in sorted(_known, key=len, reverse=True):
        if secret in text:
            text = text.replace(secret, MASK)
    text = _SHAPES.sub(rf"\1{MASK}", text)
    return _JSON_SHAPES.sub(rf'\1"{MASK}"', text)


def install_log_redaction() -> None:
    """Redact every log record of this process, whichever logger or handler it goes through.

    It is done where records are made, not in a handler: libraries (the Azure SDK, requests)
    log URLs through loggers of their own, and a host program may add handlers later.
    """
    make = logging.getLogRecordFactory()
    if getattr(make, "redacts", False):
        return

    def make_redacted(*args: object, **kwargs: object) -> logging.LogRecord:
        record = make(*args, **kwargs)
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001  (whatever an argument's own methods raise)
            # A malformed log call. Logging reports it when it is written, arguments and all.
            record.msg, record.args = _as_text(record.msg), _as_texts(record.args)
            return record
        clean = redact(message)
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info and record.exc_info[0] is not None:
            text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            clean = redact(text)
            if clean != text:
                # Formatters that build the traceback themselves would bring the secret back.
                record.exc_info, record.exc_text = None, clean
        return record

    make_redacted.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make_redacted)


def _as_text(value: object) -> str:
    try:
        return redact(str(value))
    except Exception:  # noqa: BLE001  (as above)
        return f"<{type(value).__name__}>"


def _as_texts(args: object) -> Any:
    if isinstance(args, Mapping):
        return {name: _as_text(value) for name, value in args.items()}
    return tuple(_as_text(value) for value in args) if isinstance(args, tuple) else ()
