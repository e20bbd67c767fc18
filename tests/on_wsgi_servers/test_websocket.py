"""WebSockets of ASGI applications on each WSGI server that hands out its connection. The client is ``websockets``."""

import json
import re
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
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


def by_hand(server: RunningServer, target: str) -> socket.socket:
    """Open a WebSocket whose frames the test writes itself, and which reads nothing that it is not told to."""
    client = socket.create_connection((server.host, server.port), TIMEOUT)
    client.sendall(handshake(target))
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        assert byte, answer
        answer += byte
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    return client


def get(server: RunningServer, target: str) -> bytes:
    """Return the body of a page."""
    with RawClient(server.host, server.port, TIMEOUT) as client:
        client.get(target)
        return client.read_response().body


def expect_log(server: RunningServer, pattern: str, before: int) -> str:
    """Wait until the log has *pattern*, after its first *before* characters; return what it matched."""
    server.wait_for_log(re.compile(pattern), after=before, timeout=TIMEOUT)
    found = re.search(pattern, server.log()[before:])
    assert found is not None
    return found.group()


def test_echo(server: RunningServer) -> None:
    """Text, binary, empty, in fragments, on each event loop; and the code and the reason of the client's close."""
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


@pytest.mark.parametrize("offered", [True, False], ids=["offered", "not offered"])
def test_compression_is_agreed_on_if_it_is_offered(server: RunningServer, offered: bool) -> None:
    """Whole messages and fragments; nothing is compressed for a client that did not offer it."""
    with opened(server, "/echo", compression="deflate" if offered else None) as websocket:
        names = [extension.name for extension in websocket.protocol.extensions]
        assert names == (["permessage-deflate"] if offered else [])
        websocket.send("compressible " * 10_000)
        assert websocket.recv(TIMEOUT) == "compressible " * 10_000
        websocket.send(["one ", "two ", "two " * 1_000])
        assert websocket.recv(TIMEOUT) == "one two " + "two " * 1_000


def test_handshake_is_in_the_scope(server: RunningServer) -> None:
    """ASGI specification, "WebSocket Connection Scope"; the server's own mount is in the path."""
    subprotocols = [Subprotocol("b"), Subprotocol("a")]
    headers = {"Cookie": "k=v; l=w", "X-Test": "yes"}
    with opened(server, "/shows?x=%C3%A9", additional_headers=headers, subprotocols=subprotocols) as websocket:
        facts = json.loads(websocket.recv(TIMEOUT))
        assert websocket.subprotocol is None  # none was chosen
        key = websocket.request.headers["Sec-WebSocket-Key"]

    expected = {
        "path": "/request/shows",
        "root_path": "/request",
        "scheme": "ws",
        "http_version": "1.1",
        "query_string": "x=%C3%A9",
        "subprotocols": ["b", "a"],
    }
    assert {name: facts[name] for name in expected} == expected
    for header in (["cookie", "k=v; l=w"], ["x-test", "yes"], ["sec-websocket-key", key]):
        assert facts["headers"].count(header) == 1


def test_close_of_the_application(server: RunningServer) -> None:
    """With a subprotocol, a header of its own, a code and a reason."""
    for code in (1000, 1001, 3000, 4999):
        before = len(server.log())
        with opened(server, "/chooses", subprotocols=[Subprotocol("a"), Subprotocol("b")]) as websocket:
            websocket.send(f"{code} so long")
            assert close_of(websocket) == (code, "so long")
            assert (websocket.subprotocol, websocket.response.headers["X-Served"]) == ("b", "yes")
        expect_log(server, f"after the close: {code}", before)


def test_end_without_a_close(server: RunningServer) -> None:
    """1000 for an application that returns, 1011 for one that fails; its error is in the server's log."""
    before = len(server.log())
    for path, code in (("/returns", 1000), ("/fails", 1011)):
        with opened(server, path) as websocket:
            assert close_of(websocket) == (code, "")
    expect_log(server, "RuntimeError.*the application failed", before)


def test_frames_that_are_not_allowed(server: RunningServer) -> None:
    """1007 for text that is not UTF-8, 1002 for what breaks the protocol, 1009 for a message that is too big."""
    for frames, code in ((b"\x81\x82\x00\x00\x00\x00\xff\xfe", 1007), (b"\x81\x02hi", 1002)):
        before = len(server.log())
        with opened(server, "/echo") as websocket:
            websocket.socket.sendall(frames)
            assert close_of(websocket)[0] == code
        expect_log(server, f"ended with {code}", before)
    with opened(server, "/echo", "small") as websocket:
        websocket.send(bytes(1001))
        assert close_of(websocket)[0] == 1009


@pytest.mark.parametrize("how", ["reset", "closed"])
def test_client_that_is_lost(server: RunningServer, how: str) -> None:
    """While it is idle, in the middle of a frame, between two fragments, and while the application sends."""
    lost = "ended with 1006 ''"
    for path, said, heard in (
        ("/echo", b"", lost),
        ("/echo", b"\x82\xfe\x10\x00\x00\x00\x00\x00half a frame", lost),
        ("/echo", b"\x01\x84\x00\x00\x00\x00half", lost),
        ("/sends", b"", "sent, then ClientDisconnected"),
    ):
        before = len(server.log())
        client = by_hand(server, f"/request{path}")
        client.sendall(said)
        if path == "/sends":
            client.recv(1)
        if how == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        expect_log(server, heard, before)


def test_handshake_that_is_refused(server: RunningServer) -> None:
    """403 for a close, and the application's own response; both go out through the server."""
    for path, status, body in (("/refuses", 403, b""), ("/denies", 401, b"who are?")):
        with RawClient(server.host, server.port, TIMEOUT) as client:
            client.send(handshake(f"/request{path}"))
            response = client.read_response()
        assert (response.status, response.body) == (status, body)


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
    assert get(server, "/request/") == b"hello"
    if server.recipe.name not in ("cheroot", "waitress"):  # they have no access log
        expect_log(server, r"GET /request/returns.* 101", before)
