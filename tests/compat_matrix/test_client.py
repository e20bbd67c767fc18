"""The matrix's client and wire: bytes in, what they say out. A socket pair or a listener stands for the server."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from select import select

import pytest

from compat_matrix.apps.support import Wire as ApplicationWire
from compat_matrix.client import RawClient
from compat_matrix.wire import Wire

TIMEOUT = 10.0  # seconds, for every wait
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def connected(
    *, receive_buffer: int | None = None, timeout: float = TIMEOUT
) -> Iterator[tuple[RawClient, socket.socket]]:
    """Give a client and the server's end of its connection."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        RawClient("127.0.0.1", listener.getsockname()[1], timeout, receive_buffer=receive_buffer) as client,
    ):
        listener.settimeout(TIMEOUT)
        server, _ = listener.accept()
        with server:
            server.settimeout(TIMEOUT)
            yield client, server


def reset(server: socket.socket) -> None:
    """Break the connection off by a RST."""
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()


@pytest.mark.parametrize(
    ("sent", "body", "complete"),
    [
        pytest.param(CHUNKED + b"5\r\nhello\r\n1;a=b\r\n!\r\n0\r\n\r\n", b"hello!", True, id="chunks"),
        pytest.param(CHUNKED + b"5\r\nhello\r\n", b"hello", False, id="no last chunk"),
        pytest.param(CHUNKED + b"5\r\nhel", b"hel", False, id="half a chunk"),
        pytest.param(CHUNKED + b"5\r\nhello\r", b"hello", False, id="half the end of a chunk"),
        pytest.param(CHUNKED + b"5\r\nhello\r\n0\r\n", b"hello", False, id="no end of the trailers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", True, id="length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", b"hello", False, id="less than the length"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello", True, id="to the end of the connection"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", b"", True, id="no body"),
    ],
)
def test_response_is_framed_as_rfc_9112_has_it(sent: bytes, body: bytes, complete: bool) -> None:
    """RFC 9112, 6.3 and 8: the client knows where the body ends, and whether something is missing."""
    with connected() as (client, server):
        server.sendall(sent)
        server.close()
        response = client.read_response()

    assert (response.body, response.complete) == (body, complete)


@pytest.mark.parametrize(
    "head", [CHUNKED, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"]
)
def test_response_whose_connection_is_reset_is_incomplete(head: bytes) -> None:
    """RFC 9112, 8: the connection itself says so, even where its end would be the body's end."""
    with connected() as (client, server):
        server.sendall(head)
        incoming = client.begin_response()
        reset(server)

        assert incoming.rest() == b""
        assert not incoming.response.complete


def test_body_is_taken_as_it_comes() -> None:
    """What a chunk ends with is the server's; what a check waits for may come in any number of pieces."""
    with connected() as (client, server):
        server.sendall(CHUNKED + b"3\r\nfir\r\n")
        incoming = client.begin_response()
        server.sendall(b"5\r\nst\nse\r\n"[:7])
        assert incoming.read_until(b"st") == b"first"
        server.sendall(b"5\r\nst\nse\r\n"[7:])
        server.sendall(b"5\r\ncond\n\r\n6\r\nthird\n\r\n0\r\n\r\n")
        assert incoming.read_until(b"second\n") == b"\nsecond\n"
        assert incoming.rest() == b"third\n"

    assert incoming.response.complete


def test_body_that_ends_is_no_reason_to_wait() -> None:
    """A check that waits for what never comes hears of it."""
    with connected() as (client, server):
        server.sendall(CHUNKED + b"5\r\nfirst\r\n0\r\n\r\n")
        with pytest.raises(EOFError, match="first"):
            client.begin_response().read_until(b"second")


def test_next_response_begins_where_the_last_one_ends() -> None:
    """RFC 9112, 9.3: several on one connection, not a byte more or less for each."""
    with connected() as (client, server):
        server.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + b"1\r\na\r\n0\r\n\r\n")
        server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb" * 2)
        responses = [client.read_response(method) for method in ("GET", "GET", "GET", "GET")]

    assert [(response.status, response.body) for response in responses] == [
        (100, b""),
        (200, b"a"),
        (200, b"b"),
        (200, b"b"),
    ]


def test_response_to_head_has_no_body() -> None:
    """RFC 9110, 9.3.2: its Content-Length is that of the response to GET."""
    with connected() as (client, server):
        server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")

        assert client.read_response("HEAD").body == b""
        assert client.nothing_came()


def test_many_small_chunks_take_no_time() -> None:
    """Time that grows with the square of what lies there would make an endless stream look held."""
    number = 100_000
    with connected() as (client, _):
        client._buffer += CHUNKED + b"5\r\ntick\n\r\n" * number + b"0\r\n\r\n"
        incoming = client.begin_response()

        assert sum(len(piece) for piece in incoming.pieces) == 5 * number


def test_reset_is_heard_by_the_server() -> None:
    """A client that leaves like this is not only silent."""
    with connected() as (client, server):
        client.reset()
        with pytest.raises(ConnectionResetError):
            server.recv(1)


def test_client_that_does_not_read_takes_in_little() -> None:
    """On loopback the kernel would take megabytes for it otherwise, at the sender's side too."""
    with connected(receive_buffer=4_096) as (_, server):
        server.setblocking(False)
        taken = 0
        while select([], [server], [], 0)[1] and taken < 10_000_000:
            taken += server.send(b"x" * 65_536)

    assert taken < 400_000


def test_wire_knows_whether_the_application_has_called() -> None:
    """A check may only ask an application something that has called."""
    with Wire(TIMEOUT) as wire:
        assert not wire.called()
        with ApplicationWire(wire.port) as application:
            assert select([wire], [], [], TIMEOUT)[0] == [wire]
            assert wire.called()
            application.say("called")
            assert wire.hear() == "called"
            assert wire.called()
