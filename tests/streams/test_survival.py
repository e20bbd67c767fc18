"""Streams whose event loop, process or adapter comes to its end before they do."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import pytest

from bridge import WsgiToAsgi, stream
from tests.asgi import TIMEOUT, Environ, FakeServer, StartResponse, http_scope
from tests.streams.items import idle, until
from tests.wsgi_to_asgi.test_survival import run_script


class Application:
    """Streams what never comes, and notes its close()."""

    def __init__(self, *, takes_empty_chunks: bool = False) -> None:
        self.running = False
        self.closed = threading.Event()
        self._takes = takes_empty_chunks

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            body = stream(self._items())
            yield from filter(None, body) if self._takes else body
            body.close()
        finally:
            self.closed.set()

    async def _items(self) -> AsyncIterator[bytes]:
        self.running = True
        await asyncio.get_running_loop().create_future()
        yield b""


@pytest.mark.parametrize("takes", [False, True], ids=["parked", "in its thread"])
def test_coroutine_that_is_thrown_away_with_its_loop(takes: bool) -> None:
    """A server that is in a hurry: nobody is left to cancel the stream, and close() is called nevertheless."""
    application = Application(takes_empty_chunks=takes)
    adapter = WsgiToAsgi(application)
    loop = asyncio.new_event_loop()

    async def begin() -> Coroutine[Any, Any, None]:
        server = FakeServer()
        exchange = adapter(http_scope(), server.receive, server.send)
        asyncio.ensure_future(exchange)  # noqa: RUF006
        await until(lambda: application.running)
        if not takes:
            await idle(adapter, 1)
        return exchange

    # It says so of every task that is left: "Task was destroyed but it is pending!"
    loop.set_exception_handler(lambda *ignored: None)
    exchange = loop.run_until_complete(begin())
    loop.close()
    exchange.close()

    assert application.closed.wait(TIMEOUT)
    del exchange
    gc.collect()


def test_loop_that_is_ended_in_order_ends_its_streams() -> None:
    """asyncio.run() cancels what is left, in any order; nothing is logged, nothing is left."""
    application = Application()
    adapter = WsgiToAsgi(application)

    async def begin() -> list[Any]:
        server = FakeServer()
        tasks = [asyncio.ensure_future(adapter(http_scope(), server.receive, server.send)) for _ in range(20)]
        await idle(adapter, 20)
        return tasks

    tasks = asyncio.run(begin())

    assert all(task.cancelled() for task in tasks)
    assert application.closed.wait(TIMEOUT)


SCRIPT = """
import gc
from bridge import WorkerThreads, stream
from tests.streams.items import idle

closed = []

def streams(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] != "/stream":
        yield from application(environ, start_response=lambda *ignored: None)
        return
    try:
        yield from stream(never())
    finally:
        closed.append(os.getpid())
        if os.getpid() == parent:
            sys.stdout.write("closed\\n")

async def never():
    await asyncio.get_running_loop().create_future()
    yield b""

async def begin():
    global kept
    server = FakeServer()
    scope = {"type": "http", "method": "GET", "path": "/stream", "headers": []}
    kept = [asyncio.ensure_future(adapter(scope, server.receive, server.send)) for _ in range(3)]
    await idle(adapter, 3)

parent = os.getpid()
workers = WorkerThreads(2)
adapter = WsgiToAsgi(streams, threads=workers)
loop = asyncio.new_event_loop()
loop.set_exception_handler(lambda *ignored: None)
loop.run_until_complete(begin())
"""


def test_process_that_ends_waits_for_no_stream() -> None:
    """The loop stands still, so that nobody will cancel them: close() is called nevertheless, and at once."""
    assert run_script(SCRIPT) == "closed\n" * 3


@pytest.mark.parametrize("before", ["", "workers.close(10)"], ids=["", "without threads"])
def test_forked_child_leaves_the_parents_streams_alone(before: str) -> None:
    """It collects and closes nothing of them, and has worker threads of its own."""
    script = """
def check():
    global kept, loop
    kept = loop = None
    gc.collect()
    assert (adapter.stats().streams, adapter.stats().threads, closed) == (0, 0, []), (adapter.stats(), closed)
    ask(adapter)

for _ in range(2):
    in_child(check)
assert adapter.stats().streams == 3
ask(adapter)
"""
    assert run_script(SCRIPT + before + script) == "closed\n" * 3
