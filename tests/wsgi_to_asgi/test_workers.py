"""The worker threads: how many run at once, in whose context, and when they end."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from bridge import WorkerThreads, WsgiToAsgi
from bridge.loop_thread import Mailbox, Signal
from bridge.wsgi_to_asgi.crew import Threads
from tests.asgi import (
    TIMEOUT,
    Environ,
    FakeServer,
    StartResponse,
    bridge_threads,
    happened,
    http_scope,
    request_messages,
    serve,
    upload_scope,
    wait,
)

request_id = contextvars.ContextVar("request_id", default="none")


def ok(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answer."""
    start_response("200 OK", [])
    return [b"ok"]


@pytest.mark.parametrize("threads", [1, 2, 16])
async def test_that_many_applications_really_run_at_once(threads: int) -> None:
    """Each waits inside the application until all are there."""
    barrier = threading.Barrier(threads)

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        barrier.wait(TIMEOUT)
        return ok(environ, start_response)

    adapter = WsgiToAsgi(application, threads=threads)
    servers = [FakeServer() for _ in range(threads)]
    async with anyio.create_task_group() as tasks:
        for server in servers:
            tasks.start_soon(server.serve, adapter)

    assert [server.body for server in servers] == [b"ok"] * threads


async def test_no_more_applications_run_at_once_than_threads() -> None:
    """Fifty exchanges with three threads."""
    lock = threading.Lock()
    running = most = 0

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        start_response("200 OK", [])
        yield b"a"
        yield b"b"
        with lock:
            running -= 1

    adapter = WsgiToAsgi(application, threads=3)
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(FakeServer().serve, adapter)

    assert (most <= 3, running, adapter.stats().served) == (True, 0, 50)


async def test_answers_reach_the_requests_they_belong_to() -> None:
    """Two hundred exchanges of all kinds at once: nobody gets the answer of another."""

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("X-Path", environ["PATH_INFO"])])
        yield environ["PATH_INFO"].encode()
        yield environ["wsgi.input"].read()

    adapter = WsgiToAsgi(application, threads=8, request_buffer=50)

    async def ask(number: int) -> None:
        body = b"%d" % number * (number % 40)
        scope = upload_scope(len(body) if number % 3 else None, path=f"/{number}")
        server = await serve(adapter, scope, *request_messages(body[:10], body[10:]))
        path = b"/%d" % number
        assert (server.header(b"x-path"), server.body) == ([path], path + body)

    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(ask, number)

    assert adapter.stats().served == 200


async def test_context_variables_of_the_server_are_visible_to_the_application() -> None:
    """A middleware sets the request's id or its trace; the application logs it."""
    seen: list[str] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        seen.append(request_id.get())
        start_response("200 OK", [])
        yield b"a"
        seen.append(request_id.get())

    token = request_id.set("from the server")
    try:
        await serve(WsgiToAsgi(application))
    finally:
        request_id.reset(token)

    assert seen == ["from the server", "from the server"]


async def test_context_variables_of_the_application_do_not_leak() -> None:
    """Neither into the server's task nor into the next exchange of the same thread."""
    seen: list[str] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append(request_id.get())
        request_id.set("of another request")
        return ok(environ, start_response)

    adapter = WsgiToAsgi(application, threads=1)
    await serve(adapter)
    await serve(adapter)

    assert (seen, request_id.get()) == (["none", "none"], "none")


# -- the end of the threads -------------------------------------------------------------------------------------


def join(threads: list[threading.Thread]) -> list[str]:
    """Wait for *threads*; return the names of those that live."""
    for thread in threads:
        thread.join(TIMEOUT)
    return [thread.name for thread in threads if thread.is_alive()]


async def end(threads: list[threading.Thread]) -> None:
    """Expect *threads* to end, without blocking the event loop."""
    assert await anyio.to_thread.run_sync(join, threads) == []


async def test_threads_end_with_the_adapter() -> None:
    """Issue 2, "Survives": garbage collection of the adapter ends its threads."""
    adapter = WsgiToAsgi(ok)
    for scope in (http_scope(), upload_scope(5), upload_scope(None)):
        await serve(adapter, scope, *request_messages(b"12345"))
    adapter_is_alive, threads = weakref.ref(adapter), bridge_threads()
    assert len(threads) == 1

    # A second exchange has pushed the first out of the thread; the last one may be in it for a moment.
    del adapter
    await collected(adapter_is_alive)

    await end(threads)


async def test_threads_end_with_an_adapter_that_failed() -> None:
    """No traceback and no cycle keeps an adapter whose exchange ended with an error."""

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"left"
        raise LookupError

    adapter = WsgiToAsgi(application)
    with pytest.raises(LookupError):
        await serve(adapter)
    adapter_is_alive, threads = weakref.ref(adapter), bridge_threads()

    del adapter
    await collected(adapter_is_alive)

    await end(threads)


async def test_application_is_collected_with_its_adapter() -> None:
    """An idle thread keeps nothing of the exchange that it ran last."""

    class Application:
        def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
            return ok(environ, start_response)

    workers = WorkerThreads(1)
    application = Application()
    await serve(WsgiToAsgi(application, threads=workers))
    alive = weakref.ref(application)

    del application
    await collected(alive)

    assert workers.threads == 1


async def collected(reference: weakref.ref[Any]) -> None:
    """Wait until the collector finds *reference* dead: the thread may still be leaving its last exchange."""
    with anyio.fail_after(TIMEOUT):
        while reference() is not None:
            gc.collect()
            await anyio.lowlevel.checkpoint()


async def test_close_ends_the_threads_and_the_set_can_be_used_again() -> None:
    """For servers without lifespan, and for whoever owns a shared set."""
    workers = WorkerThreads(2)
    adapter = WsgiToAsgi(ok, threads=workers)
    await serve(adapter)
    threads = bridge_threads()

    assert await anyio.to_thread.run_sync(workers.close, TIMEOUT)
    assert (join(threads), workers.threads) == ([], 0)

    assert (await serve(adapter)).body == b"ok"
    assert workers.threads == 1


async def test_close_waits_for_what_runs_and_what_is_queued() -> None:
    """Whoever closes the set early loses no answer."""
    called, go = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        called.set()
        wait(go)
        return ok(environ, start_response)

    workers = WorkerThreads(1)
    adapter = WsgiToAsgi(application, threads=workers)
    servers = [FakeServer() for _ in range(3)]
    async with anyio.create_task_group() as tasks:
        for server in servers:
            tasks.start_soon(server.serve, adapter)
        await happened(called)
        while adapter.stats().pending < 2:
            await anyio.lowlevel.checkpoint()
        assert not workers.close(0)  # all are dismissed, and none has ended
        go.set()

    assert [server.body for server in servers] == [b"ok"] * 3


def test_close_without_a_thread_returns_at_once() -> None:
    """Nothing was started, nothing is waited for."""
    assert WorkerThreads(4).close(0)


def test_adapter_makes_no_thread_before_its_first_exchange() -> None:
    """DESIGN: made on first use, never at import."""
    adapter = WsgiToAsgi(ok)

    assert (adapter.stats().threads, bridge_threads()) == (0, [])


# -- exchanges that go on without a thread ----------------------------------------------------------------------


class Parked:
    """A job that is done when it has run twice; between the two it has no thread. The second time waits for go."""

    watchers: tuple[Signal, ...] = ()

    def __init__(self, crossing: Mailbox, go: threading.Event) -> None:
        self.owner: object = None
        self.crossing = crossing
        self.async_tasks: list[asyncio.Task[Any]] = []
        self.threads: Threads | None = None
        self.parked = threading.Event()
        self.running = threading.Event()
        self.finished = threading.Event()
        self._go = go

    def run(self) -> bool:
        if self.threads is None:
            return False
        self.running.set()
        wait(self._go)
        return True

    def park(self, threads: Threads) -> None:
        self.threads = threads
        self.parked.set()

    told_to_stop = False

    def is_told_to_stop(self) -> bool:
        return self.told_to_stop

    def resume(self) -> None:
        """Let it go on."""
        assert self.threads is not None
        self.threads.resume(self)

    def finish(self) -> None:
        self.finished.set()

    def abort(self, reason: str) -> None:
        raise NotImplementedError

    forsake = abort

    def cancel_calls(self) -> None:
        raise NotImplementedError


def park(workers: WorkerThreads, count: int) -> tuple[list[Parked], threading.Event]:
    """Submit *count* jobs and wait until they have no thread; return them, and what lets them end."""
    go = threading.Event()
    loop = asyncio.new_event_loop()
    jobs = [Parked(Mailbox(loop), go) for _ in range(count)]
    loop.close()
    for job in jobs:
        assert workers.submit(job)
    for job in jobs:
        wait(job.parked)
    return jobs, go


def test_half_of_the_threads_go_on_with_what_was_parked() -> None:
    """Or with all but one, if nothing else is to be done; the next in line follows whoever is done."""
    workers = WorkerThreads(4)
    jobs, go = park(workers, 6)
    for job in jobs:
        job.resume()
    for job in jobs[:3]:
        wait(job.running)

    assert [job.running.is_set() for job in jobs] == [True] * 3 + [False] * 3
    assert (workers.busy, workers.parked) == (3, 3)
    others, _ = park(workers, 2)  # they get threads
    go.set()
    for job in jobs:
        wait(job.finished)

    assert (workers.parked, workers.threads) == (2, 4)
    assert all(other.threads is not None for other in others)


def test_those_whose_clients_have_left_do_not_hold_the_others_up() -> None:
    """A thousand that leave at once have to be closed, and the streams of those that stay go on meanwhile."""
    workers = WorkerThreads(1)
    jobs, go = park(workers, 6)
    for job in jobs[:5]:
        job.told_to_stop = True
        job.resume()
    wait(jobs[0].running)
    order: list[Parked] = []
    for job in jobs:
        job.finish = partial(_note, order, job, job.finish)  # type: ignore[method-assign]
    jobs[5].resume()
    go.set()
    for job in jobs:
        wait(job.finished)

    assert order.index(jobs[5]) <= 2


def _note(order: list[Parked], job: Parked, finish: Callable[[], None]) -> None:
    order.append(job)
    finish()


def test_what_stands_in_line_is_done_before_the_threads_end() -> None:
    """close() waits for what is queued; what has nothing to do is left as it is."""
    workers = WorkerThreads(1)
    jobs, go = park(workers, 4)
    for job in jobs[:3]:
        job.resume()
    wait(jobs[0].running)
    assert not workers.close(0)
    go.set()
    for job in jobs[:3]:
        wait(job.finished)

    assert (workers.parked, workers.threads, jobs[3].running.is_set()) == (1, 0, False)
    jobs[3].resume()
    wait(jobs[3].finished)
    assert workers.threads == 1


def test_exchange_that_goes_on_when_its_threads_were_collected_gets_one() -> None:
    """Which ends after it."""
    workers = WorkerThreads(2)
    jobs, go = park(workers, 3)
    threads = bridge_threads()
    del workers
    gc.collect()
    assert join(threads) == []

    go.set()
    for job in jobs:
        job.resume()
    for job in jobs:
        wait(job.finished)

    assert join(bridge_threads()) == []


def test_exchange_that_was_parked_is_not_withdrawn() -> None:
    """It was begun, so that it is to be closed: its place in the queue is not given back."""
    workers = WorkerThreads(1)
    (job,), go = park(workers, 1)
    busy = Parked(job.crossing, go)
    busy.threads = job.threads  # so that it stays in its thread
    workers.submit(busy)
    wait(busy.running)
    job.resume()

    assert (workers.pending, workers.withdraw(job)) == (1, False)
    go.set()
    wait(job.finished)
