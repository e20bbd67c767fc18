"""Limits on exchanges: who runs, who waits, who is refused, and what stats() says of it."""

from __future__ import annotations

import threading
from contextlib import AsyncExitStack
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from bridge import Stats, WorkerThreads, WsgiToAsgi
from tests.asgi import (
    TIMEOUT,
    Environ,
    FakeServer,
    StartResponse,
    happened,
    http_scope,
    request_messages,
    serve,
    upload_scope,
    wait,
)


class Busy:
    """An application that answers when it is let go."""

    def __init__(self) -> None:
        self.called = threading.Semaphore(0)
        self.go = threading.Event()
        self.calls = 0

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        self.calls += 1
        self.called.release()
        wait(self.go)
        start_response("200 OK", [])
        return [b"done"]

    async def running(self, count: int) -> None:
        """Wait until it was called *count* more times."""
        for _ in range(count):
            assert await anyio.to_thread.run_sync(self.called.acquire, True, TIMEOUT)


async def enter(stack: AsyncExitStack, adapter: WsgiToAsgi, count: int) -> list[FakeServer]:
    """Start *count* exchanges; they end with *stack*. Returns when each has run, waits, or is refused."""
    servers = [FakeServer() for _ in range(count)]
    for server in servers:
        before = adapter.stats()
        await stack.enter_async_context(server.serving(adapter))
        with anyio.fail_after(TIMEOUT):
            while total(adapter.stats()) == total(before):
                await anyio.lowlevel.checkpoint()
    return servers


def total(stats: Stats) -> int:
    """All exchanges that the adapter knows of."""
    return stats.busy + stats.pending + stats.served + stats.failed + stats.disconnected + stats.rejected


@pytest.mark.parametrize("max_pending", [0, 1])
async def test_one_request_too_many_is_refused_at_once(max_pending: int, bridge_log: list[Any]) -> None:
    """Issue 2, "Overload": 503 with Retry-After, and the application is not called."""
    busy = Busy()
    adapter = WsgiToAsgi(busy, threads=1, max_pending=max_pending)

    async with AsyncExitStack() as stack:
        accepted = await enter(stack, adapter, 1 + max_pending)
        await busy.running(1)
        refused = await serve(adapter)
        assert (refused.status, refused.complete, len(refused.header(b"retry-after"))) == (503, True, 1)
        assert busy.calls == 1
        busy.go.set()

    assert [server.status for server in accepted] == [200] * (1 + max_pending)
    assert adapter.stats().rejected == 1


async def test_refusal_does_not_wait_for_a_body(bridge_log: list[Any]) -> None:
    """At once means before the body: a sender that is slow is refused all the same."""
    adapter = WsgiToAsgi(busy := Busy(), threads=1, max_pending=0)

    async with AsyncExitStack() as stack:
        await enter(stack, adapter, 1)
        refused = await serve(adapter, upload_scope(10))  # whose body never comes
        busy.go.set()

    assert (refused.status, refused.receives) == (503, 0)


async def test_request_whose_body_took_too_long_is_refused(bridge_log: list[Any]) -> None:
    """There was room when it came, and there is none when its body is whole."""
    adapter = WsgiToAsgi(busy := Busy(), threads=1, max_pending=0)
    slow = FakeServer()

    async with slow.serving(adapter, upload_scope(5)), AsyncExitStack() as stack:
        await slow.until(lambda: slow.receives)
        await enter(stack, adapter, 1)
        slow.feed(*request_messages(b"12345"))
        await slow.ended.wait()
        busy.go.set()

    assert (slow.status, busy.calls, adapter.stats().rejected) == (503, 1, 1)


async def test_burst_of_refusals_is_one_line_in_the_log(bridge_log: list[Any]) -> None:
    """The log names the options; a line a refusal would be load on top of overload."""
    busy = Busy()
    adapter = WsgiToAsgi(busy, threads=1, max_pending=0)

    async with AsyncExitStack() as stack:
        await enter(stack, adapter, 1)
        for _ in range(10):
            assert (await serve(adapter)).status == 503
        busy.go.set()

    assert [record.levelname for record in bridge_log] == ["WARNING"]
    assert "threads" in bridge_log[0].getMessage()
    assert "max_pending" in bridge_log[0].getMessage()


async def test_next_burst_is_logged_again(bridge_log: list[Any]) -> None:
    """Whoever reads the log sees each time that it was too much."""
    adapter = WsgiToAsgi(busy := Busy(), threads=1, max_pending=0)

    for _ in range(2):
        busy.go.clear()
        async with AsyncExitStack() as stack:
            await enter(stack, adapter, 1)
            await serve(adapter)
            busy.go.set()

    assert len(bridge_log) == 2


async def test_refusal_of_head_has_no_body(bridge_log: list[Any]) -> None:
    """RFC 9110, 9.3.2: the headers of the GET refusal, and nothing else."""
    adapter = WsgiToAsgi(busy := Busy(), threads=1, max_pending=0)

    async with AsyncExitStack() as stack:
        await enter(stack, adapter, 1)
        get, head = await serve(adapter), await serve(adapter, http_scope("HEAD"))
        busy.go.set()

    assert (head.status, head.headers, head.body, head.complete) == (503, get.headers, b"", True)
    assert get.body != b""


@pytest.mark.parametrize("count", [300])
async def test_one_request_after_the_other_is_never_refused(count: int) -> None:
    """Whoever knows that an exchange is over finds its thread free."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [b"ok"]

    adapter = WsgiToAsgi(application, threads=1, max_pending=0)
    for _ in range(count):
        assert (await serve(adapter)).status == 200

    assert (adapter.stats().served, adapter.stats().rejected) == (count, 0)


async def test_one_failure_after_the_other_is_never_refused() -> None:
    """An exchange that ends with an error frees its thread like any other."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise LookupError

    adapter = WsgiToAsgi(application, threads=1, max_pending=0)
    for _ in range(50):
        with pytest.raises(LookupError):
            await serve(adapter)

    assert adapter.stats().failed == 50


async def test_without_max_pending_everyone_waits() -> None:
    """max_pending=None, the default: no limit."""
    adapter = WsgiToAsgi(busy := Busy(), threads=1)

    async with AsyncExitStack() as stack:
        servers = await enter(stack, adapter, 20)
        assert adapter.stats().pending == 19
        busy.go.set()

    assert [server.status for server in servers] == [200] * 20


async def test_stats_follow_an_exchange() -> None:
    """Each number at each stage, with two threads and three exchanges."""
    adapter = WsgiToAsgi(busy := Busy(), threads=2)
    stages = [adapter.stats()]

    async with AsyncExitStack() as stack:
        for _ in range(3):
            await enter(stack, adapter, 1)
            stages.append(adapter.stats())
        busy.go.set()
    stages.append(adapter.stats())

    nothing = dict(served=0, failed=0, disconnected=0, rejected=0)  # noqa: C408  # reads like the dataclass
    assert stages == [
        Stats(threads=0, busy=0, pending=0, **nothing),
        Stats(threads=1, busy=1, pending=0, **nothing),
        Stats(threads=2, busy=2, pending=0, **nothing),
        Stats(threads=2, busy=2, pending=1, **nothing),
        Stats(threads=2, busy=0, pending=0, **{**nothing, "served": 3}),
    ]


def test_stats_cannot_be_changed() -> None:
    """A snapshot that somebody writes to would be mistaken for the adapter's own."""
    stats = WsgiToAsgi(Busy()).stats()

    with pytest.raises(AttributeError):
        stats.served = 1  # type: ignore[misc]


async def test_threads_are_made_as_they_are_needed() -> None:
    """One request at a time needs one thread, however many are allowed."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return []

    adapter = WsgiToAsgi(application, threads=40)
    for _ in range(20):
        await serve(adapter)

    assert adapter.stats().threads == 1


async def test_shared_threads_limit_all_their_adapters_together() -> None:
    """Issue 2: several mounted applications can share one set of threads."""
    workers = WorkerThreads(2)
    first, second = Busy(), Busy()
    one, other = WsgiToAsgi(first, threads=workers), WsgiToAsgi(second, threads=workers)

    async with AsyncExitStack() as stack:
        await enter(stack, one, 1)
        await enter(stack, other, 2)
        await first.running(1)
        await second.running(1)
        assert (first.calls, second.calls) == (1, 1)
        assert (one.stats().pending, other.stats().pending) == (1, 1)
        assert (one.stats().threads, one.stats().busy) == (2, 2)
        first.go.set()
        second.go.set()

    assert (one.stats().served, other.stats().served) == (1, 2)


async def test_shared_threads_refuse_for_each_adapter_by_its_own_limit(bridge_log: list[Any]) -> None:
    """max_pending belongs to the adapter: what a busy one may queue, a strict one refuses."""
    workers = WorkerThreads(1)
    busy = Busy()
    patient, strict = WsgiToAsgi(busy, threads=workers), WsgiToAsgi(busy, threads=workers, max_pending=0)

    async with AsyncExitStack() as stack:
        await enter(stack, patient, 2)
        assert (await serve(strict)).status == 503
        busy.go.set()

    assert (patient.stats().served, patient.stats().rejected, strict.stats().rejected) == (2, 0, 1)


# -- a system that has no thread left -------------------------------------------------------------------------------


class Blocked:
    """An application whose requests wait until they are let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.leave = threading.Event()

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        self.entered.set()
        wait(self.leave)
        start_response("200 OK", [])
        return []


def no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("max_pending", [None, 1])
async def test_request_waits_for_a_thread_that_there_is(
    max_pending: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it would if there were no more threads by the option."""
    application = Blocked()
    adapter = WsgiToAsgi(application, threads=5, max_pending=max_pending)
    first, second = FakeServer(), FakeServer()
    async with first.serving(adapter):
        await happened(application.entered)
        with monkeypatch.context() as patch:
            patch.setattr("bridge.wsgi_to_asgi.workers.threading.Thread.start", no_thread)
            async with second.serving(adapter):
                while adapter.stats().pending + adapter.stats().busy < 2:
                    await anyio.lowlevel.checkpoint()
                stats = adapter.stats()
                patch.undo()
                application.leave.set()

    assert (first.status, second.status) == (200, 200)
    assert (stats.threads, stats.busy, stats.pending) == (1, 1, 1)


async def test_request_beyond_those_that_may_wait_is_refused(
    monkeypatch: pytest.MonkeyPatch, bridge_log: list[Any]
) -> None:
    """max_pending counts from the threads that there are."""
    application = Blocked()
    adapter = WsgiToAsgi(application, threads=5, max_pending=0)
    first = FakeServer()
    async with first.serving(adapter):
        await happened(application.entered)
        with monkeypatch.context() as patch:
            patch.setattr("bridge.wsgi_to_asgi.workers.threading.Thread.start", no_thread)
            refused = await serve(adapter)
        application.leave.set()

    assert (first.status, refused.status, len(bridge_log)) == (200, 503, 1)


@pytest.mark.parametrize("max_pending", [0, 5])
async def test_nobody_waits_where_there_is_no_thread_at_all(
    max_pending: int, monkeypatch: pytest.MonkeyPatch, bridge_log: list[Any]
) -> None:
    """It could be for ever."""
    adapter = WsgiToAsgi(Blocked(), threads=5, max_pending=max_pending)
    monkeypatch.setattr("bridge.wsgi_to_asgi.workers.threading.Thread.start", no_thread)

    assert (await serve(adapter)).status == 503


async def test_no_thread_at_all_is_the_systems_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without max_pending nothing is refused, so the server learns what is wrong."""
    adapter = WsgiToAsgi(Blocked(), threads=5)
    monkeypatch.setattr("bridge.wsgi_to_asgi.workers.threading.Thread.start", no_thread)

    with pytest.raises(RuntimeError, match="can't start new thread"):
        await serve(adapter)
    assert adapter.stats().failed == 1
