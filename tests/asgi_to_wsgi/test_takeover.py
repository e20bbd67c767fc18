"""Where a server keeps its connection, and what it has read of it already. The servers are in on_wsgi_servers."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.asgi_to_wsgi.takeover import find_connection
from tests.asgi_to_wsgi.server import request

EARLY = b"early frames"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, io.BufferedReader]]:
    """A server's socket and its file, which has read more than a line."""
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as file:
        theirs.sendall(b"line\n" + EARLY)
        assert file.readline() == b"line\n"
        yield ours, file


def werkzeug(connection: socket.socket, file: Any) -> dict[str, Any]:
    return {"werkzeug.socket": connection, "wsgi.input": file}


def gunicorn(connection: socket.socket, file: Any) -> dict[str, Any]:
    buffer = io.BytesIO()
    buffer.write(EARLY)
    body = SimpleNamespace(reader=SimpleNamespace(unreader=SimpleNamespace(buf=buffer)))
    return {"gunicorn.socket": connection, "wsgi.input": body}


def eventlet(connection: socket.socket, file: Any) -> dict[str, Any]:
    return {"eventlet.input": SimpleNamespace(get_socket=lambda: connection, rfile=file)}


def plain_file(connection: socket.socket, file: Any) -> dict[str, Any]:
    return {"wsgi.input": file}


def cheroot(connection: socket.socket, file: Any) -> dict[str, Any]:
    return {"wsgi.input": SimpleNamespace(rfile=file)}


@pytest.mark.parametrize("server", [werkzeug, gunicorn, eventlet, plain_file, cheroot])
def test_what_the_server_has_read_already_is_not_lost(server: Any, pair: tuple[socket.socket, Any]) -> None:
    """A client may send frames before it has the answer."""
    connection = find_connection(request(variables=server(*pair)))

    assert connection is not None
    taken = connection.take()
    taken.setblocking(False)
    assert taken.fileno() == pair[0].fileno()
    assert connection.read_early() == EARLY
    assert connection.read_early() == b""


def test_waitress_with_a_lookahead_hands_nothing_out(pair: tuple[socket.socket, Any]) -> None:
    """Its main thread would read the frames."""

    class Channel:
        socket = pair[0]

        def __init__(self, lookahead: int) -> None:
            self.adj = SimpleNamespace(channel_request_lookahead=lookahead)

        def disconnected(self) -> bool:
            return False

    without, ahead = (
        find_connection(request(variables={"waitress.client_disconnected": Channel(lookahead).disconnected}))
        for lookahead in (0, 5)
    )

    assert ahead is None
    assert without is not None
    assert without.take() is pair[0]


def test_server_that_hands_nothing_out() -> None:
    """Nothing but what PEP 3333 has."""
    assert find_connection(request()) is None
