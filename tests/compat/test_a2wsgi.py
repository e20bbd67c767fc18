"""bridge.compat.a2wsgi: the signatures and the documented behaviour of a2wsgi, which the same tests see there."""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, cast

import a2wsgi
import httpx
import pytest
import uvloop

from bridge import ConfigurationError, WsgiToAsgi
from bridge.compat.a2wsgi import ASGIMiddleware, WSGIMiddleware
from tests.asgi import (
    TIMEOUT,
    Environ,
    Message,
    Receive,
    Scope,
    Send,
    StartResponse,
    bridge_threads,
    http_scope,
    on_asyncio,
    serve,
    wait,
)
from tests.asgi_to_wsgi.server import Server, request

MODULES = ["a2wsgi", "bridge.compat.a2wsgi"]
"""The module that a project imports from, before and after."""

both = pytest.mark.parametrize("module", MODULES)
# a2wsgi knows asyncio only, and one loop of it is enough to compare.
one_loop = pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["asyncio"], indirect=True)


def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


async def asgi_application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise ValueError("http only")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello"})


def example(code: str, module: str, **names: Any) -> dict[str, Any]:
    """Run an example of a2wsgi's README, in which only the import is changed."""
    exec(code.replace("from a2wsgi import", f"from {module} import"), names)
    return names


@pytest.mark.parametrize("name", a2wsgi.__all__)
def test_signature_is_the_same(name: str) -> None:
    """Names, order, kinds and defaults of the parameters; annotations are the bridge's."""
    theirs, ours = (
        [(one.name, one.kind, one.default) for one in inspect.signature(made).parameters.values()]
        for made in (getattr(importlib.import_module(module), name) for module in MODULES)
    )

    assert ours == theirs


def test_every_name_is_there() -> None:
    """What ``from a2wsgi import *`` brings."""
    assert sorted(importlib.import_module(MODULES[1]).__all__) == sorted(a2wsgi.__all__)


# -- WSGIMiddleware ---------------------------------------------------------------------------------------------


@both
@one_loop
@pytest.mark.parametrize(
    "code",
    [
        "from a2wsgi import WSGIMiddleware\nASGI_APP = WSGIMiddleware(WSGI_APP)",
        "from a2wsgi import WSGIMiddleware\nASGI_APP = WSGIMiddleware(WSGI_APP, workers=15)",
        "from a2wsgi import WSGIMiddleware\nASGI_APP = WSGIMiddleware(WSGI_APP, send_queue_size=15)",
        "from a2wsgi import WSGIMiddleware\nASGI_APP = WSGIMiddleware(WSGI_APP, 15, 15)",
        "from a2wsgi import WSGIMiddleware\nASGI_APP = WSGIMiddleware(app=WSGI_APP)",
    ],
    ids=["plain", "workers", "send_queue_size", "by position", "app by name"],
)
async def test_readme_of_wsgi_middleware_runs(module: str, code: str) -> None:
    """Each way in which a2wsgi's README makes a WSGIMiddleware serves requests."""
    server = await serve(example(code, module, WSGI_APP=application)["ASGI_APP"])

    assert (server.status, server.body, server.complete) == (200, b"hello", True)


@both
@one_loop
async def test_environ_has_the_scope(module: str) -> None:
    """``environ["asgi.scope"]`` is documented; what a middleware added to the scope is there."""
    scopes: list[Any] = []

    def looking(environ: Environ, start_response: StartResponse) -> list[bytes]:
        scopes.append(environ["asgi.scope"])
        return application(environ, start_response)

    middleware = importlib.import_module(module).WSGIMiddleware(looking)
    scope = http_scope(session={"user": "Gilbert"})
    await serve(middleware, scope)

    assert (scopes, middleware.app) == ([scope], looking)


@both
@one_loop
@pytest.mark.parametrize(("options", "workers"), [({}, 10), ({"workers": 3}, 3)], ids=["default", "three"])
async def test_workers_run_side_by_side(module: str, options: dict[str, int], workers: int) -> None:
    """As many requests as there are workers run at once."""
    together = threading.Barrier(workers)

    def meeting(environ: Environ, start_response: StartResponse) -> list[bytes]:
        together.wait(TIMEOUT)
        return application(environ, start_response)

    middleware = importlib.import_module(module).WSGIMiddleware(meeting, **options)
    servers = await asyncio.gather(*(serve(middleware) for _ in range(workers)))

    assert [server.body for server in servers] == [b"hello"] * workers


@on_asyncio
async def test_no_more_than_workers_run() -> None:
    """One worker: the second request is called when the first is over."""
    entered, go = threading.Event(), threading.Event()
    running = most = 0

    def holding(environ: Environ, start_response: StartResponse) -> list[bytes]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        entered.set()
        wait(go)
        running -= 1
        return application(environ, start_response)

    middleware = WSGIMiddleware(holding, workers=1)
    servers = [asyncio.create_task(serve(middleware)) for _ in range(3)]
    await asyncio.get_running_loop().run_in_executor(None, wait, entered)
    pending = middleware.stats().pending
    go.set()
    await asyncio.gather(*servers)

    assert (pending, most) == (2, 1)


@both
@one_loop
@pytest.mark.parametrize("size", [1, 4])
async def test_send_queue_size_bounds_the_lead(module: str, size: int) -> None:
    """With chunks of the bridge's 8 KiB the queue holds as many of them as a2wsgi's."""
    produced = taken = lead = 0

    def streaming(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        nonlocal produced
        start_response("200 OK", [])
        for _ in range(50):
            produced += 1
            yield b"x" * 8192

    async def send(message: Message) -> None:
        nonlocal taken, lead
        await asyncio.sleep(0)  # give one without backpressure room to run ahead
        lead = max(lead, produced - taken)
        taken += len(message.get("body", b"")) // 8192

    async def receive() -> Message:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    await importlib.import_module(module).WSGIMiddleware(streaming, send_queue_size=size)(http_scope(), receive, send)

    # One chunk is in the application's hands, and one in send()'s, when the queue is full.
    assert (taken, lead <= size + 3) == (50, True), lead


def test_a_larger_queue_is_a_larger_buffer() -> None:
    """The attribute of a2wsgi is there, and the option means something."""
    middleware = WSGIMiddleware(application, send_queue_size=20)

    assert (middleware.send_queue_size, middleware._response_buffer) == (20, 20 * 8192)
    assert isinstance(middleware, WsgiToAsgi)


@both
@one_loop
async def test_lifespan_is_answered(module: str) -> None:
    """A server may ask for lifespan='on'."""
    sent: list[str] = []
    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Message:
        return {"type": next(messages)}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await importlib.import_module(module).WSGIMiddleware(application)({"type": "lifespan"}, receive, send)

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@both
@one_loop
async def test_subclass_may_wrap_the_call(module: str) -> None:
    """Projects subclass it to serve some scopes themselves."""
    base: Any = importlib.import_module(module).WSGIMiddleware

    class Mine(base):  # type: ignore[misc]
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope["path"] = "/mine" + scope["path"]
            await super().__call__(scope, receive, send)

    def telling(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode()]

    assert (await serve(Mine(telling), http_scope(path="/a", raw_path=b"/mine/a"))).body == b"/mine/a"


# -- ASGIMiddleware ---------------------------------------------------------------------------------------------


def run_in_thread(loop: asyncio.AbstractEventLoop) -> threading.Thread:
    """Run *loop*, as its owner does; return when it runs."""
    running = threading.Event()
    loop.call_soon(running.set)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    wait(running)
    return thread


@pytest.fixture
def faster_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop of the user's, which runs."""
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    thread = run_in_thread(loop)
    yield loop
    gc.collect()  # the adapter's thread ends by it, and needs the loop for that
    for other in bridge_threads():
        other.join(TIMEOUT)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(TIMEOUT)
    loop.close()


@both
@pytest.mark.parametrize(
    "code",
    [
        "from a2wsgi import ASGIMiddleware\nWSGI_APP = ASGIMiddleware(ASGI_APP)",
        "from a2wsgi import ASGIMiddleware\nWSGI_APP = ASGIMiddleware(ASGI_APP, wait_time=5.0)",
        "from a2wsgi import ASGIMiddleware\nWSGI_APP = ASGIMiddleware(ASGI_APP, loop=faster_loop)",
        "from a2wsgi import ASGIMiddleware\nWSGI_APP = ASGIMiddleware(ASGI_APP, 5.0, faster_loop)",
    ],
    ids=["plain", "wait_time", "loop", "by position"],
)
def test_readme_of_asgi_middleware_runs(module: str, code: str, faster_loop: asyncio.AbstractEventLoop) -> None:
    """Each way in which a2wsgi's README makes an ASGIMiddleware serves requests, with a client of WSGI."""
    wsgi_app = example(code, module, ASGI_APP=asgi_application, faster_loop=faster_loop)["WSGI_APP"]
    with httpx.Client(transport=httpx.WSGITransport(app=wsgi_app), base_url="http://test") as client:
        response = client.get("/")

    assert (response.status_code, response.text) == (200, "hello")


@both
def test_scope_has_the_environ(module: str) -> None:
    """``scope["wsgi_environ"]`` is documented; what a middleware added to the environ is there."""
    seen: list[Any] = []

    async def looking(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope.get("wsgi_environ", {}).get("shop.session"))
        await asgi_application(scope, receive, send)

    middleware = importlib.import_module(module).ASGIMiddleware(looking)
    served(middleware, **{"shop.session": {"user": "Gilbert"}})

    assert (seen[-1], middleware.app) == ({"user": "Gilbert"}, looking)


def served(middleware: Any, **environ: Any) -> bytes:
    """The body of one response."""
    return Server(middleware).serve(request(**environ)).body


@both
@pytest.mark.parametrize("own", [False, True], ids=["its own loop", "loop="])
def test_all_requests_share_the_loop(module: str, own: bool, faster_loop: asyncio.AbstractEventLoop) -> None:
    """Pools of the application live as long as the process; ``loop`` is the loop that is used."""
    loops: list[asyncio.AbstractEventLoop] = []

    async def looking(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            loops.append(asyncio.get_running_loop())
        await asgi_application(scope, receive, send)

    middleware = importlib.import_module(module).ASGIMiddleware(looking, loop=faster_loop if own else None)
    loop = middleware.loop
    served(middleware)
    served(middleware)

    assert [one is loop for one in loops] == [True, True]
    assert loop is faster_loop or not own


@both
def test_work_of_ones_own_runs_on_the_loop(module: str) -> None:
    """``loop`` runs, and takes coroutines from any thread."""
    middleware = importlib.import_module(module).ASGIMiddleware(asgi_application)

    async def where() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert asyncio.run_coroutine_threadsafe(where(), middleware.loop).result(TIMEOUT) is middleware.loop


def endless(ended: threading.Event) -> Callable[[Scope, Receive, Send], Any]:
    """An application with a background task that does not end by itself."""

    async def background(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError("http only")
        try:
            await asgi_application(scope, receive, send)
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    return background


@both
@pytest.mark.parametrize("wait_time", [0, 0.05])
def test_wait_time_ends_what_goes_on(module: str, wait_time: float) -> None:
    """After the response the application has *wait_time* seconds, and is cancelled then."""
    ended = threading.Event()
    middleware = importlib.import_module(module).ASGIMiddleware(endless(ended), wait_time=wait_time)

    assert served(middleware) == b"hello"
    wait(ended)
    assert middleware.wait_time == wait_time


@both
def test_wait_time_begins_after_the_response(module: str) -> None:
    """A response that takes longer than *wait_time* is not cut."""

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError("http only")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        for _ in range(3):
            done = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.02, done.set_result, None)
            await done
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b"x"})

    assert served(importlib.import_module(module).ASGIMiddleware(slow, wait_time=0.001)) == b"xxxx"


@both
@pytest.mark.parametrize("wait_time", [None, 10.0])
def test_background_task_is_not_cut(module: str, wait_time: float | None) -> None:
    """Without *wait_time*, or within it, the application ends by itself."""
    ended: list[str] = []
    over = threading.Event()

    async def background(scope: Scope, receive: Receive, send: Send) -> None:
        await asgi_application(scope, receive, send)
        await asyncio.sleep(0)
        ended.append("by itself")
        over.set()

    assert served(importlib.import_module(module).ASGIMiddleware(background, wait_time)) == b"hello"
    wait(over)
    assert ended == ["by itself"]


def test_wait_time_keeps_nothing() -> None:
    """An application that ended by itself leaves no timer behind."""
    ended, gone = threading.Event(), threading.Event()
    tasks: list[weakref.ref[asyncio.Task[Any]]] = []

    async def remembered(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            task = cast("asyncio.Task[Any]", asyncio.current_task())
            task.add_done_callback(lambda _: ended.set())
            tasks.append(weakref.ref(task, lambda _: gone.set()))
        await asgi_application(scope, receive, send)

    middleware = ASGIMiddleware(remembered, wait_time=3600.0)
    served(middleware)
    wait(ended)
    # The loop has done with the task when it begins another step.
    stepped = threading.Event()
    middleware.loop.call_soon_threadsafe(stepped.set)
    wait(stepped)
    gc.collect()

    wait(gone)


def test_loop_that_does_not_run_is_run() -> None:
    """a2wsgi's README gives a loop and says nothing of running it."""
    loop = asyncio.new_event_loop()
    middleware = ASGIMiddleware(asgi_application, loop=loop)

    assert (served(middleware), served(middleware), loop.is_running()) == (b"hello", b"hello", True)

    del middleware
    gc.collect()
    for thread in bridge_threads():
        thread.join(TIMEOUT)
    assert loop.is_closed()


def test_loop_of_the_caller_goes_on(faster_loop: asyncio.AbstractEventLoop) -> None:
    """What belongs to the caller is neither stopped nor closed nor cleared of its tasks."""

    async def staying() -> None:
        await asyncio.get_running_loop().create_future()

    staying_task = asyncio.run_coroutine_threadsafe(staying(), faster_loop)
    middleware = ASGIMiddleware(asgi_application, loop=faster_loop)
    served(middleware)
    del middleware
    gc.collect()
    for thread in bridge_threads():
        thread.join(TIMEOUT)

    assert (faster_loop.is_running(), staying_task.done(), bridge_threads()) == (True, False, [])
    staying_task.cancel()


def test_loop_that_was_stopped_is_an_error() -> None:
    """A request must not wait for a loop that nobody runs any more."""
    loop = asyncio.new_event_loop()
    thread = run_in_thread(loop)
    middleware = ASGIMiddleware(asgi_application, loop=loop)
    served(middleware)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(TIMEOUT)

    with pytest.raises(ConfigurationError, match="stopped or closed"):
        served(middleware)

    thread = run_in_thread(loop)
    assert served(middleware) == b"hello"
    del middleware
    gc.collect()
    for other in bridge_threads():
        other.join(TIMEOUT)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(TIMEOUT)
    loop.close()


def test_loop_that_is_closed_is_an_error() -> None:
    """Also where no request has used it yet."""
    loop = asyncio.new_event_loop()
    loop.close()

    with pytest.raises(ConfigurationError, match="stopped or closed"):
        served(ASGIMiddleware(asgi_application, loop=loop))


def test_loop_that_ends_with_its_run_is_an_error() -> None:
    """asyncio.run() cancels all tasks and closes the loop: said once, in words, and without a log entry."""
    loops: list[asyncio.AbstractEventLoop] = []
    ready, end = threading.Event(), threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loops.append(loop)
        ready.set()
        await loop.run_in_executor(None, wait, end)

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    wait(ready)
    middleware = ASGIMiddleware(asgi_application, loop=loops[0])
    served(middleware)
    end.set()
    thread.join(TIMEOUT)

    with pytest.raises(ConfigurationError, match="stopped or closed"):
        served(middleware)


def test_loop_cannot_wait_for_itself() -> None:
    """A server that calls from the loop's own thread would wait for ever."""
    loop = asyncio.new_event_loop()
    middleware = ASGIMiddleware(asgi_application, loop=loop)

    async def main() -> None:
        served(middleware)

    try:
        with pytest.raises(ConfigurationError, match="thread of its own"):
            loop.run_until_complete(main())
    finally:
        loop.close()


def test_loop_of_a_parent_is_an_error(faster_loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread does not come along with a fork, so the loop would never answer."""
    middleware = ASGIMiddleware(asgi_application, loop=faster_loop)
    monkeypatch.setattr(os, "getpid", lambda: -1)

    with pytest.raises(ConfigurationError, match="forked"):
        served(middleware)


def test_collected_adapter_ends_its_thread() -> None:
    """Also while the application's lifespan runs, which holds what it was called by."""

    async def living(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await asgi_application(scope, receive, send)

    middleware = ASGIMiddleware(living)
    assert (served(middleware), len(bridge_threads())) == (b"hello", 1)
    del middleware
    gc.collect()
    for thread in bridge_threads():
        thread.join(TIMEOUT)

    assert bridge_threads() == []


# -- both -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: WSGIMiddleware("app"),  # type: ignore[arg-type]
        lambda: WSGIMiddleware(application, workers=0),
        lambda: WSGIMiddleware(application, workers=None),  # type: ignore[arg-type]
        lambda: WSGIMiddleware(application, send_queue_size=0),
        lambda: WSGIMiddleware(application, send_queue_size=1.5),  # type: ignore[arg-type]
        lambda: ASGIMiddleware("app"),  # type: ignore[arg-type]
        lambda: ASGIMiddleware(asgi_application, wait_time=-1),
        lambda: ASGIMiddleware(asgi_application, wait_time="5"),  # type: ignore[arg-type]
        lambda: ASGIMiddleware(asgi_application, loop=uvloop.new_event_loop),  # type: ignore[arg-type]
    ],
    ids=["app", "workers=0", "workers=None", "queue=0", "queue=1.5", "asgi app", "wait=-1", "wait='5'", "loop"],
)
def test_bad_argument_is_refused(make: Callable[[], object]) -> None:
    """At once, and by name."""
    with pytest.raises(ConfigurationError, match=r"^(app|workers|send_queue_size|wait_time|loop) is "):
        make()


@pytest.mark.parametrize(("peer", "ours"), [("a2wsgi", "a2wsgi"), ("asgiref.wsgi", "asgiref")])
def test_nothing_of_the_peer_is_imported(peer: str, ours: str) -> None:
    """The drop-in works where the peer is not installed."""
    code = f"import sys; sys.modules[{peer!r}] = None; import bridge.compat.{ours}"

    assert subprocess.run([sys.executable, "-c", code], timeout=TIMEOUT).returncode == 0
