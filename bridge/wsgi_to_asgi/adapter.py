"""WsgiToAsgi: which scope goes where, and what is answered without the application. Knows no HTTP syntax."""

from __future__ import annotations

import logging
import time
from contextvars import copy_context
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Final, Literal

from bridge.errors import (
    BadRequest,
    ConfigurationError,
    ContentTooLarge,
    Overloaded,
    RequestRefused,
    ServerError,
)
from bridge.loop_thread import Counter, cross_with_anyio, mailbox_here, run_in_thread
from bridge.wsgi_to_asgi.early_hints import EarlyHints, can_hint
from bridge.wsgi_to_asgi.environ import build_environ
from bridge.wsgi_to_asgi.exchange import Exchange, set_length
from bridge.wsgi_to_asgi.request_body import RequestBody, collect, longer_than_declared
from bridge.wsgi_to_asgi.websocket_denial import as_denial
from bridge.wsgi_to_asgi.websocket_threads import WebSockets
from bridge.wsgi_to_asgi.workers import WorkerThreads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bridge.loop_thread import Crossing
    from bridge.protocols import Environ, Receive, Scope, Send, WsgiApplication

_logger = logging.getLogger("bridge")

# How long a shutdown waits for exchanges that it has told to stop, in seconds; a view that
# reads and writes nothing cannot be told.
_ABORT_GRACE: Final = 5.0

_HTTP_1: Final = ("HTTP/1.1", "HTTP/1.0")
# Methods whose requests have a body only if a header says so; RFC 9110, 9.3.1 and 9.3.2.
_NO_BODY_BY_DEFAULT: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Stats:
    """What an adapter is doing and has done.

    ``threads``, ``busy`` and ``pending`` are those of its worker threads, shared ones included; the others count
    this adapter's exchanges since it was made.
    """

    threads: int
    """Worker threads that exist now."""
    busy: int
    """Worker threads that run an exchange."""
    pending: int
    """Exchanges that wait for a worker thread."""
    served: int
    """Exchanges whose response is complete."""
    failed: int
    """Exchanges that ended with an error of the application or the server."""
    disconnected: int
    """Exchanges whose client left, or that the server cancelled, before the response was complete."""
    rejected: int
    """Requests that the bridge answered without the application: 400, 413, 503."""
    streams: int = 0
    """Exchanges that are under way and hold no thread; see :func:`bridge.stream`."""
    websockets: int = 0
    """WebSockets that the application has now; each has a thread beside ``threads``."""


class WsgiToAsgi:
    """Run a WSGI application as an ASGI application, in worker threads.

    Args:
        app: the WSGI application (PEP 3333).
        threads: how many exchanges run at once, or the :class:`WorkerThreads` to run them in.
        max_pending: how many exchanges may wait for a thread; one more is answered 503 at once. None: no limit.
        request_buffer: bytes. A request body up to this size is collected before a thread is taken; of a larger
            one this much is read ahead.
        response_buffer: bytes that the application may be ahead of a slow client before it waits.
        max_body_size: bytes. A request that declares more is answered 413; one that turns out
            longer makes the read of ``wsgi.input`` raise :class:`bridge.errors.BodyTooLarge`. None: no limit.
        unknown_length: ``"spool"`` reads a body without ``Content-Length`` to its end before the application is
            called, and tells it the length; ``"stream"`` hands it over as it comes, without a length.
        drain_timeout: seconds that a shutdown waits for running exchanges before it makes them fail.
        websocket_threads: how many WebSockets the application may have at once; each holds a thread for as long as it
            lives. They have threads of their own and take none from HTTP requests; one more is answered 503.

    Raises:
        ConfigurationError: an option has a value that it cannot have.

    Source: PEP 3333; ASGI specification 3.0, "HTTP & WebSocket" and "Lifespan".
    """

    def __init__(
        self,
        app: WsgiApplication,
        *,
        threads: int | WorkerThreads = 40,
        max_pending: int | None = None,
        request_buffer: int = 65536,
        response_buffer: int = 65536,
        max_body_size: int | None = None,
        unknown_length: Literal["spool", "stream"] = "spool",
        drain_timeout: float = 30.0,
        websocket_threads: int = 100,
    ) -> None:
        if not callable(app):
            raise ConfigurationError(f"app is a WSGI application, a callable; got {app!r}")
        if unknown_length not in ("spool", "stream"):
            raise ConfigurationError(f"unknown_length is 'spool' or 'stream'; got {unknown_length!r}")
        self.app = app
        self._owns_workers = not isinstance(threads, WorkerThreads)
        self._workers = threads if isinstance(threads, WorkerThreads) else WorkerThreads(threads)
        self._max_pending = None if max_pending is None else _number(0, "max_pending", max_pending)
        self._request_buffer = _number(1, "request_buffer", request_buffer)
        self._response_buffer = _number(1, "response_buffer", response_buffer)
        self._max_body_size = None if max_body_size is None else _number(0, "max_body_size", max_body_size)
        self._unknown_length = unknown_length
        if not isinstance(drain_timeout, (int, float)) or not drain_timeout >= 0:
            raise ConfigurationError(f"drain_timeout is a number of seconds, 0 or more; got {drain_timeout!r}")
        self._drain_timeout = drain_timeout
        self._websockets = WebSockets(app, _number(1, "websocket_threads", websocket_threads))
        self._overloaded = False
        self._served = Counter()
        self._failed = Counter()
        self._disconnected = Counter()
        self._rejected = Counter()

    def stats(self) -> Stats:
        """Return a snapshot of the counters. Any thread; does not block."""
        workers = self._workers
        return Stats(
            threads=workers.threads,
            busy=workers.busy,
            pending=workers.pending,
            served=self._served.value,
            failed=self._failed.value,
            disconnected=self._disconnected.value,
            rejected=self._rejected.value,
            streams=workers.parked,
            websockets=self._websockets.count,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the server: an HTTP request, a WebSocket, a lifespan.

        Raises:
            Exception: what the application raised, or the server's ``send()`` or ``receive()``.
            ApplicationError: the application broke PEP 3333, or raised what is no Exception.
            ServerError: the server broke the ASGI specification.
        """
        kind = scope["type"]
        serve: Callable[[Scope, Receive, Send, Crossing], Awaitable[None]]
        if kind == "http":
            serve = self._serve
        elif kind == "lifespan":
            serve = self._live
        elif kind == "websocket":
            serve = self._serve_websocket
        else:
            raise ServerError(f"an ASGI scope is of type http, websocket or lifespan; the server sent {kind!r}")
        mailbox = mailbox_here()
        if mailbox is not None:
            await serve(scope, receive, send, mailbox)
        else:
            await cross_with_anyio(lambda crossing: serve(scope, receive, send, crossing))

    async def _serve(self, scope: Scope, receive: Receive, send: Send, crossing: Crossing) -> None:
        try:
            environ = build_environ(scope)
            if self._max_pending is not None and self._workers.full(self._max_pending):
                raise self._overload()
            exchange = Exchange(self, self.app, environ, copy_context(), crossing, receive, self._response_buffer)
            extensions = scope.get("extensions")
            if extensions and can_hint(environ, extensions):
                environ["wsgi.early_hints"] = exchange.hints = EarlyHints(exchange)
            if _has_no_body(environ):
                environ["wsgi.input"] = BytesIO()
            elif not await self._take_body(exchange, environ, receive):
                self._disconnected.add()
                return
            if not self._workers.submit(exchange, self._max_pending):
                raise self._overload()
            if self._overloaded and not self._workers.pending:
                self._overloaded = False
        except RequestRefused as refusal:
            self._rejected.add()
            await _answer(refusal, scope["method"], send)
            return
        except Exception:
            self._failed.add()
            raise
        except BaseException:  # cancelled by the server, while the body came in
            self._disconnected.add()
            raise
        try:
            await exchange.respond(send)
        except BaseException:
            self._workers.withdraw(exchange)
            (self._disconnected if exchange.disconnected else self._failed).add()
            raise
        if exchange.disconnected:
            self._disconnected.add()
        elif exchange.refused:
            self._rejected.add()
        else:
            self._served.add()

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send, crossing: Crossing) -> None:
        try:
            if (await receive())["type"] != "websocket.connect":
                self._disconnected.add()
                return
            exchange = self._websockets.begin(
                self, scope, receive, crossing, self._request_buffer, self._response_buffer
            )
        except RequestRefused as refusal:
            self._rejected.add()
            await _answer(refusal, "GET", as_denial(scope, send))
            return
        except Exception:
            self._failed.add()
            raise
        except BaseException:  # cancelled by the server, before it had a connection
            self._disconnected.add()
            raise
        try:
            await exchange.respond(send)
        except BaseException:
            self._websockets.withdraw(exchange)
            (self._disconnected if exchange.disconnected else self._failed).add()
            raise
        (self._disconnected if exchange.disconnected else self._served).add()

    def _overload(self) -> Overloaded:
        if not self._overloaded:
            # Once for a whole burst: a log line a refusal would be load on top of overload.
            self._overloaded = True
            _logger.warning(
                "All %d worker threads are busy and %d exchanges wait: requests are answered 503 until one is done "
                "(options threads and max_pending).",
                self._workers.size,
                self._max_pending,
            )
        return Overloaded("The server is busy; try again later.")

    async def _take_body(self, exchange: Exchange, environ: Environ, receive: Receive) -> bool:
        """Collect a small body, or connect a larger one to receive(); return False if the client went away."""
        if "CONTENT_LENGTH" in environ and "HTTP_TRANSFER_ENCODING" not in environ:
            return await self._take_declared(exchange, environ, receive, int(environ["CONTENT_LENGTH"]))
        environ.pop("CONTENT_LENGTH", None)  # RFC 9112, 6.3: Transfer-Encoding overrides it
        if self._unknown_length == "spool":
            return await self._take_spooled(exchange, environ, receive)
        return await self._take_unknown(exchange, environ, receive)

    async def _take_declared(self, exchange: Exchange, environ: Environ, receive: Receive, length: int) -> bool:
        if self._max_body_size is not None and length > self._max_body_size:
            raise ContentTooLarge(f"The request body has {length} bytes; {self._max_body_size} are allowed.")
        if length > self._request_buffer or _waits_for_continue(environ):
            self._connect(exchange, length, lazy=_waits_for_continue(environ))
            return True
        collected = await collect(receive, self._request_buffer)
        if collected is None:
            return False
        body, _ = collected
        if len(body) > length:
            raise longer_than_declared(length, len(body))
        if len(body) < length:
            raise BadRequest(f"The request body ended after {len(body)} of {length} bytes.")
        environ["wsgi.input"] = BytesIO(body)
        return True

    async def _take_spooled(self, exchange: Exchange, environ: Environ, receive: Receive) -> bool:
        collected = await collect(receive, self._request_buffer)
        if collected is None:
            return False
        body, more = collected
        if self._max_body_size is not None and len(body) > self._max_body_size:
            raise ContentTooLarge(f"The request body has more than the {self._max_body_size} bytes that are allowed.")
        if more:
            # The rest goes to a file, which is the worker thread's work: a disk must not stop the loop.
            self._connect(exchange, None, spooled=True, begun=body)
            return True
        if body or "HTTP_TRANSFER_ENCODING" in environ:
            set_length(environ, len(body))
        environ["wsgi.input"] = BytesIO(body)
        return True

    async def _take_unknown(self, exchange: Exchange, environ: Environ, receive: Receive) -> bool:
        if _waits_for_continue(environ):
            self._connect(exchange, None, lazy=True)
            return True
        collected = await collect(receive, 0)
        if collected is None:
            return False
        body, more = collected
        if body or more:
            self._connect(exchange, None, begun=body, more=more)
        else:
            environ["wsgi.input"] = BytesIO()
        return True

    def _connect(
        self,
        exchange: Exchange,
        length: int | None,
        *,
        lazy: bool = False,
        spooled: bool = False,
        begun: bytes = b"",
        more: bool = True,
    ) -> None:
        """Let the worker thread read the body while it arrives; *lazy*: from the application's first read on."""
        body = RequestBody(
            length,
            limit=self._request_buffer,
            max_size=self._max_body_size,
            crossing=exchange.crossing,
            begin=exchange.listen if lazy else None,
        )
        if begun or not more:
            body.feed(begun, more)
        exchange.read_from(body, spool_memory=self._request_buffer if spooled else None, lazy=lazy)

    async def _live(self, scope: Scope, receive: Receive, send: Send, crossing: Crossing) -> None:
        """Answer the lifespan protocol. Source: ASGI specification, "Lifespan Protocol"."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self._drain(crossing)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _drain(self, crossing: Crossing) -> None:
        if not self._workers.threads and not self._websockets.threads:
            return
        # A thread of its own: the loop has to go on, for the exchanges that are to finish.
        left = await run_in_thread(crossing, "bridge-drain", self._end_exchanges)
        if left:
            _logger.warning(
                "%d exchanges still run %g s after the shutdown began and %g s after they were told to stop.",
                left,
                self._drain_timeout + _ABORT_GRACE,
                _ABORT_GRACE,
            )

    def _end_exchanges(self) -> int:
        deadline = time.monotonic() + self._drain_timeout
        # First of all, since they would not end by themselves; they have the time that the requests have.
        self._websockets.go_away(self)
        left = self._workers.drain(self, self._drain_timeout, _ABORT_GRACE)
        if self._owns_workers:
            self._workers.close(0 if left else _ABORT_GRACE)
        return left + self._websockets.drain(self, max(0.0, deadline - time.monotonic()), _ABORT_GRACE)


def _has_no_body(environ: Environ) -> bool:
    """Whether the head alone says that no body follows.

    Source: RFC 9112, 6.3. Over HTTP/2 and 3 it cannot: there the end of the request is a frame (RFC 9113, 8.1).
    """
    if environ["SERVER_PROTOCOL"] not in _HTTP_1 or "HTTP_TRANSFER_ENCODING" in environ:
        return False
    if "CONTENT_LENGTH" in environ:
        return bool(environ["CONTENT_LENGTH"] == "0")
    return environ["REQUEST_METHOD"] in _NO_BODY_BY_DEFAULT


def _waits_for_continue(environ: Environ) -> bool:
    """Whether the client sends its body only after the first receive(). Source: RFC 9110, 10.1.1."""
    return bool(environ.get("HTTP_EXPECT", "").lower() == "100-continue")


async def _answer(refusal: RequestRefused, method: str, send: Send) -> None:
    text = f"{refusal}\n".encode()
    head = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(text)),
        *refusal.headers,
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": head})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else text, "more_body": False})


def _number(least: int, option: str, value: int) -> int:
    if not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{option} is a number, {least} or more; got {value!r}")
    return value
