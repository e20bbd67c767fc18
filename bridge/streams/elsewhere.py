"""An async iterable in the thread that iterates it, outside of WsgiToAsgi. Knows no exchange of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from bridge.asgi_to_wsgi.adapter import AsgiToWsgi
from bridge.errors import ApplicationError
from bridge.streams.feed import feed

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from bridge.protocols import Environ, Receive, Scope, Send
    from bridge.streams.stream import Chunks

_KEY: Final = "bridge.stream"


async def _serve(scope: Scope, receive: Receive, send: Send) -> None:
    """Be the ASGI application that has the iterable for its response."""
    items, ping = scope["wsgi.environ"][_KEY]
    failures: list[BaseException] = []

    async def put(chunk: bytes) -> None:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        tasks.cancel_scope.cancel()

    await send({"type": "http.response.start", "status": 200, "headers": []})
    async with anyio.create_task_group() as tasks:
        # At once: AsgiToWsgi itself cancels an application only that goes on for a while.
        tasks.start_soon(watch)
        try:
            await feed(items, put, ping)
        except (Exception, SystemExit) as error:  # raised below: the task group would make a group of it
            failures.append(error)
        tasks.cancel_scope.cancel()
    if failures:
        try:
            raise failures[0]
        finally:
            failures.clear()  # the traceback holds this frame: without this it would hold itself
    await send({"type": "http.response.body", "body": b""})


# What AsgiToWsgi knows is what a stream needs here as well: a loop that this thread runs, or under gevent and eventlet
# one in a real thread; a client that leaves, a fork, the exit. Its loops are made on first use.
_adapter: Final = AsgiToWsgi(_serve, lifespan="off")


def iterate_here(items: AsyncIterable[Any], ping: float | None) -> Chunks:
    """Return the chunks of *items*, which runs while the next is asked for, in a copy of this thread's context.

    Args:
        items: the application's.
        ping: as :func:`feed` has it.
    """
    environ: Environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        _KEY: (items, ping),
    }
    return cast("Chunks", _adapter(environ, _start_response))


def _start_response(status: str, headers: object, exc_info: object = None) -> Any:
    return _write


def _write(chunk: bytes) -> None:
    raise ApplicationError("a stream writes nothing past its iterable")
