"""Applications and their server, which the tests of WebSockets share. Knows no rule of RFC 6455."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import pytest

from bridge import AsgiToWsgi
from tests.asgi import AsgiApplication, Message, Receive, Scope, Send
from tests.asgi_to_wsgi.kinds import Kind, kinds
from tests.asgi_to_wsgi.server import _run_in_loop
from tests.asgi_to_wsgi.websocket_server import HandingOut, handing_out

Open: TypeAlias = Callable[..., AbstractContextManager[HandingOut]]  # the fixture ``serving``

ACCEPT: Message = {"type": "websocket.accept"}

# The rules are the same on all kinds of loop; what depends on the kind says so by asking for none of these.
on_request_loop = kinds(lambda kind: kind.name == "request")
on_each_family = kinds(lambda kind: kind.name in ("request", "shared", "request-trio"))


@pytest.fixture
def serving(kind: Kind) -> Iterator[Open]:
    """Serve one request to an ASGI application, with options of AsgiToWsgi; *server* has those of HandingOut."""
    adapters: list[AsgiToWsgi] = []

    def serve(
        application: AsgiApplication, server: dict[str, Any] | None = None, **options: Any
    ) -> AbstractContextManager[HandingOut]:
        adapter = AsgiToWsgi(application, **{"lifespan": "off", **kind.options, **options})
        adapters.append(adapter)
        if kind.in_loop:
            return handing_out(lambda environ, start: _run_in_loop(lambda: adapter(environ, start)), **server or {})
        return handing_out(adapter, **server or {})

    yield serve
    for adapter in adapters:
        adapter.close()


class Noted:
    """An application that accepts, notes what it receives, and does *then* with each message."""

    def __init__(self, then: Callable[[Message, Send], Awaitable[None]] | None = None, **accept: Any) -> None:
        self.received: list[Message] = []
        self.ended = threading.Event()
        self.error: BaseException | None = None
        self._then = then
        self._accept = {**ACCEPT, **accept}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == {"type": "websocket.connect"}
        try:
            await send(self._accept)
            while True:
                message = await receive()
                self.received.append(message)
                if message["type"] == "websocket.disconnect":
                    return
                if self._then is not None:
                    await self._then(message, send)
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.ended.set()


async def echo(message: Message, send: Send) -> None:
    """Send the message back."""
    await send({**message, "type": "websocket.send"})
