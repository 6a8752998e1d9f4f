from collections.abc import Iterator
from itertools import islice

import pytest

from tap_mobile_engagement.api.paging import (
    EMPTY_PAGES,
    PageGuard,
    path_segment,
    resolve_link,
)
from tap_mobile_engagement.errors import Code, DataError

API = "https://api.example"
BASE = f"{API}/subscriptions/s/apps/a/devices?api-version=2014-12-01"


def resolved(link: str, api_url: str = API) -> str:
    return resolve_link(link, base=BASE, api_url=api_url)


@pytest.mark.parametrize(
    "link",
    [
        f"{API}/subscriptions/s/apps/a/devices?$skip=20&api-version=2014-12-01",
        "https://API.example:443/subscriptions/s/apps/a/devices?$skip=20&api-version=2014-12-01",
        "/subscriptions/s/apps/a/devices?$skip=20&api-version=2014-12-01",
        "devices?$skip=20&api-version=2014-12-01#top",
        "?$skip=20&api-version=2014-12-01",
        "?$skip=20",
    ],
)
def test_a_link_is_understood_in_every_form(link: str) -> None:
    url = resolved(link)

    assert url.endswith("/subscriptions/s/apps/a/devices?$skip=20&api-version=2014-12-01")
    assert url.lower().startswith(API)


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/devices",
        "//evil.example/devices",
        "https://api.example.evil.example/devices",
        "https://api.example@evil.example/devices",
        "http://api.example/devices",
        "https://api.example:8443/devices",
        "https://api.example:port/devices",
        "javascript:alert(1)",
        "https://[bad/devices",
    ],
)
def test_a_link_to_anywhere_else_is_refused(link: str) -> None:
    with pytest.raises(DataError) as caught:
        resolved(link)

    assert caught.value.code is Code.BAD_ANSWER


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_can_not_be_a_step_in_the_path(name: str) -> None:
    with pytest.raises(DataError):
        path_segment(name)


def test_a_name_is_quoted() -> None:
    assert path_segment("../a b?c#d") == "..%2Fa%20b%3Fc%23d"


def follow(links: Iterator[str], *, items: int) -> None:
    guard = PageGuard(next(links))
    for link in links:
        guard.follow(link, items=items)


@pytest.mark.parametrize(("before", "circle"), [(0, 1), (0, 2), (3, 1), (10, 7), (1, 100)])
def test_a_circle_of_pages_is_noticed(before: int, circle: int) -> None:
    def pages() -> Iterator[str]:
        yield from (f"start-{number}" for number in range(before))
        while True:
            yield from (f"round-{number}" for number in range(circle))

    with pytest.raises(DataError, match="circles"):
        follow(islice(pages(), 4 * (before + circle) + 4), items=1)


def test_a_long_list_without_a_circle_is_no_error() -> None:
    guard = PageGuard("page-0")

    for number in range(1, 10_000):
        guard.follow(f"page-{number}", items=number % EMPTY_PAGES)


def test_empty_pages_without_end_are_noticed() -> None:
    with pytest.raises(DataError, match="empty"):
        follow((f"page-{number}" for number in range(EMPTY_PAGES + 1)), items=0)
