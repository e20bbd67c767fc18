"""WebSockets of WSGI applications, on real servers: clients that are lost, slow, wrong, or one too many."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from compat_matrix.servers import RunningServer
from compat_matrix.wire import TIMEOUT

from .websocket_servers import (
    WITHOUT_DAPHNE,
    by_hand,
    ended,
    expect_log,
    frame,
    opened,
    receive,
    reset,
    server,
    start_server,
    websocket_servers,
)

# Fixtures of this module.
__all__ = ["server", "websocket_servers"]

MIB = 1 << 20


def get(server: RunningServer, path: str) -> str:
    """Return the body of a page of the application."""
    response = httpx.get(server.url + path, timeout=TIMEOUT, trust_env=False)
    assert response.status_code == 200
    return response.text


# /one takes one WebSocket at a time: if the thread of one that has ended were not given back, the next one would be
# refused.


@pytest.mark.parametrize("end", [reset, socket.socket.close], ids=["reset", "closed"])
def test_client_that_is_lost_gives_its_thread_back(server: RunningServer, end: Callable[[socket.socket], None]) -> None:
    """While it is idle, in the middle of a frame, between two fragments, and while the application sends."""
    name = server.recipe.name
    lost = 1005 if name.startswith(("uvicorn", "granian")) else 1006  # the server's word for it
    for path, said, heard in (
        ("/one/echo", b"", f"ended with {lost} ''"),
        ("/one/echo", frame(0x82, bytes(1000))[:100], f"ended with {lost} ''"),
        ("/one/echo", frame(0x01, b"half a message"), f"ended with {lost} ''"),
        ("/one/sends", b"", "sending ended with ClientDisconnected"),
    ):
        before = len(server.log())
        client = by_hand(server, path)
        client.sendall(said)
        if path == "/one/sends":
            client.recv(1)
        end(client)
        expect_log(server, heard, before)
        expect_log(server, f"over: {path}, 0 left", before)


def test_lost_client_of_a_library_gives_its_thread_back(server: RunningServer) -> None:
    """The application reads the end of its socket, or fails to write to it."""
    for said in (b"", frame(0x82, bytes(1000))[:100]):
        before = len(server.log())
        client = by_hand(server, "/one/flask/echo")
        client.sendall(said)
        reset(client)
        expect_log(server, "over: /one/flask/echo, 0 left", before)


# Name, frames, and the code that RFC 6455, 7.4.1, has for it.
_WRONG = (
    ("text that is not UTF-8", frame(0x81, b"\xff\xfe"), 1007),
    ("the same in two fragments", frame(0x01, b"\xc3") + frame(0x80, b"("), 1007),
    ("a frame without a mask", b"\x81\x02hi", 1002),
    ("an opcode that is reserved", frame(0x83, b""), 1002),
    ("a bit that is reserved", frame(0xA1, b"hi"), 1002),
    ("a compressed frame where none was agreed on", frame(0xC1, b"hi"), 1002),
    ("a continuation of nothing", frame(0x80, b"hi"), 1002),
    ("a message inside another", frame(0x01, b"hi") + frame(0x81, b"hi"), 1002),
    ("a ping in fragments", frame(0x09, b""), 1002),
    ("a ping that is too long", frame(0x89, bytes(126)), 1002),
    ("a close of one byte", frame(0x88, b"\x03"), 1002),
    ("a close with 1005", frame(0x88, b"\x03\xed"), 1002),
)


def test_frames_that_are_not_allowed_end_it(server: RunningServer) -> None:
    """The server fails the connection, with the code where it sends one; the thread is given back each time.

    Hypercorn and Daphne end the connection without a close. Granian's has no code, but for a bad one of the client.
    """
    name = server.recipe.name
    for what, frames, code in _WRONG:
        expected = code if name == "uvicorn-h11" else 1006
        if name == "granian":
            expected = 1002 if what == "a close with 1005" else 1005
        before = len(server.log())
        with opened(server, "/one/echo", compression=None) as client:
            client.socket.sendall(frames)
            assert (what, ended(client)[0]) == (what, expected)
        expect_log(server, "ended with", before)
        expect_log(server, "over: /one/echo, 0 left", before)


def test_one_too_many_is_refused(server: RunningServer) -> None:
    """With 503, or 403 where the server has no other answer, while HTTP is served; the next finds room."""
    before = len(server.log())
    with opened(server, "/one/echo") as first:
        with pytest.raises(InvalidStatus) as refused, opened(server, "/one/echo"):
            pass
        assert get(server, "/one/hello") == "hello"
        first.send("still there")
        assert receive(first) == "still there"
    expect_log(server, "over: /one/echo, 0 left", before)
    after = len(server.log())
    with opened(server, "/one/echo") as next_one:
        next_one.send("hello")
        assert receive(next_one) == "hello"
    expect_log(server, "over: /one/echo, 0 left", after)

    assert refused.value.response.status_code == (403 if server.recipe.name == "daphne" else 503)
    # Once, and not for each that is refused.
    assert server.log()[before:].count("websocket_threads") == 1


@pytest.mark.parametrize("server", ["uvicorn-h11", "hypercorn-trio", "granian"], indirect=True)
def test_hundred_sockets_at_once(server: RunningServer) -> None:
    """As many as the option allows by default, all in a chat of flask-sock; one more is refused, HTTP is served."""
    before = len(server.log())
    with ExitStack() as stack:
        clients = [stack.enter_context(opened(server, "/hundred/flask/crowd", compression=None)) for _ in range(100)]
        assert {receive(client) for client in clients} == {"in"}
        with pytest.raises(InvalidStatus) as refused, opened(server, "/hundred/echo"):
            pass
        assert (refused.value.response.status_code, get(server, "/hundred/hello")) == (503, "hello")
        clients[0].send("hello")
        assert {receive(client) for client in clients} == {"hello"}
    expect_log(server, "over: /hundred/flask/crowd, 0 left", before)


@pytest.mark.parametrize("server", ["uvicorn-h11", "hypercorn-trio", "granian"], indirect=True)
def test_slow_client_holds_the_application(server: RunningServer) -> None:
    """Of 128 MiB, what the buffers on the way take leaves the application, and no more; then all of it arrives.

    Daphne's send() writes into a buffer without limit and never waits.
    """
    before = int(get(server, "/memory"))
    with by_hand(server, "/flood") as client:
        sent = int(get(server, "/stalled"))
        grown = int(get(server, "/memory")) - before
        received = 0
        while received < 128 * MIB and (data := client.recv(MIB)):
            received += len(data)

    # Linux: 4 MB to send and 6 MB to receive at most; Granian keeps 32 messages more.
    assert (sent * 65536 < 32 * MIB, grown < 16 * MIB, received >= 128 * MIB) == (True, True, True)


@pytest.mark.parametrize("server", WITHOUT_DAPHNE, indirect=True)
def test_slow_application_holds_the_client(server: RunningServer) -> None:
    """The client can send what the buffers on the way take, and no more; then the application receives all of it.

    Daphne reads on, however many messages wait for the application.
    """
    message = frame(0x82, bytes(65536))
    before = int(get(server, "/memory"))
    with by_hand(server, "/drowsy") as client:
        assert client.recv(8) == b"\x81\x06asleep"
        client.settimeout(0.5)
        sent = 0
        try:
            while sent < 128 * MIB:
                sent += client.send(memoryview(message)[sent % len(message) :])
        except TimeoutError:
            pass
        grown = int(get(server, "/memory")) - before
        client.settimeout(TIMEOUT)
        get(server, "/hurry")
        messages = -(-sent // len(message))
        client.sendall(message[sent % len(message) :] if sent % len(message) else b"")
        client.sendall(frame(0x81, b"end"))
        answer = client.recv(4096)

    assert (sent < 16 * MIB, grown < 8 * MIB) == (True, True)
    assert answer.startswith(b"\x81" + bytes([len(str(messages * 65536))]) + b"%d" % (messages * 65536))


@pytest.mark.parametrize("name", ["uvicorn-h11"])
def test_server_that_is_killed_ends_the_websocket(name: str) -> None:
    """The client hears of it, idle or not. What its server is plays no part."""
    with start_server(name) as server, opened(server, "/echo") as idle, by_hand(server, "/sends") as sending:
        sending.recv(1)
        server.terminate(signal.SIGKILL)
        assert ended(idle) == (1006, "")
        # The kernel sends FIN or RST, by what it had not read yet.
        with contextlib.suppress(ConnectionResetError):
            while sending.recv(MIB):
                pass
