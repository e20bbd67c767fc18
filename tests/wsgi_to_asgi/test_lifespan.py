"""Startup, and the shutdown that waits for exchanges, cuts the ones that take too long, and ends the threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from bridge import ClientDisconnected, WorkerThreads, WsgiToAsgi
from tests.asgi import (
    Environ,
    FakeLifespan,
    FakeServer,
    StartResponse,
    bridge_threads,
    happened,
    serve,
    upload_scope,
    wait,
)

COMPLETE = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def ok(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answer."""
    start_response("200 OK", [])
    return [b"ok"]


async def test_startup_and_shutdown_are_answered() -> None:
    """ASGI, "Lifespan Protocol", for an adapter that had nothing to do."""
    lifespan = FakeLifespan()

    async with lifespan.running(WsgiToAsgi(ok)):
        assert lifespan.sent == COMPLETE[:1]

    assert lifespan.sent == COMPLETE


async def test_shutdown_ends_the_threads() -> None:
    """Issue 2: threads are joined."""
    adapter = WsgiToAsgi(ok)

    async with FakeLifespan().running(adapter):
        await serve(adapter)
        assert len(bridge_threads()) == 1

    assert (bridge_threads("bridge-worker-"), adapter.stats().threads) == ([], 0)


async def test_adapter_can_be_used_after_its_shutdown() -> None:
    """Test clients start and stop one application many times."""
    adapter = WsgiToAsgi(ok)

    for _ in range(3):
        async with FakeLifespan().running(adapter):
            assert (await serve(adapter)).body == b"ok"
    assert (await serve(adapter)).body == b"ok"

    assert adapter.stats().served == 4


async def test_exchange_that_runs_finishes_before_the_shutdown() -> None:
    """A deployment cuts nobody who is served within drain_timeout."""
    called, go = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"begun"
        called.set()
        wait(go)
        yield b", done"

    adapter = WsgiToAsgi(application)
    lifespan, server = FakeLifespan(), FakeServer()
    order: list[str] = []
    server.on_sent = lambda message: order.append("response") if message.get("more_body") is False else None
    async with lifespan.running(adapter), server.serving(adapter):
        await happened(called)
        lifespan.shut_down()
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        assert lifespan.sent == COMPLETE[:1]
        go.set()
    order.append("shutdown")

    assert (server.body, server.complete, lifespan.sent) == (b"begun, done", True, COMPLETE)
    assert bridge_threads("bridge-worker-") == []


async def test_queued_exchange_finishes_before_the_shutdown() -> None:
    """What was accepted is served."""
    called, go = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        called.set()
        wait(go)
        return ok(environ, start_response)

    adapter = WsgiToAsgi(application, threads=1)
    lifespan, first, second = FakeLifespan(), FakeServer(), FakeServer()
    async with lifespan.running(adapter), first.serving(adapter):
        await happened(called)
        async with second.serving(adapter):
            lifespan.shut_down()
            go.set()

    assert (first.body, second.body, lifespan.sent) == (b"ok", b"ok", COMPLETE)


class Slow:
    """An application that goes on until its read or write fails."""

    def __init__(self, work: Callable[[Environ, Callable[[bytes], object]], object]) -> None:
        self.work = work
        self.begun = threading.Event()
        self.told: list[BaseException] = []

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"begun")
        self.begun.set()
        try:
            while True:
                self.work(environ, write)
        except ClientDisconnected as error:
            self.told.append(error)
            raise


SLOW = [
    pytest.param(lambda environ, write: write(b"x"), id="writes"),
    pytest.param(lambda environ, write: environ["wsgi.input"].read(1000), id="reads"),
]


@pytest.mark.parametrize("work", SLOW)
@pytest.mark.parametrize("drain_timeout", [0, 0.01])
async def test_exchange_that_takes_too_long_is_cut(work: Any, drain_timeout: float) -> None:
    """Issue 2: past drain_timeout reads and writes fail, and the response never looks complete."""
    slow = Slow(work)
    adapter = WsgiToAsgi(slow, drain_timeout=drain_timeout, request_buffer=10)
    lifespan = FakeLifespan()
    server = FakeServer({"type": "http.request", "body": b"x" * 100, "more_body": True})

    async def cut() -> None:
        async with server.serving(adapter, upload_scope(1_000_000)):
            await happened(slow.begun)
            lifespan.shut_down()

    async with lifespan.running(adapter):
        with pytest.raises(ClientDisconnected, match="drain_timeout"):
            await cut()

    assert (server.complete, len(slow.told)) == (False, 1)
    assert "drain_timeout" in str(slow.told[0])
    assert (adapter.stats().served, adapter.stats().threads) == (0, 0)


async def test_writer_that_waits_for_a_slow_client_is_cut() -> None:
    """A client that takes nothing does not hold the shutdown up."""
    slow = Slow(lambda environ, write: write(b"x" * 100))
    adapter = WsgiToAsgi(slow, drain_timeout=0, response_buffer=1000)
    lifespan, server = FakeLifespan(), FakeServer()
    server.hold()

    async def cut() -> None:
        async with server.serving(adapter):
            async with lifespan.running(adapter):
                await happened(slow.begun)
            assert lifespan.sent == COMPLETE  # while send() still waits
            server.release()

    with pytest.raises(ClientDisconnected, match="drain_timeout"):
        await cut()

    assert (server.complete, len(slow.told)) == (False, 1)


async def test_exchange_that_cannot_be_told_is_named_in_the_log(
    bridge_log: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view that neither reads nor writes keeps its thread; the shutdown does not wait for ever."""
    monkeypatch.setattr("bridge.wsgi_to_asgi.adapter._ABORT_GRACE", 0.0)
    called, go = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        called.set()
        wait(go)
        return ok(environ, start_response)

    adapter = WsgiToAsgi(application, drain_timeout=0)
    lifespan, server = FakeLifespan(), FakeServer()

    async def cut() -> None:
        async with server.serving(adapter):
            async with lifespan.running(adapter):
                await happened(called)
            assert lifespan.sent == COMPLETE
            go.set()

    with pytest.raises(ClientDisconnected):
        await cut()

    assert server.sent == []
    assert [record.levelname for record in bridge_log] == ["WARNING"]
    assert bridge_log[0].getMessage().startswith("1 exchange")


async def test_shutdown_cuts_only_its_own_exchanges_of_shared_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two mounted applications share their threads; one of them is shut down."""
    monkeypatch.setattr("bridge.wsgi_to_asgi.adapter._ABORT_GRACE", 0.0)
    called, go = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"begun"
        called.set()
        wait(go)
        yield b", done"

    workers = WorkerThreads(2)
    leaving, staying = WsgiToAsgi(ok, threads=workers, drain_timeout=0), WsgiToAsgi(application, threads=workers)
    lifespan, server = FakeLifespan(), FakeServer()
    async with server.serving(staying):
        await happened(called)
        async with lifespan.running(leaving):
            await serve(leaving)
        assert lifespan.sent == COMPLETE
        go.set()

    assert (server.body, server.complete) == (b"begun, done", True)


async def test_response_that_is_complete_when_the_shutdown_cuts_is_served() -> None:
    """What the application does after its last byte may fail; its client has everything."""
    complete, told = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [("Content-Length", "5")])
        write(b"whole")
        complete.set()
        try:
            while True:
                environ["wsgi.input"].read(1)
        except ClientDisconnected:
            told.set()
        return []

    adapter = WsgiToAsgi(application, drain_timeout=0, request_buffer=1)
    lifespan, server = FakeLifespan(), FakeServer()
    async with lifespan.running(adapter), server.serving(adapter, upload_scope(1_000_000)):
        await happened(complete)
        await server.until(lambda: server.complete)
        lifespan.shut_down()
        await happened(told)

    assert (server.body, server.complete) == (b"whole", True)
    assert adapter.stats().served == 1


async def test_limit_of_shared_threads_holds_over_a_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 2: at most that many applications run at once, also while one of the adapters is shut down."""
    monkeypatch.setattr("bridge.wsgi_to_asgi.adapter._ABORT_GRACE", 0.0)
    called, go = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        called.set()
        wait(go)
        return ok(environ, start_response)

    workers = WorkerThreads(1)
    leaving, staying = WsgiToAsgi(ok, threads=workers, drain_timeout=0), WsgiToAsgi(application, threads=workers)
    first, second, lifespan = FakeServer(), FakeServer(), FakeLifespan()
    async with first.serving(staying):
        await happened(called)
        async with lifespan.running(leaving):
            pass
        async with second.serving(staying):
            for _ in range(100):  # room for a bridge that starts another thread
                await anyio.lowlevel.checkpoint()
            stats = staying.stats()
            go.set()

    assert (stats.busy, stats.pending) == (1, 1)
    assert (first.body, second.body) == (b"ok", b"ok")
