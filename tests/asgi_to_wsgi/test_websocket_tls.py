"""WebSockets over a connection that speaks TLS, as Werkzeug and Gunicorn hand it out."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.asgi_to_wsgi.websocket_applications import Noted, Open, echo, serving
from tests.asgi_to_wsgi.websocket_server import BINARY, CLOSE, TEXT, frame

# A fixture.
__all__ = ["serving"]

Contexts: TypeAlias = tuple[ssl.SSLContext, ssl.SSLContext]  # the server's, the client's


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    """A certificate for this test run, and a client that trusts no other."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(encoding))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cadata=certificate.public_bytes(encoding).decode())


def test_messages_over_tls(serving: Open, tls: Contexts) -> None:
    """With more than a record of TLS holds, and with frames that came together with the handshake."""
    application = Noted(echo)
    with serving(application, {"tls": tls}) as server:
        server.ask(early=frame(TEXT, b"early"))
        assert server.read_head().startswith("HTTP/1.1 101 ")
        assert server.hear() == (TEXT, b"early")
        for size in (1, 100_000, 1_000_000):
            server.say(BINARY, bytes(size))
            assert server.hear() == (BINARY, bytes(size))
        server.say(CLOSE, b"\x03\xe8")
        assert server.hear_close() == (1000, "")

    assert application.received[-1]["code"] == 1000


def test_frames_that_are_not_allowed_over_tls(serving: Open, tls: Contexts) -> None:
    """The client gets the close, although the connection ends without the farewell of TLS."""
    with serving(Noted(), {"tls": tls}) as server:
        server.ask()
        server.read_head()
        server.say(TEXT, b"\xff\xfe")
        assert server.hear_close()[0] == 1007
        server.client_socket.close()


def test_client_that_is_lost_over_tls(serving: Open, tls: Contexts) -> None:
    """1006, as without it."""
    application = Noted()
    with serving(application, {"tls": tls}) as server:
        server.ask()
        server.read_head()
        server.client_socket.close()

    assert [message["code"] for message in application.received] == [1006]
