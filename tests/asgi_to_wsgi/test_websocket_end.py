"""The end of a WebSocket when something else goes wrong: cancellation, errors of the bridge, an adapter that ends."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from bridge import AsgiToWsgi
from bridge.asgi_to_wsgi import exchange, left_overs, websocket, websocket_listener, websocket_speaker
from bridge.asgi_to_wsgi.hosts import Beside
from bridge.asgi_to_wsgi.takeover import Connection
from bridge.asgi_to_wsgi.websocket_opening import open_websocket
from bridge.asgi_to_wsgi.websocket_readable import Readable
from bridge.asgi_to_wsgi.websocket_wire import Wire
from bridge.errors import ApplicationError, ClientDisconnected, ServerError
from tests.asgi import ASYNCIO, TIMEOUT, Message, Receive, Scope, Send, wait
from tests.asgi_to_wsgi.kinds import Kind, kinds
from tests.asgi_to_wsgi.websocket_applications import ACCEPT, Noted, Open, on_each_family, on_request_loop, serving
from tests.asgi_to_wsgi.websocket_server import CLOSE, TEXT, frame, handing_out

# A fixture.
__all__ = ["serving"]

on_asyncio = kinds(lambda kind: kind.name in ("request", "request-uvloop", "shared"))


# -- an adapter that ends -----------------------------------------------------------------------------------------


def test_websocket_that_is_accepted_while_the_adapter_ends(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """1001 at once, and not only when the patience of close() is over."""
    asked, told = threading.Event(), threading.Event()
    received: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        asked.set()
        await anyio.to_thread.run_sync(told.wait, TIMEOUT)
        await send(ACCEPT)
        received.append(await receive())

    original = websocket.WebSocket.go_away

    def go_away(self: websocket.WebSocket) -> None:
        original(self)
        told.set()

    monkeypatch.setattr(websocket.WebSocket, "go_away", go_away)
    adapter = AsgiToWsgi(application, **{"lifespan": "off", **kind.options})
    with handing_out(adapter) as server:
        server.ask()
        wait(asked)
        closing = threading.Thread(target=adapter.close)
        closing.start()
        assert server.read_head().startswith("HTTP/1.1 101 ")
        assert server.hear_close() == (1001, "")
        server.say(CLOSE, b"\x03\xe9")
        assert server.hears_end()
        closing.join(TIMEOUT)

    assert received == [{"type": "websocket.disconnect", "code": 1001, "reason": ""}]


@on_request_loop
def test_websocket_that_comes_while_the_adapter_ends(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """close() looks for those that are open, and does not see one whose request has just begun."""
    application = Noted()
    adapter = AsgiToWsgi(application, **{"lifespan": "off", **kind.options})

    def open_late(*given: Any, **options: Any) -> Any:
        opened = open_websocket(*given, **options)
        adapter.close(0.0)
        return opened

    monkeypatch.setattr("bridge.asgi_to_wsgi.adapter.open_websocket", open_late)
    with handing_out(adapter) as server:
        server.open()
        assert server.hear_close() == (1001, "")
        server.say(CLOSE, b"\x03\xe9")

    assert application.received == [{"type": "websocket.disconnect", "code": 1001, "reason": ""}]


# -- cancellation -------------------------------------------------------------------------------------------------


@on_asyncio
@pytest.mark.parametrize("times", [1, 2, 10])
def test_cancellation_at_the_end_leaves_nothing_behind(
    serving: Open, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio's own, which no shield of anyio's keeps out; again in each turn of the loop."""
    tasks: list[tuple[asyncio.AbstractEventLoop, Any]] = []
    order: list[str] = []
    listen, give_back = websocket_listener.Listener.listen, Wire.give_back

    async def listen_and_end_slowly(self: websocket_listener.Listener) -> None:
        try:
            await listen(self)
        finally:
            for _ in range(20):
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    pass
            order.append("the listener ends")

    def note(self: Wire) -> None:
        order.append("the server has its socket")
        give_back(self)

    monkeypatch.setattr(websocket_listener.Listener, "listen", listen_and_end_slowly)
    monkeypatch.setattr(Wire, "give_back", note)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        tasks.append((asyncio.get_running_loop(), asyncio.current_task()))

    def cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None], left: int) -> None:
        task.cancel()
        if left > 1:
            loop.call_soon(cancel, loop, task, left - 1)

    with serving(application, {"timeout": 33.0}) as server:
        server.open()
        assert server.hear_close() == (1000, "")  # and does not answer it
        loop, task = tasks[0]
        loop.call_soon_threadsafe(cancel, loop, task, times)
        with pytest.raises(ApplicationError, match="cancelled"):
            server.end()
        assert server.hears_end()
        assert server.timeout == 33.0

    assert order[:2] == ["the listener ends", "the server has its socket"]


@on_each_family
def test_accept_that_is_cancelled_has_been_made(serving: Open) -> None:
    """The connection is taken over: the answer leaves, and a second accept is an error."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.CancelScope() as cancelled:
            cancelled.cancel()
            await send(ACCEPT)
        with pytest.raises(ApplicationError, match=r"after websocket\.accept"):
            await send(ACCEPT)
        await receive()
        await send({**await receive(), "type": "websocket.send"})

    with serving(application) as server:
        server.open()
        server.say(TEXT, b"hello")
        assert server.hear() == (TEXT, b"hello")
        server.say(CLOSE)


class Stubborn:
    """An application that accepts and never ends, whatever it is told."""

    def __init__(self) -> None:
        self.loop: Any = None
        self.accepted = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        self.loop = asyncio.get_running_loop()
        self.accepted.set()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass


@kinds(lambda kind: kind.name == "shared")
def test_application_that_outlives_its_loop_does_not_keep_the_connection(
    kind: Kind, monkeypatch: pytest.MonkeyPatch, bridge_log: list[logging.LogRecord]
) -> None:
    """The server gets its socket back, and the client sees the end."""
    monkeypatch.setattr(left_overs, "LEFT_OVER_GRACE", 0.05)
    application = Stubborn()
    adapter = AsgiToWsgi(application, **{"lifespan": "off", **kind.options})
    with handing_out(adapter, timeout=33.0) as server:
        server.open()
        wait(application.accepted)
        adapter.close(0.0)
        with pytest.raises(ServerError, match="closed"):
            server.end()
        assert server.timeout == 33.0
        assert server.hear_close()[0] == 1001
        assert server.hears_end()

    assert any("goes on although" in record.getMessage() for record in bridge_log)


@on_request_loop
def test_server_that_is_interrupted_has_its_connection(
    kind: Kind, monkeypatch: pytest.MonkeyPatch, bridge_log: list[logging.LogRecord]
) -> None:
    """By a KeyboardInterrupt, while the application does not end.

    The loop does not know the socket any more by then: its number may be that of the server's next connection.
    """
    order: list[str] = []
    forget, give_back = Readable.end, Wire.give_back

    def note_end(self: Readable) -> None:
        forget(self)
        order.append("forgotten")

    def note_return(self: Wire) -> None:
        order.append("given back")
        give_back(self)

    monkeypatch.setattr(Readable, "end", note_end)
    monkeypatch.setattr(Wire, "give_back", note_return)
    monkeypatch.setattr(exchange, "DISCONNECT_GRACE", 0.05)
    application = Stubborn()
    adapter = AsgiToWsgi(application, **{"lifespan": "off", "shutdown_timeout": 0.05, **kind.options})

    def interrupt() -> None:
        raise KeyboardInterrupt

    with handing_out(adapter, timeout=33.0) as server:
        server.open()
        wait(application.accepted)
        application.loop.call_soon_threadsafe(interrupt)
        with pytest.raises(KeyboardInterrupt):
            server.end()
        assert server.timeout == 33.0
        assert server.hears_end()

    assert order[: order.index("given back")] == ([] if "trio" in kind.name else ["forgotten"])
    assert any("left alone" in record.getMessage() for record in bridge_log)


@kinds(lambda kind: kind.name == "shared")
def test_connection_that_the_server_has_again_cannot_be_accepted(
    kind: Kind, monkeypatch: pytest.MonkeyPatch, bridge_log: list[logging.LogRecord]
) -> None:
    """An application that was left alone on a loop that goes on must not get at what may be another request by now."""
    monkeypatch.setattr(exchange, "DISCONNECT_GRACE", 0.05)
    asked, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    errors: list[BaseException] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await anyio.to_thread.run_sync(go_on.wait, TIMEOUT)
        try:
            await send(ACCEPT)
        except OSError as error:
            errors.append(error)
        ended.set()

    def interrupt(self: Beside) -> None:
        wait(asked)
        raise KeyboardInterrupt

    monkeypatch.setattr(Beside, "wait", interrupt)
    adapter = AsgiToWsgi(application, **{"lifespan": "off", "shutdown_timeout": 0.05, **kind.options})
    with handing_out(adapter) as server:
        server.ask()
        with pytest.raises(KeyboardInterrupt):
            server.end()
        go_on.set()
        wait(ended)
        assert server.read_head().startswith("HTTP/1.1 500 ")
    adapter.close()

    assert [type(error) for error in errors] == [ClientDisconnected]
    assert any("left alone" in record.getMessage() for record in bridge_log)


# -- errors of the bridge -----------------------------------------------------------------------------------------


@on_each_family
@pytest.mark.parametrize("task", ["listener", "pings", "goodbye"])
def test_error_in_a_task_ends_the_websocket_and_is_logged(
    kind: Kind, task: str, monkeypatch: pytest.MonkeyPatch, bridge_log: list[logging.LogRecord]
) -> None:
    """It is nobody's to catch. On trio it would end the loop, with all that is on it."""
    failed = RuntimeError("the bridge has a bug")

    async def fail(*given: Any) -> None:
        # Once: the end says the close again.
        monkeypatch.undo()
        raise failed

    application = Noted()
    interval = 0.05 if task == "pings" else 0.0
    options = {"lifespan": "off", "websocket_ping_interval": interval, **kind.options}
    adapter = AsgiToWsgi(application, **options)
    with handing_out(adapter) as server:
        if task == "listener":
            monkeypatch.setattr(websocket_listener.Listener, "_collect", fail)
            server.ask(early=frame(TEXT, b"x"))
            server.read_head()
        elif task == "pings":
            server.ask()
            server.read_head()
            monkeypatch.setattr(websocket_speaker.Speaker, "say", fail)
        else:
            server.open()
            monkeypatch.setattr(websocket_speaker.Speaker, "say_close", fail)
            threading.Thread(target=adapter.close).start()
        while server.client_socket.recv(100):
            pass
    adapter.close()

    assert [record.exc_info[1] for record in bridge_log if record.exc_info] == [failed]
    assert application.received[0]["code"] == (1001 if task == "goodbye" else 1006)


# -- connections ----------------------------------------------------------------------------------------------------


@on_each_family
def test_client_that_does_not_answer_a_close_is_not_waited_for(serving: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the application itself goes on after its close."""
    monkeypatch.setattr(websocket, "CLOSE_WAIT", 0.05)
    go_on = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await send({"type": "websocket.close"})
        await anyio.to_thread.run_sync(go_on.wait, TIMEOUT)

    with serving(application) as server:
        server.open()
        assert server.hear_close() == (1000, "")
        assert server.hears_end()
        go_on.set()


@on_each_family
def test_server_that_closes_its_socket(serving: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poller may never tell; the next ping does, and then nobody waits for an answer of the client."""
    monkeypatch.setattr(websocket, "CLOSE_WAIT", 60.0)
    application = Noted()
    with serving(application, websocket_ping_interval=0.05) as server:
        server.open()
        server.hear()
        server.close_socket()
        wait(application.ended)
        server.end()

    assert [message["code"] for message in application.received] == [1006]


class _ClosedInBetween:
    """A socket that its server closes between an attempt and the wait for it."""

    def recv(self, size: int) -> bytes:
        raise BlockingIOError

    def send(self, data: object) -> int:
        raise BlockingIOError

    def fileno(self) -> int:
        return -1

    def gettimeout(self) -> None: ...

    def setblocking(self, flag: bool) -> None: ...


async def test_socket_that_is_closed_before_the_wait_is_lost() -> None:
    """An OSError like that of any lost connection, and not the ValueError of the event loop."""
    wire = Wire(Connection(_ClosedInBetween, bytes), None)
    wire.put(b"x")
    for step in (wire.read(1), wire.flush()):
        with pytest.raises(OSError, match="closed"):
            await step


def test_socket_is_given_back_once() -> None:
    """The server may use it in its own way from then on."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire = Wire(Connection(lambda: ours, bytes), None)
        wire.give_back()
        assert (ours.gettimeout(), theirs.recv(1)) == (None, b"")
        ours.settimeout(5.0)
        wire.give_back()
        assert ours.gettimeout() == 5.0


@pytest.mark.parametrize("anyio_backend", ASYNCIO, indirect=True)
async def test_loop_does_not_turn_for_what_nobody_reads() -> None:
    """A client that sends on while its messages are not taken must not keep the loop awake."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        readable = Readable(loop)
        theirs.send(b"x")
        await asyncio.wait_for(readable.wait(ours.fileno()), TIMEOUT)
        for _ in range(3):  # turns of the loop with something to be read
            await asyncio.sleep(0)
        assert not loop.remove_reader(ours.fileno())
        await asyncio.wait_for(readable.wait(ours.fileno()), TIMEOUT)  # and yet it is found
        readable.end()
        assert not loop.remove_reader(ours.fileno())
