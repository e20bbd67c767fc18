"""a2wsgi's two adapters over the bridge's. Imports nothing of a2wsgi, and knows no environ and no response."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from bridge.asgi_to_wsgi.adapter import AsgiToWsgi
from bridge.errors import ConfigurationError
from bridge.wsgi_to_asgi.adapter import WsgiToAsgi

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Iterable

    from bridge.protocols import (
        AsgiApplication,
        Environ,
        Message,
        Receive,
        Scope,
        Send,
        StartResponse,
        WsgiApplication,
    )

__all__ = ["ASGIMiddleware", "WSGIMiddleware"]

# Bytes that one place in the queue stands for: a2wsgi counts chunks, of any size, and the bridge counts bytes. The
# size of most chunks: in such blocks wsgiref and Werkzeug send a file.
_PLACE: Final = 8192


class WSGIMiddleware(WsgiToAsgi):
    """Run a WSGI application as an ASGI application: ``a2wsgi.WSGIMiddleware`` by signature.

    The other options of :class:`bridge.WsgiToAsgi` have their defaults.

    Args:
        app: the WSGI application (PEP 3333).
        workers: how many exchanges run at once: ``threads``.
        send_queue_size: how far the application may be ahead of a slow client, in blocks of 8 KiB:
            ``response_buffer``.

    Raises:
        ConfigurationError: an argument has a value that it cannot have.

    Source: a2wsgi, README "WSGIMiddleware".
    """

    def __init__(self, app: WsgiApplication, workers: int = 10, send_queue_size: int = 10) -> None:
        if not isinstance(workers, int) or workers < 1:
            raise ConfigurationError(f"workers is a number of threads, 1 or more; got {workers!r}")
        if not isinstance(send_queue_size, int) or send_queue_size < 1:
            # 0 would be a queue without an end.
            raise ConfigurationError(f"send_queue_size is a number of chunks, 1 or more; got {send_queue_size!r}")
        super().__init__(app, threads=workers, response_buffer=send_queue_size * _PLACE)
        self.send_queue_size = send_queue_size


class ASGIMiddleware:
    """Run an ASGI application as a WSGI application: ``a2wsgi.ASGIMiddleware`` by signature.

    All requests of the process share one event loop, which runs in a thread beside the server's:
    :class:`bridge.AsgiToWsgi` with ``loop="shared"``.

    Args:
        app: the ASGI application (ASGI 3, a single callable).
        wait_time: seconds that the application may go on after its response; then it is cancelled. None: no limit.
        loop: the event loop to run the application on, of asyncio. One that runs when the first request comes is used
            where it runs, and never stopped or closed; any other is run in a thread, and closed at exit. None: a loop
            that is made with the first request, and again in a forked child.

    Raises:
        ConfigurationError: an argument has a value that it cannot have.

    Source: a2wsgi, README "ASGIMiddleware" and "Access the original Scope/Environ".
    """

    def __init__(
        self,
        app: AsgiApplication,
        wait_time: float | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not callable(app):
            raise ConfigurationError(f"app is an ASGI application, a callable; got {app!r}")
        if wait_time is not None and (not isinstance(wait_time, (int, float)) or not wait_time >= 0):
            raise ConfigurationError(f"wait_time is a number of seconds, 0 or more, or None; got {wait_time!r}")
        if loop is not None and not isinstance(loop, asyncio.AbstractEventLoop):
            raise ConfigurationError(f"loop is an event loop of asyncio, or None; got {loop!r}")
        # An object of its own, which does not know this one: a lifespan that runs holds what it was called by, and
        # so would keep this adapter from ever being collected.
        self._served = _Served(app, wait_time)
        self._given = loop
        self._process = os.getpid()
        self._adapter = AsgiToWsgi(
            self._served, loop="shared", loop_factory=None if loop is None else partial(_take_loop, loop)
        )

    @property
    def app(self) -> AsgiApplication:
        """The ASGI application."""
        return self._served.app

    @property
    def wait_time(self) -> float | None:
        """Seconds that the application may go on after its response; None: no limit."""
        return self._served.wait_time

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the application runs on; where none was given, the application is started for it.

        Raises:
            LifespanFailed: the application could not be started.
        """
        if self._given is not None:
            return self._given
        loop = self._served.loop
        if loop is None or loop is not asyncio._get_running_loop():  # the loop itself must not wait for its startup
            self._adapter.startup()
            loop = self._served.loop
        return cast("asyncio.AbstractEventLoop", loop)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request.

        Raises:
            LifespanFailed: the application could not be started.
            ConfigurationError: the loop that was given cannot serve it.
            Exception: what the application raised before its response had begun.
            ApplicationError: the application broke the ASGI specification.
            ServerError: the server broke PEP 3333.
        """
        if self._given is not None:
            self._check(self._given)
        return self._adapter(environ, start_response)

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        """Refuse to wait for what a loop cannot do."""
        if os.getpid() != self._process:
            raise ConfigurationError(
                "the event loop given as loop= was made before this process was forked, and its thread has stayed "
                "behind. Give no loop, or use bridge.AsgiToWsgi(app, loop='shared', loop_factory=...): each process "
                "then makes its own."
            )
        if asyncio._get_running_loop() is loop:
            raise ConfigurationError(
                "the server called ASGIMiddleware in the thread that runs the event loop given as loop=, which would "
                "wait for itself. Run that loop in a thread of its own, or give none."
            )
        if loop.is_closed() or (self._served.loop is loop and not loop.is_running()):
            raise ConfigurationError(
                "the event loop given as loop= was stopped or closed: it has to run until the last request is over. "
                "Give no loop, and the bridge sees to that."
            )


class _Served:
    """The application as the bridge calls it: with a2wsgi's key in the scope, and with a limit to its time."""

    def __init__(self, app: AsgiApplication, wait_time: float | None) -> None:
        self.app = app
        self.wait_time = wait_time
        self.loop: asyncio.AbstractEventLoop | None = None
        """Where the application runs; the loop itself writes, when the application is started."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            scope["wsgi_environ"] = scope["wsgi.environ"]
            if self.wait_time is not None:
                return _limited(self.app, self.wait_time, scope, receive, send)
        else:
            self.loop = asyncio.get_running_loop()
        return self.app(scope, receive, send)


async def _limited(app: AsgiApplication, wait_time: float, scope: Scope, receive: Receive, send: Send) -> None:
    """Await *app*, and cancel it *wait_time* seconds after the end of its response."""
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    timers: list[asyncio.TimerHandle] = []

    async def send_and_look(message: Message) -> None:
        # Returns from the last message when the server has closed the response: only now the time begins.
        await send(message)
        kind = message["type"]
        if kind == "http.response.pathsend" or (kind == "http.response.body" and not message.get("more_body", False)):
            timers.append(asyncio.get_running_loop().call_later(wait_time, task.cancel))

    try:
        await app(scope, receive, send_and_look)
    finally:
        # Or the loop would keep the tasks of all requests of the last wait_time seconds.
        for timer in timers:
            timer.cancel()


def _take_loop(loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
    """Return what the thread of the adapter runs: *loop*, unless somebody else does."""
    return cast("asyncio.AbstractEventLoop", _RunningElsewhere(loop)) if loop.is_running() else loop


class _RunningElsewhere:
    """A loop that the caller runs, as far as the adapter's thread needs one: it waits there, and does nothing else."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def run_until_complete(self, main: Coroutine[Any, Any, Any] | None) -> None:
        if main is not None:
            try:
                asyncio.run_coroutine_threadsafe(main, self._loop).result()
            except CancelledError:
                pass  # the caller ends its loop, and so all tasks on it

    # What is the caller's to end.

    def shutdown_asyncgens(self) -> None:
        pass

    def shutdown_default_executor(self) -> None:
        pass

    def close(self) -> None:
        pass
