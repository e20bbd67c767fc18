"""Async iterables that the test feeds, and applications that stream them. Knows no event loop in particular."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel

from bridge import WsgiToAsgi, stream
from bridge.streams.stream import Stream
from tests.asgi import TIMEOUT, Application, Environ, FakeServer, StartResponse


class Source:
    """An async iterable for any number of readers, each of which gets every item that comes after it has begun."""

    def __init__(self) -> None:
        self.log: list[str] = []  # what happened, in its order
        self.running = 0  # readers that wait for an item, or have one
        self.threads: set[int] = set()  # in which they ran
        self._queues: list[deque[Any]] = []
        self._changed = anyio.Event()

    async def items(self) -> AsyncIterator[Any]:
        """Give what is put in until end() is called."""
        queue: deque[Any] = deque()
        self._queues.append(queue)
        self.running += 1
        self.threads.add(threading.get_ident())
        self.log.append("begins")
        try:
            while True:
                while queue:
                    item = queue.popleft()
                    if item is None:
                        return
                    if isinstance(item, BaseException):
                        raise item
                    yield item
                await self._changed.wait()
        finally:
            self.running -= 1
            self.log.append("ends")

    def put(self, *items: Any) -> None:
        """Let each reader have *items*; an exception is raised. Event loop."""
        for queue in self._queues:
            queue.extend(items)
        self._changed.set()
        self._changed = anyio.Event()

    def end(self) -> None:
        """Let each reader come to its end. Event loop."""
        self.put(None)


def streaming(make: Callable[[], Any], *, ping: float | None = None, status: str = "200 OK") -> Application:
    """Make an application that streams what *make* returns at ``/``, and answers ``plain`` elsewhere."""

    def application(environ: Environ, start_response: StartResponse) -> Any:
        start_response(status, [("Content-Type", "text/event-stream")])
        return stream(make(), ping=ping) if environ["PATH_INFO"] == "/" else [b"plain"]

    return application


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop run until *condition* is true, which a thread may make so."""
    with anyio.fail_after(TIMEOUT):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def got(server: FakeServer, end: bytes) -> None:
    """Wait until what the client got ends with *end*."""
    await server.until(lambda: server.body.endswith(end))


async def idle(adapter: WsgiToAsgi, streams: int, *sources: Source) -> None:
    """Wait until *streams* exchanges hold no thread and nobody else has one, and *sources* have as many readers."""
    await until(lambda: (adapter.stats().streams, adapter.stats().busy) == (streams, 0))
    if sources:
        await until(lambda: sum(source.running for source in sources) == streams)


class Wrapped:
    """The iterable of a middleware that keeps close() to itself."""

    def __init__(self, inside: Stream) -> None:
        self._inside = inside

    def __iter__(self) -> Stream:
        return self._inside
