"""A WebSocket that the application accepts, or writes to, after the server's shutdown began."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from wsproto.events import BytesMessage

import bridge
from bridge import WsgiToAsgi
from bridge.wsgi_to_asgi.websocket_threads import WebSockets
from tests.asgi import TIMEOUT, Application, Environ, FakeLifespan, StartResponse, happened, wait
from tests.wsgi_to_asgi.websocket.hand import Hand
from tests.wsgi_to_asgi.websocket.playing import Player


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a shutdown has told all WebSockets that there are."""
    done = threading.Event()
    go_away = WebSockets.go_away

    def tell(self: WebSockets, owner: object) -> None:
        go_away(self, owner)
        done.set()

    monkeypatch.setattr(WebSockets, "go_away", tell)
    return done


async def shut_down_before_the_accept(application: Application, entered: threading.Event) -> Player:
    player = Player()
    adapter = WsgiToAsgi(application, drain_timeout=TIMEOUT)
    lifespan = FakeLifespan()
    async with player.playing(adapter), lifespan.running(adapter):
        await happened(entered)
        lifespan.shut_down()
    assert adapter.stats().served == 1
    return player


async def test_accept_after_it_began_is_closed_with_1001(told: threading.Event) -> None:
    """RFC 6455, 7.4.1: as those that were open when it began, and both sides hear it."""
    entered = threading.Event()
    seen: list[object] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        entered.set()
        wait(told)
        websocket = bridge.websocket(environ)
        websocket.accept()
        seen.extend([list(websocket), websocket.close_code])
        return []

    player = await shut_down_before_the_accept(application, entered)

    assert (player.types, player.sent[-1]["code"], seen) == (["accept", "close"], 1001, [[], 1001])


async def test_accept_on_the_socket_is_closed_with_1001(told: threading.Event) -> None:
    """The library finds the close frame."""
    entered = threading.Event()
    codes: list[int] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        entered.set()
        wait(told)
        codes.append(Hand(environ).accept().close_code())
        start_response("200 OK", [])
        return []

    player = await shut_down_before_the_accept(application, entered)

    assert (player.types, player.sent[-1]["code"], codes) == (["accept", "close"], 1001, [1001])


async def test_answer_after_it_began_is_the_applications(told: threading.Event) -> None:
    """A handshake that nobody accepts is a request like any other, which may end."""
    entered = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        entered.set()
        wait(told)
        start_response("404 Not Found", [])
        return []

    player = await shut_down_before_the_accept(application, entered)

    assert player.sent[0]["status"] == 404


async def test_socket_that_a_shutdown_breaks_off_is_no_failure() -> None:
    """The application was told to stop by nothing else."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        hand = Hand(environ).accept()
        while True:
            hand.say(BytesMessage(b"x" * 100_000))

    player = Player()
    adapter = WsgiToAsgi(application, response_buffer=1000, drain_timeout=0)
    ended: list[Any] = []
    async with player.playing(adapter):
        async with FakeLifespan().running(adapter):
            await player.until(lambda: player.messages)
            player.hold()
            await player.until(lambda: player.sends > len(player.sent))
        ended.append(adapter.stats().websockets)
        player.release()

    assert (ended, adapter.stats().failed, adapter.stats().served) == ([0], 0, 1)
