"""Where export files are written to: an Azure container by its SAS URL, or a folder.

The form of the URL is documented: ``https://ACCOUNT.blob.core.windows.net/CONTAINER?SAS``. The
URLs of storage emulators, which name the account in the path, and ``file:///folder`` are
additions of the simulator.
"""

from __future__ import annotations

import ipaddress
import shutil
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import parse_qs, urlsplit
from urllib.request import url2pathname

_EXAMPLE = "https://ACCOUNT.blob.core.windows.net/CONTAINER?sv=…&sp=…&se=…&sig=…"


class WriteError(Exception):
    """A blob could not be written; the message names no secret."""


class Target(Protocol):
    """A container that takes blobs."""

    def write(self, name: str, body: IO[bytes]) -> None:
        """Write a blob, whole or not at all, over one of that name.

        Raises:
            WriteError: If that is not allowed, or nothing is there.
        """


def check_container_url(url: str) -> None:
    """Check the form of a container URL, and nothing else: no request is made.

    Raises:
        ValueError: If the form is wrong; says how it should be.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"containerUrl is no URL; expected {_EXAMPLE}") from error
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or len(parts.path) <= 1:
            raise ValueError("containerUrl: a folder has the form file:///folder")
        return
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError(f"containerUrl is no URL of a container; expected {_EXAMPLE}")
    segments = [segment for segment in parts.path.split("/") if segment]
    if len(segments) != (2 if _is_emulator(parts.hostname) else 1):
        raise ValueError(f"containerUrl must name a container and no blob; expected {_EXAMPLE}")
    if "sig" not in parse_qs(parts.query):
        raise ValueError(f"containerUrl has no shared access signature; expected {_EXAMPLE}")


def _is_emulator(host: str) -> bool:
    """Whether URLs with this host name the account in the path, as storage emulators do."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or "." not in host
    return True


def target_for(url: str) -> Target:
    """The container behind a URL whose form was checked."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FolderTarget(Path(url2pathname(parts.path)))
    return AzureTarget(url)


class FolderTarget:
    """A folder, made when it is not there; blob names with slashes become subfolders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, body: IO[bytes]) -> None:
        """Write a file under a hidden name first, then give it its own, so that it is whole."""
        path = self._folder / name
        hidden = path.with_name(f".{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with hidden.open("wb") as file:
                shutil.copyfileobj(body, file)
            hidden.replace(path)
        except OSError as error:
            raise WriteError(f"cannot write to the folder: {error.strerror}") from error


class AzureTarget:
    """A container in Blob Storage, or in an emulator of it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def write(self, name: str, body: IO[bytes]) -> None:
        """Upload a blob; it appears when all of it is there."""
        # Imported late: it takes half a second, and folders do without.
        from azure.core import exceptions  # noqa: PLC0415
        from azure.storage.blob import ContainerClient, LinearRetry  # noqa: PLC0415

        retries = LinearRetry(backoff=1, retry_total=2, random_jitter_range=0)
        try:
            with ContainerClient.from_container_url(self._url, retry_policy=retries) as client:
                client.upload_blob(name, body, overwrite=True)
        except exceptions.HttpResponseError as error:
            # The error's own text may quote the URL with its signature.
            code = getattr(error, "error_code", None) or "no code"
            raise WriteError(f"storage answered {error.status_code} ({code})") from error
        except exceptions.AzureError as error:
            raise WriteError(f"storage cannot be reached ({type(error).__name__})") from error
