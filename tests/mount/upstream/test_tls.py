"""An upstream behind https, and WebSockets of its own behind wss."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import ssl
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from wsproto.events import CloseConnection, TextMessage

from bridge import ApplicationError
from tests.asgi import FakeServer, request_messages, serve, upload_scope
from tests.mount.upstream.raw import Line, played
from tests.mount.upstream.speaking import FakeWebSocket, Speaker


class Tls(NamedTuple):
    upstream: ssl.SSLContext
    client: ssl.SSLContext
    """Trusts the upstream's certificate, and no other."""


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "upstream")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder: Path = tmp_path_factory.mktemp("tls")
    pem = folder / "upstream.pem"
    encoding = serialization.Encoding.PEM
    pem.write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(encoding)
    )
    upstream = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    upstream.load_cert_chain(pem)
    return Tls(upstream, ssl.create_default_context(cadata=certificate.public_bytes(encoding).decode()))


async def test_upstream_is_asked_over_tls(tls: Tls) -> None:
    """And the connection serves the next request as well."""

    async def handle(line: Line) -> None:
        for _ in range(2):
            await line.head()
            assert await line.exactly(3) == b"abc"
            await line.answer(b"x" * 300_000)

    async with played(handle, tls=tls.upstream, ssl_context=tls.client) as server:
        first = await serve(server.upstream, upload_scope(3), *request_messages(b"abc"))
        second = await serve(server.upstream, upload_scope(3), *request_messages(b"abc"))

    assert [len(first.body), len(second.body), server.connections] == [300_000, 300_000, 1]


async def test_websocket_is_passed_through_over_tls(tls: Tls) -> None:
    """In both directions at once."""

    async def handle(line: Line) -> None:
        speaker = await Speaker(line).accept()
        await speaker.say(TextMessage(str(await speaker.message())), CloseConnection(4001))
        await line.rest()

    async with played(handle, tls=tls.upstream, ssl_context=tls.client) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            client.say("hello")

    assert [message.get("text") or message.get("code") for message in client.sent[1:]] == ["hello", 4001]


@pytest.mark.parametrize("notify", [True, False])
async def test_response_that_ends_with_its_connection_is_complete_if_tls_says_so(tls: Tls, notify: bool) -> None:
    """RFC 9112, 9.8: without close_notify anybody on the way may have cut it."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.say(b"HTTP/1.1 200 OK\r\n\r\nabc")
        await line.end(notify=notify)
        await line.rest()

    client = FakeServer()
    async with played(handle, tls=tls.upstream, ssl_context=tls.client) as server:
        if notify:
            await client.serve(server.upstream)
        else:
            with pytest.raises(ApplicationError, match="close_notify"):
                await client.serve(server.upstream)

    assert (client.body, client.complete) == (b"abc", notify)


async def test_record_behind_a_response_is_not_taken_for_the_next_one(tls: Tls) -> None:
    """It came with the response, so the socket has nothing more to read."""

    async def handle(line: Line) -> None:
        await line.head()
        ok, forged = (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n" + body for body in (b"true  ", b"forged"))
        await line.records(ok, forged)
        await line.rest()

    async with played(handle, tls=tls.upstream, ssl_context=tls.client) as server:
        bodies = [(await serve(server.upstream)).body for _ in range(2)]

    assert (bodies, server.connections) == ([b"true  ", b"true  "], 2)


async def test_certificate_that_nobody_has_signed_is_answered_502(
    tls: Tls, bridge_log: list[logging.LogRecord]
) -> None:
    """The system's authorities are the ones that count, unless others are given."""

    async def handle(line: Line) -> None:
        raise AssertionError("the connection was to be refused")

    async with played(handle, tls=tls.upstream) as server:
        served = await serve(server.upstream)
        await server.until(lambda: not server.open)

    assert (served.status, served.body) == (502, b"The upstream server cannot be reached.\n")
    assert "CERTIFICATE_VERIFY_FAILED" in bridge_log[0].getMessage()
