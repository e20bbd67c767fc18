"""environ["wsgi.websocket"], as applications of gevent-websocket and Flask-Sockets use it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from bridge import ClientDisconnected, WsgiToAsgi
from tests.asgi import Environ, StartResponse
from tests.mount.upstream.speaking import websocket_scope
from tests.wsgi_to_asgi.websocket.playing import Player


def serving(handle: Callable[[Any], object]) -> WsgiToAsgi:
    """Make an application as Flask-Sockets does: it returns nothing, and calls no start_response()."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        handle(environ["wsgi.websocket"])
        return []

    return WsgiToAsgi(application)


async def test_messages_go_both_ways() -> None:
    """receive() returns None at the end."""
    seen: list[object] = []

    def echo(websocket: Any) -> None:
        message = websocket.receive()
        while message is not None:
            seen.append(message)
            websocket.send(message)
            message = websocket.receive()
        seen.append(websocket.closed)

    player = Player()
    async with player.playing(serving(echo)):
        await player.until(lambda: player.sent)
        player.say("é")
        player.say(b"\xff")
        await player.until(lambda: len(player.messages) == 2)
        player.leave(1001)

    assert (player.messages, seen) == (["é", b"\xff"], ["é", b"\xff", True])


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        pytest.param(("é",), "é", id="text"),
        pytest.param((b"\xff",), b"\xff", id="binary"),
        pytest.param((bytearray(b"\xff"),), b"\xff", id="bytearray"),
        pytest.param(("é", True), "é".encode(), id="text as binary"),
        pytest.param(("é".encode(), False), "é", id="binary as text"),
        pytest.param((None,), "", id="nothing"),
        pytest.param((5,), "5", id="number"),
    ],
)
async def test_send_decides_by_type_or_flag(arguments: tuple[Any, ...], sent: str | bytes) -> None:
    """gevent-websocket, WebSocket.send()."""
    player = await Player().play(serving(lambda websocket: websocket.send(*arguments)))

    assert player.messages == [sent]


async def test_close_has_code_and_message() -> None:
    """Both as gevent-websocket takes them; a second close does nothing."""

    def handle(websocket: Any) -> None:
        websocket.close(4002, b"why")
        websocket.close()

    player = await Player().play(serving(handle))

    assert player.sent[-1] == {"type": "websocket.close", "code": 4002, "reason": "why"}


async def test_attributes_are_those_of_the_handshake() -> None:
    """What gevent-websocket's object has."""
    seen: list[object] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        websocket = environ["wsgi.websocket"]
        seen.extend([websocket.path, websocket.origin, websocket.protocol, websocket.version, websocket.closed])
        seen.extend([environ["wsgi.websocket_version"], websocket.environ["PATH_INFO"]])
        websocket.close()
        return []

    scope = websocket_scope("/chat", subprotocols=["a", "b"], headers=[(b"origin", b"https://x.example")])
    await Player(scope).play(WsgiToAsgi(application))

    assert seen == ["/chat", "https://x.example", "a, b", "13", False, "13", "/chat"]


@pytest.mark.parametrize("loaded", [True, False])
async def test_send_to_a_client_that_is_gone_raises(loaded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The class that applications name where they have imported it; the bridge's own in any case."""
    theirs = type("WebSocketError", (OSError,), {})
    if loaded:
        module = ModuleType("geventwebsocket.exceptions")
        monkeypatch.setattr(module, "WebSocketError", theirs, raising=False)
        monkeypatch.setitem(sys.modules, "geventwebsocket.exceptions", module)
    seen: list[object] = []

    def handle(websocket: Any) -> None:
        seen.append(websocket.receive())
        with pytest.raises(ClientDisconnected, match="1001") as raised:
            websocket.send("x")
        seen.append(isinstance(raised.value, theirs))
        websocket.close()

    player = Player()
    async with player.playing(serving(handle)):
        await player.until(lambda: player.sent)
        player.leave(1001)

    assert (seen, player.types) == ([None, loaded], ["accept"])


async def test_other_requests_are_answered() -> None:
    """Nothing is accepted before it is used: Flask-Sockets passes on what it has no route for."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert environ["wsgi.websocket"] is not None
        start_response("404 Not Found", [])
        return []

    player = await Player().play(WsgiToAsgi(application))

    assert player.sent[0]["status"] == 404
