"""Both sides of a WebSocket, played by a test: the ASGI server with its client, and the upstream. Knows no bridge."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, Event, Request, TextMessage

from tests.asgi import TIMEOUT, AsgiApplication, Message, Scope, http_scope
from tests.mount.upstream.raw import Line


def websocket_scope(
    path: str = "/",
    *,
    subprotocols: Iterable[str] = (),
    denial: bool = True,
    headers: Iterable[tuple[bytes, bytes]] = (),
    **rest: Any,
) -> Scope:
    """Build the scope of a handshake, as Uvicorn has it."""
    handshake = [
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        (b"sec-websocket-extensions", b"permessage-deflate"),
    ]
    scope = http_scope(path=path, headers=[*handshake, *headers], **rest)
    del scope["method"]
    extensions: dict[str, Any] = {"websocket.http.response": {}} if denial else {}
    return {**scope, "type": "websocket", "scheme": "ws", "subprotocols": list(subprotocols), "extensions": extensions}


class FakeWebSocket:
    """One WebSocket as a server has it: receive() gives what it was fed, send() takes what the protocol allows."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.receives = 0
        self.sends = 0
        self._fed: deque[Message] = deque([{"type": "websocket.connect"}])
        self._changed = anyio.Event()
        self._free = anyio.Event()
        self._free.set()
        self._error: Exception | None = None

    async def receive(self) -> Message:
        self.receives += 1
        self._change()
        await anyio.lowlevel.checkpoint()
        while not self._fed:
            await self._changed.wait()
        return self._fed.popleft()

    async def send(self, message: Message) -> None:
        self.sends += 1
        self._change()
        ended = [sent for sent in self.sent if sent["type"] == "websocket.close"]
        assert not ended, f"after the close comes {message!r}"
        await self._free.wait()
        if self._error is not None:
            raise self._error
        self.sent.append(message)
        self._change()

    def feed(self, *messages: Message) -> None:
        self._fed.extend(messages)
        self._change()

    def say(self, data: str | bytes) -> None:
        key = "text" if isinstance(data, str) else "bytes"
        self.feed({"type": "websocket.receive", key: data})

    def leave(self, code: int, reason: str = "") -> None:
        self.feed({"type": "websocket.disconnect", "code": code, "reason": reason})

    def hold(self) -> None:
        self._free = anyio.Event()

    def release(self) -> None:
        self._free.set()

    def fail_send(self, error: Exception) -> None:
        self._error = error

    async def until(self, condition: Callable[[], object]) -> None:
        with anyio.fail_after(TIMEOUT):
            while not condition():
                await self._changed.wait()

    @asynccontextmanager
    async def serving(self, application: AsgiApplication, scope: Scope | None = None) -> AsyncIterator[None]:
        """Call the application beside the block, whose end waits for it; what it raises is raised there."""
        errors: list[Exception] = []

        async def call() -> None:
            try:
                await application(scope or websocket_scope(), self.receive, self.send)
            except Exception as error:
                errors.append(error)

        with anyio.fail_after(TIMEOUT):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                yield
        if errors:
            raise errors[0]

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class Speaker:
    """The upstream's end of a WebSocket."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.head = b""
        self.request: Request
        self._frames = WSConnection(ConnectionType.SERVER)
        self._events: deque[Event] = deque()

    async def accept(self, subprotocol: str | None = None, headers: Iterable[tuple[bytes, bytes]] = ()) -> Speaker:
        await self.asked()
        await self.say(AcceptConnection(subprotocol=subprotocol, extra_headers=list(headers)))
        return self

    async def asked(self) -> None:
        """Wait for the handshake."""
        self.head = await self.line.head()
        self._frames.receive_data(self.head)
        (request,) = self._frames.events()
        assert isinstance(request, Request)
        self.request = request

    async def say(self, *events: Event) -> None:
        await self.line.say(b"".join(bytes(self._frames.send(event)) for event in events))

    async def next(self) -> Event:
        while not self._events:
            self._frames.receive_data(await self.line.receive())
            self._events.extend(self._frames.events())
        return self._events.popleft()

    async def message(self) -> str | bytes:
        """The next whole message."""
        pieces: list[Any] = []
        while True:
            event = await self.next()
            assert isinstance(event, (TextMessage, BytesMessage)), event
            pieces.append(event.data if isinstance(event, TextMessage) else bytes(event.data))
            if event.message_finished:
                return "".join(pieces) if isinstance(event, TextMessage) else b"".join(pieces)
