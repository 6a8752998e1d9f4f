"""What may be shown: no secret, no forged line, no code that moves a terminal."""

from __future__ import annotations

import html
import logging
import re
import traceback
from base64 import b64encode
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MASK = "***"
MOST_SHOWN = 10_000  # characters of a text in a log

_VALUE = r"""[^\s&;"'<>,)\]}\\]+"""
_ELLIPSIS = r"\xe2\x80\xa6[.]?"  # in UTF-8: what stands for a secret in an example
_SHAPES = re.compile(
    rf"""(?aix)
      (?<![a-z0-9_])
      (?: sig | signature | client_secret | access_token | refresh_token | assertion
        | AccountKey | SharedAccessSignature ) = ["']?
        (?! {_ELLIPSIS} (?! {_VALUE} )) (?P<parameter> {_VALUE})
    | \b (?: Bearer | Basic | SharedKey (?:Lite)? ) [\s+]{{1,9}} (?P<header> {_VALUE})
    | :// [^\s/?\#@:]{{0,200}} : (?! [0-9]{{1,5}} [/?\#])
      (?P<password> [^\s"'<>@]{{0,200}} (?: @ [^\s"'<>@/?\#]{{0,200}} )*) @
    | ["'] (?: client_secret | access_token | refresh_token | sig | signature | AccountKey )
      ["'] \s{{0,9}} : \s{{0,9}} (?P<quote> ["'])
      (?P<json> (?: (?! (?P=quote) ) [\s\S] | ["'] (?! \s{{0,9}} [,}}\]] ) )*)
    """
)
# (bounded repetitions keep the search linear: outside text comes in here)
# A character, or a byte of it, as URLs (encoded once or more often), HTML, JSON, JavaScript and
# Python write it. UTF-16 takes two units for some.
_ESCAPE = re.compile(
    r"""(?ax)
      (?: % (?:25)* | \\++ x ) (?P<byte> [0-9a-fA-F]{2})
    | \\++ u (?P<utf_16> [dD][89abAB][0-9a-fA-F]{2} \\++ u [dD][c-fC-F][0-9a-fA-F]{2}
                       | [0-9a-fA-F]{4})
    | \\++ U (?P<utf_32> 00 (?: 0[0-9a-fA-F] | 10 ) [0-9a-fA-F]{4})
    | & (?:amp;)* (?P<html> \#[0-9]{1,7} | \#[xX][0-9a-fA-F]{1,6} | [a-z]{2,6}) ;
    | \\++ (?P<space> [nrt])?
    """
)
_MOST_ENCODINGS = 4  # encodings within one another that are undone
_BLANKS = re.compile(r"[\x00-\x20\x7f+]+")  # (a form has + for a blank)
_BLANKS_OR_TAGS = re.compile(r"[\x00-\x20\x7f+]+|<[^<>]{0,99}>")
_MIN_SECRET_LENGTH = 4  # a shorter value would mask ordinary text
_MIN_LENGTH_ACROSS_BREAKS = 8  # a shorter one would be found across ordinary words

log = logging.getLogger("tap-mobile-engagement")

_warned_of: set[str] = set()  # hosts
_known: set[str] = set()  # unescaped, without blanks and tags


def register_secret(value: str | None) -> None:
    """Remember a secret by value; from now on :func:`redact` masks it in every encoding."""
    if value and len(value) >= _MIN_SECRET_LENGTH:
        for form in (value, *_in_base64(value)):
            for breaks in (_BLANKS, _BLANKS_OR_TAGS):
                sought = breaks.sub("", _decoded(form)[0])
                if len(sought) >= _MIN_SECRET_LENGTH:
                    _known.add(sought)


def warn_of_plain_http(url: str) -> None:
    """Warn, once per host, of a secret that goes to another machine over ``http://``."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_near = host == "localhost" or host.endswith(".localhost")
    with suppress(ValueError):  # a name, not an address
        is_near = is_near or ip_address(host).is_loopback
    if parts.scheme == "http" and not is_near and host not in _warned_of:
        _warned_of.add(host)
        log.warning("A secret goes to %s over http, where others can read it: use https", host)


def redact(text: str) -> str:
    """Return the text with every known or recognisable secret masked."""
    decoded, starts = _decoded(text)
    spans = []
    for found in _SHAPES.finditer(decoded):
        start, end = found.span(found.lastgroup or 0)
        spans.append((starts[start], starts[end]))
    for breaks in (_BLANKS, _BLANKS_OR_TAGS) if _known else ():
        squeezed, places = _replaced(breaks, lambda _: "", decoded, range(len(starts)))
        # Few are in a text, of hundreds with a container per task. (Threads register more.)
        for secret in [each for each in tuple(_known) if each in squeezed]:
            for found in re.finditer(re.escape(secret), squeezed):
                start, end = found.span()
                first, last = starts[places[start]], starts[places[end - 1] + 1]
                is_short = end - start < _MIN_LENGTH_ACROSS_BREAKS
                if not (is_short and _BLANKS_OR_TAGS.search(text, first, last)):
                    spans.append((first, last))
    parts: list[str] = []
    reached = 0
    for start, end in sorted(spans):
        if start >= reached:
            parts += text[reached:start], MASK
        reached = max(reached, end)
    return "".join([*parts, text[reached:]])


def _decoded(text: str) -> tuple[str, list[int]]:
    """The UTF-8 bytes of a text as characters, unescaped, and where each begins in it."""
    starts = [*range(len(text) + 1)]
    if not text.isascii():
        # What is not printable may stand within a secret, and is a blank then.
        data = [c.encode() if c.isascii() or c.isprintable() else b" " for c in text]
        starts = [place for place, units in enumerate(data) for _ in units] + [len(text)]
        text = b"".join(data).decode("latin-1")
    for _ in range(_MOST_ENCODINGS):
        written = text
        text, starts = _replaced(_ESCAPE, _unescaped, written, starts)
        if text == written:
            break
    return text, starts


def _replaced(
    sought: re.Pattern[str],
    new: Callable[[re.Match[str]], str],
    text: str,
    starts: Sequence[int],
) -> tuple[str, list[int]]:
    """A text in which something is replaced, and where each character of it begins."""
    parts: list[str] = []
    places: list[int] = []
    reached = 0
    for found in sought.finditer(text):
        characters = new(found)
        parts += text[reached : found.start()], characters
        places += starts[reached : found.start()]
        places += [starts[found.start()]] * len(characters)
        reached = found.end()
    return "".join([*parts, text[reached:]]), [*places, *starts[reached:]]


def _unescaped(found: re.Match[str]) -> str:
    digits = found[found.lastgroup] if found.lastgroup else ""
    match found.lastgroup:
        case "byte":
            return chr(int(digits, 16))
        case "utf_16":
            units = "".join(re.findall("[0-9a-fA-F]{4}", digits))
            character = bytes.fromhex(units).decode("utf-16-be", "surrogatepass")
        case "utf_32":
            character = chr(int(digits, 16))
        case "html":
            character = html.unescape(f"&{digits};")
        case _:
            return " " if digits else ""
    return character.encode("utf-8", "surrogatepass").decode("latin-1")


def _in_base64(secret: str) -> Iterator[str]:
    """What is the same wherever a secret stands in a text that was encoded whole."""
    if len(secret) < _MIN_LENGTH_ACROSS_BREAKS:
        return
    data = secret.encode("utf-8", "surrogatepass")
    for before in range(3):
        written = b64encode(bytes(before) + data).decode()
        inner = written[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6]
        yield inner
        yield inner.replace("+", "-").replace("/", "_")


def shown(text: object, most: int = MOST_SHOWN) -> str:
    """A text as one line may show it: secrets masked, what is not printable escaped, cut."""
    clean = redact(str(text))
    if len(clean) > most:
        clean = f"{clean[:most]}…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in clean)


class _SafeRecord(logging.LogRecord):
    """A record of a log that is safe to show, whichever logger it goes through."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        try:
            message = self.getMessage()
        except Exception:  # noqa: BLE001  (whatever an argument's own methods raise)
            # Logging would report it when it is written, arguments and all.
            message, self.args = f"A log call of {self.pathname} can't be formatted", ()
            self.msg = message
        clean = shown(message)
        if clean != message:
            self.msg, self.args = clean, ()
        if self.exc_info and self.exc_info[0] is not None:
            lines = redact("".join(traceback.format_exception(*self.exc_info))).splitlines()
            # Formatters that build it themselves would show suppressed causes, and secrets
            # in them. It is indented: no line of it can pass for one of the log.
            self.exc_text = "\n".join(f"  {shown(line)}" for line in lines)
            self.exc_info = None
            self.traceback = self.exc_text  # for the SDK's structured log


def install_log_redaction() -> None:
    """Make every log record safe to show where it is made."""
    logging.setLogRecordFactory(_SafeRecord)
