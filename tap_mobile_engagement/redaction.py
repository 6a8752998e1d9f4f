"""Secrets never reach a log, an error, a state or a record.

Two nets: secrets known by value (every secret setting, every access token) are replaced
wherever they occur; secrets known by shape (SAS signatures, account keys, bearer tokens) are
replaced even where nobody registered them, as in a URL that a server sent back.
"""

from __future__ import annotations

import logging
import re
import traceback
from urllib.parse import quote, quote_plus

MASK = "***"

# Query parameters and connection string parts that carry secrets, and the HTTP header.
_SHAPES = re.compile(
    r"""(?ix)
    ( (?:[?&;"'\s]|^|%3F|%26) (?:sig|signature|client_secret|access_token|assertion) (?:=|%3D)
    | (?:AccountKey|SharedAccessSignature) =
    | \b(?:Bearer|SharedKey(?:Lite)?) \s+
    )
    [^\s&;"'<>,)\]}]+
    """
)
# `Authorization: 'Bearer …'` as a mapping prints it is covered above; a JSON body is not.
_JSON_SHAPES = re.compile(
    r"""(?ix) (["'] (?:client_secret|access_token|refresh_token|sig|AccountKey) ["'] \s*:\s*)
    ( "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )
    """
)
_MIN_SECRET_LENGTH = 4  # a shorter value would mask ordinary text

_known: set[str] = set()


def register_secret(value: str | None) -> None:
    """Remember a secret by value; from now on :func:`redact` masks it in every encoding."""
    if value and len(value) >= _MIN_SECRET_LENGTH:
        _known.update({value, quote(value, safe=""), quote_plus(value)})


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
        except (TypeError, ValueError, KeyError):
            return record  # a malformed log call: leave it to logging's own error report
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
