"""Between the application and the adapter: nothing, or what one check puts there. Knows no adapter."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bridge.cli.check.gate import Gate
    from bridge.protocols import AsgiApplication, Environ, Message, Receive, Scope, Send, StartResponse, WsgiApplication


class WsgiProbe:
    """A WSGI application, and for some requests a layer around it."""

    def __init__(self, application: WsgiApplication) -> None:
        self._application = application
        self.layer: Callable[[WsgiApplication], WsgiApplication] | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if self.layer is None:
            return self._application(environ, start_response)
        return self.layer(self._application)(environ, start_response)


class AsgiProbe:
    """An ASGI application, and for some requests a layer around it. Remembers what it said to the lifespan."""

    def __init__(self, application: AsgiApplication, said: list[str]) -> None:
        self._application = application
        self._said = said  # types of the messages of its lifespan
        self.layer: Callable[[AsgiApplication], AsgiApplication] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":

            async def heard(message: Message) -> None:
                self._said.append(message["type"])
                await send(message)

            await self._application(scope, receive, heard)
        elif self.layer is None:
            await self._application(scope, receive, send)
        else:
            await self.layer(self._application)(scope, receive, send)


class Watch:
    """What happens to one response between the application and the adapter."""

    def __init__(self, gate: Gate | None) -> None:
        self._gate = gate
        self.closes = 0
        """How often close() of the iterable was called."""
        self.ended = threading.Event()
        """The iterable was closed, or the ASGI application has returned."""

    def wsgi(self, application: WsgiApplication) -> WsgiApplication:
        """Return a layer for a WSGI application."""

        def watched(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            def start(*args: Any) -> Callable[[bytes], object]:
                write = start_response(*args)

                def watched_write(chunk: bytes) -> None:
                    write(chunk)
                    self.given(len(chunk))

                return watched_write

            return _Watched(application(environ, start), self)

        return watched

    def given(self, size: int) -> None:
        """Let the client have *size* bytes that a WSGI application has given."""
        if self._gate is not None:
            self._gate.wait(size)

    def asgi(self, application: AsgiApplication) -> AsgiApplication:
        """Return a layer for an ASGI application."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            async def watched_send(message: Message) -> None:
                await send(message)
                more = message["type"] == "http.response.body" and message.get("more_body") and message.get("body")
                if more and self._gate is not None:
                    await self._gate.wait_async(len(message["body"]))

            try:
                await application(scope, receive, watched_send)
            finally:
                self.ended.set()

        return watched


class _Watched:
    def __init__(self, chunks: Iterable[bytes], watch: Watch) -> None:
        self._chunks = chunks
        self._iterator: Iterator[bytes] | None = None
        self._watch = watch
        self._given = 0  # bytes of the last chunk

    def __iter__(self) -> _Watched:
        self._iterator = iter(self._chunks)
        return self

    def __next__(self) -> bytes:
        if self._given:
            self._watch.given(self._given)
            self._given = 0
        assert self._iterator is not None
        chunk = next(self._iterator)
        self._given = len(chunk)
        return chunk

    def close(self) -> None:
        self._watch.closes += 1
        try:
            close = getattr(self._chunks, "close", None)
            if close is not None:
                close()
        finally:
            self._watch.ended.set()
