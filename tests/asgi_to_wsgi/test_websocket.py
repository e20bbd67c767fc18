"""One WebSocket between a client and an application, on every kind of event loop. The server is played."""

from __future__ import annotations

import logging
import sys
import threading
import zlib
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from bridge import AsgiToWsgi
from bridge.asgi_to_wsgi import websocket as module
from bridge.asgi_to_wsgi import websocket_listener
from bridge.errors import ApplicationError, ClientDisconnected
from tests.asgi import TIMEOUT, Message, Receive, Scope, Send, wait
from tests.asgi_to_wsgi.kinds import Kind
from tests.asgi_to_wsgi.websocket_applications import (
    ACCEPT,
    Noted,
    Open,
    echo,
    on_each_family,
    on_request_loop,
    serving,
)
from tests.asgi_to_wsgi.websocket_server import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    frame,
    handing_out,
)

# A fixture.
__all__ = ["serving"]


def closed(websocket: ClientConnection) -> tuple[int, str]:
    """Return code and reason of the close that comes next."""
    with pytest.raises(ConnectionClosed) as error:
        websocket.recv(TIMEOUT)
    assert error.value.rcvd is not None
    return error.value.rcvd.code, error.value.rcvd.reason


def text(content: str) -> Message:
    return {"type": "websocket.receive", "text": content}


def data(content: bytes) -> Message:
    return {"type": "websocket.receive", "bytes": content}


def disconnect(code: int, reason: str = "") -> Message:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


# -- messages -------------------------------------------------------------------------------------------------


def test_messages_go_both_ways(serving: Open) -> None:
    """Text and binary, empty ones, and one that is longer than any buffer on the way; compressed or not."""
    application = Noted(echo)
    messages: list[str | bytes] = ["hello", b"\x00\xff", "", b"", "é" * 200_000, bytes(range(256)) * 4_000]
    with serving(application) as server, server.connect() as websocket:
        for message in messages:
            websocket.send(message)
            assert websocket.recv(TIMEOUT) == message
        websocket.close(4001, "bye")
        wait(application.ended)

    assert application.received[-1] == disconnect(4001, "bye")
    assert server.status == "101 Switching Protocols"


@on_each_family
def test_ten_thousand_messages_keep_their_order(serving: Open) -> None:
    """While the client reads and writes at the same time."""
    count = 10_000
    frames = b"".join(frame(TEXT, b"%d" % number) for number in range(count))
    with serving(Noted(echo)) as server:
        server.open()
        sending = threading.Thread(target=server.client_socket.sendall, args=(frames,))
        sending.start()
        got = [server.hear() for _ in range(count)]
        sending.join(TIMEOUT)
        server.say(CLOSE)

    assert got == [(TEXT, b"%d" % number) for number in range(count)]


@on_request_loop
def test_fragments_are_one_message(serving: Open) -> None:
    """RFC 6455, 5.4: with a ping in between, and cut inside a character."""
    application = Noted(echo)
    with serving(application) as server:
        server.open()
        server.say(TEXT, "é".encode()[:1], fin=False)
        server.say(CONTINUATION, "é".encode()[1:], fin=False)
        server.say(PING, b"still there?")
        server.say(CONTINUATION)
        assert server.hear() == (PONG, b"still there?")
        assert server.hear() == (TEXT, "é".encode())
        server.say(CLOSE, b"\x03\xe8")
        assert server.hear_close() == (1000, "")

    assert application.received == [text("é"), disconnect(1000)]


@on_each_family
def test_frames_that_come_with_the_handshake_are_not_lost(serving: Open) -> None:
    """The server has read them into its buffer together with the request."""
    with serving(Noted(echo)) as server:
        server.ask(early=frame(TEXT, b"early") + frame(TEXT, b"too"))
        assert server.read_head().startswith("HTTP/1.1 101 ")
        assert server.hear() == (TEXT, b"early")
        assert server.hear() == (TEXT, b"too")
        server.say(CLOSE)


@on_request_loop
@pytest.mark.parametrize("compression", ["deflate", None])
def test_compression_is_agreed_on_if_the_client_offers_it(serving: Open, compression: str | None) -> None:
    """RFC 7692."""
    with serving(Noted(echo)) as server, server.connect(compression=compression) as websocket:
        websocket.send("a" * 100_000)
        assert websocket.recv(TIMEOUT) == "a" * 100_000
        assert websocket.response is not None
        assert ("permessage-deflate" in websocket.response.headers.get("Sec-WebSocket-Extensions", "")) is (
            compression is not None
        )


@on_request_loop
def test_scope_and_accept(serving: Open) -> None:
    """The client's subprotocols in the scope, the application's choice and headers in the answer."""
    scopes = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await send({**ACCEPT, "subprotocol": scope["subprotocols"][1], "headers": [(b"x-served", b"yes")]})

    with serving(application) as server, server.connect("/chat?room=1", subprotocols=["a", "b"]) as websocket:
        assert websocket.subprotocol == "b"
        assert websocket.response is not None
        assert websocket.response.headers["X-Served"] == "yes"

    assert scopes[0]["type"] == "websocket"
    assert (scopes[0]["path"], scopes[0]["query_string"]) == ("/chat", b"room=1")


# -- the end --------------------------------------------------------------------------------------------------


def test_close_of_the_application(serving: Open) -> None:
    """Code and reason reach the client; receive() gives them to the application itself, and send() refuses."""
    got: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await send({"type": "websocket.close", "code": 4002, "reason": "so long"})
        await receive()
        got.append(await receive())
        with pytest.raises(ApplicationError):
            await send({"type": "websocket.send", "text": "late"})

    with serving(application) as server, server.connect() as websocket:
        assert closed(websocket) == (4002, "so long")

    assert got == [disconnect(4002, "so long")]


@on_each_family
@pytest.mark.parametrize("timeout", [None, 33.0])
def test_server_gets_its_connection_back_shut_down(serving: Open, timeout: float | None) -> None:
    """In the mode that it was in; what it sends then, the client must not see."""
    with serving(Noted(), {"timeout": timeout}) as server:
        server.open()
        server.say(CLOSE)
        assert server.hear() == (CLOSE, b"")
        assert server.hears_end()

    assert server.timeout == timeout
    assert server.headers == [("content-length", "0")]


@on_request_loop
@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(b"", disconnect(1005), id="without a code"),
        pytest.param(b"\x03\xe9", disconnect(1001), id="going away"),
        pytest.param(b"\x0f\xa1" + "Grüße".encode(), disconnect(4001, "Grüße"), id="reason"),
    ],
)
def test_close_of_the_client(serving: Open, payload: bytes, expected: Message) -> None:
    """RFC 6455, 5.5.1: it is answered with the same code; 7.1.5: 1005 stands for none."""
    application = Noted()
    with serving(application) as server:
        server.open()
        server.say(CLOSE, payload)
        opcode, answer = server.hear()
        assert (opcode, answer[:2]) == (CLOSE, payload[:2])
        assert server.hears_end()

    assert application.received == [expected]


@on_request_loop
def test_messages_before_the_close_are_received(serving: Open) -> None:
    """The application gets all that the client has sent, in its own time."""
    go_on = threading.Event()
    received: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await anyio.to_thread.run_sync(go_on.wait, TIMEOUT)
        while not received or received[-1]["type"] == "websocket.receive":
            received.append(await receive())

    with serving(application) as server:
        server.open()
        for number in range(3):
            server.say(TEXT, b"%d" % number)
        server.say(CLOSE, b"\x03\xe8")
        assert server.hear_close() == (1000, "")
        assert server.hears_end()  # the client need not wait for the application
        go_on.set()

    assert received == [text("0"), text("1"), text("2"), disconnect(1000)]


@on_each_family
def test_client_that_is_lost(serving: Open) -> None:
    """RFC 6455, 7.1.5: 1006; send() raises an OSError, and that the application lets pass."""
    received: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        received.append(await receive())
        await send({"type": "websocket.send", "text": "still there?"})

    with serving(application) as server:
        server.open()
        server.client_socket.close()

    assert received == [disconnect(1006)]


@on_each_family
def test_client_that_is_lost_while_the_application_sends(serving: Open) -> None:
    """A send() that waits for the client ends too, with ClientDisconnected."""
    errors: list[BaseException] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(100_000)})
        except OSError as error:
            errors.append(error)

    with serving(application) as server:
        server.open()
        server.hear()
        server.client_socket.close()

    assert [type(error) for error in errors] == [ClientDisconnected]


class WebSocketDisconnect(Exception):
    """Starlette's, by its name."""


@on_request_loop
def test_error_that_says_that_the_client_left_is_nobodys_fault(serving: Open) -> None:
    """Applications of Starlette let it pass; it is neither raised nor logged."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        raise WebSocketDisconnect

    with serving(application) as server:
        server.open()
        server.say(CLOSE)


@on_each_family
def test_application_that_returns_without_a_close(serving: Open) -> None:
    """RFC 6455, 7.4.1: a normal end, 1000."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)

    with serving(application) as server, server.connect() as websocket:
        assert closed(websocket) == (1000, "")


def test_application_that_raises_after_the_accept(serving: Open) -> None:
    """RFC 6455, 7.4.1: 1011; the server gets the error, as for a response."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        raise RuntimeError("broken")

    def ask() -> None:
        with serving(application) as server, server.connect() as websocket:
            assert closed(websocket) == (1011, "")

    with pytest.raises(RuntimeError, match="broken"):
        ask()


@on_request_loop
@pytest.mark.parametrize(
    ("messages", "hint"),
    [
        pytest.param([{"type": "websocket.send", "text": "x"}], "before websocket.accept", id="send first"),
        pytest.param([ACCEPT, ACCEPT], "after websocket.accept", id="accepted twice"),
        pytest.param([{"type": "http.response.start", "status": 200}], "http.response.start", id="a response"),
        pytest.param([ACCEPT, {"type": "websocket.send"}], "text", id="nothing to send"),
        pytest.param([ACCEPT, {"type": "websocket.send", "bytes": "text"}], "bytes", id="text for bytes"),
        pytest.param([ACCEPT, {"type": "websocket.send", "text": "\ud800"}], "UTF-8", id="lone surrogate"),
        pytest.param([ACCEPT, {"type": "websocket.close", "code": 1006}], "1006", id="code that is never sent"),
        pytest.param([ACCEPT, {"type": "websocket.close", "reason": "é" * 62}], "123", id="long reason"),
        pytest.param([], "neither accepted", id="nothing at all"),
    ],
)
def test_application_that_breaks_the_specification(serving: Open, messages: list[Message], hint: str) -> None:
    """ASGI WebSocket specification: the error says what is wrong, and in which state."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    def ask() -> None:
        with serving(application) as server:
            server.ask()
            if server.read_head().startswith("HTTP/1.1 101 "):
                assert server.hear_close() == (1011, "")
                server.say(CLOSE)

    with pytest.raises(ApplicationError, match=hint):
        ask()


# -- what breaks RFC 6455 -------------------------------------------------------------------------------------


@on_each_family
@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param(frame(TEXT, b"\xff\xfe"), 1007, id="no UTF-8"),
        pytest.param(frame(TEXT, b"\xc3"), 1007, id="cut UTF-8"),
        pytest.param(frame(3, b"x"), 1002, id="unknown opcode"),
        pytest.param(frame(TEXT, b"x", reserved=4), 1002, id="reserved bit"),
        pytest.param(frame(CONTINUATION, b"x"), 1002, id="continues nothing"),
        pytest.param(frame(PING, b"x", fin=False), 1002, id="ping in fragments"),
        pytest.param(frame(CLOSE, b"\x03"), 1002, id="half a code"),
        pytest.param(frame(CLOSE, b"\x03\xee"), 1002, id="code that is never sent"),
        pytest.param(b"\x81\x01x", 1002, id="not masked"),
    ],
)
def test_frames_that_are_not_allowed(serving: Open, frames: bytes, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is told the code, also if it goes on sending; and so is the application."""
    monkeypatch.setattr(websocket_listener, "CLOSE_WAIT", 60.0)
    application = Noted()
    with serving(application) as server:
        server.open()
        server.client_socket.sendall(frames + frame(BINARY, bytes(100_000)))
        assert server.hear_close()[0] == code
        assert server.hears_end()
        # What was under way is still taken: else the connection is reset, and a client may never see the close.
        server.client_socket.sendall(frame(BINARY, bytes(1_000_000)))
        server.client_socket.close()

    assert application.received[0]["code"] == code


@on_each_family
@pytest.mark.parametrize("fragments", [1, 10])
def test_message_that_is_too_big(serving: Open, fragments: int, bridge_log: list[logging.LogRecord]) -> None:
    """1009, and a line in the log that names the option. The limit itself is allowed."""
    application = Noted(echo)
    with serving(application, max_message_size=1000) as server:
        server.open()
        server.say(BINARY, bytes(1000))
        assert server.hear() == (BINARY, bytes(1000))
        size = 1001 if fragments == 1 else 101
        for number in range(fragments):
            server.say(BINARY if number == 0 else CONTINUATION, bytes(size), fin=number == fragments - 1)
        code, reason = server.hear_close()
        assert code == 1009
        assert "1000" in reason
        server.say(CLOSE, b"\x03\xf1")
        assert server.hears_end()

    assert [message.get("code") for message in application.received] == [None, 1009]
    assert "max_message_size" in bridge_log[0].getMessage()


@on_request_loop
def test_compressed_message_is_measured_as_it_is(serving: Open, bridge_log: list[logging.LogRecord]) -> None:
    """A megabyte of zeros is a kilobyte on its way."""
    deflate = zlib.compressobj(wbits=-15)
    squeezed = (deflate.compress(bytes(1_000_000)) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
    with serving(Noted(), max_message_size=100_000) as server:
        server.ask({"Sec-WebSocket-Extensions": "permessage-deflate"})
        assert "permessage-deflate" in server.read_head()
        server.say(BINARY, squeezed, reserved=4)
        assert server.hear_close()[0] == 1009
        server.say(CLOSE, b"\x03\xf1")

    assert len(squeezed) < 2000
    assert len(bridge_log) == 1


@on_request_loop
def test_compressed_message_may_have_a_pong_between_its_fragments(serving: Open) -> None:
    """RFC 6455, 5.4. The answer to a ping of ours comes whenever it comes."""
    application = Noted()
    deflate = zlib.compressobj(wbits=-15)
    squeezed = (deflate.compress(b"hello world, hello") + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
    with serving(application) as server:
        server.ask({"Sec-WebSocket-Extensions": "permessage-deflate"})
        server.read_head()
        server.say(TEXT, squeezed[:5], fin=False, reserved=4)
        server.say(PONG)
        server.say(CONTINUATION, squeezed[5:])
        server.say(CLOSE)

    assert application.received == [text("hello world, hello"), disconnect(1005)]


@on_request_loop
def test_message_that_goes_on_behind_its_compressed_end_is_no_message(serving: Open) -> None:
    """What zlib makes nothing of it keeps, so that no limit would be met: 1007."""
    deflate = zlib.compressobj(wbits=-15)
    ended = deflate.compress(b"hello") + deflate.flush(zlib.Z_FINISH)
    with serving(Noted()) as server:
        server.ask({"Sec-WebSocket-Extensions": "permessage-deflate"})
        server.read_head()
        server.say(BINARY, ended + bytes(1000), fin=False, reserved=4)
        assert server.hear_close()[0] == 1007
        server.client_socket.close()


@on_each_family
def test_close_of_an_application_that_is_cancelled_leaves(serving: Open) -> None:
    """In a cancelled scope nothing can be awaited, so it is said when the application has ended."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        with anyio.CancelScope() as cancelled:
            cancelled.cancel()
            await send({"type": "websocket.close", "code": 4001})

    with serving(application) as server:
        server.open()
        assert server.hear_close()[0] == 4001
        server.say(CLOSE, b"\x0f\xa1")


@on_request_loop
def test_tiny_fragments_take_no_more_memory_than_the_message(serving: Open) -> None:
    """Empty ones without end least of all."""
    application = Noted()
    with serving(application) as server:
        server.open()
        server.say(TEXT, b"a", fin=False)
        server.client_socket.sendall(frame(CONTINUATION, fin=False) * 50_000)
        server.say(CONTINUATION, b"b")
        server.say(CLOSE)

    assert application.received == [text("ab"), disconnect(1005)]


# -- backpressure ---------------------------------------------------------------------------------------------


@on_each_family
def test_slow_reader_holds_the_application_up(serving: Open) -> None:
    """send() waits for the connection: no more lies between than its buffers hold."""
    sent = 0
    waiting = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(ACCEPT)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(note_when_nothing_leaves)
            for _ in range(400):
                await send({"type": "websocket.send", "bytes": bytes(50_000)})
                sent += 1
            tasks.cancel_scope.cancel()

    async def note_when_nothing_leaves() -> None:
        before = -1
        while sent != before:
            before = sent
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
        waiting.set()

    with serving(application) as server:
        server.open()
        wait(waiting)
        ahead = sent
        assert sum(len(server.hear()[1]) for _ in range(400)) == 400 * 50_000
        assert server.hear_close() == (1000, "")
        server.say(CLOSE, b"\x03\xe8")

    assert ahead < 40  # 2 MB; a pair of sockets holds a tenth of that


@on_each_family
def test_slow_application_holds_the_client_up(serving: Open) -> None:
    """What is not received yet is bounded by request_buffer; the rest waits in the connection."""
    go_on = threading.Event()
    application = Noted()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await anyio.to_thread.run_sync(go_on.wait, TIMEOUT)
        while (message := await receive())["type"] == "websocket.receive":
            application.received.append(message)

    with serving(slow, request_buffer=10_000) as server:
        server.open()
        server.client_socket.settimeout(0.3)
        taken = 0
        try:
            while taken < 2_000_000:
                taken += server.client_socket.send(frame(BINARY, bytes(1000)) * 100)
        except TimeoutError:
            pass
        server.client_socket.settimeout(TIMEOUT)
        go_on.set()
        rest = -taken % 1008
        server.client_socket.sendall((frame(BINARY, bytes(1000)) * 2)[1008 - rest : 1008])
        server.say(CLOSE)

    assert taken < 2_000_000
    assert sum(len(message["bytes"]) for message in application.received) == (taken + rest) // 1008 * 1000


@on_each_family
def test_send_that_is_cancelled_leaves_the_frames_whole(serving: Open) -> None:
    """What the first has begun to write is finished by the next; the others have not begun, so nothing piles up."""
    cancelled = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        for _ in range(3):
            with anyio.move_on_after(0.03) as sending:
                await send({"type": "websocket.send", "bytes": bytes(3_000_000)})
            assert sending.cancelled_caught
        cancelled.set()
        await send({"type": "websocket.send", "text": "go"})

    with serving(application) as server:
        server.open()
        wait(cancelled)
        assert server.hear() == (BINARY, bytes(3_000_000))
        assert server.hear() == (TEXT, b"go")
        assert server.hear_close() == (1000, "")
        server.say(CLOSE, b"\x03\xe8")


# -- pings ----------------------------------------------------------------------------------------------------


@on_each_family
def test_pings_find_a_client_that_is_lost(serving: Open) -> None:
    """One that answers nothing within the interval; the application hears of 1006."""
    application = Noted()
    with serving(application, websocket_ping_interval=0.05) as server:
        server.open()
        assert server.hear() == (PING, b"")
        assert server.hears_end()

    assert application.received == [disconnect(1006)]


@on_request_loop
def test_pings_keep_a_client_that_answers(serving: Open) -> None:
    """It is asked again after each interval, and never lost. Half a second is long for a machine that is busy."""
    application = Noted()
    with serving(application, websocket_ping_interval=0.5) as server:
        server.open()
        for _ in range(2):
            assert server.hear() == (PING, b"")
            server.say(PONG)
        server.say(CLOSE, b"\x03\xe8")

    assert application.received == [disconnect(1000)]


@on_request_loop
def test_application_that_is_behind_is_not_taken_for_a_lost_client(serving: Open) -> None:
    """The answer to the ping lies behind messages that were not received yet."""
    go_on = threading.Event()
    received: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await anyio.to_thread.run_sync(go_on.wait, TIMEOUT)
        while not received or received[-1]["type"] == "websocket.receive":
            received.append(await receive())

    with serving(application, websocket_ping_interval=0.03, request_buffer=1) as server:
        server.ask(early=frame(TEXT, b"x"))
        server.read_head()
        for _ in range(4):
            assert server.hear() == (PING, b"")
            server.say(PONG)
        server.say(CLOSE, b"\x03\xe8")
        go_on.set()
        while (heard := server.hear()) == (PING, b""):
            pass
        assert heard == (CLOSE, b"\x03\xe8")

    assert received == [text("x"), disconnect(1000)]


# -- an application that goes on, an adapter that ends ----------------------------------------------------------


def test_application_that_goes_on_without_its_client_is_cancelled(
    serving: Open, monkeypatch: pytest.MonkeyPatch, bridge_log: list[logging.LogRecord]
) -> None:
    """It holds a thread of the server, and would for ever. It may put things away, and the server sees no error."""
    monkeypatch.setattr(module, "GRACE", 0.05)
    cancelled = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            cancelled.set()

    with serving(application) as server:
        server.open()
        server.say(CLOSE)
        wait(cancelled)

    assert server.status == "101 Switching Protocols"
    assert "cancelled" in bridge_log[0].getMessage()


@on_request_loop
def test_application_that_has_closed_itself_may_go_on(serving: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a response: it decides how long."""
    monkeypatch.setattr(module, "GRACE", 0.0)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await send({"type": "websocket.close"})
        for _ in range(100):
            await anyio.lowlevel.checkpoint()

    with serving(application) as server, server.connect() as websocket:
        assert closed(websocket) == (1000, "")


def test_adapter_that_is_closed_says_goodbye(kind: Kind) -> None:
    """RFC 6455, 7.4.1: 1001, to the client and to the application, and close() waits for its end."""
    application = Noted()
    adapter = AsgiToWsgi(application, **{"lifespan": "off", **kind.options})
    with handing_out(adapter) as server:
        server.open()
        closing = threading.Thread(target=adapter.close)
        closing.start()
        assert server.hear_close() == (1001, "")
        server.say(CLOSE, b"\x03\xe9")
        assert server.hears_end()
        closing.join(TIMEOUT)

    assert application.received == [disconnect(1001)]


# -- no WebSocket -----------------------------------------------------------------------------------------------


def test_close_before_the_accept_is_403(serving: Open) -> None:
    """ASGI WebSocket specification, "Close"; the server sends it, and still has its connection."""
    got: list[Message] = []
    ended = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 4003})
        got.append(await receive())
        ended.set()

    with serving(application) as server, pytest.raises(InvalidStatus) as refusal, server.connect():
        pass

    wait(ended)  # a shared loop goes on without the server's thread
    assert refusal.value.response.status_code == 403
    assert server.status == "403 Forbidden"
    assert got == [disconnect(1006)]


def test_response_in_place_of_the_websocket(serving: Open) -> None:
    """ASGI WebSocket Denial Response extension: status, headers and the whole body."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        assert "websocket.http.response" in scope["extensions"]
        kind = "websocket.http.response"
        await send({"type": f"{kind}.start", "status": 401, "headers": [(b"www-authenticate", b"Basic")]})
        await send({"type": f"{kind}.body", "body": b"who ", "more_body": True})
        await send({"type": f"{kind}.body", "body": b"are you?"})
        with pytest.raises(ApplicationError):
            await send(ACCEPT)

    with serving(application) as server:
        server.ask()
        head, body = server.read_response()

    assert head.startswith("HTTP/1.1 401 ")
    assert "\r\nwww-authenticate: Basic\r\n" in head
    assert body == "who are you?"


def test_application_that_raises_before_the_accept(serving: Open) -> None:
    """The server gets the error and answers 500, as for a response."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("broken")

    def ask() -> None:
        with serving(application) as server:
            server.ask()
            assert server.read_head().startswith("HTTP/1.1 500 ")

    with pytest.raises(RuntimeError, match="broken"):
        ask()


async def unreachable(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the application is not called")


@on_request_loop
@pytest.mark.parametrize(
    ("changed", "status"),
    [
        pytest.param({"Sec-WebSocket-Key": None}, "400 Bad Request", id="no key"),
        pytest.param({"Sec-WebSocket-Key": "AAAA"}, "400 Bad Request", id="short key"),
        pytest.param({"Sec-WebSocket-Key": f"{KEY}\r\nSec-WebSocket-Key: {KEY}"}, "400 Bad Request", id="two keys"),
        pytest.param({"Sec-WebSocket-Version": "8"}, "400 Bad Request", id="version"),
        pytest.param({"Sec-WebSocket-Version": None}, "400 Bad Request", id="no version"),
    ],
)
def test_bad_handshake_is_answered(serving: Open, changed: dict[str, str | None], status: str) -> None:
    """RFC 6455, 4.2.2 and 4.4; the application is not called."""
    with serving(unreachable) as server:
        server.ask(changed)
        assert ("sec-websocket-version: 13" in server.read_head()) is ("Sec-WebSocket-Version" in changed)

    assert server.status == status


@on_request_loop
@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"Upgrade": "WebSocket"}, id="in any case"),
        pytest.param({"Upgrade": "websocket, foo"}, id="first of two protocols"),
        pytest.param({"Upgrade": "foo\r\nUpgrade: websocket"}, id="Upgrade in two lines"),
        pytest.param({"Connection": "keep-alive\r\nConnection: upgrade"}, id="Connection in two lines"),
        pytest.param({"Connection": ", Upgrade ,"}, id="members of a list that are empty"),
    ],
)
def test_handshake_with_lists(serving: Open, changed: dict[str, str | None]) -> None:
    """RFC 9110, 5.6.1 and 7.8: both are lists, of names in any case."""
    with serving(Noted()) as server:
        server.ask(changed)
        assert server.read_head().startswith("HTTP/1.1 101 ")
        server.say(CLOSE)


@on_request_loop
def test_server_that_hands_nothing_out(serving: Open) -> None:
    """501, with a text that says which do."""
    with serving(unreachable, {"werkzeug.socket": None, "wsgi.input": None}) as server:
        server.ask()
        assert "Gunicorn" in server.read_response()[1]

    assert server.status == "501 Not Implemented"


@on_request_loop
def test_wsproto_is_optional(
    serving: Open, monkeypatch: pytest.MonkeyPatch, bridge_log: list[logging.LogRecord]
) -> None:
    """Without it 501, and text and log name the extra."""
    monkeypatch.delitem(sys.modules, "bridge.asgi_to_wsgi.websocket")
    for name in [name for name in sys.modules if name.partition(".")[0] == "wsproto"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "wsproto", None)
    with serving(unreachable) as server:
        server.ask()
        assert "wsgi-asgi-bridge[websocket]" in server.read_response()[1]

    assert server.status == "501 Not Implemented"
    assert "wsgi-asgi-bridge[websocket]" in bridge_log[0].getMessage()


@on_request_loop
@pytest.mark.parametrize(
    ("changed", "line"),
    [
        pytest.param({"Upgrade": "h2c"}, {}, id="another protocol"),
        pytest.param({"Upgrade": "websockets"}, {}, id="nearly"),
        pytest.param({"Connection": "keep-alive"}, {}, id="not named by Connection"),
        pytest.param({"Connection": None}, {}, id="no Connection"),
        pytest.param({}, {"method": "POST"}, id="POST"),
        pytest.param({}, {"protocol": "HTTP/1.0"}, id="HTTP/1.0"),
    ],
)
def test_request_that_does_not_ask_is_an_http_request(
    serving: Open, changed: dict[str, str | None], line: dict[str, Any]
) -> None:
    """RFC 9110, 7.8: a server may ignore Upgrade, and has to in HTTP/1.0. The application is called once."""
    kinds_of_scope = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        kinds_of_scope.append(scope["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    with serving(application) as server:
        server.ask(changed, **line)
        head, body = server.read_response()

    assert (head[:13], body) == ("HTTP/1.1 200 ", "hello")
    assert kinds_of_scope == ["http"]
