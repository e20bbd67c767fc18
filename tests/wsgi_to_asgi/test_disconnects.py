"""Clients that leave, and servers that cancel: who is told, how soon, and what is counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import anyio
import anyio.lowlevel
import pytest

from bridge import ClientDisconnected, WsgiToAsgi
from tests.asgi import (
    AsgiApplication,
    Environ,
    FakeServer,
    Receive,
    Scope,
    Send,
    StartResponse,
    happened,
    on_asyncio,
    serve,
    upload_scope,
    wait,
)


class Stream:
    """An application that streams without end, and notes how it was stopped."""

    def __init__(self) -> None:
        self.paused = threading.Event()
        self.go = threading.Event()
        self.told: list[BaseException] = []
        self.over = threading.Event()

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [])
        try:
            write(b"first")
            self.paused.set()
            wait(self.go)
            while True:
                write(b"x")
        except ClientDisconnected as error:
            self.told.append(error)
            raise
        finally:
            self.over.set()


async def test_client_that_leaves_between_two_chunks_is_noticed() -> None:
    """DESIGN, "Disconnects": a response that streams watches receive()."""
    stream = Stream()
    adapter = WsgiToAsgi(stream)
    server = FakeServer()

    async with server.serving(adapter):
        await server.until(lambda: server.body)
        server.disconnect()
        await server.until(lambda: server.told_disconnect)
        stream.go.set()

    assert ([str(error) for error in stream.told], server.complete) == (["the client disconnected"], False)
    assert (adapter.stats().disconnected, adapter.stats().failed, adapter.stats().served) == (1, 0, 0)


async def test_client_that_leaves_during_a_generator_closes_it() -> None:
    """A generator is told by close(), as PEP 3333 has it."""
    closed = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield b"x"
        finally:
            closed.set()

    server = FakeServer()
    async with server.serving(WsgiToAsgi(application)):
        await server.until(lambda: server.body)
        server.disconnect()

    assert (closed.is_set(), server.complete) == (True, False)


async def test_nothing_more_is_sent_to_a_client_that_left() -> None:
    """Servers ignore it or raise; either way it is wasted."""
    stream = Stream()
    server = FakeServer()

    async with server.serving(WsgiToAsgi(stream)):
        await server.until(lambda: server.body)
        server.disconnect()
        await server.until(lambda: server.told_disconnect)
        stream.go.set()

    assert server.body == b"first"


async def test_response_that_is_complete_at_once_does_not_ask_for_the_disconnect() -> None:
    """DESIGN: a short response pays nothing for it."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [b"short"]

    assert (await serve(WsgiToAsgi(application))).receives == 0


async def test_disconnect_after_the_last_message_is_none() -> None:
    """ASGI, "Disconnect": servers say http.disconnect also when the response is complete."""
    taken = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"streamed"
        wait(taken)

    adapter = WsgiToAsgi(application)
    server = FakeServer()
    server.on_sent = lambda message: taken.set() if message.get("body") else None
    await server.serve(adapter)

    assert (server.complete, server.receives) == (True, 1)
    assert (adapter.stats().served, adapter.stats().disconnected) == (1, 0)


async def test_disconnect_while_the_application_finishes_after_its_response_is_none() -> None:
    """close() may take its time: a client that has all it was promised may go."""
    complete, go = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "10")])
        yield b"01234"
        wait(complete)
        yield b"56789"
        wait(go)

    adapter = WsgiToAsgi(application)
    server = FakeServer()
    server.on_sent = lambda message: complete.set() if message.get("body") else None
    async with server.serving(adapter):
        await server.until(lambda: server.complete and server.told_disconnect)
        go.set()

    assert (server.body, adapter.stats().served, adapter.stats().disconnected) == (b"0123456789", 1, 0)


# -- cancellation -----------------------------------------------------------------------------------------------


def by_scope(server: FakeServer, application: AsgiApplication) -> AsgiApplication:
    """Cancel as anyio's and trio's scopes do: again at each await until the scope is left."""
    return application


def by_task(server: FakeServer, application: AsgiApplication) -> AsgiApplication:
    """Cancel as asyncio's tasks do: once."""
    import asyncio

    async def in_task(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.ensure_future(application(scope, receive, send))
        server.cancel = task.cancel  # type: ignore[assignment, method-assign]
        await asyncio.wait([task])
        assert task.cancelled()

    return in_task


Cancel = Callable[[FakeServer, AsgiApplication], AsgiApplication]


@pytest.mark.parametrize("cancelled", [by_scope])
async def test_cancelled_coroutine_ends_while_the_application_is_busy(cancelled: Cancel) -> None:
    """DESIGN: it ends promptly, and the worker is told at its next write."""
    await check_cancel(cancelled)


@on_asyncio
async def test_task_that_is_cancelled_once_ends_while_the_application_is_busy() -> None:
    """Hypercorn and Granian cancel the task itself."""
    await check_cancel(by_task)


async def check_cancel(cancelled: Cancel) -> None:
    stream = Stream()
    adapter = WsgiToAsgi(stream)
    server = FakeServer()

    async with server.serving(cancelled(server, adapter)):
        await happened(stream.paused)
        await server.until(lambda: server.receives)
        server.cancel()
        await server.ended.wait()
        assert not stream.over.is_set()
        stream.go.set()
        await happened(stream.over)

    assert (len(stream.told), server.complete) == (1, False)
    assert (adapter.stats().disconnected, adapter.stats().failed) == (1, 0)


async def test_cancelled_exchange_fails_the_next_read() -> None:
    """The worker learns it also if it only reads."""
    called, go, over = threading.Event(), threading.Event(), threading.Event()
    told: list[BaseException] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        called.set()
        wait(go)
        for _ in range(2):
            try:
                environ["wsgi.input"].read()
            except ClientDisconnected as error:
                told.append(error)
        over.set()
        return []

    server = FakeServer({"type": "http.request", "body": b"12345", "more_body": True})
    async with server.serving(WsgiToAsgi(application, request_buffer=1), upload_scope(100)):
        await happened(called)
        server.cancel()
        await server.ended.wait()
        go.set()
        await happened(over)

    assert (len(told), server.sent) == (2, [])


async def test_read_that_waits_is_told_of_the_cancellation() -> None:
    """A thread that waits for a body does not wait for ever."""
    called, over = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        called.set()
        try:
            environ["wsgi.input"].read()
        finally:
            over.set()
        return []

    server = FakeServer({"type": "http.request", "body": b"12345", "more_body": True})
    async with server.serving(WsgiToAsgi(application, request_buffer=1), upload_scope(100)):
        await happened(called)
        server.cancel()
        await server.ended.wait()
        await happened(over)


async def test_queued_exchange_that_is_cancelled_is_never_run() -> None:
    """Nobody waits for its answer any more."""
    called, go = threading.Event(), threading.Event()
    paths: list[str] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        paths.append(environ["PATH_INFO"])
        called.set()
        wait(go)
        start_response("200 OK", [])
        return []

    adapter = WsgiToAsgi(application, threads=1)
    running, queued, last = FakeServer(), FakeServer(), FakeServer()
    scope = {"type": "http", "method": "GET", "headers": [], "http_version": "1.1"}
    async with running.serving(adapter, {**scope, "path": "/running"}):
        await happened(called)
        async with queued.serving(adapter, {**scope, "path": "/queued"}):
            await pending(adapter, 1)
            queued.cancel()
        async with last.serving(adapter, {**scope, "path": "/last"}):
            go.set()

    assert paths == ["/running", "/last"]


async def test_cancelled_exchange_gives_its_place_in_the_queue_back() -> None:
    """max_pending counts exchanges that wait: clients that gave up must not keep others out."""
    called, go = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        called.set()
        wait(go)
        start_response("200 OK", [])
        return []

    adapter = WsgiToAsgi(application, threads=1, max_pending=1)
    running, queued, last = FakeServer(), FakeServer(), FakeServer()
    async with running.serving(adapter):
        await happened(called)
        async with queued.serving(adapter):
            await pending(adapter, 1)
            queued.cancel()
        assert adapter.stats().pending == 0
        async with last.serving(adapter):
            await pending(adapter, 1)
            go.set()

    assert last.status == 200


async def pending(adapter: WsgiToAsgi, count: int) -> None:
    """Let the event loop run until *count* exchanges wait for a thread."""
    with anyio.fail_after(10):
        while adapter.stats().pending != count:
            await anyio.lowlevel.checkpoint()


async def test_cancellation_while_the_body_comes_in_is_a_disconnect() -> None:
    """No thread was taken yet, so none is told."""
    adapter = WsgiToAsgi(lambda environ, start_response: [])
    server = FakeServer()

    async with server.serving(adapter, upload_scope(10)):
        await server.until(lambda: server.receives)
        server.cancel()

    assert (adapter.stats().disconnected, adapter.stats().failed, adapter.stats().threads) == (1, 0, 0)
