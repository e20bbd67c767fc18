"""WebSockets of WSGI applications, on real servers and with real clients."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import socketio  # type: ignore[import-untyped]
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from compat_matrix.servers import RECIPES, Recipe, RunningServer, start
from tests.server_logs import SERVER

TIMEOUT = 20.0  # seconds

# One of each server, and Hypercorn on both event loops.
_RECIPES = ["uvicorn-h11", "hypercorn-asyncio", "hypercorn-trio", "granian", "daphne"]

# What Daphne takes by default; and it sends no message that is empty.
_LARGEST = {"daphne": 1_000_000}


@pytest.fixture(scope="module")
def running() -> Iterator[Callable[[Recipe], RunningServer]]:
    """Start each server once, and end all of them together."""
    with ExitStack() as stack:
        started: dict[str, RunningServer] = {}

        def get(recipe: Recipe) -> RunningServer:
            if recipe.name not in started:
                target = "tests.end_to_end.websocket_application:served"
                started[recipe.name] = stack.enter_context(start(recipe, target, directory=Path(__file__).parents[2]))
            return started[recipe.name]

        yield get
        for one in started.values():
            one.terminate()


@pytest.fixture(params=_RECIPES)
def server(request: pytest.FixtureRequest, running: Callable[[Recipe], RunningServer]) -> tuple[Recipe, RunningServer]:
    recipe = RECIPES[request.param]
    if missing := recipe.missing():
        pytest.skip(missing)
    one = running(recipe)
    request.node.stash[SERVER] = one
    return recipe, one


# A client of the `websockets` package reads ahead, whatever its own reader does.
_HANDSHAKE = (
    b"GET /flood HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

Server = tuple[Recipe, RunningServer]


def opened(server: Server, path: str, **options: Any) -> ClientConnection:
    """Open a WebSocket; leaving its block closes it."""
    url = f"ws://{server[1].host}:{server[1].port}{path}"
    options.update(proxy=None, open_timeout=TIMEOUT, close_timeout=TIMEOUT, max_size=None)
    client: ClientConnection = connect(url, **options)
    return client


def receive(client: ClientConnection) -> str | bytes:
    return client.recv(timeout=TIMEOUT)


def ended(client: ClientConnection) -> tuple[int, str]:
    """Wait for the end, and return the server's close code and reason."""
    with pytest.raises(ConnectionClosed) as raised:
        receive(client)
    close = raised.value.rcvd
    return (close.code, close.reason) if close is not None else (1006, "")


@pytest.mark.parametrize("path", ["/echo", "/flask/echo", "/gevent/echo"])
def test_messages_go_both_ways(server: Server, path: str) -> None:
    """Text, binary, none, and 16 MiB, as far as the server takes them; fragments come as one message."""
    large = _LARGEST.get(server[0].name, 1 << 24)

    with opened(server, path, subprotocols=["other", "chat"] if path != "/gevent/echo" else None) as client:
        assert client.subprotocol == (None if path == "/gevent/echo" else "chat")
        for message in ("é", b"\xff\x00", "", b"", "é" * 100_000, b"\xff" * large):
            if message or server[0].name != "daphne":
                client.send(message)
                assert receive(client) == message
        client.send(["a", "b", "é"])
        assert receive(client) == "abé"


@pytest.mark.parametrize("path", ["/echo", "/flask/echo"])
@pytest.mark.parametrize("server", ["uvicorn-h11", "hypercorn-trio"], indirect=True)
def test_messages_keep_their_order(server: Server, path: str) -> None:
    """Ten thousand of them; both sides speak at once, neither waits for the other's answer."""
    said = [str(number) for number in range(10_000 if path == "/echo" else 1_000)]

    with opened(server, path) as client:

        def speak() -> None:
            for one in said:
                client.send(one)

        writer = threading.Thread(target=speak)
        writer.start()
        heard = [receive(client) for _ in said]
        writer.join(TIMEOUT)

    assert heard == said


@pytest.mark.parametrize("path", ["/close", "/flask/close"])
def test_applications_close_has_its_code(server: Server, path: str) -> None:
    """What it has sent before arrives before it. Daphne sends no reason."""
    with opened(server, path) as client:
        assert receive(client) == "last"
        assert ended(client) == (4002, "" if server[0].name == "daphne" else "why")


def test_failure_closes_with_1011(server: Server) -> None:
    """RFC 6455, 7.4.1."""
    with opened(server, "/fail") as client:
        assert ended(client)[0] == 1011


def test_application_that_does_not_take_it_answers(server: Server) -> None:
    """With its response, on a server that can send it; elsewhere with 403."""
    with pytest.raises(InvalidStatus) as raised, opened(server, "/other"):
        pass

    response = raised.value.response
    if server[0].name == "daphne":
        assert response.status_code == 403
    else:
        assert (response.status_code, bytes(response.body)) == (401, b"who are you?")


@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_that_leaves_is_noticed(server: Server, how: str) -> None:
    """In order, or without a word."""
    with opened(server, "/watch") as watching:
        with opened(server, "/lost") as client:
            assert receive(client) == "open"
            if how == "reset":
                client.socket.shutdown(socket.SHUT_RDWR)
        assert receive(watching) == "ended"


@pytest.mark.parametrize("server", ["uvicorn-h11", "hypercorn-trio", "granian"], indirect=True)
def test_slow_client_holds_the_application(server: Server) -> None:
    """Of 128 MiB, what the buffers on the way take leaves the application, and no more; then all of it arrives.

    Daphne's send() writes into a buffer without limit and never waits.
    """
    with socket.create_connection((server[1].host, server[1].port), TIMEOUT) as client:
        client.sendall(_HANDSHAKE)
        sent = int(httpx.get(f"{server[1].url}/stalled", timeout=TIMEOUT, trust_env=False).text)
        received = 0
        while received < 128 << 20 and (data := client.recv(1 << 20)):
            received += len(data)

    assert (sent < 512, received >= 128 << 20) == (True, True)


@pytest.mark.parametrize("server", ["uvicorn-h11", "hypercorn-trio"], indirect=True)
def test_hundred_sockets_at_once(server: Server) -> None:
    """All in a chat of an unmodified flask-sock application, while HTTP is served beside them."""
    with ExitStack() as stack:
        clients = [stack.enter_context(opened(server, "/flask/chat")) for _ in range(100)]
        assert {receive(client) for client in clients} == {"in"}
        clients[0].send("hello")
        assert {receive(client) for client in clients} == {"hello"}
        assert httpx.get(f"{server[1].url}/other", timeout=TIMEOUT, trust_env=False).status_code == 401


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"]], ids=["websocket", "upgraded"])
def test_flask_socketio_is_served_unmodified(server: Server, transports: list[str]) -> None:
    """A python-socketio client, from the start on a WebSocket or upgraded to it."""
    heard = threading.Event()
    answers: list[object] = []
    one, other = socketio.Client(), socketio.Client()
    one.on("answer", answers.append)
    other.on("news", lambda data: heard.set())
    with ExitStack() as stack:
        for client in (one, other):
            client.connect(server[1].url, transports=transports, wait_timeout=TIMEOUT)
            stack.callback(client.disconnect)
        assert one.call("ask", {"a": b"\xff"}, timeout=TIMEOUT) == "heard"
        assert heard.wait(TIMEOUT)
        assert (one.transport(), answers) == ("websocket", [{"a": b"\xff"}])
