"""A client and an application that both take nothing: when that is the end, and when it is not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from wsproto.events import BytesMessage, Event, Ping

import bridge
from bridge import ClientDisconnected, WebSocket, WsgiToAsgi
from bridge.loop_thread import mailbox_here
from bridge.wsgi_to_asgi import websocket_stall
from bridge.wsgi_to_asgi.websocket_stall import Stall
from tests.asgi import Environ, Message, StartResponse, happened, on_asyncio, wait
from tests.wsgi_to_asgi.websocket.hand import Hand
from tests.wsgi_to_asgi.websocket.playing import Player


class Hypercorn(Player):
    """Its send() waits until receive() has said that the client is gone, which lies behind all that the client sent."""

    async def receive(self) -> Message:
        message = await super().receive()
        if message["type"] == "websocket.disconnect":
            self.release()
        return message


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the deadline be as short as it can be."""
    monkeypatch.setattr(websocket_stall, "STALL", 0)
    monkeypatch.setattr(websocket_stall, "SLOWEST", 1 << 40)


def taking(handle: Callable[[WebSocket], object], **options: Any) -> WsgiToAsgi:
    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        websocket = bridge.websocket(environ)
        websocket.accept()
        handle(websocket)
        return []

    return WsgiToAsgi(application, request_buffer=2000, response_buffer=2000, **options)


def flood(player: Player, count: int = 20) -> None:
    for _ in range(count):
        player.say(b"x" * 1000)


# -- given up -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("first", ["client", "application"])
async def test_lost_client_that_is_never_said_to_be_lost_is_given_up(first: str) -> None:
    """Whichever side stood still first, the application learns of it, and the server can go on."""
    go, ended = threading.Event(), threading.Event()
    seen: list[object] = []

    def handle(websocket: WebSocket) -> None:
        websocket.send("open")
        wait(go)
        try:
            while True:
                websocket.send(b"x" * 1000)
        except ClientDisconnected as error:
            seen.extend([websocket.close_code, "given up" in str(error)])
        ended.set()

    player = Hypercorn()
    adapter = taking(handle)
    async with player.playing(adapter):
        await player.until(lambda: player.messages)
        player.hold()
        if first == "client":
            go.set()
            await player.until(lambda: player.sends > len(player.sent))
            flood(player)
        else:
            flood(player)
            await player.until(lambda: player.receives == 3)  # the connect, and two of 1,256 bytes
            go.set()
        player.leave(1006)
        await happened(ended)

    assert seen == [1006, True]
    assert (player.types, adapter.stats().served) == (["accept", "send"], 1)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("said", "first"),
    [
        pytest.param(BytesMessage(b"x" * 10_000), "application", id="messages before it reads"),
        pytest.param(BytesMessage(b"x" * 10_000), "client", id="messages while it does not read"),
        pytest.param(Ping(b"x" * 100), "client", id="pings"),
    ],
)
async def test_lost_client_of_an_application_with_a_socket_is_given_up(said: Event, first: str) -> None:
    """Its connection ends, as that of a lost client does; pings, whose answers nobody reads, stop it as well."""
    go, ended = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        hand = Hand(environ).accept()
        wait(go)
        try:
            while True:
                hand.say(said)
        finally:
            ended.set()

    player = Hypercorn()
    adapter = WsgiToAsgi(application, request_buffer=2000, response_buffer=2000)
    async with player.playing(adapter):
        await player.until(lambda: player.sent)
        player.hold()
        if first == "application":
            go.set()
            await player.until(lambda: player.sends > len(player.sent))
        for _ in range(100):
            player.say(b"x" * 10_000)
        if first == "client":
            with anyio.move_on_after(0.05):  # time until the pair is full
                await player.until(lambda: player.receives > 100)
            go.set()
        player.leave(1006)
        await happened(ended)

    assert (adapter.stats().served, adapter.stats().failed) == (1, 0)


@pytest.mark.usefixtures("at_once")
async def test_client_that_is_given_up_and_stays_does_not_keep_the_exchange() -> None:
    """A server's send() that never returns is left: the server gets its connection back."""
    go = threading.Event()

    def handle(websocket: WebSocket) -> None:
        websocket.send("open")
        wait(go)
        while True:
            websocket.send(b"x" * 1000)

    player = Player()
    adapter = taking(handle)
    async with player.playing(adapter):  # which ends when the adapter has returned
        await player.until(lambda: player.messages)
        player.hold()
        go.set()
        await player.until(lambda: player.sends > len(player.sent))
        flood(player)

    assert (adapter.stats().websockets, adapter.stats().failed) == (0, 0)


# -- not given up -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("at_once")
async def test_application_that_only_receives_late_keeps_its_client() -> None:
    """It does not wait for the client, so the client need not be lost."""
    go = threading.Event()
    received: list[object] = []

    def handle(websocket: WebSocket) -> None:
        websocket.send("open")
        wait(go)
        received.extend(websocket)

    player = Player()
    async with player.playing(taking(handle)):
        await player.until(lambda: player.messages)
        flood(player)
        player.leave(1000)
        await player.until(lambda: player.receives == 3)
        with anyio.move_on_after(0.05):  # time for a deadline that should not be there
            await player.until(lambda: player.receives > 3)
        go.set()

    assert len(received) == 20


@pytest.mark.usefixtures("at_once")
async def test_client_that_only_takes_late_is_kept() -> None:
    """The application waits for it, and what it sends is received, or it sends nothing."""
    sent = threading.Event()

    def handle(websocket: WebSocket) -> None:
        for _ in range(10):
            websocket.send(b"x" * 1000)
        sent.set()

    player = Player()
    async with player.playing(taking(handle)):
        await player.until(lambda: player.sent)
        player.hold()
        player.say("one")
        with anyio.move_on_after(0.05):
            await player.until(sent.is_set)
        player.release()

    assert (len(player.messages), player.sent[-1]["code"]) == (10, 1000)


@on_asyncio
@pytest.mark.usefixtures("at_once")
async def test_time_begins_anew_with_whatever_is_taken() -> None:
    """Both may wait for as long as they like, as long as something moves; and when it does not, that is the end."""
    crossing = mailbox_here()
    assert crossing is not None
    given_up: list[str] = []
    steps = iter([*range(100), 99])
    waiter = crossing.waiter()

    def give_up(why: str) -> None:
        given_up.append(why)
        waiter.set_result(None)

    async def waiting() -> None:
        await waiter

    with anyio.fail_after(10):
        await Stall(crossing, lambda: 0, give_up).during(waiting(), lambda: next(steps))

    assert (len(given_up), list(steps)) == (1, [])


@on_asyncio
async def test_large_message_has_the_time_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 MiB over a poor line are 17 minutes in which the server says nothing, beside the minute of any other."""
    crossing = mailbox_here()
    assert crossing is not None
    given: list[float] = []
    waiter = crossing.waiter()
    move_on_after = anyio.move_on_after

    def at_once(seconds: float) -> anyio.CancelScope:
        given.append(seconds)
        return move_on_after(0)

    async def waiting() -> None:
        await waiter

    monkeypatch.setattr(anyio, "move_on_after", at_once)
    await Stall(crossing, lambda: 1 << 24, lambda why: waiter.set_result(None)).during(waiting(), lambda: 1)

    assert given == [60 + 1024]


# -- after the end ------------------------------------------------------------------------------------------------


def close(websocket: WebSocket) -> Iterable[bytes]:
    websocket.close()
    return []


def hand_on(websocket: WebSocket) -> Iterable[bytes]:
    return [b"nobody gets this"]


@pytest.mark.parametrize("end", [close, hand_on])
async def test_server_is_asked_on_after_the_applications_end(end: Callable[[WebSocket], Iterable[bytes]]) -> None:
    """Nobody receives what the client sent, and only what comes behind it lets the server's send() end."""
    stay = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        websocket = bridge.websocket(environ)
        websocket.accept()
        websocket.send("x")
        wait(go)
        result = end(websocket)
        if end is close:
            wait(stay)
        return result

    go = threading.Event()
    player = Hypercorn()
    player.hold()
    async with player.playing(WsgiToAsgi(application, request_buffer=2000)):
        flood(player)
        player.leave(1006)
        await player.until(lambda: player.receives == 3)
        go.set()
        await player.until(lambda: player.receives == 22)
        stay.set()


async def test_server_is_asked_on_after_the_end_of_an_application_with_a_socket() -> None:
    """Even if a thread of it still has the socket."""
    kept: list[Any] = []
    go = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        kept.append(Hand(environ).accept().sock.dup())
        wait(go)
        start_response("200 OK", [])
        return []

    player = Hypercorn()
    player.hold()
    async with player.playing(WsgiToAsgi(application)):
        await player.until(lambda: player.sends)
        flood(player, 1000)
        player.leave(1006)
        await player.until(lambda: player.receives > 5)
        with anyio.move_on_after(0.05):
            await player.until(lambda: player.receives > 1000)
        go.set()
    kept.pop().close()


@pytest.mark.parametrize(("code", "why"), [(4001, "closed the WebSocket with 4001"), (1006, "send() says so")])
async def test_client_that_send_has_lost_makes_no_queue(code: int, why: str) -> None:
    """What it still sends is dropped where there is no room, and its close is heard if it says more."""
    go, heard = threading.Event(), threading.Event()
    seen: list[object] = []

    def handle(websocket: WebSocket) -> None:
        websocket.send("open")
        wait(go)
        websocket.send("x")
        wait(heard)
        seen.extend([websocket.close_code, len(list(websocket))])
        try:
            websocket.send("y")
        except ClientDisconnected as error:
            seen.append(why in str(error))

    player = Player()
    async with player.playing(taking(handle)):
        await player.until(lambda: player.messages)
        flood(player)
        player.leave(code)
        await player.until(lambda: player.receives == 3)
        player.fail_send(OSError("gone"))
        go.set()
        await player.until(lambda: player.receives == 22)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        heard.set()

    assert seen == [code, 2, True]
