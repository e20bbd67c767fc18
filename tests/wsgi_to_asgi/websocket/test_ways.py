"""Which of the ways to take a WebSocket has its messages: the one that accepted it, whatever else was looked at."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio.lowlevel
import pytest
from wsproto.events import BytesMessage

import bridge
from bridge import WebSocket, WsgiToAsgi
from tests.asgi import TIMEOUT, Environ, StartResponse, happened, wait
from tests.wsgi_to_asgi.websocket.hand import Hand
from tests.wsgi_to_asgi.websocket.playing import Player


def by_object(environ: Environ) -> None:
    websocket = bridge.websocket(environ)
    websocket.accept()
    for message in websocket:
        websocket.send(message)


def by_gevent(environ: Environ) -> None:
    websocket = environ["wsgi.websocket"]
    while (message := websocket.receive()) is not None:
        websocket.send(message)


@pytest.mark.parametrize("way", [by_object, by_gevent])
async def test_look_at_the_socket_leaves_the_messages(way: Callable[[Environ], None]) -> None:
    """Debugging middleware looks at whatever is in environ."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert environ["werkzeug.socket"].fileno() >= 0
        way(environ)
        return []

    player = Player()
    async with player.playing(WsgiToAsgi(application)):
        await player.until(lambda: player.sent)
        player.say(b"one")
        player.say(b"two")
        await player.until(lambda: len(player.messages) == 2)
        player.leave(1000)

    assert player.messages == [b"one", b"two"]


async def test_look_at_the_object_leaves_the_messages() -> None:
    """It holds the other way round, too."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert not bridge.websocket(environ).closed
        assert not environ["wsgi.websocket"].closed
        hand = Hand(environ).accept()
        while (message := hand.receive()) is not None:
            hand.say(BytesMessage(message))
        start_response("200 OK", [])
        return []

    player = Player()
    async with player.playing(WsgiToAsgi(application)):
        await player.until(lambda: player.sent)
        player.say(b"one")
        await player.until(lambda: player.messages)
        player.leave(1000)

    assert player.messages == [b"one"]


async def test_socket_that_nobody_took_may_be_closed() -> None:
    """The WebSocket is the object's, and does not end with it."""
    closed = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        sock = environ["werkzeug.socket"]
        sock.fileno()
        websocket = bridge.websocket(environ)
        websocket.accept()
        assert websocket.receive() == "close"
        sock.close()
        closed.set()
        websocket.send(websocket.receive())
        return []

    player = Player()
    async with player.playing(WsgiToAsgi(application)):
        await player.until(lambda: player.sent)
        player.say("close")
        await happened(closed)
        for _ in range(20):  # the loop reads the end of the socket
            await anyio.lowlevel.checkpoint()
        player.say("still there")
        await player.until(lambda: len(player.sent) == 3)

    assert (player.messages, player.sent[-1]["code"]) == (["still there"], 1000)


async def test_first_use_accepts_before_any_other_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of gevent-websocket's object: one thread sends, while another has only begun to receive."""
    accepting, go = threading.Event(), threading.Event()
    accept = WebSocket.accept
    errors: list[Exception] = []

    def slow(self: WebSocket, *arguments: Any) -> None:
        accepting.set()
        wait(go)
        accept(self, *arguments)

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        websocket = environ["wsgi.websocket"]

        def send() -> None:
            wait(accepting)
            try:
                websocket.send("x")
            except Exception as error:
                errors.append(error)

        sender = threading.Thread(target=send)
        first = threading.Thread(target=websocket.receive)
        first.start()
        sender.start()
        sender.join(0.05)  # time for one that does not wait
        go.set()
        for thread in (sender, first):
            thread.join(TIMEOUT)
        return []

    monkeypatch.setattr(WebSocket, "accept", slow)
    player = Player()
    async with player.playing(WsgiToAsgi(application)):
        await player.until(lambda: len(player.sent) == 2 or errors)
        player.leave(1000)

    assert (player.messages, errors) == (["x"], [])
