"""Applications that want the connection: simple-websocket as it is, and others that write to the socket by hand."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

import anyio
import pytest
from simple_websocket import ConnectionClosed, Server  # type: ignore[import-untyped]
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError

import bridge
from bridge import ApplicationError, ClientDisconnected, WsgiToAsgi
from tests.asgi import TIMEOUT, Environ, FakeLifespan, StartResponse, happened, wait
from tests.mount.upstream.speaking import websocket_scope
from tests.wsgi_to_asgi.websocket.hand import Hand
from tests.wsgi_to_asgi.websocket.playing import Player


def serving(handle: Callable[[Any], object], **options: Any) -> WsgiToAsgi:
    """Make an application that hands simple-websocket's object to *handle*, and ends as flask-sock does."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        server = Server.accept(environ, subprotocols=["chat"])
        try:
            handle(server)
        except ConnectionClosed:
            pass
        try:
            server.close()
        except ConnectionClosed:
            pass
        finally:
            server.thread.join(TIMEOUT)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    return WsgiToAsgi(application, **options)


def echo(server: Any) -> None:
    while True:
        server.send(server.receive())


# -- messages -----------------------------------------------------------------------------------------------------


async def test_messages_go_both_ways() -> None:
    """Text, binary, empty and large ones, in their order."""
    said: list[str | bytes] = ["é", b"\xff", "", b"", "é" * 300_000, b"\xff" * 1_000_000]
    player = Player()
    async with player.playing(serving(echo)):
        await player.until(lambda: player.sent)
        for one in said:
            player.say(one)
        await player.until(lambda: len(player.messages) == len(said))
        player.leave(1000)

    assert player.messages == said


async def test_send_takes_all_of_a_message() -> None:
    """simple-websocket does not look at how much was sent; where gevent waits for sockets, one send() is not all."""
    sent: list[int] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        hand = Hand(environ).accept()
        hand.sock.settimeout(TIMEOUT)  # as of then the system's own send() takes what there is room for
        frame = hand.connection.send(BytesMessage(b"x" * 4_000_000))
        sent.append(len(frame) - hand.sock.send(frame))
        return []

    player = Player()
    await player.play(WsgiToAsgi(application))

    assert (sent, player.messages) == ([0], [b"x" * 4_000_000])


async def test_send_that_does_not_wait_says_how_much_it_took() -> None:
    """As the system's does; the rest can follow."""
    said: list[bool] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        hand = Hand(environ).accept()
        hand.sock.setblocking(False)
        frame = hand.connection.send(BytesMessage(b"x" * 4_000_000))
        taken = hand.sock.send(frame)
        said.append(0 < taken < len(frame))
        hand.sock.setblocking(True)
        hand.sock.send(frame[taken:])
        return []

    player = Player()
    await player.play(WsgiToAsgi(application))

    assert (said, player.messages) == ([True], [b"x" * 4_000_000])


async def test_subprotocol_and_headers_reach_the_client() -> None:
    """The library chooses from the client's offer, which it finds in environ."""
    player = Player(websocket_scope(subprotocols=["superchat", "chat"]))
    await player.play(serving(lambda server: None))

    assert player.sent[0] == {"type": "websocket.accept", "subprotocol": "chat", "headers": []}


async def test_pings_of_the_application_are_answered() -> None:
    """RFC 6455, 5.5.2: by the bridge, since an ASGI server has no way to pass them on."""
    pongs: list[bytes] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        hand = Hand(environ).accept()
        for payload in (b"", b"ping"):
            hand.say(Ping(payload))
            hand.connection.receive_data(hand.sock.recv(1000))
            pongs.extend(bytes(event.payload) for event in hand.connection.events() if isinstance(event, Pong))
        start_response("200 OK", [])
        return []

    player = await Player().play(WsgiToAsgi(application))

    assert (pongs, player.types) == ([b"", b"ping"], ["accept", "close"])


async def test_slow_client_holds_the_application() -> None:
    """What the pair and the buffer cannot take, the application keeps: its send() waits."""
    sent = 0

    def handle(server: Any) -> None:
        nonlocal sent
        for _ in range(1000):
            server.send(b"x" * 10_000)
            sent += 1

    player = Player()
    async with player.playing(serving(handle, response_buffer=20_000)):
        await player.until(lambda: len(player.messages) > 1)
        player.hold()
        await player.until(lambda: player.sends > len(player.sent))
        with anyio.move_on_after(0.05):  # time for an application that nobody holds to run ahead
            await player.until(lambda: sent == 1000)
        lead = sent - len(player.messages)
        player.release()

    assert (lead < 150, len(player.messages)) == (True, 1000)


async def test_application_that_does_not_read_holds_the_client() -> None:
    """The server is not asked for more than the pair takes."""
    go = threading.Event()
    heard = 0

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        nonlocal heard
        hand = Hand(environ).accept()
        wait(go)
        while (message := hand.receive()) is not None:
            heard += len(message)
        start_response("200 OK", [])
        return []

    player = Player()
    async with player.playing(WsgiToAsgi(application)):
        await player.until(lambda: player.sent)
        for _ in range(200):
            player.say(b"x" * 10_000)
        await player.until(lambda: player.receives > 5)
        with anyio.move_on_after(0.05):
            await player.until(lambda: player.receives >= 200)
        ahead = player.receives
        player.leave(1000)
        go.set()

    assert (ahead < 150, heard) == (True, 2_000_000)


# -- the end ------------------------------------------------------------------------------------------------------


async def test_applications_close_has_its_code() -> None:
    """What was sent before it leaves before it."""

    def handle(server: Any) -> None:
        server.send("x")
        server.close(4002, "why")

    player = await Player().play(serving(handle))

    assert player.types == ["accept", "send", "close"]
    assert player.sent[-1] == {"type": "websocket.close", "code": 4002, "reason": "why"}


@pytest.mark.parametrize(("code", "reason", "told"), [(4001, "bye", 4001), (1005, "", 1005)])
async def test_clients_close_has_its_code(code: int, reason: str, told: int) -> None:
    """simple-websocket raises it, once all that came before was received."""
    seen: list[object] = []

    def handle(server: Any) -> None:
        server.send("open")
        seen.append(server.receive(TIMEOUT))
        with pytest.raises(ConnectionClosed) as raised:
            server.receive(TIMEOUT)
        seen.extend([int(raised.value.reason), raised.value.message or ""])

    player = Player()
    adapter = serving(handle)
    async with player.playing(adapter):
        await player.until(lambda: player.messages)
        player.say("last")
        player.leave(code, reason)

    assert seen == ["last", told, reason]
    assert (player.types, adapter.stats().served) == (["accept", "send"], 1)


async def test_lost_client_ends_the_connection() -> None:
    """Without a close frame, as on a WSGI server."""
    ended = threading.Event()

    def handle(server: Any) -> None:
        server.send("open")
        with pytest.raises(ConnectionClosed):
            server.receive(TIMEOUT)
        ended.set()

    player = Player()
    async with player.playing(serving(handle)):
        await player.until(lambda: player.messages)
        player.leave(1006)

    await happened(ended)


async def test_failure_after_the_handshake_closes_with_1011() -> None:
    """A framework makes a 500 of it, which nobody gets: RFC 6455, 7.4.1, has the code."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        server = Server.accept(environ)
        start_response("500 Internal Server Error", [])
        server.sock.shutdown(socket.SHUT_RD)
        server.thread.join(TIMEOUT)
        return [b"sorry"]

    player = Player()
    await player.play(WsgiToAsgi(application))

    assert player.types == ["accept", "close"]
    assert player.sent[-1]["code"] == 1011


async def test_socket_that_is_closed_without_a_close_is_1011() -> None:
    """The client is not told that all is well."""
    closed = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        hand = Hand(environ).accept()
        hand.sock.close()
        wait(closed)
        start_response("200 OK", [])
        return []

    player = Player()
    async with player.playing(WsgiToAsgi(application)):
        await player.until(lambda: len(player.sent) == 2)
        closed.set()

    assert player.sent[-1]["code"] == 1011


@pytest.mark.parametrize("error", [ConnectionError, StopIteration])
async def test_how_libraries_tell_werkzeug_and_gunicorn_is_no_failure(error: type[Exception]) -> None:
    """python-engineio and flask-sock raise them bare when the connection is over, which those servers expect."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        Hand(environ).accept().say(CloseConnection(1000))
        raise error

    adapter = WsgiToAsgi(application)
    player = await Player().play(adapter)

    assert (player.types, adapter.stats().failed) == (["accept", "close"], 0)


@pytest.mark.parametrize("error", [BrokenPipeError(32, "x"), OSError(9, "x")], ids=["broken pipe", "closed"])
async def test_socket_of_a_client_that_is_gone_is_no_failure(error: OSError) -> None:
    """Whatever its socket says to an application that has not looked whether the client is there."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert Hand(environ).accept().receive() is None
        raise error

    player = Player()
    adapter = WsgiToAsgi(application)
    async with player.playing(adapter):
        await player.until(lambda: player.sent)
        player.leave(1001)

    assert (adapter.stats().served, adapter.stats().failed) == (1, 0)


async def test_other_connection_errors_are_failures() -> None:
    """A database that refuses is not the end of the WebSocket."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        Hand(environ).accept()
        raise ConnectionRefusedError(111, "database")

    player = Player()
    with pytest.raises(ConnectionRefusedError):
        await player.play(WsgiToAsgi(application))

    assert player.sent[-1]["code"] == 1011


async def test_shutdown_closes_with_1001() -> None:
    """Both sides hear it."""
    seen: list[object] = []

    def handle(server: Any) -> None:
        with pytest.raises(ConnectionClosed) as raised:
            server.receive(TIMEOUT)
        seen.append(int(raised.value.reason))

    player = Player()
    adapter = serving(handle)
    async with player.playing(adapter), FakeLifespan().running(adapter):
        await player.until(lambda: player.sent)

    assert (seen, player.sent[-1]["code"]) == ([1001], 1001)


async def test_shutdown_ends_a_connection_that_is_not_closed() -> None:
    """After drain_timeout, for an application that does not listen to the close."""
    ended = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        hand = Hand(environ).accept()
        while hand.sock.recv(1000):
            pass
        ended.set()
        start_response("200 OK", [])
        return []

    player = Player()
    adapter = WsgiToAsgi(application, drain_timeout=0)
    async with player.playing(adapter), FakeLifespan().running(adapter):
        await player.until(lambda: player.sent)

    assert (ended.is_set(), player.sent[-1]["code"]) == (True, 1001)


async def test_connection_ends_after_its_close() -> None:
    """RFC 6455, 7.1.1: an application may wait for that."""
    seen: list[bytes] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        hand = Hand(environ).accept().say(CloseConnection(1000))
        assert hand.receive() is None
        seen.append(hand.sock.recv(1000))
        start_response("200 OK", [])
        return []

    await Player().play(WsgiToAsgi(application))

    assert seen == [b""]


async def test_client_that_leaves_frees_an_application_that_is_held() -> None:
    """It reads no more, and what it was sent is dropped."""
    ended = threading.Event()

    def handle(server: Any) -> None:
        try:
            while True:
                server.send(b"x" * 100_000)
        except LocalProtocolError:
            pass  # the library looks whether it is open, and its reader may get the close before it sends
        finally:
            ended.set()

    player = Player()
    async with player.playing(serving(handle, response_buffer=1000)):
        await player.until(lambda: player.messages)
        player.hold()
        await player.until(lambda: player.sends > len(player.sent))
        player.leave(1001)
        await happened(ended)
        player.release()


async def test_shutdown_frees_an_application_that_is_held() -> None:
    """It hears of the shutdown, though the loop waits for the client."""
    codes: list[int] = []
    ended = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        hand = Hand(environ).accept()
        reader = threading.Thread(target=lambda: codes.append(hand.close_code()))
        reader.start()
        try:
            while not codes:
                hand.sock.sendall(hand.connection.send(BytesMessage(b"x" * 10_000)))
        except (OSError, LocalProtocolError):
            pass
        reader.join(TIMEOUT)
        ended.set()
        start_response("200 OK", [])
        return []

    player = Player()
    adapter = WsgiToAsgi(application, response_buffer=1000)

    lifespan = FakeLifespan()
    async with player.playing(adapter), lifespan.running(adapter):
        await player.until(lambda: player.messages)
        player.hold()
        await player.until(lambda: player.sends > len(player.sent))
        lifespan.shut_down()
        await happened(ended)
        player.release()

    assert (codes, player.sent[-1]["code"]) == ([1001], 1001)


async def test_cancellation_ends_the_connection() -> None:
    """The application's read ends, wherever it is."""
    ended = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        hand = Hand(environ).accept()
        assert hand.receive() is None
        ended.set()
        return []

    player = Player()
    async with player.playing(WsgiToAsgi(application)):
        await player.until(lambda: player.sent)
        player.cancelled.cancel()

    await happened(ended)


# -- by hand ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["werkzeug.socket", "gunicorn.socket"])
async def test_socket_is_under_both_names(key: str) -> None:
    """The names that Werkzeug and Gunicorn give it; fragments are put together."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        hand = Hand(environ, key).accept()
        hand.say(TextMessage("a", message_finished=False), TextMessage("b"), CloseConnection(1000))
        start_response("200 OK", [])
        return []

    player = await Player().play(WsgiToAsgi(application))

    assert (player.messages, player.types) == (["ab"], ["accept", "send", "close"])


async def test_what_was_written_before_the_return_is_sent() -> None:
    """However much it is: an application may write and return, as on a server."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        Hand(environ).accept().say(*(TextMessage(str(number)) for number in range(2000)))
        start_response("200 OK", [])
        return [b"nobody gets this"]

    player = await Player().play(WsgiToAsgi(application, response_buffer=1000))

    assert player.messages == [str(number) for number in range(2000)]
    assert player.sent[-1] == {"type": "websocket.close", "code": 1000, "reason": ""}


async def test_application_that_breaks_the_protocol_is_told(bridge_log: list[logging.LogRecord]) -> None:
    """It gets the code for it, the client 1011, the server the error."""
    codes: list[int] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        hand = Hand(environ).accept()
        hand.sock.sendall(b"\x81\x02\xc3\x28")  # not UTF-8
        hand.connection.receive_data(hand.sock.recv(1000))
        codes.extend(int(event.code) for event in hand.connection.events() if isinstance(event, CloseConnection))
        start_response("200 OK", [])
        return []

    player = Player()
    with pytest.raises(ApplicationError, match="broke RFC 6455"):
        await player.play(WsgiToAsgi(application))

    assert (codes, player.sent[-1]["code"]) == ([1007], 1011)


async def test_refusal_on_the_socket_refuses(bridge_log: list[logging.LogRecord]) -> None:
    """The client gets 403, and the log the status."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["werkzeug.socket"].sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        return []

    player = await Player().play(WsgiToAsgi(application))

    assert player.sent == [{"type": "websocket.close", "code": 1000, "reason": ""}]
    assert "401" in bridge_log[0].getMessage()


@pytest.mark.parametrize("kind", [list, iter], ids=["whole", "in chunks"])
async def test_look_at_the_socket_takes_nothing(kind: Callable[[list[bytes]], Iterable[bytes]]) -> None:
    """Who only asks for its number may still answer with HTTP."""

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        assert environ["werkzeug.socket"].fileno() >= 0
        start_response("401 Unauthorized", [])
        return kind([b"n", b"o"])

    player = await Player().play(WsgiToAsgi(application))

    assert player.sent[0]["status"] == 401
    assert b"".join(message["body"] for message in player.sent[1:]) == b"no"


async def test_pair_is_made_for_those_that_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two descriptors and a task are nothing that others pay."""
    made: list[socket.socket] = []
    monkeypatch.setattr(socket, "socketpair", lambda: made)

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        repr(environ)
        bridge.websocket(environ).accept()
        with pytest.raises(ApplicationError, match="taken the WebSocket"):
            environ["werkzeug.socket"].fileno()
        return []

    player = await Player().play(WsgiToAsgi(application))

    assert (player.types, made) == (["accept", "close"], [])


@pytest.mark.parametrize("code", [1001, 1006])
async def test_client_that_left_before_the_handshake_ends_the_connection(code: int) -> None:
    """The application finds a connection that is closed."""
    entered, left = threading.Event(), threading.Event()
    seen: list[object] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        hand = Hand(environ)
        hand.sock.fileno()
        entered.set()
        wait(left)
        try:
            hand.accept()
        finally:
            seen.append(hand.receive())
        return []

    player = Player()
    adapter = WsgiToAsgi(application)
    async with player.playing(adapter):
        await happened(entered)
        player.leave(code)
        await player.until(lambda: player.receives == 2)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        left.set()

    assert (seen, player.sent, adapter.stats().disconnected) == ([None], [], 1)


async def test_socket_after_the_end_is_an_error() -> None:
    """An application that kept its environ learns it."""
    kept: list[Environ] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        kept.append(environ)
        start_response("404 Not Found", [])
        return []

    await Player().play(WsgiToAsgi(application))

    with pytest.raises(ClientDisconnected, match="ended"):
        kept[0]["werkzeug.socket"].fileno()
