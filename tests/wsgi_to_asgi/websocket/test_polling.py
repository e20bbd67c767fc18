"""An application that asks again and again whether there is a message."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import ClassVar

import pytest

import bridge
from bridge import WebSocket, WsgiToAsgi
from bridge.loop_thread import Signal
from bridge.wsgi_to_asgi import websocket_link
from tests.asgi import TIMEOUT, Environ, StartResponse
from tests.wsgi_to_asgi.websocket.playing import Player


class Wake(Signal):
    """Can be asked what lies in it unused."""

    living: ClassVar[weakref.WeakSet[Wake]] = weakref.WeakSet()

    __slots__ = ("__weakref__",)

    def __init__(self) -> None:
        super().__init__()
        Wake.living.add(self)

    @property
    def unused(self) -> int:
        return self._tokens.qsize()


async def exchange(handle: Callable[[WebSocket], object], count: int) -> Player:
    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        websocket = bridge.websocket(environ)
        websocket.accept()
        handle(websocket)
        return []

    player = Player()
    async with player.playing(WsgiToAsgi(application)):
        for number in range(count):
            await player.until(lambda number=number: len(player.sent) > number)  # type: ignore[misc]
            player.say(str(number))
    return player


async def test_polling_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many messages it gets that way."""
    monkeypatch.setattr(websocket_link, "Wake", Wake)
    unused: list[int] = []

    def handle(websocket: WebSocket) -> None:
        for _ in range(30):
            message = None
            while message is None:
                try:
                    message = websocket.receive(timeout=0)
                except TimeoutError:
                    time.sleep(0)  # the event loop is to have Python's lock now and then
            websocket.send(message)
        unused.append(sum(wake.unused for wake in Wake.living))

    player = await exchange(handle, 30)

    assert (player.messages, unused) == ([str(number) for number in range(30)], [0])


async def test_message_wakes_whoever_waits_after_polls() -> None:
    """At whatever moment between a poll and the wait it comes."""

    def handle(websocket: WebSocket) -> None:
        for _ in range(200):
            try:
                message = websocket.receive(timeout=0)
            except TimeoutError:
                message = websocket.receive(TIMEOUT)
            websocket.send(message)

    player = await exchange(handle, 200)

    assert player.messages == [str(number) for number in range(200)]
