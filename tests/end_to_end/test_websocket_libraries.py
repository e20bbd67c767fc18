"""Applications of flask-sock, Flask-SocketIO, Flask-Sockets and Django, unmodified, on ASGI servers."""

from __future__ import annotations

import queue
import socket
from contextlib import ExitStack
from typing import Any

import pytest
import socketio  # type: ignore[import-untyped]

from compat_matrix.servers import RunningServer
from compat_matrix.wire import TIMEOUT

from .websocket_servers import (
    by_hand,
    expect_log,
    opened,
    receive,
    reset,
    server,
    websocket_servers,
)

# Fixtures of this module.
__all__ = ["server", "websocket_servers"]


def test_chat_of_flask_sock(server: RunningServer) -> None:
    """Members join, speak, leave and are lost; the others hear all of it, each in the same order."""
    with ExitStack() as stack:

        def join(name: str) -> Any:
            return stack.enter_context(opened(server, f"/flask/chat/room/{name}"))

        first = join("first")
        assert receive(first) == "first has joined"
        second = join("second")
        assert [receive(one) for one in (first, second)] == ["second has joined"] * 2
        lost = by_hand(server, "/flask/chat/room/lost")
        assert [receive(one) for one in (first, second)] == ["lost has joined"] * 2
        for number in range(100):
            (first, second)[number % 2].send(str(number))
        # Nobody waits for what was said before, so the two may come in any order, but the same one for both.
        heard = [[receive(one) for _ in range(100)] for one in (first, second)]
        reset(lost)
        assert [receive(one) for one in (first, second)] == ["lost has left"] * 2
        second.send("still here")
        assert receive(first) == "second: still here"
        second.close(1000)
        assert receive(first) == "second has left"

    assert heard[0] == heard[1]
    for name, numbers in (("first", range(0, 100, 2)), ("second", range(1, 100, 2))):
        said = [message for message in heard[0] if str(message).startswith(name)]
        assert said == [f"{name}: {number}" for number in numbers]


def test_view_of_django(server: RunningServer) -> None:
    """Plain Django, and simple-websocket in a view; the server has nothing to report."""
    before = len(server.log())
    with opened(server, "/one/django/echo?who=django", compression=None) as client:
        for message in ("hello", "é" * 100_000):
            client.send(message)
            assert receive(client) == f"django: {message}"
    expect_log(server, "over: /one/django/echo, 0 left", before)

    assert "Traceback" not in server.log()[before:]


class Client:
    """A client of Socket.IO that keeps what it hears."""

    def __init__(self, stack: ExitStack, url: str, transports: list[str], **options: Any) -> None:
        self.io = socketio.Client(**options)
        self.heard: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        for name in ("answer", "news", "said", "connect"):
            self.io.on(name, lambda *data, name=name: self.heard.put((name, data[0] if data else None)))
        self.io.connect(url, transports=transports, wait_timeout=TIMEOUT)
        stack.callback(self.io.disconnect)
        assert self.next() == ("connect", None)

    def call(self, *event: Any) -> object:
        """Send an event and return what the application acknowledges it with."""
        answer: object = self.io.call(*event, timeout=TIMEOUT)
        return answer

    def next(self) -> tuple[str, object]:
        """Return name and data of the event that comes next."""
        return self.heard.get(timeout=TIMEOUT)


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"]], ids=["websocket", "upgraded"])
def test_flask_socketio(server: RunningServer, transports: list[str]) -> None:
    """A client from the start on a WebSocket, or upgraded to it: answers, a broadcast, binary data, a room."""
    data = {"text": "é", "binary": b"\xff" * 100_000}
    with ExitStack() as stack:
        one, other = (Client(stack, server.url, transports) for _ in range(2))

        assert one.call("ask", data) == "heard"
        assert [one.next(), one.next(), other.next()] == [("answer", data), ("news", data), ("news", data)]
        # Only who has joined the room hears what is said there.
        assert one.call("join", "room") == "joined"
        other.io.emit("say", ("room", "hello"))
        assert other.call("ask", "last") == "heard"
        assert [one.next(), one.next()] == [("said", "hello"), ("news", "last")]
        assert [other.next(), other.next()] == [("answer", "last"), ("news", "last")]
        assert [one.io.transport(), other.io.transport()] == ["websocket"] * 2


def test_client_of_flask_socketio_comes_back(server: RunningServer) -> None:
    """After its connection was lost; the application knows the one that comes as another."""
    with ExitStack() as stack:
        client = Client(stack, server.url, ["websocket"], reconnection_delay=0.1, reconnection_delay_max=0.1)
        first = client.io.get_sid()
        lost = client.io.eio.ws.sock
        stack.callback(lost.close)  # engineio's client forgets it
        lost.shutdown(socket.SHUT_RDWR)

        assert client.next() == ("connect", None)
        assert client.io.get_sid() != first
        assert client.call("ask", "again") == "heard"
