"""WebSockets of seven ASGI frameworks on Gunicorn, unmodified."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from compat_matrix.servers import RECIPES, RunningServer
from compat_matrix.wire import TIMEOUT

from .conftest import start_server


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """Gunicorn with threads."""
    recipe = RECIPES["gunicorn-gthread"]
    if missing := recipe.missing():
        pytest.skip(missing)
    with start_server(recipe, module="websocket_frameworks") as running:
        yield running
    assert not running.killed
    assert "Traceback" not in running.log()


def opened(server: RunningServer, path: str, **options: Any) -> Any:
    """A client; it sends the handshake when its block is entered."""
    return connect(f"ws://{server.host}:{server.port}{path}", open_timeout=TIMEOUT, close_timeout=TIMEOUT, **options)


def expect_log(server: RunningServer, words: str) -> None:
    """Wait until the server has written *words*."""
    server.wait_for_log(re.compile(words), timeout=TIMEOUT)


def test_starlette(server: RunningServer) -> None:
    """An endpoint with its three events."""
    with opened(server, "/starlette/", subprotocols=[Subprotocol("chat")]) as websocket:
        assert websocket.subprotocol == "chat"
        websocket.send("hello")
        assert websocket.recv(TIMEOUT) == "you said hello"
        websocket.close(1001)
    expect_log(server, "starlette: 1001")


def test_fastapi(server: RunningServer) -> None:
    """Two clients in a room; what one says, both hear."""
    with opened(server, "/fastapi/lobby?token=secret") as one, opened(server, "/fastapi/lobby?token=secret") as other:
        other.send('"I am here"')
        assert json.loads(other.recv(TIMEOUT)) == "I am here"
        one.send('{"say": "hello"}')
        # The first may have come before this one was in the room.
        heard = [json.loads(one.recv(TIMEOUT))]
        while heard[-1] != {"say": "hello"}:
            heard.append(json.loads(one.recv(TIMEOUT)))
        assert json.loads(other.recv(TIMEOUT)) == {"say": "hello"}
    expect_log(server, "fastapi: 1000")


def test_fastapi_refuses(server: RunningServer) -> None:
    """403 without a token, 403 where there is no route."""
    for path in ("/fastapi/lobby", "/fastapi/no/such/route"):
        with pytest.raises(InvalidStatus) as refusal, opened(server, path):
            pass
        assert refusal.value.response.status_code == 403


def test_end_that_the_application_does_not_catch(server: RunningServer) -> None:
    """WebSocketDisconnect is no error: the fixture looks for tracebacks in the log."""
    with opened(server, "/fastapi/careless/chat") as websocket:
        websocket.close(1000)


def test_quart(server: RunningServer) -> None:
    """A view that accepts by sending, and has no end of its own."""
    with opened(server, "/quart/") as websocket:
        for message in ("hello", b"\x00\xff"):
            websocket.send(message)
            assert websocket.recv(TIMEOUT) == message


def test_channels(server: RunningServer) -> None:
    """A consumer; text and binary."""
    with opened(server, "/channels/") as websocket:
        for message in ("hello", b"\x00\xff"):
            websocket.send(message)
            assert websocket.recv(TIMEOUT) == message
        websocket.close(4001)
        with pytest.raises(ConnectionClosed):
            websocket.recv(TIMEOUT)
    expect_log(server, "channels: 4001")


def test_litestar_and_falcon(server: RunningServer) -> None:
    """A handler and a resource that choose a subprotocol and hear how the client has left."""
    for name, answer in (("litestar", "you said hello"), ("falcon", "hello")):
        with opened(server, f"/{name}/", subprotocols=[Subprotocol("chat")]) as websocket:
            assert websocket.subprotocol == "chat"
            websocket.send("hello")
            assert websocket.recv(TIMEOUT) == answer
            websocket.close(4001)
        expect_log(server, f"{name}: 4001")


def test_sanic(server: RunningServer) -> None:
    """A view that is given None when the client has left."""
    with opened(server, "/sanic/") as websocket:
        websocket.send("hello")
        assert websocket.recv(TIMEOUT) == "hello"
