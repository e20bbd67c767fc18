"""The matrix's WebSocket client: wsproto understands it, and it takes nothing wrong from a server."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Message, Ping, Pong, Request
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.utilities import RemoteProtocolError

from compat_matrix.apps import APPS
from compat_matrix.checks import CHECKS, Failed
from compat_matrix.checks.websocket_opening import expect_websockets
from compat_matrix.client import RawClient, Response
from compat_matrix.servers import RECIPES
from compat_matrix.site import Site
from compat_matrix.websocket_client import (
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    BadFrameError,
    ClosedError,
    Frame,
    WebSocketClient,
)

TIMEOUT = 10.0  # seconds, for every wait


@contextmanager
def served(serve: Callable[[socket.socket], Any]) -> Iterator[RawClient]:
    """Connect to a server of one connection, which has to have returned in the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(TIMEOUT)

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(TIMEOUT)
                serve(connection)

        done = pool.submit(accept)
        with RawClient("127.0.0.1", listener.getsockname()[1], TIMEOUT) as client:
            yield client
        done.result(TIMEOUT)


def wsproto_events(connection: socket.socket, *extensions: Extension) -> Iterator[tuple[WSConnection, Event]]:
    """Accept the handshake; give each event after it, up to the end of the connection."""
    frames = WSConnection(ConnectionType.SERVER)
    while data := connection.recv(65_536):
        frames.receive_data(data)
        for event in frames.events():
            if isinstance(event, Request):
                connection.sendall(frames.send(AcceptConnection(extensions=list(extensions))))
            else:
                yield frames, event


def echo(connection: socket.socket, *extensions: Extension) -> None:
    """Send back what comes, whole messages in one frame."""
    parts: list[str | bytes] = []
    for frames, event in wsproto_events(connection, *extensions):
        if isinstance(event, Message):
            parts.append(event.data)
            if event.message_finished:
                empty: Any = b"" if isinstance(event, BytesMessage) else ""
                connection.sendall(frames.send(type(event)(empty.join(parts))))
                parts = []
        elif isinstance(event, (Ping, CloseConnection)):
            connection.sendall(frames.send(event.response()))


def answering(answer: bytes) -> Callable[[socket.socket], None]:
    """Accept the handshake by wsproto, then send bytes as they are, and wait for the client to leave."""

    def serve(connection: socket.socket) -> None:
        frames = WSConnection(ConnectionType.SERVER)
        frames.receive_data(connection.recv(65_536))
        for _ in frames.events():
            connection.sendall(frames.send(AcceptConnection()) + answer)
        while connection.recv(65_536):
            pass

    return serve


@pytest.mark.parametrize(
    ("extensions", "agreed"),
    [
        pytest.param([], False, id="plain"),
        pytest.param([PerMessageDeflate()], True, id="compressed"),
        pytest.param([PerMessageDeflate(client_no_context_takeover=True)], True, id="each anew"),
        pytest.param([PerMessageDeflate(server_no_context_takeover=True)], True, id="each of the server's anew"),
    ],
)
def test_messages_come_back(extensions: list[Extension], agreed: bool) -> None:
    """wsproto, which checks frames, masks and compression, takes each message for what it was."""
    with served(lambda connection: echo(connection, *extensions)) as client:
        websocket = WebSocketClient(client, "/", deflate=True)
        messages: list[str | bytes] = ["caf\xe9", "", b"", "x" * 125, "x" * 126, b"y" * 70_000, "caf\xe9", "caf\xe9"]
        for message in messages:
            websocket.say(message)
        heard = [websocket.hear() for _ in messages]

    assert (websocket.open, websocket.deflated) == (True, agreed)
    assert heard == messages


def test_frames_are_sent_as_they_are_told() -> None:
    """Fragments, and a ping between them."""
    with served(echo) as client:
        websocket = WebSocketClient(client, "/")
        websocket.send(TEXT, b"caf\xc3", final=False)
        websocket.send(PING, b"now")
        websocket.send(CONTINUATION, b"\xa9")

        assert websocket.read_frame() == Frame(PONG, b"now")
        assert websocket.hear() == "caf\xe9"


@pytest.mark.parametrize(
    ("opcode", "payload", "masked"),
    [(TEXT, b"plain", False), (3, b"?", True), (CONTINUATION, b"of what", True), (TEXT, b"\xff", True)],
)
def test_wrong_frames_are_sent_too(opcode: int, payload: bytes, masked: bool) -> None:
    """RFC 6455, 5: wsproto refuses them."""
    refused: list[Event] = []

    def refusing(connection: socket.socket) -> None:
        try:
            refused.extend(event for _, event in wsproto_events(connection))
        except RemoteProtocolError as error:
            refused.append(CloseConnection(1002, str(error)))

    with served(refusing) as client:
        WebSocketClient(client, "/").send(opcode, payload, masked=masked)

    assert [type(event) for event in refused] == [CloseConnection]


def test_message_in_fragments_is_one() -> None:
    """RFC 6455, 5.4: control frames may come between them."""
    with served(answering(b"\x01\x03caf\x89\x02hi\x8a\x00\x00\x01\xc3\x80\x01\xa9")) as client:
        assert WebSocketClient(client, "/").hear() == "caf\xe9"


def test_ping_is_answered() -> None:
    """RFC 6455, 5.5.3: with its content."""
    heard: list[Event] = []

    def pinging(connection: socket.socket) -> None:
        for frames, event in wsproto_events(connection):
            heard.append(event)
            if isinstance(event, Message):
                connection.sendall(frames.send(Ping(b"here?")) + frames.send(event))

    with served(pinging) as client:
        websocket = WebSocketClient(client, "/")
        websocket.say("one")
        assert websocket.hear() == "one"

    assert [event.payload for event in heard if isinstance(event, Pong)] == [b"here?"]


@pytest.mark.parametrize(
    ("frame", "code", "reason"),
    [
        (b"\x88\x00", 1005, ""),
        (b"\x88\x02\x03\xe8", 1000, ""),
        (b"\x81\x02hi\x88\x07\x0f\xa2caf\xc3\xa9", 4002, "caf\xe9"),
    ],
)
def test_close_has_code_and_reason(frame: bytes, code: int, reason: str) -> None:
    """RFC 6455, 5.5.1 and 7.4.1: none is 1005. Messages before it are passed over."""
    with served(answering(frame)) as client:
        assert WebSocketClient(client, "/").closed() == (code, reason)


def test_close_where_a_message_is_waited_for_is_told() -> None:
    """A check that waits for a message hears why none comes."""
    with served(answering(b"\x88\x02\x03\xf3")) as client, pytest.raises(ClosedError, match="1011"):
        WebSocketClient(client, "/").hear()


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"\x81\x82abcd\x09\x0b", id="masked"),
        pytest.param(b"\xc1\x00", id="compressed, which was not agreed on"),
        pytest.param(b"\xa1\x00", id="a reserved bit"),
        pytest.param(b"\x83\x00", id="a reserved opcode"),
        pytest.param(b"\x09\x00", id="a ping in fragments"),
        pytest.param(b"\x89\x7e\x00\x7e" + b"x" * 126, id="a long ping"),
        pytest.param(b"\x80\x00", id="a continuation of nothing"),
        pytest.param(b"\x01\x00\x81\x00", id="a message within a message"),
        pytest.param(b"\x88\x01\x03", id="half a code"),
        pytest.param(b"HTTP/1.1 500 Internal Server Error\r\n\r\n", id="a response of HTTP"),
    ],
)
def test_wrong_frame_is_not_taken(frame: bytes) -> None:
    """RFC 6455, 5: a check must not pass by what no browser would understand."""
    with served(answering(frame)) as client, pytest.raises(BadFrameError):
        WebSocketClient(client, "/").hear()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda head: head.replace(b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept: x"), id="token"),
        pytest.param(lambda head: re.sub(rb"(?i)upgrade: websocket", b"Upgrade: h2c", head), id="another protocol"),
        pytest.param(lambda head: head.replace(b"Connection: Upgrade", b"Connection: close"), id="no upgrade"),
        pytest.param(lambda head: head[:-2] + b"Sec-WebSocket-Extensions: x\r\n\r\n", id="extension"),
    ],
)
def test_wrong_answer_to_the_handshake_is_not_taken(change: Callable[[bytes], bytes]) -> None:
    """RFC 6455, 4.1: the client must fail the connection."""

    def serve(connection: socket.socket) -> None:
        frames = WSConnection(ConnectionType.SERVER)
        frames.receive_data(connection.recv(65_536))
        assert [type(event) for event in frames.events()] == [Request]
        right = frames.send(AcceptConnection())
        assert change(right) != right
        connection.sendall(change(right))

    with served(serve) as client, pytest.raises(BadFrameError):
        WebSocketClient(client, "/")


def test_refusal_is_a_response() -> None:
    """It has its body, and nothing is raised: a check may want it."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\n\r\nlog in")

    with served(serve) as client:
        websocket = WebSocketClient(client, "/")

    assert (websocket.open, websocket.response.status, websocket.response.body) == (False, 401, b"log in")


def test_server_ends_the_connection_once_its_close_is_answered() -> None:
    """RFC 6455, 7.1.1: the client answers the close that came first, and no other."""
    heard: list[Event] = []

    def closing(connection: socket.socket) -> None:
        for frames, event in wsproto_events(connection):
            heard.append(event)
            if isinstance(event, CloseConnection):
                return
            connection.sendall(frames.send(CloseConnection(4002, "enough")))

    with served(closing) as client:
        websocket = WebSocketClient(client, "/")
        websocket.say("please")
        assert websocket.closed() == (4002, "enough")
        assert websocket.ended()

    assert isinstance(heard[-1], CloseConnection)


def test_server_without_websockets_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that hangs costs one wait, not one for each check."""
    monkeypatch.setattr(Site, "get", lambda site, target: Response(200))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running: Any = SimpleNamespace(
            host="127.0.0.1", port=listener.getsockname()[1], recipe=RECIPES["uvicorn-h11"], log=str
        )
        site = Site(APPS["flask"], running, bridged=True, timeout=0.05)
        for _ in range(3):
            with pytest.raises(Failed, match="a handshake is not answered"):
                expect_websockets(site)
        listener.setblocking(False)
        listener.accept()[0].close()
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_server_that_answers_nothing_yet_is_asked_again() -> None:
    """An application that takes long to import is not without WebSockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running: Any = SimpleNamespace(
            host="127.0.0.1", port=listener.getsockname()[1], recipe=RECIPES["uvicorn-h11"], log=str
        )
        site = Site(APPS["flask"], running, bridged=True, timeout=0.05)
        with pytest.raises(TimeoutError):
            expect_websockets(site)

    assert site.without_websockets is None


def test_each_check_of_websockets_needs_them() -> None:
    """Otherwise it would fail where there can be none: another kind of application, a server that keeps its socket."""
    for check in (one for id, one in CHECKS.items() if id.startswith("websocket.")):
        assert check.raw or "websocket" in check.needs, check.id
        assert "hands_out_socket" in check.where, check.id
