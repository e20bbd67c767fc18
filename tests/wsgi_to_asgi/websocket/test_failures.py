"""What is told when a WebSocket's application fails, and its server too."""

from __future__ import annotations

import logging

import anyio
import pytest

import bridge
from bridge import WsgiToAsgi
from tests.asgi import Environ, Message, StartResponse
from tests.wsgi_to_asgi.websocket.playing import Player


async def test_error_is_logged_if_the_last_close_cannot_be_sent(bridge_log: list[logging.LogRecord]) -> None:
    """The server gets its own error, so the application's would be nowhere."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        bridge.websocket(environ).accept()
        raise ValueError("the application's")

    received: list[Message] = [{"type": "websocket.connect"}]

    async def receive() -> Message:
        if not received:
            await anyio.sleep_forever()
        return received.pop()

    async def send(message: Message) -> None:
        if message["type"] == "websocket.close":
            raise RuntimeError("the server's")

    with pytest.raises(RuntimeError, match="the server's"):
        await WsgiToAsgi(application)(Player().scope, receive, send)

    errors = [record.exc_info[1] for record in bridge_log if record.exc_info]
    assert [str(error) for error in errors] == ["the application's"]
