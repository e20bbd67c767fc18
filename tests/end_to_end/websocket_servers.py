"""The servers of the WebSocket tests, each started once for all of them, and their clients. Knows no test."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from compat_matrix.servers import RECIPES, RunningServer, start
from compat_matrix.wire import TIMEOUT
from tests.server_logs import LEFT_BEHIND, SERVER

# One of each server, and Hypercorn on both event loops.
NAMES = ("uvicorn-h11", "hypercorn-asyncio", "hypercorn-trio", "granian", "daphne")
WITHOUT_DAPHNE = NAMES[:-1]


class WebSocketServers:
    """Starts a server when it is first asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, RunningServer] = {}

    def get(self, name: str) -> RunningServer:
        """Return the server of this recipe."""
        if name not in self._running:
            self._running[name] = self._stack.enter_context(start_server(name))
        return self._running[name]

    def end(self) -> None:
        """End all of them together; what one could not clean up fails the session."""
        for one in self._running.values():
            one.terminate()
        for one in self._running.values():
            one.stop()
        assert {one.recipe.name: one.killed for one in self._running.values()} == dict.fromkeys(self._running, False)
        assert {name: LEFT_BEHIND.findall(one.log()) for name, one in self._running.items()} == {
            name: [] for name in self._running
        }


def start_server(name: str, *extra: str) -> Any:
    """Serve ``websocket_application.py``; skip the test where the server is not installed."""
    recipe = RECIPES[name]
    if missing := recipe.missing():
        pytest.skip(missing)
    target = "tests.end_to_end.websocket_application:served"
    return start(recipe, target, directory=Path(__file__).parents[2], extra=extra)


_SHARED = pytest.StashKey[WebSocketServers]()


@pytest.fixture(scope="session")
def websocket_servers(request: pytest.FixtureRequest) -> Iterator[WebSocketServers]:
    """The servers. To pytest this is another fixture in each module that imports it; the first one makes them."""
    stash = request.config.stash
    if _SHARED in stash:
        yield stash[_SHARED]
        return
    with ExitStack() as stack:
        stash[_SHARED] = servers = WebSocketServers(stack)
        yield servers
        servers.end()


@pytest.fixture(params=NAMES)
def server(request: pytest.FixtureRequest, websocket_servers: WebSocketServers) -> RunningServer:
    """A server with the WebSocket applications."""
    one = websocket_servers.get(request.param)
    request.node.stash[SERVER] = one
    return one


def opened(server: RunningServer, path: str, **options: Any) -> Any:
    """A client; it sends the handshake when its block is entered, and closes when that is left."""
    url = f"ws://{server.host}:{server.port}{path}"
    options = {"max_size": None, **options}
    return connect(url, proxy=None, open_timeout=TIMEOUT, close_timeout=TIMEOUT, **options)


def receive(client: ClientConnection) -> str | bytes:
    """Return the next message."""
    return client.recv(timeout=TIMEOUT)


def ended(client: ClientConnection) -> tuple[int, str]:
    """Return code and reason of the server's close, which comes next; 1006 for an end without one."""
    with pytest.raises(ConnectionClosed) as raised:
        receive(client)
    close = raised.value.rcvd
    return (int(close.code), close.reason) if close is not None else (1006, "")


def expect_log(server: RunningServer, pattern: str, before: int) -> str:
    """Wait until the log has *pattern* after its first *before* characters; return what it matched."""
    server.wait_for_log(re.compile(pattern), after=before, timeout=TIMEOUT)
    found = re.search(pattern, server.log()[before:])
    assert found is not None
    return found.group()


def by_hand(server: RunningServer, path: str) -> socket.socket:
    """Open a WebSocket whose frames the test writes itself, and which reads nothing that it is not told to."""
    # A client of the `websockets` package reads ahead, whatever its own reader does, and sends no frame that is wrong.
    client = socket.create_connection((server.host, server.port), TIMEOUT)
    head = [
        f"GET {path} HTTP/1.1",
        "Host: test",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    client.sendall("\r\n".join([*head, "", ""]).encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        assert byte, answer
        answer += byte
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    return client


def frame(first: int, payload: bytes) -> bytes:
    """Return a frame of a client, masked with zeros.

    Args:
        first: its first byte: FIN, the reserved bits, the opcode.
        payload: of any size.

    Source: RFC 6455, 5.2.
    """
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + bytes(4) + payload


def reset(client: socket.socket) -> None:
    """Close the connection with RST, as the kernel does for a process that dies with something unread."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
