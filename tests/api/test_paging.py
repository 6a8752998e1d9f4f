"""Links that a service hands out: where they may lead, and when they lead in circles."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tap_mobile_engagement.api import client as client_module
from tap_mobile_engagement.api.client import EMPTY_PAGES, path_segment
from tap_mobile_engagement.errors import Code, DataError, TapError

from .fakes import API_URL, APP_URL, FakeService, Reply, client_of

if TYPE_CHECKING:
    from collections.abc import Iterator

DEVICES = f"{APP_URL}/devices"
LAST = Reply(content={"value": []})


def page(link: str, items: int = 1) -> Reply:
    return Reply(content={"value": [{}] * items, "nextLink": link})


class Pages(FakeService):
    """A service that lists one page after another."""

    def __init__(self, pages: Iterator[Reply]) -> None:
        super().__init__()
        self._pages = pages

    def send(self, request: Any, **more: Any) -> Any:  # type: ignore[override]
        if request.url.startswith(API_URL):
            self.script = [next(self._pages)]
        return super().send(request, **more)


def listing_fails(service: FakeService) -> TapError:
    with pytest.raises(TapError) as caught:
        for _ in client_of(service).list_devices("shop"):
            pass
    assert caught.value.code is Code.BAD_ANSWER
    return caught.value


@pytest.mark.parametrize(
    "link",
    [
        f"{DEVICES}?$skip=20&api-version=2014-12-01",
        f"{DEVICES.replace('api.example', 'API.example:443')}?$skip=20&api-version=2014-12-01",
        f"{DEVICES.removeprefix(API_URL)}?$skip=20&api-version=2014-12-01",
        "devices?$skip=20&api-version=2014-12-01#top",
        "?$skip=20&api-version=2014-12-01",
        "?$skip=20",
    ],
)
def test_a_link_is_understood_in_every_form(link: str) -> None:
    service = FakeService(page(link), LAST)

    assert [*client_of(service).list_devices("shop")] == [{}]
    _, second = service.requests
    assert (second.url or "").lower().startswith("https://api.example")
    assert (second.url or "").endswith("/devices?$skip=20&api-version=2014-12-01")


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
        # What urlsplit takes for another host than the HTTP library connects to:
        "https://evil.example:9\\@api.example/x",
        "http://evil:9\\@api.example/x",
        "https:\\\\evil.example/x",
        "https://evil.example\\.api.example/x",
        "https://evil.example#@api.example/x",
        "https://evil.example?@api.example/x",
        "https://evil.example/@api.example",
        "https://api.example:443@evil.example/x",
        "https://user:password@evil.example:443/x",
        "ht\ttps://evil.example/x",
        "https://evil.exa\nmple/x",
        " https://evil.example/x",
        "\x00https://evil.example/x",
        "https:///evil.example/x",
        "https://api.example。evil.example/x",
        "https://api.exampl\u0435/x",
        "https://\uff41pi.example.evil.example/x",
        "https://api.example%2eevil.example/x",
        "https://[::ffff:7f00:1]/x",
        "https://2130706433/x",
        "HTTPS://EVIL.EXAMPLE/x",
        "ftp://api.example/x",
        "file:///etc/passwd",
    ],
)
def test_a_token_goes_to_no_other_origin(link: str) -> None:
    service = FakeService(page(link), LAST)

    with suppress(DataError):  # where it is no path of the service itself
        [*client_of(service).list_devices("shop")]

    for request in service.requests:
        assert (request.url or "").startswith("https://api.example/")


def test_a_token_goes_to_no_other_scheme_of_a_plain_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = client_of(service := FakeService(page("https://api.example/x"), LAST))
    client._transport.session.mount("http://", service)
    monkeypatch.setattr(client, "_collection_url", "http://api.example/apps")

    with pytest.raises(DataError, match="no token is sent"):
        [*client.list_devices("shop")]

    assert [urlsplit(request.url).scheme for request in service.requests] == ["http"]


@pytest.mark.parametrize("name", ["", ".", "..", "half an emoji \ud83d"])
def test_a_name_can_not_be_a_step_in_the_path(name: str) -> None:
    with pytest.raises(DataError):
        path_segment(name)


def test_a_name_is_quoted() -> None:
    assert path_segment("../a b?c#d") == "..%2Fa%20b%3Fc%23d"


@pytest.mark.parametrize(("before", "circle"), [(0, 1), (0, 2), (3, 1), (10, 7), (1, 100)])
def test_a_circle_of_pages_is_noticed(before: int, circle: int) -> None:
    def pages() -> Iterator[Reply]:
        yield from (page(f"?start={number}") for number in range(before))
        while True:
            yield from (page(f"?round={number}") for number in range(circle))

    service = Pages(pages())

    assert "circles" in str(listing_fails(service))
    assert len(service.requests) <= 4 * (before + circle) + 4


def test_a_long_list_without_a_circle_is_no_error() -> None:
    def pages() -> Iterator[Reply]:
        yield from (page(f"?page={number}", number % EMPTY_PAGES) for number in range(1, 1000))
        yield LAST

    items = [*client_of(Pages(pages())).list_devices("shop")]

    assert len(items) == sum(number % EMPTY_PAGES for number in range(1, 1000))


@pytest.mark.parametrize(("items", "most"), [(0, EMPTY_PAGES), (1, 300)])
def test_pages_without_end_are_noticed(
    items: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MOST_PAGES", 300)
    service = Pages(page(f"?page={number}", items) for number in count())

    assert "no end" in str(listing_fails(service))
    assert len(service.requests) == most
