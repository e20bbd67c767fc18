"""The server's side of a WebSocket, played by a test, as strict as the ASGI specification is. Knows no bridge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from tests.asgi import TIMEOUT, AsgiApplication, Message, Scope
from tests.mount.upstream.speaking import FakeWebSocket, websocket_scope

# ASGI specification, "WebSocket" and "Websocket Denial Response": what may be sent, after what.
_ALLOWED = {
    "": {"websocket.accept", "websocket.close", "websocket.http.response.start"},
    "websocket.accept": {"websocket.send", "websocket.close"},
    "websocket.send": {"websocket.send", "websocket.close"},
    "websocket.http.response.start": {"websocket.http.response.body"},
    "websocket.http.response.body": {"websocket.http.response.body"},
    "websocket.close": set(),
}


class Player(FakeWebSocket):
    """One WebSocket as a server has it."""

    def __init__(self, scope: Scope | None = None) -> None:
        super().__init__()
        self.scope = scope or websocket_scope()
        self.cancelled = anyio.CancelScope()
        self._sending = False

    async def send(self, message: Message) -> None:
        assert not self._sending, "send() was called while another send() was under way"
        last = self.sent[-1]["type"] if self.sent else ""
        assert message["type"] in _ALLOWED[last], f"after {last!r} comes {message!r}"
        self._sending = True
        try:
            await super().send(message)
        finally:
            self._sending = False

    @property
    def messages(self) -> list[str | bytes]:
        """What the client got."""
        return [one.get("text", one.get("bytes")) for one in self.sent if one["type"] == "websocket.send"]

    @property
    def types(self) -> list[str]:
        return [message["type"].removeprefix("websocket.") for message in self.sent]

    @asynccontextmanager
    async def playing(self, application: AsgiApplication) -> AsyncIterator[None]:
        """Call the application beside the block; its end waits for it and raises what it raises."""

        async def call(scope: Scope, receive: object, send: object) -> None:
            with self.cancelled:
                await application(scope, self.receive, self.send)

        async with self.serving(call, self.scope):
            yield

    async def play(self, application: AsgiApplication) -> Player:
        """Call the application to its end."""
        with anyio.fail_after(TIMEOUT):
            async with self.playing(application):
                pass
        return self
