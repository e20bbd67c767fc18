"""WebSockets of WSGI applications over HTTP/2 (RFC 8441), with prior knowledge, on the servers that have them.

Granian speaks HTTP/2 and does not offer them; Uvicorn and Daphne speak HTTP/1.1 only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from wsproto.connection import CLIENT, Connection
from wsproto.events import CloseConnection, TextMessage

from compat_matrix.h2_client import H2Client, Response
from compat_matrix.servers import RunningServer

from .websocket_servers import expect_log, frame, server, websocket_servers

# Fixtures of this module.
__all__ = ["server", "websocket_servers"]

pytestmark = pytest.mark.parametrize("server", ["hypercorn-asyncio", "hypercorn-trio"], indirect=True)


class Client(H2Client):
    """A client of HTTP/2 that asks for WebSockets."""

    def ask(self, path: str, *headers: tuple[str, str]) -> int:
        """Send the handshake of RFC 8441, 5: no key, no upgrade. Returns the stream."""
        asked = [(":protocol", "websocket"), ("sec-websocket-version", "13"), *headers]
        return self.request("CONNECT", path, headers=asked, body=True)

    def open(self, path: str) -> int:
        """Ask for one and wait until it is accepted: Hypercorn refuses one whose frames come before that."""
        stream = self.ask(path)
        while not self._responses[stream].status:
            self._receive()
        assert self._responses[stream].status == 200
        return stream

    def __enter__(self) -> Client:
        return self


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    """One connection."""
    with Client(server.host, server.port) as made:
        yield made


def said(response: Response) -> tuple[str, int | None]:
    """Return the text of what the server said, and the code of its close."""
    frames = Connection(CLIENT)
    frames.receive_data(response.body)
    text, code = "", None
    for event in frames.events():
        if isinstance(event, TextMessage):
            text += event.data
        elif isinstance(event, CloseConnection):
            code = int(event.code)
    return text, code


def test_handshake_is_a_get_request_to_the_application(client: Client) -> None:
    """With all that RFC 6455, 4.1, asks of one, so that libraries take it; the answer is 200 (RFC 8441, 5)."""
    cookies = [("cookie", "k=v"), ("cookie", "l=w")]
    stream = client.ask("/shown?choose=b", ("sec-websocket-protocol", "a, b"), ("x-test", "yes"), *cookies)
    response = client.read_response(stream)
    text, code = said(response)

    headers = [pair for pair in response.headers if pair[0] in ("x-served", "set-cookie", "sec-websocket-protocol")]
    assert (response.status, code) == (200, 1000)
    assert headers == [
        ("sec-websocket-protocol", "b"),
        ("x-served", "yes"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    ]
    expected = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/shown",
        "QUERY_STRING": "choose=b",
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_UPGRADE": "websocket",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_PROTOCOL": "a, b",
        "HTTP_COOKIE": "k=v; l=w",
        "HTTP_X_TEST": "yes",
    }
    environ = json.loads(text)["environ"]
    assert {name: environ.get(name) for name in expected} == expected
    assert len(environ["HTTP_SEC_WEBSOCKET_KEY"]) == 24
    assert environ["SERVER_PROTOCOL"].startswith("HTTP/2")


@pytest.mark.parametrize("path", ["/echo", "/flask/echo", "/gevent/echo", "/django/echo?who=django"])
def test_messages_go_both_ways(client: Client, path: str) -> None:
    """Two WebSockets on one connection, whole messages and fragments; the close of the client is answered."""
    before = b"django: " if "django" in path else b""
    streams = [client.open(path) for _ in range(2)]
    for number, stream in enumerate(streams):
        client.send(stream, frame(0x01, b"hello ") + frame(0x80, b"%d" % number), ended=False)
    for number, stream in enumerate(streams):
        answer = before + b"hello %d" % number
        assert client.read_until(stream, answer).body == bytes([0x81, len(answer)]) + answer
    for stream in streams:
        client.send(stream, frame(0x88, b"\x03\xe8"), ended=False)
        # Hypercorn leaves the stream open after that: its end is not waited for.
        client.read_until(stream, b"\x88\x02\x03\xe8")


def test_close_of_the_application_ends_the_stream(client: Client) -> None:
    """And no other: the connection goes on with a request."""
    stream = client.ask("/close?code=4999")
    assert said(client.read_response(stream)) == ("last", 4999)
    assert client.read_response(client.request("GET", "/hello")).body == b"hello"


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [("/other", 401, b"who are you?"), ("/refuse", 403, b""), ("/fail_before", 500, b"")],
)
def test_handshake_that_is_not_taken_is_answered(client: Client, path: str, status: int, body: bytes) -> None:
    """With the application's response, 403 for a close and 500 for a failure."""
    response = client.read_response(client.ask(path))

    assert (response.status, response.body) == (status, body)


def test_connection_that_is_lost_ends_all_of_its_websockets(server: RunningServer) -> None:
    """Each application hears of it."""
    before = len(server.log())
    with Client(server.host, server.port) as client:
        for stream in [client.open("/hundred/echo") for _ in range(3)]:
            client.send(stream, frame(0x81, b"hello"), ended=False)
            client.read_until(stream, b"hello")
    expect_log(server, "over: /hundred/echo, 0 left", before)

    assert server.log()[before:].count("ended with 1006 ''") == 3
