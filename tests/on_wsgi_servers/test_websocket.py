"""WebSockets of ASGI applications on each WSGI server that hands out its connection. The client is ``websockets``."""

import asyncio
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from compat_matrix.client import RawClient
from compat_matrix.servers import RECIPES, Recipe, RunningServer
from compat_matrix.wire import TIMEOUT

from .conftest import start_server

# Every way of bridge/asgi_to_wsgi/takeover.py, and the workers of Gunicorn.
HANDING_OUT = (
    "werkzeug",
    "gunicorn-sync",
    "gunicorn-gthread",
    "gunicorn-gevent",
    "gevent",
    "eventlet",
    "wsgiref",
    "cheroot",
    "waitress",
    "uwsgi",
)
# The kinds of event loop; these two run all that they can.
LOOPS = {"gunicorn-gthread": ("request", "shared", "trio-request", "trio-shared"), "gevent": ("request", "shared")}


def installed(name: str) -> Any:
    """The parameter for a recipe, skipped where it is not installed."""
    missing = RECIPES[name].missing()
    return pytest.param(name, id=name, marks=[pytest.mark.skip(missing)] if missing else [])


@pytest.fixture(scope="module", params=[installed(name) for name in HANDING_OUT])
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """A server for all tests of this module, one after the other; it has to end when it is told to."""
    recipe: Recipe = RECIPES[request.param]
    options = ("--access-logfile", "-") if recipe.package == "gunicorn" else ()
    with start_server(recipe, *options, module="websocket_applications") as running:
        yield running
    assert not running.killed
    assert not re.search("never awaited|never retrieved|Task was destroyed", running.log())


def uri(server: RunningServer, path: str, loop: str = "request") -> str:
    """The address of an application on a loop of this kind."""
    return f"ws://{server.host}:{server.port}/{loop}{path}"


def opened(server: RunningServer, path: str, loop: str = "request", **options: Any) -> Any:
    """A client; it sends the handshake when its block is entered."""
    return connect(uri(server, path, loop), open_timeout=TIMEOUT, close_timeout=TIMEOUT, **options)


def close_of(websocket: ClientConnection) -> tuple[int, str]:
    """Return code and reason of the close that comes next."""
    with pytest.raises(ConnectionClosed) as error:
        websocket.recv(TIMEOUT)
    assert error.value.rcvd is not None
    return error.value.rcvd.code, error.value.rcvd.reason


def expect_log(server: RunningServer, pattern: str, before: int) -> None:
    """Wait until the log has *pattern*, after its first *before* characters."""
    server.wait_for_log(re.compile(pattern), after=before, timeout=TIMEOUT)


def test_echo(server: RunningServer) -> None:
    """Text, binary, empty, in fragments, compressed; and the code and the reason of the client's close."""
    messages = ["hello", b"\x00\xff", "", "é" * 100_000, bytes(range(256)) * 2_000]
    for loop in LOOPS.get(server.recipe.name, ("request", "shared")):
        before = len(server.log())
        with opened(server, "/echo", loop) as websocket:
            for message in messages:
                websocket.send(message)
                assert websocket.recv(TIMEOUT) == message
            websocket.send(["in ", "three ", "fragments"])
            assert websocket.recv(TIMEOUT) == "in three fragments"
            assert websocket.ping().wait(TIMEOUT)
            websocket.close(4001, "bye")
        expect_log(server, "ended with 4001 'bye'", before)


def test_close_of_the_application(server: RunningServer) -> None:
    """With a subprotocol, a header of its own, a code and a reason."""
    before = len(server.log())
    with opened(server, "/chooses", subprotocols=[Subprotocol("a"), Subprotocol("b")]) as websocket:
        websocket.send("4002 so long")
        assert close_of(websocket) == (4002, "so long")
        assert (websocket.subprotocol, websocket.response.headers["X-Served"]) == ("b", "yes")
    expect_log(server, "after the close: 4002", before)


def test_end_without_a_close(server: RunningServer) -> None:
    """1000 for an application that returns, 1011 for one that fails; its error is in the server's log."""
    before = len(server.log())
    for path, code in (("/returns", 1000), ("/fails", 1011)):
        with opened(server, path) as websocket:
            assert close_of(websocket) == (code, "")
    expect_log(server, "RuntimeError.*the application failed", before)


def test_frames_that_are_not_allowed(server: RunningServer) -> None:
    """1007 for text that is not UTF-8, 1009 for a message that is too big."""
    with opened(server, "/echo") as websocket:
        websocket.socket.sendall(b"\x81\x82\x00\x00\x00\x00\xff\xfe")
        assert close_of(websocket)[0] == 1007
    with opened(server, "/echo", "small") as websocket:
        websocket.send(bytes(1001))
        assert close_of(websocket)[0] == 1009


def test_client_that_is_lost(server: RunningServer) -> None:
    """The application hears of it, and the next request is served."""
    before = len(server.log())
    with opened(server, "/echo") as websocket:
        websocket.socket.shutdown(socket.SHUT_RDWR)
    with opened(server, "/sends") as websocket:
        websocket.recv(TIMEOUT)
        websocket.socket.shutdown(socket.SHUT_RDWR)
    expect_log(server, "ended with 1006", before)
    expect_log(server, "sent, then ClientDisconnected", before)


def test_handshake_that_is_refused(server: RunningServer) -> None:
    """403 for a close, and the application's own response; both go out through the server."""
    for path, status, body in (("/refuses", 403, b""), ("/denies", 401, b"who are?")):
        with RawClient(server.host, server.port, TIMEOUT) as client:
            client.send(handshake(f"/request{path}"))
            response = client.read_response()
        assert (response.status, response.body) == (status, body)


def handshake(target: str, *header_lines: str) -> bytes:
    """Return a handshake by hand, since some servers answer with HTTP/1.0, which ``websockets`` does not take."""
    lines = [
        f"GET {target} HTTP/1.1",
        "Host: test",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *header_lines,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize(
    "server",
    # The other two take what follows a request for the next one. RFC 6455, 4.1, tells clients to wait.
    [installed(name) for name in HANDING_OUT if name not in ("waitress", "uwsgi")],
    indirect=True,
)
def test_frames_that_come_with_the_handshake(server: RunningServer) -> None:
    """The server has read them with the request, and they are not lost."""
    with socket.create_connection((server.host, server.port), TIMEOUT) as client:
        client.settimeout(TIMEOUT)
        client.sendall(handshake("/request/echo") + b"\x81\x82\x00\x00\x00\x00hi")
        heard = b""
        while not heard.endswith(b"\r\n\r\n\x81\x02hi"):
            heard += client.recv(4096)
        client.sendall(b"\x88\x80\x00\x00\x00\x00")
        # The connection ends right after the answer to the close: nothing that the server itself says is seen.
        assert client.recv(4096) == b"\x88\x00"
        assert client.recv(4096) == b""


def test_server_serves_on(server: RunningServer) -> None:
    """After all of that; and its log says what the requests were."""
    before = len(server.log())
    with opened(server, "/returns") as websocket:
        assert close_of(websocket) == (1000, "")
    with RawClient(server.host, server.port, TIMEOUT) as client:
        client.get("/request/")
        assert client.read_response().body == b"hello"
    if server.recipe.name not in ("cheroot", "waitress"):  # they have no access log
        expect_log(server, r"GET /request/returns.* 101", before)


# -- once, since the server has no part in it -----------------------------------------------------------------


@pytest.fixture(scope="module")
def threaded() -> Iterator[RunningServer]:
    """Gunicorn with a thread for each of a hundred WebSockets."""
    recipe = RECIPES["gunicorn-gthread"]
    if missing := recipe.missing():
        pytest.skip(missing)
    with start_server(recipe, "--threads", "110", module="websocket_applications") as running:
        yield running


@pytest.mark.parametrize("loop", ["request", "shared"])
def test_a_hundred_at_once(threaded: RunningServer, loop: str) -> None:
    """All are open before any is closed, and each gets its own messages."""
    numbers = [str(number) for number in range(100)]

    async def ask() -> list[str | bytes]:
        websockets = await asyncio.gather(
            *(connect_async(uri(threaded, "/echo", loop), compression=None, open_timeout=TIMEOUT) for _ in numbers)
        )
        for number, websocket in zip(numbers, websockets, strict=True):
            await websocket.send(number)
        answers = [await websocket.recv() for websocket in websockets]
        await asyncio.gather(*(websocket.close() for websocket in websockets))
        return answers

    assert asyncio.run(asyncio.wait_for(ask(), TIMEOUT)) == numbers


def test_sixteen_mebibytes(threaded: RunningServer) -> None:
    """As much as max_message_size allows; text, binary, and not a byte more."""
    size = 16 * 1024 * 1024
    with opened(threaded, "/echo", max_size=None, compression=None) as websocket:
        for message in ("x" * size, bytes(size)):
            websocket.send(message)
            assert websocket.recv(TIMEOUT) == message
        websocket.send(bytes(size + 1))
        assert close_of(websocket)[0] == 1009


def test_slow_reader_takes_no_memory(threaded: RunningServer) -> None:
    """The application waits: what it has sent lies in the connection's buffers, and nowhere else."""
    before = len(threaded.log())
    with socket.create_connection((threaded.host, threaded.port), TIMEOUT) as client:
        client.settimeout(TIMEOUT)
        client.sendall(handshake("/request/sends"))
        client.recv(1)
    expect_log(threaded, r"\d+ sent, then ClientDisconnected", before)
    sent = re.findall(r"(\d+) sent", threaded.log()[before:])[0]
    assert int(sent) * 65_536 < 16_000_000  # Linux: 4 MB to send and 6 MB to receive at most
