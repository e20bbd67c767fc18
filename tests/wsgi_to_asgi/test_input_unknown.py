"""wsgi.input without a declared length, with a limit, and with Expect: 100-continue."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bridge import BodyTooLarge, ClientDisconnected, WsgiToAsgi
from tests.asgi import (
    Environ,
    FakeServer,
    Scope,
    StartResponse,
    happened,
    http_scope,
    request_messages,
    serve,
    upload_scope,
    wait,
)

CONTINUE = (b"expect", b"100-continue")

UNKNOWN = [
    pytest.param(upload_scope(None), id="chunked"),
    pytest.param(http_scope("POST", http_version="2"), id="HTTP/2"),
    pytest.param(http_scope("GET", http_version="2"), id="HTTP/2 GET"),
]


class Reader:
    """An application that reads its whole body and notes it with its environ."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.environ: Environ = {}

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        self.environ = environ
        self.bodies.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return [b"read"]


@pytest.mark.parametrize("scope", UNKNOWN)
@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([b"12345"], id="one message"),
        pytest.param([b"x" * 100] * 10, id="up to the buffer"),
        pytest.param([b"x" * 1001], id="one byte more"),
        pytest.param([b"x" * 999] * 300, id="a file"),
    ],
)
async def test_body_of_unknown_length_is_spooled(scope: Scope, chunks: list[bytes]) -> None:
    """DESIGN, "Request body": Django, Falcon and Bottle read only what CONTENT_LENGTH declares."""
    reader = Reader()

    await serve(WsgiToAsgi(reader, request_buffer=1000), scope, *request_messages(*chunks))

    assert reader.bodies == [b"".join(chunks)]
    assert reader.environ["CONTENT_LENGTH"] == str(len(b"".join(chunks)))
    assert "HTTP_TRANSFER_ENCODING" not in reader.environ
    assert reader.environ["wsgi.input_terminated"] is True


@pytest.mark.parametrize(("request_buffer", "in_memory"), [(1000, False), (1_000_000, True)])
async def test_spooled_body_stays_in_memory_up_to_request_buffer(request_buffer: int, in_memory: bool) -> None:
    """response_buffer is for responses: a large one must not keep large bodies in memory."""
    inputs: list[bool] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        inputs.append(isinstance(environ["wsgi.input"], io.BytesIO))
        start_response("200 OK", [])
        return []

    bridge = WsgiToAsgi(application, request_buffer=request_buffer, response_buffer=1_001_000 - request_buffer)
    await serve(bridge, upload_scope(None), *request_messages(*[b"x" * 999] * 300))

    assert inputs == [in_memory]


async def test_empty_chunked_body_has_length_zero() -> None:
    """A client that sends chunks may send none."""
    reader = Reader()

    await serve(WsgiToAsgi(reader), upload_scope(None), *request_messages(b""))

    assert (reader.bodies, reader.environ["CONTENT_LENGTH"]) == ([b""], "0")


@pytest.mark.parametrize("start", [b"x", b"x" * 100], ids=["small", "large"])
async def test_application_is_not_called_before_the_spooled_body_is_whole(start: bytes) -> None:
    """The length is known at the end only; a client that leaves before has called nobody."""
    reader = Reader()
    server = FakeServer({"type": "http.request", "body": start, "more_body": True})
    adapter = WsgiToAsgi(reader, request_buffer=10)

    async with server.serving(adapter, upload_scope(None)):
        await server.until(lambda: server.receives == 2)
        assert reader.bodies == []
        server.disconnect()

    assert (reader.bodies, reader.environ, server.sent) == ([], {}, [])
    assert (adapter.stats().disconnected, adapter.stats().failed) == (1, 0)


async def test_spooled_body_may_be_read_after_the_headers() -> None:
    """The file lives until the iterable is closed."""

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"got "
        yield environ["wsgi.input"].read()

    messages = request_messages(b"x" * 100, b"y" * 100)
    server = await serve(WsgiToAsgi(application, request_buffer=10), upload_scope(None), *messages)

    assert server.body == b"got " + b"x" * 100 + b"y" * 100


async def test_content_length_beside_transfer_encoding_is_not_believed() -> None:
    """RFC 9112, 6.3: Transfer-Encoding overrides Content-Length; believing both is request smuggling."""
    reader = Reader()
    scope = upload_scope(None, headers=[(b"content-length", b"3")])

    await serve(WsgiToAsgi(reader), scope, *request_messages(b"12345"))

    assert (reader.bodies, reader.environ["CONTENT_LENGTH"]) == ([b"12345"], "5")


@pytest.mark.parametrize("scope", UNKNOWN)
async def test_stream_hands_the_body_over_as_it_comes(scope: Scope) -> None:
    """unknown_length="stream": for applications that read to the end without a length."""
    seen = threading.Event()
    got: list[bytes] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert "CONTENT_LENGTH" not in environ
        assert environ["wsgi.input_terminated"] is True
        got.append(environ["wsgi.input"].read(3))
        seen.set()
        got.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return []

    server = FakeServer({"type": "http.request", "body": b"123", "more_body": True})
    async with server.serving(WsgiToAsgi(application, unknown_length="stream"), scope):
        await happened(seen)
        server.feed(*request_messages(b"45", b"6"))

    assert got == [b"123", b"456"]


# -- max_body_size ----------------------------------------------------------------------------------------------


async def test_declared_length_over_the_limit_is_refused_unseen() -> None:
    """Issue 2: 413 before the application, and the body, are looked at."""
    reader = Reader()
    adapter = WsgiToAsgi(reader, max_body_size=4)

    server = await serve(adapter, upload_scope(5), *request_messages(b"12345"))

    assert (server.status, server.complete, server.receives, reader.bodies) == (413, True, 0, [])
    assert (adapter.stats().rejected, adapter.stats().served, adapter.stats().failed) == (1, 0, 0)


@pytest.mark.parametrize("request_buffer", [65536, 2], ids=["in memory", "in a file"])
@pytest.mark.parametrize("messages", [request_messages(b"12345"), request_messages(b"123", b"45")], ids=["one", "two"])
async def test_spooled_body_over_the_limit_is_refused(request_buffer: int, messages: list[Any]) -> None:
    """The length is found out before the application is called, so it is 413 as well."""
    reader = Reader()
    adapter = WsgiToAsgi(reader, max_body_size=4, request_buffer=request_buffer)

    server = await serve(adapter, upload_scope(None), *messages)

    assert (server.status, server.complete, reader.bodies) == (413, True, [])
    assert (adapter.stats().rejected, adapter.stats().served, adapter.stats().failed) == (1, 0, 0)


async def test_spooled_body_over_the_limit_is_refused_before_it_ends() -> None:
    """A client that never stops sending does not fill the disk first."""
    adapter = WsgiToAsgi(Reader(), max_body_size=100, request_buffer=10)
    server = FakeServer(*({"type": "http.request", "body": b"x" * 50, "more_body": True} for _ in range(3)))

    await server.serve(adapter, upload_scope(None))  # the body goes on, and nothing more of it comes

    assert (server.status, server.complete) == (413, True)


async def test_streamed_body_over_the_limit_fails_the_read() -> None:
    """unknown_length="stream": the application is running, so its read raises."""
    adapter = WsgiToAsgi(Reader(), max_body_size=4, unknown_length="stream")
    server = FakeServer(*request_messages(b"123", b"45"))

    with pytest.raises(BodyTooLarge, match="max_body_size, 4 bytes"):
        await server.serve(adapter, upload_scope(None))

    assert (server.sent, adapter.stats().failed) == ([], 1)


@pytest.mark.parametrize("scope", [upload_scope(4), upload_scope(None)], ids=["declared", "chunked"])
@pytest.mark.parametrize("unknown_length", ["spool", "stream"])
async def test_body_of_exactly_the_limit_is_served(scope: Scope, unknown_length: Any) -> None:
    """max_body_size is the most that is allowed."""
    reader = Reader()
    adapter = WsgiToAsgi(reader, max_body_size=4, unknown_length=unknown_length)

    server = await serve(adapter, scope, *request_messages(b"12", b"34"))

    assert (server.status, reader.bodies) == (200, [b"1234"])


# -- Expect: 100-continue ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_buffer", [65536, 2], ids=["small", "large"])
async def test_continue_is_sent_only_when_the_application_reads(request_buffer: int) -> None:
    """PEP 3333, "HTTP 1.1 Expect/Continue": the first receive() makes the server ask for the body."""
    called, go = threading.Event(), threading.Event()
    reader = Reader()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        called.set()
        wait(go)
        return reader(environ, start_response)

    server = FakeServer(*request_messages(b"12", b"345"))
    adapter = WsgiToAsgi(application, request_buffer=request_buffer)
    async with server.serving(adapter, upload_scope(5, headers=[CONTINUE])):
        await happened(called)
        assert server.receives == 0
        go.set()

    assert (reader.bodies, server.body) == ([b"12345"], b"read")


@pytest.mark.parametrize("chunks", [1, 3], ids=["at once", "streamed"])
async def test_continue_is_never_sent_for_a_body_that_is_not_read(chunks: int) -> None:
    """RFC 9110, 10.1.1: a final status instead of 100 tells the client to keep its body."""
    taken = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("403 Forbidden", [])
        for _ in range(chunks):
            yield b"no"
        if chunks > 1:
            wait(taken)
            yield b"!"

    server = FakeServer(*request_messages(b"12345"))
    server.on_sent = lambda message: taken.set() if message.get("body") else None
    await server.serve(WsgiToAsgi(application), upload_scope(5, headers=[CONTINUE]))

    assert (server.status, server.complete, server.receives) == (403, True, 0)


async def test_continued_body_that_is_cut_off_raises() -> None:
    """A client that leaves instead of sending its body is noticed by the read."""
    called = threading.Event()
    errors: list[OSError] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        called.set()
        try:
            environ["wsgi.input"].read()
        except ClientDisconnected as error:
            errors.append(error)
            raise
        return []

    server = FakeServer()
    async with server.serving(WsgiToAsgi(application), upload_scope(5, headers=[CONTINUE])):
        await happened(called)
        server.disconnect()

    assert (len(errors), server.sent) == (1, [])
