"""AsgiToWsgi: one request of a WSGI server to one exchange, on the loop that suits. Knows no HTTP syntax."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from bridge.asgi_to_wsgi.exchange import Exchange
from bridge.asgi_to_wsgi.green import check_backend
from bridge.asgi_to_wsgi.in_use import InUse
from bridge.asgi_to_wsgi.lifespan import Lifespan
from bridge.asgi_to_wsgi.loop_threads import LoopThread, LoopThreads
from bridge.asgi_to_wsgi.loops import Loops
from bridge.asgi_to_wsgi.process import LateLock, close_collected, keep, watch
from bridge.asgi_to_wsgi.read_ahead import ReadAhead
from bridge.asgi_to_wsgi.request_body import open_body
from bridge.asgi_to_wsgi.request_loops import RequestLoops
from bridge.asgi_to_wsgi.response_body import FileBody, NoBody, ResponseBody
from bridge.asgi_to_wsgi.response_head import translate_start
from bridge.asgi_to_wsgi.scope import build_scope
from bridge.asgi_to_wsgi.websocket_handshake import asks_for_websocket
from bridge.asgi_to_wsgi.websocket_opening import open_websocket
from bridge.errors import ConfigurationError, LifespanFailed, RequestRefused

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from bridge.asgi_to_wsgi.loop_threads import Backend
    from bridge.asgi_to_wsgi.websocket import WebSocket
    from bridge.protocols import AsgiApplication, Environ, Scope, StartResponse

# Bytes that a server reads from a file at a time, where it has no better way.
_BLOCK_SIZE: Final = 65536
_SWITCHED: Final = "101 Switching Protocols"


class AsgiToWsgi:
    """Run an ASGI application as a WSGI application.

    It can be called by any number of the server's threads at once. Event loops and threads are made when the first
    request comes, or by :meth:`startup`; and again in a forked child.

    Args:
        app: the ASGI application (ASGI 3, a single callable).
        loop: ``"request"``: an event loop for each request, run by the server's own thread. ``"shared"``: one loop for
            all requests of the process, in a thread of its own. ``"auto"``: the shared loop if the application takes
            part in the lifespan protocol, since what it made there belongs to that loop; else a loop for each request.
        loop_factory: makes an asyncio loop, such as ``uvloop.new_event_loop``. None: asyncio's own.
        backend: ``"asyncio"``, or ``"trio"``: the application runs on trio, through anyio.
        lifespan: ``"auto"``: start and shut down the application if it takes part. ``"on"``: it has to. ``"off"``: do
            not ask it.
        startup_timeout: seconds that the application may take to start.
        shutdown_timeout: seconds that :meth:`close` waits for requests and for the shutdown of the application; also
            how long the application of a client that left may take to end once it is cancelled.
        request_buffer: bytes. A request body up to this size is read when the application first asks for it; of a
            larger one, this much is read ahead by a thread. Of a WebSocket, what the client may be ahead in messages.
        response_buffer: bytes that the application may be ahead of the server before ``send()`` waits.
        max_message_size: bytes of a message that comes over a WebSocket; one that is longer closes it with 1009.
        websocket_ping_interval: seconds between two pings to the client of a WebSocket; one that sends nothing in that
            time, not even the answer, is lost. 0: no pings.

    Raises:
        ConfigurationError: an option has a value that it cannot have.

    Source: PEP 3333; ASGI specification 3.0, "HTTP & WebSocket" and "Lifespan".
    """

    def __init__(
        self,
        app: AsgiApplication,
        *,
        loop: Literal["auto", "request", "shared"] = "auto",
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
        backend: Literal["asyncio", "trio"] = "asyncio",
        lifespan: Literal["auto", "on", "off"] = "auto",
        startup_timeout: float = 30.0,
        shutdown_timeout: float = 30.0,
        request_buffer: int = 65536,
        response_buffer: int = 65536,
        max_message_size: int = 16 * 1024 * 1024,
        websocket_ping_interval: float = 20.0,
    ) -> None:
        if not callable(app):
            raise ConfigurationError(f"app is an ASGI application, a callable; got {app!r}")
        self.app = app
        self._loop = _one_of("loop", loop, ("auto", "request", "shared"))
        self._backend: Backend = backend
        _one_of("backend", backend, ("asyncio", "trio"))
        if loop_factory is not None and (backend != "asyncio" or not callable(loop_factory)):
            raise ConfigurationError(f"loop_factory is a callable that makes an asyncio loop; got {loop_factory!r}")
        self._loop_factory = loop_factory
        self._lifespan = _one_of("lifespan", lifespan, ("auto", "on", "off"))
        self._startup_timeout = _seconds("startup_timeout", startup_timeout)
        self._shutdown_timeout = _seconds("shutdown_timeout", shutdown_timeout)
        self._request_buffer = _bytes("request_buffer", request_buffer)
        self._response_buffer = _bytes("response_buffer", response_buffer)
        self._max_message_size = _bytes("max_message_size", max_message_size)
        self._ping_interval = _seconds("websocket_ping_interval", websocket_ping_interval)
        self._websockets: InUse[WebSocket] = InUse()  # add and discard are atomic
        self._starting = LateLock()
        self._running: Loops | None = None  # under _starting
        self._failure: LifespanFailed | None = None  # under _starting
        self._collected: weakref.finalize[..., AsgiToWsgi] | None = None  # under _starting
        watch(self)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request.

        Raises:
            LifespanFailed: the application could not be started.
            ConfigurationError: a loop as it is asked for cannot run in a process that gevent or eventlet has patched.
            Exception: what the application raised before its response had begun.
            ApplicationError: the application broke the ASGI specification.
            ServerError: the server broke PEP 3333.
        """
        running = self._running
        if running is None or running.is_inherited():
            running = self._start()
        try:
            scope = build_scope(environ, running.state)
            body = open_body(environ)
        except RequestRefused as refusal:
            return _answer(refusal, environ["REQUEST_METHOD"], start_response)
        if "eventlet.posthooks" in environ:
            environ.setdefault("eventlet.minimum_write_chunk_size", 0)  # else it holds chunks back to make 4 KiB
        if "HTTP_UPGRADE" in environ and asks_for_websocket(environ):
            return self._serve_websocket(environ, start_response, scope, running)
        host = running.host()
        exchange = Exchange(
            self.app,
            scope,
            environ,
            host,
            None if body is None else ReadAhead(body, self._request_buffer, host),
            self._response_buffer,
            self._shutdown_timeout,
        )
        try:
            exchange.begin(start_response)
            if exchange.file is not None:
                file = FileBody(exchange.file, exchange)
                wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file, _BLOCK_SIZE)
                return wrapped
        except BaseException:
            exchange.close()
            raise
        return NoBody(exchange) if exchange.bodiless else ResponseBody(exchange)

    def _serve_websocket(
        self, environ: Environ, start_response: StartResponse, scope: Scope, running: Loops
    ) -> Iterable[bytes]:
        try:
            websocket = open_websocket(
                self.app,
                environ,
                running.host,
                limit=self._request_buffer,
                max_size=self._max_message_size,
                ping_interval=self._ping_interval,
            )
        except RequestRefused as refusal:
            return _answer(refusal, environ["REQUEST_METHOD"], start_response)

        def start(status: str, headers: list[tuple[str, str]]) -> Callable[[bytes], object]:
            # Where the connection was taken over nobody reads it but the server's log, which is to be right.
            write = start_response(_SWITCHED if websocket.accepted else status, headers)
            if websocket.accepted:
                websocket.connection.conclude(write)
            return write

        exchange = Exchange(
            websocket, scope, environ, websocket.host, None, self._response_buffer, self._shutdown_timeout
        )
        self._websockets.add(websocket)
        if self._running is not running:  # looked at after it is in: either this look sees close(), or that sees it
            websocket.go_away()
        try:
            exchange.begin(start)
            if websocket.accepted:
                exchange.close()  # here: Cheroot does not close an iterable when it finds the connection closed
                return []
        except BaseException:
            exchange.close()
            raise
        finally:
            websocket.let_go()
            self._websockets.discard(websocket)
        return NoBody(exchange) if exchange.bodiless else ResponseBody(exchange)

    def startup(self) -> None:
        """Start the application now, and not with its first request. Blocks.

        Raises:
            LifespanFailed: the application could not be started.
        """
        self._start()

    def close(self, timeout: float | None = None) -> None:
        """Shut the application down and end every loop and thread. Blocks.

        The next request starts the application again.

        Args:
            timeout: seconds to wait for requests that run; None: ``shutdown_timeout``. Then they are cancelled.
        """
        with self._starting:
            running, self._running, self._failure = self._running, None, None
            if self._collected is not None:
                self._collected.detach()
        for websocket in self._websockets.copy():
            websocket.go_away()
        if running is not None:
            running.close(self._shutdown_timeout if timeout is None else timeout)

    def __enter__(self) -> AsgiToWsgi:
        self.startup()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> Loops:
        if self._running is not None and self._running.is_inherited():
            self.start_afresh()
        with self._starting:
            if self._running is None:
                if self._failure is not None:
                    # A new one each time: the same exception raised twice would grow a traceback of both.
                    raise LifespanFailed(*self._failure.args) from self._failure.__cause__
                try:
                    self._running = running = self._run()
                except LifespanFailed as failure:
                    self._failure = failure
                    raise
                self._collected = weakref.finalize(
                    self, close_collected, partial(running.close, self._shutdown_timeout)
                )
                self._collected.atexit = False  # close_at_exit() comes then
            return self._running

    def _run(self) -> Loops:
        check_backend(self._backend, self._loop_factory)
        if self._lifespan == "off" and self._loop != "shared":
            return self._serve(None, None)
        thread = LoopThread(self._backend, self._loop_factory, "bridge-loop")
        if self._lifespan == "off":
            return self._serve(thread, None)
        lifespan = Lifespan(self.app, thread.crossing)
        try:
            lifespan.startup(self._startup_timeout, required=self._lifespan == "on")
        except BaseException:
            thread.stop()
            raise
        if lifespan.supported:
            return self._serve(thread, lifespan)
        if self._loop == "shared":
            return self._serve(thread, None)
        thread.stop()
        return self._serve(None, None)

    def _serve(self, thread: LoopThread | None, lifespan: Lifespan | None) -> Loops:
        return Loops(
            thread,
            lifespan,
            thread is not None and self._loop != "request",
            LoopThreads(self._backend, self._loop_factory),
            RequestLoops(self._loop_factory) if self._backend == "asyncio" else None,
            self._shutdown_timeout,
        )

    def close_at_exit(self) -> None:
        """Be close(), in an interpreter that ends: wait for no request, nor for a startup that is under way."""
        if not self._starting.locked():
            self.close(0.0)

    def start_afresh(self) -> None:
        """Forget loops and threads, in a forked child: no thread came along, and the loops are the parent's."""
        if self._running is not None:
            keep(self._running)
        if self._collected is not None:
            self._collected.detach()
        self._starting = LateLock()
        self._websockets = InUse()
        self._running = self._failure = self._collected = None


def _answer(refusal: RequestRefused, method: str, start_response: StartResponse) -> list[bytes]:
    text = f"{refusal}\n".encode()
    _, status, headers, _ = translate_start(
        {
            "status": refusal.status,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"%d" % len(text)),
                *refusal.headers,
            ],
        }
    )
    start_response(status, headers)
    return [] if method == "HEAD" else [text]


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ConfigurationError(f"{option} is one of {', '.join(map(repr, allowed))}; got {value!r}")
    return value


def _seconds(option: str, value: float) -> float:
    if not isinstance(value, (int, float)) or not value >= 0:
        raise ConfigurationError(f"{option} is a number of seconds, 0 or more; got {value!r}")
    return value


def _bytes(option: str, value: int) -> int:
    if not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{option} is a number of bytes, 1 or more; got {value!r}")
    return value
