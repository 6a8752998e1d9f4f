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
    from collections.abc import Iterable

RIGHT_FORM = "https://ACCOUNT.blob.core.windows.net/CONTAINER?sv=…&sp=…&se=…&sig=…"
"""What the URL of a container with its SAS looks like, for messages."""

PERMISSIONS = {"r": "read", "a": "add", "c": "create", "w": "write", "d": "delete", "l": "list"}
"""The permission letters of a SAS that matter here, and what the Azure portal calls them."""

CONTAINER_NAME = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*|\$root|\$web|\$logs")
"""What a container may be called, its whole name."""

# Microsoft's best practices for SAS: "you may observe up to 15 minutes of clock skew in either
# direction on any request".
_CLOCK_SKEW = timedelta(minutes=15)

_PATHS = (os.sep, f".{os.sep}", f"..{os.sep}", f"~{os.sep}")  # how a path begins
_NO_SAS = "carries no SAS (no sig=)"
# Hosts of the Azure portal, and of services that are not Blob Storage.
_ELSEWHERE = re.compile(
    r"(?:^|\.)portal\.azure\.com$|\.(?:dfs|file|queue|table|web)\.(?:core|storage)\."
)


@dataclass(frozen=True, slots=True)
class Sas:
    """A shared access signature. What a stored access policy says instead of it is None."""

    signature: str = field(repr=False)
    permissions: frozenset[str] | None
    starts: datetime | None
    expires: datetime | None

    def refusal(self, needs: str, now: datetime) -> tuple[Code, str, str] | None:
        """Why it does not do for these letters: code, reason and next step, if any."""
        if self.expires is not None and self.expires <= now:
            step = (
                "Make a new SAS for the container, put its URL in the settings and run again; "
                "it continues where this run stopped"
            )
            return Code.SAS_EXPIRED, f"ended at {self.expires:%Y-%m-%dT%H:%M:%SZ}", step
        if self.starts is not None and self.starts > now + _CLOCK_SKEW:
            what = f"counts only from {self.starts:%Y-%m-%dT%H:%M:%SZ} on"
            return Code.SAS_EXPIRED, what, "Wait until then, or make a SAS that starts earlier"
        if self.permissions is None or not (lacking := {*needs} - self.permissions):
            return None
        step = (
            f"Make a SAS for the container with the permissions {_names(needs)} "
            f"(sp={''.join(sorted(needs))}) and put its URL in the settings"
        )
        what = f"does not allow {_names(lacking)}"
        return Code.SAS_PERMISSION_MISSING, what, step


def _names(permissions: Iterable[str]) -> str:
    return ", ".join(PERMISSIONS.get(letter, letter) for letter in sorted(permissions))


@dataclass(frozen=True, slots=True)
class ContainerUrl:
    """The URL of an Azure container: its ``text`` is a secret, its ``label`` is none."""

    text: str = field(repr=False)
    label: str
    sas: Sas | None

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
        segments = parts.path.strip("/").split("/")
        if "." not in host or ":" in host or host.replace(".", "").isdigit():
            segments = segments[1:]  # an emulator: the first names the account
        is_ours = parts.scheme in {"http", "https"} and host and not _ELSEWHERE.search(host)
        if not is_ours or len(segments) != 1 or not CONTAINER_NAME.fullmatch(segments[0]):
            _refuse(setting, "names no container of Blob Storage, and no folder that exists")
        sas = _read_sas(parts, setting)
        # Without a user and password, which Azure Storage does not take.
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        label = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        return cls(parts.geturl(), label, sas)


def check_container_url(
    url: str, *, needs: str, now: datetime, setting: str
) -> datetime | None:
    """Refuse a container URL that can't work, before anything is created with it.

    ``needs`` holds permission letters. Raises CONTAINER_URL_INVALID, SAS_EXPIRED (also before
    its start) or SAS_PERMISSION_MISSING. Returns the end of its SAS, as far as it is known.
    """
    if folder_of(url, setting):
        return None
    container = ContainerUrl.parse(url, setting=setting)
    sas = container.sas
    if sas is None:
        if "w" in needs:
            _refuse(setting, f"{_NO_SAS}, without which the service can't write to it")
        return None
    if refusal := sas.refusal(needs, now):
        code, what, next_step = refusal
        what = f"the SAS in the setting {setting} {what}"
        raise SettingsError(code, what, next_step=next_step, container=container.label)
    return sas.expires


def folder_of(url: str, setting: str = "container_url") -> Path | None:
    """The folder that a ``file:`` URL or a path names; None where it names an Azure container.

    Raises CONTAINER_URL_INVALID.
    """
    text = url.strip()
    if not text.lower().startswith("file:"):
        is_url = "://" in text or "sig=" in text or text.startswith("/subscriptions/")
        if is_url or not (text.startswith(_PATHS) or os.path.isdir(text)):  # noqa: PTH112
            return None
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
    return Path(path)


def _refuse(setting: str, reason: str) -> NoReturn:
    raise SettingsError(
        Code.CONTAINER_URL_INVALID,
        f"the setting {setting} {reason}",
        next_step=f"Use the container's Blob URL with its SAS, {RIGHT_FORM}, "
        "or a folder, file:///FOLDER or its path",
    ) from None


def _read_sas(parts: SplitResult, setting: str) -> Sas | None:
    if not parts.query:
        if parts.scheme == "http":
            _refuse(setting, f"{_NO_SAS}, and a token is sent to https: only")
        return None
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not query.get("sig"):
        _refuse(setting, _NO_SAS)
    is_account_sas, has_policy = "srt" in query, "si" in query
    has_rights = has_policy or (query.get("sp") and query.get("se"))
    if not has_rights or not (is_account_sas or query.get("sr") == "c"):
        _refuse(setting, "has a SAS that is not whole, or not for a container: sr=c, sp=, se=")
    permissions = frozenset(query["sp"]) if query.get("sp") else None
    if is_account_sas and not ("b" in query.get("ss", "") and {*"co"} <= {*query["srt"]}):
        permissions = frozenset()  # it is not for containers, or not for blobs
    try:
        starts, expires = (
            read_time(query[name]) if query.get(name) else None for name in ("st", "se")
        )
    except ValueError:
        _refuse(setting, "has a SAS whose st= or se= is no time")
    return Sas(query["sig"], permissions, starts, expires)
