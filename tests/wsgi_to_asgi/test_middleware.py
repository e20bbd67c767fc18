"""ASGI middleware around the adapter: what wraps receive() and send(), cancels, or raises."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response

from bridge import ClientDisconnected, WsgiToAsgi
from tests.asgi import (
    TIMEOUT,
    AsgiApplication,
    Environ,
    FakeServer,
    Message,
    Receive,
    Scope,
    Send,
    StartResponse,
    happened,
    http_scope,
    request_messages,
    serve,
    upload_scope,
    wait,
)


class Marking(BaseHTTPMiddleware):
    """Starlette's base class with the least that a middleware does."""

    async def dispatch(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers["x-marked"] = "yes"
        return response


def marked(application: Callable[[Environ, StartResponse], object]) -> AsgiApplication:
    """Wrap *application* for ASGI, and Starlette's middleware around it."""
    return Marking(WsgiToAsgi(application))  # type: ignore[arg-type]


def echo(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answer with the body."""
    body: bytes = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [body]


# Starlette leaves its generator before the end, whatever runs inside; trio says so on CPython 3.10.
@pytest.mark.filterwarnings("ignore:Async generator 'starlette:ResourceWarning")
@pytest.mark.parametrize("size", [0, 10, 100_000, 1_000_000])
@pytest.mark.parametrize("known", [True, False], ids=["declared", "chunked"])
async def test_request_and_response_pass_starlettes_middleware(size: int, known: bool) -> None:
    """BaseHTTPMiddleware runs the adapter in a task of its own, with a receive() and a send() of its own."""
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    cuts = range(0, max(size, 1), 30_000)
    messages = request_messages(*[body[cut : cut + 30_000] for cut in cuts])

    server = await serve(marked(echo), upload_scope(size if known else None), *messages)

    assert (server.status, server.header(b"x-marked"), server.complete) == (200, [b"yes"], True)
    assert server.body == body


async def test_chunks_pass_starlettes_middleware_as_they_come() -> None:
    """The second chunk is produced when the first has arrived."""
    taken = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"first"
        wait(taken)
        yield b"second"

    server = FakeServer()
    server.on_sent = lambda message: taken.set() if message.get("body") else None
    await server.serve(marked(application))

    assert server.body == b"firstsecond"


async def test_error_passes_starlettes_middleware() -> None:
    """Whoever is outside sees the application's own exception."""
    error = LookupError("the application's own")

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise error

    server = FakeServer()
    with pytest.raises(LookupError) as raised:
        await server.serve(marked(application))

    assert (raised.value is error, server.sent) == (True, [])


async def test_error_in_a_stream_passes_starlettes_middleware() -> None:
    """Raised after what was produced; Starlette itself has ended the response by then, whatever runs inside."""

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"left"
        raise LookupError("in the stream")

    server = FakeServer()
    with pytest.raises(LookupError, match="in the stream"):
        await server.serve(marked(application))

    assert server.body == b"left"


async def test_client_that_leaves_is_noticed_through_starlettes_middleware() -> None:
    """The stream ends, and so does its thread."""
    over = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield b"x"
        finally:
            over.set()

    server = FakeServer()
    async with server.serving(marked(application)):
        await server.until(lambda: server.body)
        server.disconnect()
        await happened(over)


@pytest.mark.parametrize("kind", ["http.response.start", "http.response.body"])
async def test_middleware_that_raises_in_send_ends_the_exchange(kind: str) -> None:
    """Its error leaves the coroutine, the application is told, nothing hangs."""
    error = LookupError("in the middleware")
    told = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [])
        try:
            while True:
                write(b"x")
        except ClientDisconnected:
            told.set()
            raise

    adapter = WsgiToAsgi(application)

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def raising(message: Message) -> None:
            if message["type"] == kind:
                raise error
            await send(message)

        await adapter(scope, receive, raising)

    server = FakeServer()
    with pytest.raises(LookupError) as raised:
        await server.serve(middleware)

    await happened(told)
    assert (raised.value is error, server.body) == (True, b"")


async def test_middleware_may_swallow_the_error_and_answer() -> None:
    """An error page in place of the application's error."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise LookupError

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await WsgiToAsgi(application)(scope, receive, send)
        except LookupError:
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b"error page"})

    server = await serve(middleware)

    assert (server.status, server.body) == (500, b"error page")


async def test_middleware_that_changes_the_body_is_served_what_it_says() -> None:
    """One that decompresses and drops the length makes the length unknown."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def doubled() -> Message:
            message = await receive()
            return {**message, "body": message.get("body", b"") * 2}

        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        await WsgiToAsgi(echo)({**scope, "headers": headers}, doubled, send)

    assert (await serve(middleware, upload_scope(3), *request_messages(b"abc"))).body == b"abcabc"


@pytest.mark.timeout(TIMEOUT)
@pytest.mark.parametrize("scope", [upload_scope(3), http_scope("GET")], ids=["POST", "GET"])
async def test_middleware_that_replays_the_body_for_ever_does_not_block_the_loop(scope: Scope) -> None:
    """A common recipe reads the body, then answers each receive() with it: a stream must not spin on that."""
    taken = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"first"
        wait(taken)
        yield b"second"

    async def replayed() -> Message:
        return {"type": "http.request", "body": b"abc", "more_body": False}

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        await WsgiToAsgi(application)(scope, replayed, send)

    server = FakeServer()
    server.on_sent = lambda message: taken.set() if message.get("body") else None
    await server.serve(middleware, scope)

    assert (server.body, server.complete) == (b"firstsecond", True)
