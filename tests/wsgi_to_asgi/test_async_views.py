"""Views that await: Flask's async views and run_async(), on the server's own event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import django
import django.http
import django.urls
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from flask import Flask

import bridge
from bridge import NoEventLoop, WsgiToAsgi
from tests.asgi import (
    TIMEOUT,
    Environ,
    FakeServer,
    StartResponse,
    happened,
    on_asyncio,
    on_trio,
    request_messages,
    serve,
    upload_scope,
    wait,
)


def flask_application(view: Callable[[], Awaitable[str]]) -> Flask:
    """Make a Flask application with one asynchronous view that raises what it raises."""
    app = Flask("views")
    app.testing = True
    app.add_url_rule("/", view_func=view, endpoint="view")
    return app


def calling(view: Callable[[], object]) -> Callable[[Environ, StartResponse], list[bytes]]:
    """Make a plain application whose body is what *view* returns, as text."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        body = str(view()).encode()
        start_response("200 OK", [])
        return [body]

    return application


# -- Flask's async views ----------------------------------------------------------------------------------------


@on_asyncio
async def test_async_view_runs_on_the_loop_of_the_server() -> None:
    """DESIGN, "Async views": not on a new loop in a new thread."""
    seen: list[tuple[object, int]] = []

    async def view() -> str:
        await asyncio.sleep(0)
        seen.append((asyncio.get_running_loop(), threading.get_ident()))
        return "view"

    adapter = WsgiToAsgi(flask_application(view))
    for _ in range(3):
        assert (await serve(adapter)).body == b"view"

    assert seen == [(asyncio.get_running_loop(), threading.get_ident())] * 3


@on_asyncio
async def test_what_belongs_to_a_loop_works_over_many_requests() -> None:
    """A client or a pool made once at module level: here a queue with a task of the first request."""
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)

    async def view() -> str:
        if queue.empty():
            filling = asyncio.ensure_future(queue.put(1))
            tasks.append(filling)
            return "put"
        return f"got {await queue.get()}"

    tasks: list[asyncio.Future[None]] = []
    adapter = WsgiToAsgi(flask_application(view))

    assert [(await serve(adapter)).body for _ in range(4)] == [b"put", b"got 1", b"put", b"got 1"]
    await asyncio.gather(*tasks)


@on_asyncio
async def test_many_async_views_wait_at_the_same_time() -> None:
    """Each waits on the loop until all are there."""
    count = 8
    arrived = 0
    everyone = asyncio.Event()

    async def view() -> str:
        nonlocal arrived
        arrived += 1
        if arrived == count:
            everyone.set()
        await asyncio.wait_for(everyone.wait(), TIMEOUT)
        return "all"

    adapter = WsgiToAsgi(flask_application(view), threads=count)
    servers = [FakeServer() for _ in range(count)]
    async with anyio.create_task_group() as tasks:
        for server in servers:
            tasks.start_soon(server.serve, adapter)

    assert [server.body for server in servers] == [b"all"] * count


@on_asyncio
async def test_synchronous_code_of_an_async_view_runs_in_the_worker_thread() -> None:
    """asgiref: thread-sensitive code runs in the thread that waits for the view, as Django's ORM needs it."""
    threads: list[int] = []

    async def view() -> str:
        threads.append(await sync_to_async(threading.get_ident, thread_sensitive=True)())
        return "view"

    app = flask_application(view)
    app.before_request(lambda: threads.append(threading.get_ident()))
    await serve(WsgiToAsgi(app))

    assert len(threads) == 2
    assert threads[0] == threads[1] != threading.get_ident()


@on_asyncio
async def test_error_of_an_async_view_is_raised() -> None:
    """The view's own exception, not one of the crossing."""
    error = LookupError("in the view")

    async def view() -> str:
        raise error

    server = FakeServer()
    with pytest.raises(LookupError) as raised:
        await server.serve(WsgiToAsgi(flask_application(view)))

    assert (raised.value is error, server.sent) == (True, [])


@on_asyncio
async def test_cancelled_exchange_cancels_its_async_view() -> None:
    """DESIGN, "Disconnects": nothing goes on for a client that is gone."""
    entered, cancelled = threading.Event(), threading.Event()

    async def view() -> str:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "never"

    adapter = WsgiToAsgi(flask_application(view))
    server = FakeServer()
    async with server.serving(adapter):
        await happened(entered)
        server.cancel()
        await server.ended.wait()
        await happened(cancelled)

    assert (server.sent, adapter.stats().disconnected) == ([], 1)


@on_asyncio
async def test_cancelled_exchange_leaves_the_next_async_view_alone() -> None:
    """Tasks are kept exchange by exchange, also if they share a thread."""
    entered = threading.Event()

    async def view() -> str:
        if not entered.is_set():
            entered.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return "second"

    adapter = WsgiToAsgi(flask_application(view), threads=1)
    server = FakeServer()
    async with server.serving(adapter):
        await happened(entered)
        server.cancel()

    assert (await serve(adapter)).body == b"second"


@on_trio
async def test_async_view_works_on_trio() -> None:
    """asgiref knows asyncio only, so the view has a loop of its own there."""

    async def view() -> str:
        await asyncio.sleep(0)
        return "view"

    assert (await serve(WsgiToAsgi(flask_application(view)))).body == b"view"


# -- Django's async views ---------------------------------------------------------------------------------------


@on_asyncio
async def test_async_view_of_django_runs_on_the_loop_of_the_server() -> None:
    """Django runs it with asgiref as well, below its own middleware."""
    seen: list[tuple[object, int]] = []

    async def view(request: django.http.HttpRequest) -> django.http.HttpResponse:
        await asyncio.sleep(0)
        # Django's ORM is used like this: the call has to come back to the worker thread, which waits.
        thread = await sync_to_async(threading.current_thread)()
        seen.append((asyncio.get_running_loop(), threading.get_ident()))
        return django.http.HttpResponse(f"{thread.name.rpartition('-')[0]} {request.body.decode()}")

    # Process-wide, so here once for all event loops; the pattern is looked up anew for each.
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], MIDDLEWARE=["django.middleware.common.CommonMiddleware"])
        django.setup(set_prefix=False)
    settings.ROOT_URLCONF = (django.urls.path("view", view),)
    adapter = WsgiToAsgi(WSGIHandler())

    for _ in range(3):
        server = await serve(adapter, upload_scope(4, path="/view"), *request_messages(b"data"))
        assert (server.status, server.body) == (200, b"bridge-worker data")
    assert seen == [(asyncio.get_running_loop(), threading.get_ident())] * 3


# -- run_async --------------------------------------------------------------------------------------------------


async def test_run_async_awaits_on_the_loop_of_the_server() -> None:
    """Issue 2: any WSGI view can await something on that loop."""
    threads: list[int] = []

    async def double(number: int) -> int:
        await anyio.lowlevel.checkpoint()  # fails on any other event loop than this test's
        threads.append(threading.get_ident())
        return 2 * number

    server = await serve(WsgiToAsgi(calling(lambda: bridge.run_async(double, 21))))

    assert (server.body, threads) == (b"42", [threading.get_ident()])


async def test_run_async_may_be_called_many_times() -> None:
    """Also while a response streams."""

    async def number(value: int) -> int:
        await anyio.lowlevel.checkpoint()
        return value

    def application(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [])
        for value in range(10):
            yield b"%d" % bridge.run_async(number, value)

    assert (await serve(WsgiToAsgi(application))).body == b"0123456789"


async def test_run_async_raises_what_the_function_raises() -> None:
    """The same exception, in the view."""
    error = LookupError("in the function")
    seen: list[BaseException] = []

    async def fail() -> None:
        await anyio.lowlevel.checkpoint()
        raise error

    def view() -> str:
        try:
            bridge.run_async(fail)
        except LookupError as raised:
            seen.append(raised)
        return "went on"

    server = await serve(WsgiToAsgi(calling(view)))

    assert (server.body, seen) == (b"went on", [error])


async def test_run_async_waits_for_other_tasks_of_the_loop() -> None:
    """It is the server's loop, so what the view waits for may come from anything that runs there."""
    waiting, event = threading.Event(), anyio.Event()

    async def wait_for_event() -> str:
        waiting.set()
        await event.wait()
        return "event"

    server = FakeServer()
    async with server.serving(WsgiToAsgi(calling(lambda: bridge.run_async(wait_for_event)))):
        await happened(waiting)
        event.set()

    assert server.body == b"event"


async def test_run_async_of_a_cancelled_exchange_ends() -> None:
    """Neither the coroutine nor the thread waits for ever for what nobody wants any more."""
    waiting, over = threading.Event(), threading.Event()
    cancelled: list[bool] = []

    async def wait_for_ever() -> None:
        waiting.set()
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            cancelled.append(True)
            raise

    def view() -> str:
        try:
            bridge.run_async(wait_for_ever)
        finally:
            over.set()
        return "never"

    adapter = WsgiToAsgi(calling(view))
    server = FakeServer()
    async with server.serving(adapter):
        await happened(waiting)
        server.cancel()
        await server.ended.wait()
        await happened(over)

    assert (cancelled, server.sent, adapter.stats().disconnected) == ([True], [], 1)


def test_run_async_outside_an_exchange_says_so() -> None:
    """There is no event loop to run on."""

    async def never() -> None: ...

    with pytest.raises(NoEventLoop, match="WsgiToAsgi"):
        bridge.run_async(never)


async def test_run_async_in_a_thread_of_the_application_says_so() -> None:
    """A thread that the view starts serves no exchange."""
    errors: list[BaseException] = []

    async def never() -> None: ...

    def view() -> str:
        def run() -> None:
            try:
                bridge.run_async(never)
            except NoEventLoop as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join(TIMEOUT)
        return "view"

    await serve(WsgiToAsgi(calling(view)))

    assert len(errors) == 1


@on_asyncio
async def test_synchronous_code_under_run_async_runs_in_the_worker_thread() -> None:
    """The thread that waits serves sync_to_async, or Django's ORM would deadlock below run_async."""
    threads: list[int] = []

    async def ask() -> None:
        threads.append(await sync_to_async(threading.get_ident, thread_sensitive=True)())

    def view() -> str:
        threads.append(threading.get_ident())
        bridge.run_async(ask)
        return "view"

    await serve(WsgiToAsgi(calling(view)))

    assert threads[0] == threads[1] != threading.get_ident()


async def test_run_async_of_two_exchanges_goes_on_side_by_side() -> None:
    """One that waits does not keep the other from its loop."""
    first_waits, second_done = threading.Event(), anyio.Event()

    async def first() -> str:
        first_waits.set()
        await second_done.wait()
        return "first"

    async def second() -> str:
        second_done.set()
        return "second"

    def view_second() -> str:
        wait(first_waits)
        return bridge.run_async(second)

    one, other = FakeServer(), FakeServer()
    async with one.serving(WsgiToAsgi(calling(lambda: bridge.run_async(first)))):
        await other.serve(WsgiToAsgi(calling(view_second)))

    assert (one.body, other.body) == (b"first", b"second")
