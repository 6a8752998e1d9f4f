"""Azurite, Microsoft's emulator of Blob Storage, for tests: a server, and what to put in it."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import pytest
import trustme
from azure.storage.blob import (
    ContainerClient,
    ContainerSasPermissions,
    generate_container_sas,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import IO

_INSTALLER = Path(__file__).resolve().parents[2] / "scripts" / "install_azurite.py"
_HOST = "127.0.0.1"
_READY_WITHIN = timedelta(seconds=60)  # one or two seconds on an idle machine
_STOPPED_WITHIN_SECONDS = 10
_TRIES = 5  # each on another port
_SERVER = "Azurite"  # as it begins to call itself in its answers
_AN_HOUR = timedelta(hours=1)


class _PortTakenError(RuntimeError):
    """Another server was faster to take the port that had been free."""


class Azurite:
    """A Blob Storage server of its own on this machine, with a storage account of its own.

    Use it as a context manager: it listens on a free port inside the block and is stopped, by
    the handle that started it, at its end.

    Args:
        location: Folder for its data; without one all data is in memory, where the space of
            deleted blobs is never given back.
        https: Folder for a certificate of its own: it speaks HTTPS, and takes the tokens of
            identities too. Azurite reads what a token says of itself and does not check its
            signature.

    Attributes:
        account: Name of its storage account.
        key: Key of the account, made up anew for each server.
        authority: What a client has to trust, a file; None where it speaks HTTP.
        endpoint: URL of the account, as path-style emulators have it; no slash at its end.
    """

    def __init__(self, location: Path | None = None, https: Path | None = None) -> None:
        self._location = location
        self._https: list[str] = []
        self.authority: Path | None = None
        if https:
            self.authority, key, chain = (https / name for name in ("ca", "key", "chain"))
            ca = trustme.CA()
            issued = ca.issue_cert(_HOST)
            ca.cert_pem.write_to_path(str(self.authority))
            issued.private_key_pem.write_to_path(str(key))
            issued.cert_chain_pems[0].write_to_path(str(chain))
            self._https = ["--oauth", "basic", "--cert", str(chain), "--key", str(key)]
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self.account = "tapstorage"
        self.key = base64.b64encode(secrets.token_bytes(64)).decode()
        self.port = 0

    def __enter__(self) -> Self:
        """Install it if need be, start it, and wait until it answers.

        Raises:
            RuntimeError: If it ended or did not answer in time; with all that it printed.
        """
        for tries_left in reversed(range(_TRIES)):
            self._start()
            try:
                self._wait_until_it_answers()
            except _PortTakenError:
                self._stop()
                if not tries_left:
                    raise
            except BaseException:
                self._stop()
                raise
            else:
                break
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    @property
    def endpoint(self) -> str:
        scheme = "https" if self.authority else "http"
        return f"{scheme}://{_HOST}:{self.port}/{self.account}"

    @property
    def connection_string(self) -> str:
        """The account's connection string, with its key."""
        return (
            f"DefaultEndpointsProtocol={urlsplit(self.endpoint).scheme};AccountName={self.account};"
            f"AccountKey={self.key};BlobEndpoint={self.endpoint};"
        )

    def new_container(self) -> str:
        """Make an empty container that no other test uses, and return its name."""
        name = f"test-{uuid.uuid4().hex}"
        self.client(name).create_container()
        return name

    def client(self, container: str) -> ContainerClient:
        """A client with all rights, to prepare and to inspect what a container holds."""
        trusted = str(self.authority) if self.authority else True
        return ContainerClient.from_connection_string(
            self.connection_string, container, connection_verify=trusted
        )

    def upload(self, container: str, name: str, data: bytes) -> None:
        """Write a blob, over the one of that name if there is one."""
        self.client(container).upload_blob(name, data, overwrite=True)

    def sas_url(
        self,
        container: str,
        permissions: str | None = "rl",
        *,
        expires_in: timedelta | None = _AN_HOUR,
        starts_in: timedelta | None = None,
        policy: str | None = None,
    ) -> str:
        """The container's URL with a SAS for it.

        Args:
            container: Name of the container.
            permissions: Letters in any order, as in `sp`; None where the policy has them.
            expires_in: Time from now to its end; negative for a SAS that has expired.
            starts_in: Time from now to its begin; it counts at once without one.
            policy: Name of a stored access policy of the container.
        """
        now = datetime.now(UTC)
        sas = generate_container_sas(
            self.account,
            container,
            self.key,
            permission=permissions and ContainerSasPermissions.from_string(permissions),
            expiry=None if expires_in is None else now + expires_in,
            start=None if starts_in is None else now + starts_in,
            policy_id=policy,
        )
        return f"{self.endpoint}/{container}?{sas}"

    def _start(self) -> None:
        self.port = _free_port()
        storage = (
            ["--location", str(self._location)] if self._location else ["--inMemoryPersistence"]
        )
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the server)
        self._process = subprocess.Popen(
            [
                *_command(),
                *("--blobHost", _HOST, "--blobPort", str(self.port)),
                *storage,
                *self._https,
                *("--silent", "--disableTelemetry", "--skipApiVersionCheck"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "AZURITE_ACCOUNTS": f"{self.account}:{self.key}"},
        )

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN.total_seconds()
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                printed = self._printed()
                kind = _PortTakenError if "EADDRINUSE" in printed else RuntimeError
                raise kind(f"Azurite did not start:\n{printed}")
            server = _server_at(self.port, self.authority)
            if server is not None:
                if not server.startswith(_SERVER):
                    raise _PortTakenError(f"{server!r} answers in the place of Azurite")
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"Azurite did not start:\n{self._printed()}")
            time.sleep(0.05)

    def _printed(self) -> str:
        assert self._output is not None
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def _stop(self) -> None:
        assert self._process is not None
        assert self._output is not None
        self._process.terminate()
        try:
            self._process.wait(_STOPPED_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()


def _command() -> list[str]:
    """What starts Azurite; it is installed first where it is missing."""
    done = subprocess.run(
        [sys.executable, str(_INSTALLER)], check=True, stdout=subprocess.PIPE, text=True
    )
    command: list[str] = json.loads(done.stdout)
    return command


def _server_at(port: int, authority: Path | None) -> str | None:
    """What a server says that it is; None where none answers."""
    if authority:
        trust = ssl.create_default_context(cafile=authority)
        connection: HTTPConnection = HTTPSConnection(_HOST, port, timeout=5, context=trust)
    else:
        connection = HTTPConnection(_HOST, port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().getheader("Server", "")
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _free_port() -> int:
    """A port that nobody listens on now; by the time that it is used, somebody may."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """One Blob Storage server for the whole test session; each test makes its containers."""
    with Azurite() as server:
        yield server


@pytest.fixture(scope="session")
def _https_azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with Azurite(https=tmp_path_factory.mktemp("https")) as server:
        yield server


@pytest.fixture
def https_azurite(_https_azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> Azurite:
    """One that speaks HTTPS and takes the tokens of identities; who asks for it trusts it."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(_https_azurite.authority))
    return _https_azurite


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that asks for the server, so that `-m "not azurite"` leaves them out."""
    for item in items:
        if {"azurite", "https_azurite"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.azurite)
