"""Links that a service hands out: where they may lead, and when they lead in circles."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qsl, quote, urljoin, urlsplit

from tap_mobile_engagement.errors import Code, DataError

API_VERSION = "2014-12-01"
"""The only version of the API (query parameter ``api-version``)."""

EMPTY_PAGES = 100
"""So many pages without an item in a row are taken for a list without an end."""

_DEFAULT_PORTS = {"https": 443, "http": 80}


def resolve_link(link: str, *, base: str, api_url: str) -> str:
    """Make a URL of a link, absolute or relative, to which the token may be sent.

    Whether the service writes links absolute or relative, and with the version or without, is
    not documented; all are understood.

    Args:
        link: As the service wrote it.
        base: URL of the answer that holds it.
        api_url: The service.

    Raises:
        DataError: ``BAD_ANSWER`` if it leads to another host, port or scheme.
    """
    try:
        parts = urlsplit(urljoin(base, link))
        foreign = _origin(parts) != _origin(urlsplit(api_url))
    except ValueError:  # no URL at all
        foreign = True
    if foreign:
        raise DataError(
            Code.BAD_ANSWER,
            f"the service links to another host ({urlsplit(base).netloc} to {link[:200]!r});"
            " the access token is not sent there",
            next_step="Check that api_url is the name that the service gives itself",
        )
    if not any(name == "api-version" for name, _ in parse_qsl(parts.query)):
        query = "&".join(part for part in (parts.query, f"api-version={API_VERSION}") if part)
        parts = parts._replace(query=query)
    return parts._replace(fragment="").geturl()


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)


def path_segment(text: str) -> str:
    """Quote a name or an id for a URL's path.

    Raises:
        DataError: ``BAD_ANSWER`` if it would be taken for a step in the path, not a name.
    """
    if text in {"", ".", ".."}:
        raise DataError(Code.BAD_ANSWER, f"{text!r} can't be a name in the service's URLs")
    return quote(text, safe="")


class PageGuard:
    """Notices a list whose pages lead in circles.

    Args:
        first: URL of the first page.
    """

    def __init__(self, first: str) -> None:
        self._seen = {hash(first)}
        self._empty = 0

    def follow(self, link: str, *, items: int) -> None:
        """Note that the list continues there.

        Args:
            link: URL of the next page.
            items: How many items the page before had.

        Raises:
            DataError: ``BAD_ANSWER`` if the list has no end.
        """
        self._empty = 0 if items else self._empty + 1
        is_circle = hash(link) in self._seen
        self._seen.add(hash(link))
        if is_circle or self._empty >= EMPTY_PAGES:
            raise DataError(
                Code.BAD_ANSWER,
                "the pages of a list lead in circles"
                if is_circle
                else f"{self._empty} pages of a list in a row are empty, and it continues",
                next_step="Report it to whoever runs the service",
            )
