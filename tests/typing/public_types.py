"""The public API as type checkers see it. Never run: mypy --strict and pyright read it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from typing_extensions import assert_type

import bridge
from bridge import (
    ApplicationError,
    AsgiToWsgi,
    BodyTooLarge,
    BridgeError,
    ClientDisconnected,
    ConfigurationError,
    LifespanFailed,
    NoEventLoop,
    NoWebSocket,
    ServerError,
    Stats,
    WorkerThreads,
    WsgiToAsgi,
)
from bridge.compat.a2wsgi import ASGIMiddleware, WSGIMiddleware
from bridge.compat.asgiref import WsgiToAsgi as AsgirefWsgiToAsgi
from bridge.mount import Cascade, Dispatcher, Upstream, as_asgi, as_wsgi

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


# -- what is accepted as a WSGI application ---------------------------------------------------------------------


def function(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Be an application with the types of typeshed (wsgiref.types on CPython 3.11 and later)."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"written")
    return [b"body"]


class Framework:
    """Be an application as Flask and Django are: an object with a __call__."""

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [], None)
        return (b"a", b"b")


class Loose:
    """Be an application without exact types."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        return []


def from_typeshed(application: WSGIApplication) -> WsgiToAsgi:
    """Accept what is declared with typeshed's alias."""
    return WsgiToAsgi(application)


assert_type(WsgiToAsgi(function), WsgiToAsgi)
assert_type(WsgiToAsgi(Framework()), WsgiToAsgi)
assert_type(WsgiToAsgi(Loose()), WsgiToAsgi)

WsgiToAsgi("module:application")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
WsgiToAsgi(len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# -- options ----------------------------------------------------------------------------------------------------

workers = WorkerThreads(8)
adapter = WsgiToAsgi(
    function,
    threads=workers,
    max_pending=100,
    request_buffer=65536,
    response_buffer=65536,
    max_body_size=1 << 20,
    unknown_length="stream",
    drain_timeout=30,
)
WsgiToAsgi(function, threads=4, max_pending=None, max_body_size=None, unknown_length="spool", drain_timeout=0.5)

WsgiToAsgi(function, 4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
WsgiToAsgi(function, unknown_length="drop")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
WsgiToAsgi(function, threads="4")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

assert_type(workers.close(timeout=1.5), bool)
assert_type(workers.threads, int)
assert_type(workers.busy, int)
assert_type(workers.pending, int)

# -- what it is: an ASGI 3 application --------------------------------------------------------------------------

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# The type that Starlette, and most middleware, declares.
starlette_application: Callable[[Scope, Receive, Send], Awaitable[None]] = adapter


async def call(scope: Scope, receive: Receive, send: Send) -> None:
    """Call it as a server does."""
    await adapter(scope, receive, send)


# -- the other direction ----------------------------------------------------------------------------------------


async def asgi_application(scope: Scope, receive: Receive, send: Send) -> None:
    """Be an application with the types that Starlette declares."""
    await send(await receive())


class AsgiFramework:
    """Be an application as Starlette and FastAPI are: an object with a __call__."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


wsgi = AsgiToWsgi(
    AsgiFramework(),
    loop="shared",
    loop_factory=asyncio.new_event_loop,
    backend="asyncio",
    lifespan="on",
    startup_timeout=1,
    shutdown_timeout=0.5,
    request_buffer=1024,
    response_buffer=1024,
)
with AsgiToWsgi(asgi_application, loop="auto") as entered:
    assert_type(entered, AsgiToWsgi)
from_typeshed(wsgi)  # it is a WSGI application
WsgiToAsgi(wsgi)
wsgi.startup()
wsgi.close(timeout=1.5)

AsgiToWsgi(function)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
AsgiToWsgi(asgi_application, loop="thread")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
AsgiToWsgi(asgi_application, backend="curio")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# -- stats ------------------------------------------------------------------------------------------------------

stats = adapter.stats()
assert_type(stats, Stats)
assert_type(
    (stats.threads, stats.busy, stats.pending, stats.served, stats.failed, stats.disconnected, stats.rejected),
    tuple[int, int, int, int, int, int, int],
)
stats.served = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]

# -- run_async --------------------------------------------------------------------------------------------------


async def double(number: int) -> int:
    """Be what a view awaits."""
    return 2 * number


assert_type(bridge.run_async(double, 21), int)
bridge.run_async(lambda: 21)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]

# -- websocket --------------------------------------------------------------------------------------------------


def chat(environ: dict[str, Any]) -> None:
    """Take a WebSocket."""
    websocket = bridge.websocket(environ)
    assert_type(websocket, bridge.WebSocket)
    websocket.accept(subprotocol=None, headers=[("X-A", "b")])
    assert_type(websocket.receive(timeout=1.0), str | bytes)
    assert_type(websocket.close_code, int | None)


# -- mount ------------------------------------------------------------------------------------------------------

dispatcher = Dispatcher(Framework(), {"/a": as_wsgi(function), "/b": as_asgi(function, kind="wsgi")})
AsgiToWsgi(dispatcher)
AsgiToWsgi(Cascade([dispatcher, Upstream("http://127.0.0.1:9000", timeout=None)], statuses={404}))
WsgiToAsgi(as_wsgi(dispatcher))
as_asgi(function, kind="cgi")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# -- compat -----------------------------------------------------------------------------------------------------

assert_type(WSGIMiddleware(function, 10, 10).stats(), Stats)
assert_type(ASGIMiddleware(dispatcher, wait_time=5.0).wait_time, float | None)
assert_type(AsgirefWsgiToAsgi(function, duplicate_header_limit=100).stats(), Stats)

# -- errors -----------------------------------------------------------------------------------------------------

every_error: list[type[BridgeError]] = [
    ApplicationError,
    BodyTooLarge,
    ClientDisconnected,
    ConfigurationError,
    LifespanFailed,
    NoEventLoop,
    NoWebSocket,
    ServerError,
]
disconnected: type[OSError] = ClientDisconnected
wrong_value: type[ValueError] = ConfigurationError
no_loop: type[RuntimeError] = NoEventLoop
assert_type(bridge.__version__, str)
