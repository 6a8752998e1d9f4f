"""Container URLs: their right form, and what the SAS in them allows. No clock."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import SplitResult, parse_qsl, urlsplit
from urllib.request import url2pathname

from tap_mobile_engagement.clock import read_time
from tap_mobile_engagement.errors import Code, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

RIGHT_FORM = "https://ACCOUNT.blob.core.windows.net/CONTAINER?sv=…&sp=…&se=…&sig=…"
"""What the URL of a container with its SAS looks like, for messages."""

PERMISSIONS = {
    "r": "read",
    "a": "add",
    "c": "create",
    "w": "write",
    "d": "delete",
    "l": "list",
}
"""The permission letters of a SAS that matter here, and what the Azure portal calls them."""

READ_AND_LIST = frozenset("rl")
"""What reading export files takes."""

WRITE_AND_LIST = frozenset("wl")
"""What a task's SAS is made with, as the author of Microsoft's own example asks for."""

CONTAINER_NAME = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*|\$root|\$web|\$logs")
"""What a container may be called, its whole name."""

# Microsoft's best practices for SAS: "you may observe up to 15 minutes of clock skew in either
# direction on any request".
_CLOCK_SKEW = timedelta(minutes=15)

_PATHS = (os.sep, f".{os.sep}", f"..{os.sep}", f"~{os.sep}")  # how a path begins
_NO_SAS = "carries no SAS (no sig=)"
_OTHER_SERVICES = re.compile(r"\.(dfs|file|queue|table|web)\.(?:core|storage)\.")
# What an account SAS has to allow beside permissions: parameter, letter, name.
_ACCOUNT_SAS = (
    ("ss", "b", "the Blob service (ss=b)"),
    ("srt", "c", "the resource type container (srt=c)"),
    ("srt", "o", "the resource type object (srt=o)"),
)


@dataclass(frozen=True, slots=True)
class Sas:
    """A shared access signature, as far as it says what it allows.

    What a stored access policy has is None. ``gaps`` are what an account SAS lacks for a
    container's blobs, in words.
    """

    signature: str = field(repr=False)
    permissions: frozenset[str] | None
    starts: datetime | None
    expires: datetime | None
    gaps: tuple[str, ...] = ()

    def refusal(self, needs: frozenset[str], now: datetime) -> tuple[Code, str, str] | None:
        """Why it does not do for that: the code, the reason and the next step, if any."""
        if self.expires is not None and self.expires <= now:
            step = (
                "Make a new SAS for the container, put its URL in the settings and run again; "
                "it continues where this run stopped"
            )
            return Code.SAS_EXPIRED, f"ended at {self.expires:%Y-%m-%dT%H:%M:%SZ}", step
        if self.starts is not None and self.starts > now + _CLOCK_SKEW:
            what = f"counts only from {self.starts:%Y-%m-%dT%H:%M:%SZ} on"
            return Code.SAS_EXPIRED, what, "Wait until then, or make a SAS that starts earlier"
        known = needs if self.permissions is None else self.permissions
        lacking = (*self.gaps, *_names(needs - known))
        if not lacking:
            return None
        step = (
            f"Make a SAS for the container with the permissions {', '.join(_names(needs))} "
            f"(sp={''.join(sorted(needs))}) and put its URL in the settings"
        )
        return Code.SAS_PERMISSION_MISSING, f"does not allow {', '.join(lacking)}", step


def _names(permissions: frozenset[str]) -> list[str]:
    return [PERMISSIONS.get(letter, letter) for letter in sorted(permissions)]


@dataclass(frozen=True, slots=True)
class ContainerUrl:
    """The URL of an Azure container: its ``text`` is a secret, its ``label`` is none."""

    text: str = field(repr=False)
    label: str
    sas: Sas | None

    @property
    def signature(self) -> str | None:
        """The secret in it."""
        return self.sas.signature if self.sas else None

    @classmethod
    def parse(cls, url: str, *, setting: str = "container_url") -> ContainerUrl:
        """Take a setting's container URL apart; raises SettingsError CONTAINER_URL_INVALID."""
        # A copied signature may hold a bare plus sign, which would be read as a space; a SAS
        # never holds a space.
        text = url.strip().replace("+", "%2B")
        try:
            parts = urlsplit(text)
            host = parts.hostname or ""
            _ = parts.port  # raises ValueError where it is no number
        except ValueError:
            _refuse(setting, "is no URL")
        _check_host(parts.scheme, host, setting)
        _check_path(parts.path, host, setting)
        sas = _read_sas(parts, setting)
        # Without a user and password, which Azure Storage does not take.
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        label = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        return cls(parts.geturl(), label, sas)


def check_container_url(
    url: str, *, needs: frozenset[str], now: datetime, setting: str
) -> None:
    """Refuse a container URL that can't work, before anything is created with it.

    ``needs`` holds permission letters. Raises CONTAINER_URL_INVALID, SAS_EXPIRED (also before
    its start) or SAS_PERMISSION_MISSING.
    """
    if is_folder_url(url):
        folder_path(url, setting)
        return
    container = ContainerUrl.parse(url, setting=setting)
    sas = container.sas
    if sas is None:
        if "w" in needs:
            _refuse(setting, f"{_NO_SAS}, without which the service can't write to it")
        return
    if refusal := sas.refusal(needs, now):
        code, what, next_step = refusal
        what = f"the SAS in the setting {setting} {what}"
        raise SettingsError(code, what, next_step=next_step, container=container.label)


def is_folder_url(url: str) -> bool:
    """Whether it names a folder (``file:…`` or a path) instead of an Azure container."""
    text = url.strip()
    return text.lower().startswith("file:") or _is_path(text)


def folder_path(url: str, setting: str = "container_url") -> str:
    """The folder that a ``file:`` URL or a path names; SettingsError CONTAINER_URL_INVALID."""
    text = url.strip()
    if not text.lower().startswith("file:"):
        path = os.path.expanduser(text)  # noqa: PTH111  (a user that is unknown is no error)
    else:
        try:
            parts = urlsplit(text)
        except ValueError:
            _refuse(setting, "is no URL")
        if "#" in text or "?" in text:
            right = text.replace("#", "%23").replace("?", "%3F")
            _refuse(setting, f"has a # or ? in its path: write it as {right}")
        if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
            _refuse(setting, "must name a folder by its whole path, as in file:///data/export")
        path = url2pathname(parts.path)
    if "\0" in path:
        _refuse(setting, "can't be the name of a folder")
    return path


def service_url(url: str) -> str:
    """The URL for the service: of a folder that is named by its path its ``file:`` URL."""
    return Path(folder_path(url)).absolute().as_uri() if _is_path(url.strip()) else url


def _is_path(text: str) -> bool:
    if "://" in text or "sig=" in text or text.startswith("/subscriptions/"):
        return False
    return text.startswith(_PATHS) or os.path.isdir(text)  # noqa: PTH112  (any text will do)


def sas_expiry(url: str) -> datetime | None:
    """When the URL's SAS ends, in UTC; None without one, or where a stored policy says it."""
    if is_folder_url(url):
        return None
    sas = ContainerUrl.parse(url).sas
    return sas.expires if sas else None


def _refuse(setting: str, reason: str) -> NoReturn:
    raise SettingsError(
        Code.CONTAINER_URL_INVALID,
        f"the setting {setting} {reason}",
        next_step=f"Use the container's Blob URL with its SAS, {RIGHT_FORM}, "
        "or a folder, file:///FOLDER or its path",
    ) from None


def _check_host(scheme: str, host: str, setting: str) -> None:
    if scheme not in {"http", "https"}:
        _refuse(setting, "must begin with https:// (or name a folder that exists)")
    if not host:
        _refuse(setting, "names no host")
    if host == "portal.azure.com" or host.endswith(".portal.azure.com"):
        _refuse(setting, "is an address of the Azure portal, not of the container itself")
    other = _OTHER_SERVICES.search(host)
    if other:
        _refuse(setting, f"is an address of the {other[1]} service, not of Blob Storage")


def _check_path(path: str, host: str, setting: str) -> None:
    segments = path.strip("/").split("/")
    if "." not in host or ":" in host or host.replace(".", "").isdigit():
        segments = segments[1:]  # an emulator: the first names the account
    if not any(segments):
        _refuse(setting, "names a storage account, but no container in it")
    if len(segments) > 1:
        _refuse(setting, "is the address of a blob or folder, not of a container")
    if not CONTAINER_NAME.fullmatch(segments[0]):
        _refuse(setting, f"names the container {segments[0]!r}, which can't be one's name")


def _read_sas(parts: SplitResult, setting: str) -> Sas | None:
    if not parts.query:
        if parts.scheme == "http":
            _refuse(setting, f"{_NO_SAS}, and a token is sent to https: only")
        return None
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if any(name.startswith("amp;") for name in query):
        _refuse(setting, "was copied from HTML: each &amp; in it must be a plain &")
    if not query.get("sig"):
        _refuse(setting, _NO_SAS)
    if "srt" not in query and query.get("sr") != "c":
        kind = f"is for something else (sr={query['sr']})" if "sr" in query else "has no sr="
        _refuse(setting, f"needs a SAS for the container, but the SAS {kind}")
    if query.get("spr") == "https" and parts.scheme == "http":
        _refuse(setting, "begins with http:, but its SAS allows only https:")
    if "si" not in query:
        for name in ("sp", "se"):
            if not query.get(name):
                _refuse(setting, f"is incomplete: its SAS has no {name}=")
    return Sas(
        signature=query["sig"],
        permissions=frozenset(query["sp"]) if query.get("sp") else None,
        starts=_read_time(query, "st", setting),
        expires=_read_time(query, "se", setting),
        gaps=tuple(
            name
            for parameter, letter, name in _ACCOUNT_SAS
            if "srt" in query and letter not in query.get(parameter, "")
        ),
    )


def _read_time(query: Mapping[str, str], name: str, setting: str) -> datetime | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return read_time(text)
    except ValueError:
        _refuse(setting, f"has a SAS whose {name}= is no time")
