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

from tests.asgi import request_messages, serve, upload_scope
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
