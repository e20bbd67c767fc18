"""One adapter in every place: in loops, in threads that come and go, over forks, nested, under frameworks."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import trio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from bridge import AsgiToWsgi, WsgiToAsgi
from tests import asgi
from tests.asgi import TIMEOUT, FakeServer, Receive, Scope, Send, bridge_threads, happened, wait
from tests.asgi_to_wsgi.helpers import Adapt, ServerThread, adapting, in_threads, ok, respond, run_script
from tests.asgi_to_wsgi.kinds import Kind, Serve, chunk, kinds, last, start
from tests.asgi_to_wsgi.server import Input, Server, request, upload

PIECES = 64
PIECE = b"x" * 16384


@pytest.fixture
def adapt() -> Iterator[Adapt]:
    """Make adapters that are closed after the test."""
    with adapting() as make:
        yield make


def descriptors() -> int:
    """Count the open descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


async def digest(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the digest of the body, piece by piece, or stream one."""
    if scope["type"] != "http":
        raise ValueError(scope["type"])
    if scope["path"] == "/stream":
        await send(start())
        for number in range(PIECES):
            await send(chunk(b"%03d" % number + PIECE))
        await send(last(b"end"))
        return
    sha256 = hashlib.sha256()
    more = True
    while more:
        message = await receive()
        assert message["type"] == "http.request"
        sha256.update(message.get("body", b""))
        more = message.get("more_body", False)
    await respond(send, sha256.hexdigest().encode())


STREAM = b"".join(b"%03d" % number + PIECE for number in range(PIECES)) + b"end"
BODY = os.urandom(300_000)  # more than request_buffer
DIGEST = hashlib.sha256(BODY).hexdigest().encode()


def check(server: Server) -> None:
    """Serve a download, a small upload, a large one and one without a length."""
    assert server.serve(request(path="/stream")).body == STREAM
    assert server.serve(upload(b"abc")).body == hashlib.sha256(b"abc").hexdigest().encode()
    assert server.serve(upload(Input(*pieces_of(BODY)), len(BODY))).body == DIGEST
    assert server.serve(upload(Input(*pieces_of(BODY)))).body == DIGEST


def pieces_of(body: bytes) -> list[bytes]:
    """Cut a body as a network does."""
    return [body[at : at + 10_000] for at in range(0, len(body), 10_000)]


# -- event loops and threads of the server ----------------------------------------------------------------------


def test_every_kind_of_loop_carries_bodies(kind: Kind, serve: Serve) -> None:
    """Whatever runs the application, the bytes are the same."""
    check(serve(digest))


@pytest.mark.parametrize("mode", ["request", "shared"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_server_in_a_loop_of_asyncio(adapt: Adapt, mode: str, backend: str) -> None:
    """Issue 3: works when called from a thread that already runs an event loop."""
    adapter = adapt(digest, loop=mode, backend=backend)

    async def main() -> None:
        check(Server(adapter))

    loop = asyncio.new_event_loop()
    try:
        loop.set_debug(False)  # it would say that it is blocked, which it is
        loop.run_until_complete(main())
    finally:
        loop.close()


@pytest.mark.parametrize("mode", ["request", "shared"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_server_in_a_loop_of_trio(adapt: Adapt, mode: str, backend: str) -> None:
    """trio says in a thread-local variable which library runs there: the application must not be told that one."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.to_thread.run_sync(int)
        await anyio.lowlevel.checkpoint()
        await digest(scope, receive, send)

    adapter = adapt(application, loop=mode, backend=backend, lifespan="off")

    async def main() -> None:
        check(Server(adapter))

    trio.run(main)


def test_three_hundred_short_lived_threads(kind: Kind, serve: Serve) -> None:
    """Issue 3: no leak of loops, descriptors or threads."""
    server = serve(ok)
    others = threading.active_count()
    barrier = threading.Barrier(20)

    def ask() -> bytes:
        response = server.start()
        barrier.wait(TIMEOUT)  # each has a loop now, where it needs one for itself
        response.read().close()
        return response.body

    in_threads(20, ask)
    gc.collect()
    before, ours = descriptors(), len(bridge_threads())
    for _ in range(15):
        assert in_threads(20, ask) == [b"ok"] * 20
    gc.collect()

    assert len(bridge_threads()) == ours
    assert threading.active_count() <= others + ours
    assert descriptors() <= before


@kinds(lambda kind: kind.takes_turns)
def test_short_lived_threads_one_after_another_share_one_loop(kind: Kind, serve: Serve) -> None:
    """A thread that ends takes no loop with it."""
    loops: set[asyncio.AbstractEventLoop] = set()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        loops.add(asyncio.get_running_loop())
        await respond(send)

    server = serve(application)
    for _ in range(300):
        ServerThread(server.serve).end()

    assert len(loops) == 1


# -- fork -------------------------------------------------------------------------------------------------------

FORKING = """
def watched():
    # What each epoll set of this process watches: a child that closes the parent's loop takes descriptors out.
    sets = {}
    for descriptor in os.listdir("/proc/self/fdinfo"):
        try:
            with open("/proc/self/fdinfo/" + descriptor) as info:
                lines = info.readlines()
        except OSError:
            continue
        sets[descriptor] = sorted(line for line in lines if line.startswith("tfd"))
    return {descriptor: lines for descriptor, lines in sets.items() if lines}

async def application(scope, receive, send):
    assert scope["type"] == "http"
    # A thread wakes the loop through its own socket: it fails when that is not watched any more.
    pid = await asyncio.wait_for(asyncio.to_thread(os.getpid), 10)
    await respond(send, b"served by %d" % pid)

def ask(adapter):
    body = Server(adapter).serve().body
    assert body == b"served by %d" % os.getpid(), body
"""

MODES = [
    "loop='request'",
    "loop='shared'",
    "loop='request', loop_factory=__import__('uvloop').new_event_loop",
    "loop='shared', loop_factory=__import__('uvloop').new_event_loop",
]
on_modes = pytest.mark.parametrize("options", MODES, ids=["request", "shared", "request-uvloop", "shared-uvloop"])


@on_modes
def test_fork_before_the_first_use(options: str) -> None:
    """A pre-forking server imports the application and forks."""
    run_script(
        FORKING
        + f"""
adapter = AsgiToWsgi(application, {options}, lifespan="off")
for _ in range(2):
    in_child(ask, adapter)
ask(adapter)
"""
    )


@on_modes
def test_fork_after_the_first_use(options: str) -> None:
    """The child makes loops of its own and leaves the parent's unharmed, also when it exits in order."""
    run_script(
        FORKING
        + f"""
adapter = AsgiToWsgi(application, {options}, lifespan="off")
ask(adapter)
before = watched()
assert before

def idle():
    pass

def twice():
    ask(adapter)
    ask(adapter)
    adapter.close()
    ask(adapter)

def grandchild():
    ask(adapter)
    in_child(twice)
    ask(adapter)

for child in (idle, twice, grandchild):
    in_child(child)
    assert watched() == before
    ask(adapter)
adapter.close()
"""
    )


@on_modes
def test_fork_while_requests_run(options: str) -> None:
    """The child inherits neither the parent's exchanges nor its locks; the exchange goes on."""
    run_script(
        FORKING
        + f"""
called, go = threading.Event(), threading.Event()

async def busy(scope, receive, send):
    if scope["path"] == "/busy":
        called.set()
        assert await asyncio.to_thread(go.wait, 20)
    await application(scope, receive, send)

adapter = AsgiToWsgi(busy, {options}, lifespan="off")
thread = ServerThread(lambda: Server(adapter).serve(request(path="/busy")).body)
assert called.wait(20)
try:
    in_child(ask, adapter)
    ask(adapter)
finally:
    go.set()  # wakes the loop that ran when the child came, through a socket that it still has to watch
assert thread.end() == b"served by %d" % os.getpid()
ask(adapter)
"""
    )


def test_fork_while_the_application_starts() -> None:
    """The lock of a startup that is under way in the parent is not held in the child."""
    run_script(
        FORKING
        + """
called, go = threading.Event(), threading.Event()
parent = os.getpid()

async def slow(scope, receive, send):
    if scope["type"] != "lifespan":
        return await application(scope, receive, send)
    await receive()
    if os.getpid() == parent:
        called.set()
        assert await asyncio.to_thread(go.wait, 20)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})

adapter = AsgiToWsgi(slow)
thread = ServerThread(adapter.startup)
assert called.wait(20)
in_child(ask, adapter)
go.set()
thread.end()
ask(adapter)
"""
    )


def test_fork_inside_an_application() -> None:
    """multiprocessing forks wherever it is called, on a loop of ours included."""
    run_script(
        FORKING
        + """
async def forks(scope, receive, send):
    pid = os.fork()
    if not pid:
        status = 1
        try:
            thread = ServerThread(lambda: ask(inner))  # this thread has the parent's loop
            thread.end()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0, "the child failed"
    await application(scope, receive, send)

inner = AsgiToWsgi(application, lifespan="off")
ask(inner)
for loop in ("request", "shared"):
    adapter = AsgiToWsgi(forks, loop=loop, lifespan="off")
    ask(adapter)
    ask(adapter)
    adapter.close()
"""
    )


# -- nested -----------------------------------------------------------------------------------------------------


def test_nested_three_times(kind: Kind, serve: Serve, adapt: Adapt) -> None:
    """AsgiToWsgi(WsgiToAsgi(AsgiToWsgi(app))): streaming and uploads, on each kind of loop outside and inside."""
    inner = adapt(digest, **{"lifespan": "off", **kind.options})
    server = serve(WsgiToAsgi(inner))

    check(server)
    check(server)


@pytest.mark.parametrize("mode", ["request", "shared"])
async def test_nested_twice(mode: Any) -> None:
    """WsgiToAsgi(AsgiToWsgi(app)), on each kind of loop outside."""
    inner = AsgiToWsgi(digest, loop=mode)
    adapter = WsgiToAsgi(inner)

    download = await asgi.serve(adapter, asgi.http_scope(path="/stream"))
    small = await asgi.serve(adapter, asgi.upload_scope(3), *asgi.request_messages(b"abc"))
    large = await asgi.serve(adapter, asgi.upload_scope(len(BODY)), *asgi.request_messages(*pieces_of(BODY)))
    unknown = await asgi.serve(adapter, asgi.upload_scope(None), *asgi.request_messages(*pieces_of(BODY)))
    await anyio.to_thread.run_sync(inner.close)

    assert download.body == STREAM
    assert small.body == hashlib.sha256(b"abc").hexdigest().encode()
    assert (large.body, unknown.body) == (DIGEST, DIGEST)


@pytest.mark.parametrize("mode", ["request", "shared"])
async def test_nested_stream_is_not_held_back(mode: Any) -> None:
    """A chunk arrives before the application goes on."""
    go, put_away = threading.Event(), threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(chunk(b"begun"))
        await anyio.to_thread.run_sync(wait, go)
        await send(last(b", done"))
        put_away.set()

    inner = AsgiToWsgi(application, loop=mode, lifespan="off")
    server = FakeServer()
    async with server.serving(WsgiToAsgi(inner)):
        await server.until(lambda: server.body == b"begun")
        go.set()
    await happened(put_away)
    await anyio.to_thread.run_sync(inner.close)

    assert server.body == b"begun, done"


@pytest.mark.parametrize("mode", ["request", "shared"])
async def test_nested_client_that_leaves(mode: Any) -> None:
    """The disconnect crosses both adapters, and the application's finally blocks run."""
    put_away = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(start())
            while True:
                await send(chunk(PIECE))
        finally:
            put_away.set()

    inner = AsgiToWsgi(application, loop=mode, lifespan="off")
    server = FakeServer()
    async with server.serving(WsgiToAsgi(inner)):
        await server.until(lambda: len(server.sent) > 10)
        server.disconnect()
    await happened(put_away)
    await anyio.to_thread.run_sync(inner.close)


@pytest.mark.parametrize("mode", ["request", "shared"])
async def test_nested_client_that_stops_sending_and_leaves(mode: Any) -> None:
    """The read that waits for the rest of the body in the inner adapter's close() ends with the client."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with anyio.move_on_after(0.01):
            while True:
                await receive()
        await send(start(408))
        await send(last(b"late"))

    inner = AsgiToWsgi(application, loop=mode, lifespan="off")
    server = FakeServer(asgi.request_messages(PIECE, b"")[0])
    async with server.serving(WsgiToAsgi(inner), asgi.upload_scope(len(BODY))):
        await server.until(lambda: server.complete)
    await anyio.to_thread.run_sync(inner.close)

    assert (server.status, server.body) == (408, b"late")


# -- frameworks -------------------------------------------------------------------------------------------------


def fastapi_application(endpoint: Callable[..., Any]) -> Any:
    """Make a FastAPI application with *endpoint* at ``/``."""
    from fastapi import FastAPI

    application = FastAPI()
    application.get("/")(endpoint)
    return application


@pytest.mark.parametrize(
    "options", [{"loop": "request", "lifespan": "off"}, {"loop": "shared"}], ids=["request", "shared"]
)
def test_def_endpoints_keep_the_number_of_threads_bounded(adapt: Adapt, options: dict[str, Any]) -> None:
    """Issue 3: anyio's worker threads, 40 for a loop, end with it or are used again."""
    counts: list[int] = []

    def endpoint() -> dict[str, str]:
        counts.append(threading.active_count())
        return {"Hello": "Gilbert"}

    server = Server(adapt(fastapi_application(endpoint), **options))
    for _ in range(100):
        assert server.serve().body == b'{"Hello":"Gilbert"}'
    few = max(counts) - threading.active_count()
    counts.clear()
    for _ in range(10):
        in_threads(8, server.serve)

    # The test's own 8 threads; for each of them a worker thread that serves, and one that has just been told to end.
    assert few <= 3
    assert max(counts) <= threading.active_count() + 8 + 2 * 8


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_event_stream_fed_by_another_request(adapt: Adapt, backend: str) -> None:
    """MCP's transport: the answers to what is posted come on the stream, so both are on one loop."""
    streams: dict[str, Any] = {}
    ended = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            writer, reader = anyio.create_memory_object_stream[bytes](0)
            streams["1"] = writer
            await send({**start(), "headers": [(b"content-type", b"text/event-stream")]})
            await send(chunk(b"event: endpoint\n\n"))
            try:
                with writer, reader:
                    async for event in reader:
                        await send(chunk(b"data: " + event + b"\n\n"))
                await send(last())
            finally:
                ended.set()
            return
        message = await receive()
        if message["body"] == b"bye":
            streams["1"].close()
        else:
            with anyio.fail_after(TIMEOUT):
                await streams["1"].send(message["body"])
        await send({**start(), "status": 202})
        await send(last(b"accepted"))

    server = Server(adapt(application, loop="shared", lifespan="off", backend=backend))
    stream = server.start()
    assert stream.next() == b"event: endpoint\n\n"
    for event in (b"0", b"1", b"2"):
        posting = ServerThread(partial(server.serve, upload(event)))
        assert stream.next() == b"data: " + event + b"\n\n"
        assert posting.end().body == b"accepted"
    server.serve(upload(b"bye"))
    assert stream.next() is None
    stream.close()

    wait(ended)


def starlette(*routes: Route, middleware: tuple[Middleware, ...] = ()) -> Starlette:
    """Make a Starlette application."""
    return Starlette(routes=list(routes), middleware=list(middleware))


MODES_OF_STARLETTE = pytest.mark.parametrize(
    "options",
    [
        pytest.param({"loop": "request"}, id="request"),
        pytest.param({"loop": "shared"}, id="shared"),
        pytest.param({"loop": "auto"}, id="auto"),
        pytest.param(
            {"loop": "shared", "backend": "trio"},
            id="trio",
            # Starlette leaves generators to the collector, of which trio warns.
            marks=pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning"),
        ),
    ],
)


@MODES_OF_STARLETTE
def test_starlette_background_task(adapt: Adapt, options: dict[str, Any]) -> None:
    """Issue 3: what comes after the last message runs after the client has the whole response."""
    delivered, done = threading.Event(), threading.Event()
    order: list[str] = []

    async def background() -> None:
        await anyio.to_thread.run_sync(wait, delivered)
        order.append("background")
        done.set()

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("ok", background=BackgroundTask(background))

    server = Server(adapt(starlette(Route("/", endpoint)), **options))
    response = server.start().read()
    order.append("response")
    delivered.set()
    response.close()
    wait(done)

    assert response.body == b"ok"
    assert order == ["response", "background"]


@MODES_OF_STARLETTE
def test_starlette_streaming_response(adapt: Adapt, options: dict[str, Any]) -> None:
    """Of an asynchronous generator and of one that runs in worker threads."""

    async def letters() -> AsyncIterator[str]:
        for letter in "abc":
            yield letter
            await anyio.lowlevel.checkpoint()

    async def asynchronous(request: Request) -> Response:
        return StreamingResponse(letters(), media_type="text/plain")

    async def threaded(request: Request) -> Response:
        return StreamingResponse(iter("abc"), media_type="text/plain")

    server = Server(adapt(starlette(Route("/async", asynchronous), Route("/threaded", threaded)), **options))

    for path in ("/async", "/threaded"):
        response = server.serve(request(path=path))
        assert (response.status, response.body) == ("200 OK", b"abc")


@MODES_OF_STARLETTE
def test_starlette_streaming_response_of_a_client_that_leaves(adapt: Adapt, options: dict[str, Any]) -> None:
    """The generator's finally block runs before the server's thread is done with the request."""
    put_away: list[bool] = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield PIECE
        finally:
            put_away.append(True)

    async def endpoint(request: Request) -> Response:
        return StreamingResponse(endless(), media_type="text/plain")

    server = Server(adapt(starlette(Route("/", endpoint)), **options))
    response = server.start()
    assert response.next()
    response.close()
    adapter: Any = server.application
    adapter.close()
    gc.collect()

    assert put_away == [True]


@pytest.mark.parametrize("wrapped", [True, False], ids=["pathsend", "chunks"])
@MODES_OF_STARLETTE
def test_starlette_file_response(adapt: Adapt, options: dict[str, Any], wrapped: bool, tmp_path: Path) -> None:
    """With wsgi.file_wrapper the file is the server's to send."""
    from wsgiref.util import FileWrapper

    path = tmp_path / "file.txt"
    path.write_bytes(STREAM)
    wrappers: list[FileWrapper] = []

    def file_wrapper(file: Any, size: int = 8192) -> FileWrapper:
        wrappers.append(FileWrapper(file, size))
        return wrappers[-1]

    async def endpoint(request: Request) -> Response:
        return FileResponse(path, media_type="text/plain")

    server = Server(adapt(starlette(Route("/", endpoint)), **options))
    offered: dict[str, Any] = {"wsgi.file_wrapper": file_wrapper} if wrapped else {}
    environ = request(**offered)
    response = server.start(environ, validated=False)
    if wrapped:
        assert response.iterable is wrappers[0]
        assert os.path.samestat(os.fstat(wrappers[0].filelike.fileno()), path.stat())  # for the server's sendfile
    response.read().close()

    assert response.body == STREAM
    assert response.header("content-length") == [str(len(STREAM))]
    assert len(wrappers) == wrapped


@MODES_OF_STARLETTE
def test_starlette_base_http_middleware(adapt: Adapt, options: dict[str, Any]) -> None:
    """It runs the application in a task of its own, with streams in between; background tasks too."""
    done = threading.Event()

    class Wrapping(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
            response = await call_next(request)
            response.headers.append("x-wrapped", "yes")
            return response

    async def background() -> None:
        done.set()

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(
            hashlib.sha256(await request.body()).hexdigest(), background=BackgroundTask(background)
        )

    application = starlette(
        Route("/", endpoint, methods=["POST"]), middleware=(Middleware(Wrapping), Middleware(Wrapping))
    )
    server = Server(adapt(application, **options))
    for _ in range(3):
        response = server.serve(upload(Input(*pieces_of(BODY)), len(BODY)))
        assert (response.body, response.header("x-wrapped")) == (DIGEST, ["yes", "yes"])
        wait(done)
        done.clear()


def test_starlette_lifespan_and_state(adapt: Adapt) -> None:
    """What the startup made is used on its loop."""

    @asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[dict[str, Any]]:
        yield {"loop": asyncio.get_running_loop()}

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(str(request.state.loop is asyncio.get_running_loop()))

    server = Server(adapt(Starlette(routes=[Route("/", endpoint)], lifespan=lifespan)))

    assert in_threads(8, lambda: server.serve().body) == [b"True"] * 8


DJANGO = """
logging.getLogger("django").setLevel(logging.ERROR)
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

threads = set()

def sync_view(request):
    threads.add(threading.current_thread())
    return HttpResponse(b"sync " + request.body)

async def async_view(request):
    await asyncio.sleep(0)
    return HttpResponse(b"async " + request.body)

async def stream_view(request):
    async def letters():
        for letter in "abc":
            await asyncio.sleep(0)
            yield letter
    return StreamingHttpResponse(letters(), content_type="text/plain")

settings.configure(
    DEBUG=False, SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, LOGGING_CONFIG=None, MIDDLEWARE=[
        "django.middleware.common.CommonMiddleware"
    ],
)
urlpatterns = [path("sync", sync_view), path("async", async_view), path("stream", stream_view)]
application = get_asgi_application()
"""


@pytest.mark.parametrize("options", ["loop='auto'", "loop='request'", "loop='shared'"])
def test_django(options: str) -> None:
    """Its ASGI handler, which refuses the lifespan, with synchronous and asynchronous views."""
    run_script(
        DJANGO
        + f"""
from tests.asgi_to_wsgi.helpers import in_threads
from tests.asgi_to_wsgi.server import upload

adapter = AsgiToWsgi(application, {options})
server = Server(adapter)

def ask():
    for name in ("sync", "async"):
        response = server.serve(upload(b"abc", PATH_INFO="/" + name))
        assert response.body == name.encode() + b" abc", response.body
    assert server.serve(request(path="/stream")).body == b"abc"
    assert server.serve(request(path="/nothing")).status == "404 Not Found"

for _ in range(3):
    ask()
    in_threads(8, ask)
assert threading.active_count() <= 40, threading.enumerate()
adapter.close()  # waits for what Django does after its last message, in threads that an exit would take away
"""
    )


# -- exit -------------------------------------------------------------------------------------------------------


@on_modes
def test_interpreter_ends_with_idle_loops(options: str) -> None:
    """Nobody closed the adapter: prompt and silent, without a ResourceWarning."""
    run_script(f"""
adapter = AsgiToWsgi(ok, {options})
Server(adapter).serve()
Server(adapter, in_loop=True).serve()
collected = AsgiToWsgi(ok, {options})
Server(collected).serve()
del collected
""")


@on_modes
def test_interpreter_ends_with_a_request_that_runs(options: str) -> None:
    """In a daemon thread, as many servers have them: it does not hold the exit up, and not a word."""
    run_script(f"""
called = threading.Event()

async def application(scope, receive, send):
    called.set()
    await asyncio.Event().wait()

adapter = AsgiToWsgi(application, {options}, lifespan="off")

def serve():
    try:
        Server(adapter).serve()
    except Exception:
        pass  # what a server logs

threading.Thread(target=serve, daemon=True).start()
assert called.wait(20)
begun = time.monotonic()
atexit.register(lambda: time.monotonic() - begun < 5 or os._exit(9))  # called last but one: after the bridge's
""")


@on_modes
def test_interpreter_ends_with_a_response_that_streams(options: str) -> None:
    """The server's thread is in the middle of a body, or of nothing."""
    run_script(f"""
taken = threading.Event()

async def application(scope, receive, send):
    await send(start())
    while True:
        await send(chunk(b"x" * 1000))

adapter = AsgiToWsgi(application, {options}, lifespan="off")

def serve():
    try:
        for _ in Server(adapter).start(validated=False).iterable:
            taken.set()
    except Exception:
        pass

threading.Thread(target=serve, daemon=True).start()
assert taken.wait(20)
""")


# -- asyncio's debug mode ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["request", "shared"])
def test_debug_mode_of_asyncio(adapt: Adapt, mode: str, caplog: pytest.LogCaptureFixture) -> None:
    """Calls from the wrong thread raise there, and what is never awaited or closed warns: neither happens."""
    made: list[asyncio.AbstractEventLoop] = []

    def loop_factory() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_debug(True)
        loop.slow_callback_duration = 1.0
        made.append(loop)
        return loop

    adapter = adapt(digest, loop=mode, loop_factory=loop_factory)
    check(Server(adapter))
    check(Server(adapter, in_loop=True))
    adapter.close()
    gc.collect()

    assert made
    assert [record for record in caplog.records if record.levelname not in ("DEBUG", "INFO")] == []
