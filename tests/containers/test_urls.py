"""Wrong container URLs are refused before anything is created with them."""

from __future__ import annotations

import base64
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_mobile_engagement.containers.urls import (
    PERMISSIONS,
    ContainerUrl,
    check_container_url,
)
from tap_mobile_engagement.errors import Code, SettingsError

NOW = datetime(2026, 5, 8, 12, tzinfo=UTC)
SECRET = "c2VjcmV0c2VjcmV0"
ACCOUNT = "https://exports.blob.core.windows.net"
SAS = {"sv": "2022-11-02", "sr": "c", "sp": "rl", "se": "2026-06-01T00:00:00Z", "sig": SECRET}
ACCOUNT_SAS = {**SAS, "ss": "b", "srt": "sco"}


def url_of(address: str = f"{ACCOUNT}/raw", **changes: str | None) -> str:
    """A right URL with some SAS parameters changed, or left out (None)."""
    return with_sas(address, {**SAS, **changes})


def with_sas(address: str, sas: dict[str, str | None]) -> str:
    return f"{address}?{urlencode({k: v for k, v in sas.items() if v is not None})}"


def check(url: str, needs: str = "rl") -> datetime | None:
    return check_container_url(url, needs=needs, now=NOW, setting="container_url")


def refusal_of(url: str, needs: str = "rl") -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        check(url, needs)
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        url_of(),
        url_of(f"{ACCOUNT}/raw/"),
        url_of(f"  {ACCOUNT}/raw"),
        url_of(f"{ACCOUNT}/$root"),
        url_of("http://127.0.0.1:10000/devstoreaccount1/raw"),
        url_of("http://azurite:10000/devstoreaccount1/raw"),
        url_of("http://[::1]:10000/devstoreaccount1/raw"),
        url_of("https://exports.z01.blob.storage.azure.net/raw"),
        url_of("https://exports.blob.core.chinacloudapi.cn/raw"),
        url_of("https://blobs.example.com/raw"),
        url_of(sp="rwdl"),
        url_of(st="2026-05-01"),
        url_of(st="2026-05-08T12:14:00Z"),
        url_of(spr="https"),
        with_sas(f"{ACCOUNT}/raw", {**ACCOUNT_SAS, "sr": None}),
        with_sas(f"{ACCOUNT}/raw", {"sv": "2022-11-02", "sr": "c", "si": "p", "sig": SECRET}),
        f"{ACCOUNT}/raw",
        "file:///data/export",
        "file://localhost/data/export",
        "/data/export",
        "/data/export #1?",
        "./export",
        "~/export",
    ],
)
def test_a_right_url_is_accepted(url: str) -> None:
    check(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "no container"),
        ("exports/raw", "no container"),
        ("//exports.blob.core.windows.net/raw?sp=rl&sig=c2VjcmV0", "no container"),
        ("/subscriptions/s/resourceGroups/g", "no container"),
        (url_of("wasbs://raw@exports.blob.core.windows.net"), "no container"),
        (url_of("https:///raw"), "no container"),
        ("https://portal.azure.com/#@contoso/resource/subscriptions/s", "no container"),
        ("https://ms.portal.azure.com/#view/Microsoft_Azure_Storage", "no container"),
        (url_of("https://portal.azure.com/raw"), "no container"),
        (url_of("https://exports.dfs.core.windows.net/raw"), "no container"),
        (url_of("https://exports.z6.web.core.windows.net/raw"), "no container"),
        (url_of(ACCOUNT), "no container"),
        (url_of(f"{ACCOUNT}/"), "no container"),
        (url_of("http://127.0.0.1:10000/devstoreaccount1"), "no container"),
        (url_of(f"{ACCOUNT}/raw/2016/events.json"), "no container"),
        (url_of(f"{ACCOUNT}/Raw"), "no container"),
        (url_of(f"{ACCOUNT}/a"), "no container"),
        (url_of(f"{ACCOUNT}/a--b"), "no container"),
        ("http://127.0.0.1:10000/devstoreaccount1/raw", "no SAS"),
        (f"{ACCOUNT}/raw?restype=container", "no SAS"),
        (url_of(sig=None), "no SAS"),
        (url_of(sig=""), "no SAS"),
        (url_of(sr="b"), "sr=c"),
        (url_of(sr="d"), "sr=c"),
        (url_of(sr=None), "sr=c"),
        (url_of(sp=None), "sp="),
        (url_of(se=None), "se="),
        (url_of(se="tomorrow"), "se= is no time"),
        (url_of(st="2026-99-99"), "st= or se= is no time"),
        (url_of().replace("&", "&amp;"), "no SAS"),
        ("https://[broken/raw", "no URL"),
        (url_of("https://127.0.0.1:port/account/raw"), "no URL"),
        ("file://server/share", "whole path"),
        ("file:relative/path", "whole path"),
    ],
)
def test_a_wrong_form_is_refused_with_the_right_one_shown(url: str, reason: str) -> None:
    error = refusal_of(url)

    assert error.code == Code.CONTAINER_URL_INVALID
    assert reason in str(error)
    assert "container_url" in str(error)
    assert "https://ACCOUNT.blob.core.windows.net/CONTAINER?sv=…&sp=…&se=…&sig=" in str(error)


def test_a_url_without_a_sas_is_none_for_the_service() -> None:
    error = refusal_of(f"{ACCOUNT}/raw", "wl")

    assert error.code == Code.CONTAINER_URL_INVALID
    assert "no SAS" in str(error)
    assert "service" in str(error)


@pytest.mark.parametrize("end", ["2026-05-08", "2026-05-08T12:00Z", "2016-05-08T00:00:00Z"])
def test_a_sas_that_has_ended_is_refused_with_its_end(end: str) -> None:
    error = refusal_of(url_of(se=end))

    assert error.code == Code.SAS_EXPIRED
    assert end[:10] in str(error)
    assert f"container={ACCOUNT}/raw" in str(error)


def test_a_sas_that_does_not_count_yet_is_refused_unless_clocks_may_explain_it() -> None:
    check(url_of(st=(NOW + timedelta(minutes=15)).isoformat()))

    error = refusal_of(url_of(st=(NOW + timedelta(minutes=16)).isoformat()))

    assert error.code == Code.SAS_EXPIRED
    assert "2026-05-08T12:16:00Z" in str(error)


@pytest.mark.parametrize(
    ("url", "needs", "missing"),
    [
        (url_of(sp="r"), "rl", "does not allow list"),
        (url_of(sp="l"), "rl", "does not allow read"),
        (url_of(sp="rl"), "wl", "does not allow write"),
        (url_of(sp="w"), "rld", "does not allow delete, list, read"),
        (with_sas(f"{ACCOUNT}/raw", {**ACCOUNT_SAS, "ss": "fq"}), "rl", "list, read"),
        (with_sas(f"{ACCOUNT}/raw", {**ACCOUNT_SAS, "srt": "so"}), "rl", "list, read"),
        (with_sas(f"{ACCOUNT}/raw", {**ACCOUNT_SAS, "srt": "sc"}), "rl", "list, read"),
    ],
)
def test_a_sas_without_a_right_is_refused_with_the_right_named(
    url: str, needs: str, missing: str
) -> None:
    error = refusal_of(url, needs)

    assert error.code == Code.SAS_PERMISSION_MISSING
    assert missing in str(error)


@given(
    allowed=st.sets(st.sampled_from(sorted(PERMISSIONS)), min_size=1),
    needs=st.sets(st.sampled_from(sorted(PERMISSIONS)), min_size=1),
)
def test_a_sas_is_accepted_exactly_if_it_holds_all_that_is_needed(
    allowed: set[str], needs: set[str]
) -> None:
    url = url_of(sp="".join(sorted(allowed)))

    if needs <= allowed:
        check(url, "".join(needs))
    else:
        error = refusal_of(url, "".join(needs))
        assert error.code == Code.SAS_PERMISSION_MISSING
        for letter in needs - allowed:
            assert PERMISSIONS[letter] in str(error)


@given(
    st.text(), st.sampled_from(["", "https://", "https://h.blob.core.windows.net/", "file:"])
)
def test_any_text_is_accepted_or_refused_and_never_ends_in_another_error(
    text: str, start: str
) -> None:
    with suppress(SettingsError):
        check(start + text)


@given(st.binary(min_size=32, max_size=32))
def test_no_message_holds_the_signature(signature: bytes) -> None:
    text = base64.b64encode(signature).decode()

    for url in (
        url_of(sig=text, sp="w"),
        url_of(sig=text, se="2016-05-08"),
        url_of(sig=text, sr="b"),
        url_of("ftp://exports", sig=text),
    ):
        message = str(refusal_of(url))
        assert text not in message
        assert quote(text, safe="") not in message


def test_a_signature_keeps_its_plus_signs_when_it_was_copied_without_quoting() -> None:
    url = f"{url_of(sig=None)}&sig=a+b/c="

    parsed = ContainerUrl.parse(url)

    assert parsed.sas is not None
    assert parsed.sas.signature == "a+b/c="
    assert "sig=a%2Bb/c=" in parsed.text


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("2026-06-01", datetime(2026, 6, 1, tzinfo=UTC)),
        ("2026-06-01T10:00Z", datetime(2026, 6, 1, 10, tzinfo=UTC)),
        ("2026-06-01T10:00:05Z", datetime(2026, 6, 1, 10, 0, 5, tzinfo=UTC)),
        ("2026-06-01T10:00:05.1234567Z", datetime(2026, 6, 1, 10, 0, 5, 123456, tzinfo=UTC)),
        ("2026-06-01T10:00:05+02:00", datetime(2026, 6, 1, 8, 0, 5, tzinfo=UTC)),
    ],
)
def test_the_end_of_a_sas_is_read_in_all_its_forms(end: str, expected: datetime) -> None:
    assert check(url_of(se=end)) == expected


def test_a_folder_a_policy_and_an_identity_have_no_end_of_their_own() -> None:
    assert check(f"{ACCOUNT}/raw") is None
    assert check("file:///data") is None
    assert check(url_of(sp=None, se=None, si="policy")) is None


def test_a_label_and_a_printed_url_hold_no_secret() -> None:
    parsed = ContainerUrl.parse(url_of("https://user:word@exports.blob.core.windows.net/raw/"))

    assert parsed.label == f"{ACCOUNT}/raw"
    assert SECRET not in repr(parsed)
    assert "word" not in parsed.text
