"""How real connections fail, over real sockets: what is repeated depends on it."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tap_mobile_engagement.api.http import (
    Transport,
    new_session,
)
from tap_mobile_engagement.clock import Retry, Schedule
from tap_mobile_engagement.errors import Code, RetryLaterError, SettingsError
from tests.support.times import FakeTime

Behaviour = Callable[[socket.socket], None]

# Without keep-alive, so that each request makes a connection, and meets the next behaviour.
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
OK = HEAD + b"Content-Length: 2\r\n\r\n{}"


def close(_: socket.socket) -> None:
    """Take the request and hang up without a word."""


def cut_body(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 100\r\n\r\n{")


def cut_chunks(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{")


def wrong_gzip(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}")


def silence(connection: socket.socket) -> None:
    connection.recv(1)  # until the client gives up


def answer_well(connection: socket.socket) -> None:
    connection.sendall(OK)


class Server:
    """Takes one connection after another; each is treated as the next behaviour says."""

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self._behaviours = behaviours
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(10)  # no connection ever: the thread ends, the test has failed
        self.port = self._socket.getsockname()[1]
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        for behave in self._behaviours:
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                return
            with connection:
                if self._tls:
                    try:
                        connection = self._tls.wrap_socket(connection, server_side=True)
                    except OSError:
                        continue
                self.requests.append(connection.recv(65536))
                behave(connection)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._socket.close()


@contextmanager
def transport(*, tries: int = 2) -> Iterator[Transport]:
    with new_session() as session:
        session.trust_env = False
        yield Transport(
            session=session,
            timing=FakeTime().timing,
            retry=Retry(tries=tries, schedule=Schedule(first=1, largest=4)),
            timeouts=(5, 0.3),
        )


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


BROKEN = [close, cut_body, cut_chunks, wrong_gzip, silence]


@pytest.mark.parametrize("behaviour", BROKEN)
def test_a_request_that_only_reads_survives_a_broken_connection(behaviour: Behaviour) -> None:
    with Server(behaviour, answer_well) as server, transport() as client:
        answer = client.send("GET", f"http://127.0.0.1:{server.port}/x")

    assert answer.json() == {}
    assert len(server.requests) == 2


@pytest.mark.parametrize("behaviour", BROKEN)
def test_a_request_that_must_not_be_repeated_is_sent_once(behaviour: Behaviour) -> None:
    with (
        Server(behaviour) as server,
        transport(tries=9) as client,
        pytest.raises(RetryLaterError, match="TASK_CREATION_UNCERTAIN"),
    ):
        client.send("POST", f"http://127.0.0.1:{server.port}/x", data=b"{}", creates=True)

    assert len(server.requests) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_a_connection_every_request_may_be_repeated(
    method: str, closed_port: int
) -> None:
    with transport(tries=3) as client, pytest.raises(RetryLaterError) as caught:
        client.send(method, f"http://127.0.0.1:{closed_port}/x", creates=method == "POST")

    assert caught.value.code is Code.SERVICE_UNAVAILABLE
    assert f"127.0.0.1:{closed_port}" in str(caught.value)
    assert "tries=3" in str(caught.value)


@pytest.mark.parametrize("url", ["not a url", "ftp://127.0.0.1/x", "http://"])
def test_a_url_that_can_not_be_used_is_an_error_of_the_settings(url: str) -> None:
    with transport() as client, pytest.raises(SettingsError) as caught:
        client.send("GET", url)

    assert caught.value.code is Code.BAD_SETTING


def test_an_untrusted_certificate_is_an_error_of_the_settings(tmp_path: Path) -> None:
    with (
        Server(close, tls=_self_signed(tmp_path)) as server,
        transport() as client,
        pytest.raises(SettingsError, match=r"BAD_SETTING.*certificate"),
    ):
        client.send("POST", f"https://127.0.0.1:{server.port}/x", creates=True)

    assert server.requests == []


def test_a_session_keeps_no_cookies() -> None:
    def set_cookie(connection: socket.socket) -> None:
        connection.sendall(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b; Path=/\r\n\r\n"))

    with Server(set_cookie, answer_well) as server, transport() as client:
        for _ in range(2):
            client.send("GET", f"http://127.0.0.1:{server.port}/x")

    assert b"Cookie" not in server.requests[1]


def _self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
