"""wsgi.input as an application meets it: collected, streamed, spooled, refused."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import anyio.lowlevel
import pytest

from bridge import ClientDisconnected, ServerError, WsgiToAsgi
from tests.asgi import (
    Environ,
    FakeServer,
    Message,
    Scope,
    StartResponse,
    bridge_threads,
    happened,
    http_scope,
    request_messages,
    serve,
    upload_scope,
    wait,
)


class Reader:
    """An application that reads its body and notes what it got."""

    def __init__(self, read: Callable[[io.BufferedReader], Any] = io.BufferedReader.read) -> None:
        self.read = read
        self.got: Any = None
        self.environ: Environ = {}
        self.calls = 0

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        self.calls += 1
        self.environ = environ
        self.got = (
            environ["wsgi.input"].read() if self.read is io.BufferedReader.read else self.read(environ["wsgi.input"])
        )
        start_response("200 OK", [])
        return [b"read"]


# -- small bodies -----------------------------------------------------------------------------------------------


async def test_small_body_is_collected_before_a_thread_is_taken() -> None:
    """DESIGN, "Request body": a slow sender holds no thread."""
    reader = Reader()
    adapter = WsgiToAsgi(reader)
    server = FakeServer({"type": "http.request", "body": b"slow ", "more_body": True})

    async with server.serving(adapter, upload_scope(11)):
        await server.until(lambda: server.receives == 2)
        assert (adapter.stats().threads, bridge_threads(), reader.calls) == (0, [], 0)
        server.feed({"type": "http.request", "body": b"sender", "more_body": False})

    assert (reader.got, reader.environ["CONTENT_LENGTH"], server.body) == (b"slow sender", "11", b"read")


@pytest.mark.parametrize("length", [10, None], ids=["declared", "chunked"])
@pytest.mark.parametrize("messages", [0, 1], ids=["at once", "in the middle"])
async def test_application_is_not_called_for_a_client_that_left_before(length: int | None, messages: int) -> None:
    """DESIGN, "Request body": nobody waits for the answer, so no thread works for it."""
    reader = Reader()
    adapter = WsgiToAsgi(reader)
    server = FakeServer(*[{"type": "http.request", "body": b"12345", "more_body": True}][:messages])
    server.disconnect()

    await server.serve(adapter, upload_scope(length))

    assert (reader.calls, server.sent) == (0, [])
    assert (adapter.stats().disconnected, adapter.stats().served) == (1, 0)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(request_messages(b"12345"), id="one message"),
        pytest.param(request_messages(b"12345", b""), id="the last one empty, as Hypercorn does"),
        pytest.param(request_messages(b"", b"12", b"", b"345"), id="empty ones between"),
        pytest.param([{"type": "http.request", "body": b"12345"}], id="no more_body"),
        pytest.param(
            [{"type": "http.request", "body": b"12345", "more_body": True}, {"type": "http.request"}],
            id="neither body nor more_body",
        ),
    ],
)
@pytest.mark.parametrize("length", [5, None], ids=["declared", "chunked"])
@pytest.mark.parametrize("request_buffer", [65536, 1], ids=["collected", "larger than the buffer"])
async def test_body_arrives_whole_however_the_server_cuts_it(
    messages: list[Message], length: int | None, request_buffer: int
) -> None:
    """ASGI, "Request": body defaults to empty and more_body to false; where a message ends means nothing."""
    reader = Reader()

    await serve(WsgiToAsgi(reader, request_buffer=request_buffer), upload_scope(length), *messages)

    assert (reader.got, reader.environ["CONTENT_LENGTH"]) == (b"12345", "5")


@pytest.mark.parametrize("request_buffer", [65536, 1], ids=["collected", "streamed"])
async def test_body_longer_than_declared_is_an_error_of_the_server(request_buffer: int) -> None:
    """ASGI servers check the length; a middleware that decompresses and leaves the header does not."""
    server = FakeServer(*request_messages(b"123", b"456"))

    with pytest.raises(ServerError, match="Content-Length 5 and 6 bytes"):
        await server.serve(WsgiToAsgi(Reader(), request_buffer=request_buffer), upload_scope(5))

    assert server.sent == []


@pytest.mark.parametrize(
    ("scope", "receives"),
    [
        pytest.param(http_scope("GET"), 0, id="GET"),
        pytest.param(http_scope("HEAD"), 0, id="HEAD"),
        pytest.param(http_scope("GET", http_version="1.0"), 0, id="HTTP/1.0"),
        pytest.param(http_scope("POST", headers=[(b"content-length", b"0")]), 0, id="length 0"),
        pytest.param(http_scope("GET", http_version="2"), 1, id="HTTP/2"),
        pytest.param(http_scope("HEAD", http_version="2"), 1, id="HTTP/2 HEAD"),
        pytest.param(http_scope("GET", http_version="3"), 1, id="HTTP/3"),
        pytest.param(http_scope("POST"), 1, id="POST"),
    ],
)
async def test_receive_is_called_only_where_there_can_be_a_body(scope: Scope, receives: int) -> None:
    """RFC 9112, 6.3 says for HTTP/1 whether there is a body; HTTP/2 does not, so receive() is asked once."""
    reader = Reader()
    server = FakeServer(*request_messages(b""))

    await server.serve(WsgiToAsgi(reader), scope)

    assert (server.receives, reader.got) == (receives, b"")


async def test_get_may_have_a_body() -> None:
    """RFC 9110, 9.3.1: unusual and allowed; search APIs do it."""
    reader = Reader()
    scope = http_scope("GET", headers=[(b"content-length", b"5")])

    await serve(WsgiToAsgi(reader), scope, *request_messages(b"query"))

    assert reader.got == b"query"


@pytest.mark.parametrize("length", [5, None], ids=["declared", "unknown"])
async def test_error_of_receive_before_the_application_is_called_is_raised(length: int | None) -> None:
    """A server, or a middleware, whose receive() fails hears of it."""
    error = LookupError("in receive()")
    reader = Reader()
    adapter = WsgiToAsgi(reader)
    server = FakeServer()
    server.fail_receive(error)

    with pytest.raises(LookupError) as raised:
        await server.serve(adapter, upload_scope(length))

    assert (raised.value is error, reader.calls, adapter.stats().failed) == (True, 0, 1)


# -- bodies larger than the buffer ------------------------------------------------------------------------------


async def test_large_body_is_streamed() -> None:
    """The application reads what has arrived while the rest is still on its way."""
    seen = threading.Event()

    def read(stream: io.BufferedReader) -> bytes:
        start = stream.read(4)
        seen.set()
        return start + b"|" + stream.read()

    reader = Reader(read)
    server = FakeServer({"type": "http.request", "body": b"12345", "more_body": True})
    async with server.serving(WsgiToAsgi(reader, request_buffer=4), upload_scope(10)):
        await happened(seen)
        server.feed({"type": "http.request", "body": b"67890", "more_body": False})

    assert (reader.got, reader.environ["CONTENT_LENGTH"]) == (b"1234|567890", "10")


async def test_body_is_read_ahead_no_further_than_the_buffer() -> None:
    """Uploads of any size take bounded memory: request_buffer, one message, and the reader's own buffer."""
    message, buffer, count = 4096, 32_768, 200
    given = taken = lead = 0

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        nonlocal taken
        while chunk := environ["wsgi.input"].read(1000):
            taken += len(chunk)
        start_response("200 OK", [])
        return []

    async def receive() -> Message:
        nonlocal given, lead
        for _ in range(10):
            await anyio.lowlevel.checkpoint()  # give a bridge that reads ahead room to do so
        lead = max(lead, given - taken)
        if given == count * message:
            await anyio.sleep_forever()  # the client has sent everything, and stays
        given += message
        return {"type": "http.request", "body": b"x" * message, "more_body": given < count * message}

    async def send(message: Message) -> None:
        pass

    adapter = WsgiToAsgi(application, request_buffer=buffer)
    await adapter(upload_scope(count * message), receive, send)

    assert (taken, lead <= buffer + message + io.DEFAULT_BUFFER_SIZE) == (count * message, True)


async def test_receive_stops_while_the_application_does_not_read() -> None:
    """Nothing is read ahead for an application that has not begun to read."""
    begun, go = threading.Event(), threading.Event()

    def read(stream: io.BufferedReader) -> int:
        begun.set()
        wait(go)
        return len(stream.read())

    reader = Reader(read)
    server = FakeServer(*request_messages(*[b"x" * 100] * 50))
    async with server.serving(WsgiToAsgi(reader, request_buffer=1000), upload_scope(5000)):
        await happened(begun)
        await server.until(lambda: server.receives == 10)
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        assert server.receives == 10
        go.set()

    assert reader.got == 5000


async def test_unread_body_does_not_hold_the_response_up() -> None:
    """An application may answer without reading; the coroutine ends all the same."""
    server = FakeServer({"type": "http.request", "body": b"x" * 100, "more_body": True})
    reader = Reader(lambda stream: None)

    await server.serve(WsgiToAsgi(reader, request_buffer=10), upload_scope(1_000_000))

    assert (server.body, server.complete) == (b"read", True)


READS = [
    pytest.param(lambda stream: stream.read(), id="read()"),
    pytest.param(lambda stream: stream.read(100), id="read(size)"),
    pytest.param(lambda stream: stream.readline(), id="readline()"),
    pytest.param(lambda stream: stream.readlines(), id="readlines()"),
    pytest.param(lambda stream: list(stream), id="iteration"),
    pytest.param(lambda stream: stream.readinto(bytearray(100)), id="readinto()"),
]


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("options", [{}, {"unknown_length": "stream"}], ids=["declared", "stream"])
async def test_truncated_body_never_looks_complete(
    read: Callable[[io.BufferedReader], object], options: dict[str, Any]
) -> None:
    """DESIGN, "Request body": every read after the client left raises ClientDisconnected, an OSError."""
    errors: list[OSError] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        for _ in range(3):
            try:
                read(environ["wsgi.input"])
            except OSError as error:
                errors.append(error)
        raise LookupError("gives up")

    server = FakeServer({"type": "http.request", "body": b"12345", "more_body": True})
    server.disconnect()
    adapter = WsgiToAsgi(application, request_buffer=4, **options)

    # The disconnect is no error of anybody; that of the application is.
    with pytest.raises(LookupError):
        await server.serve(adapter, upload_scope(None if options else 10))

    assert [type(error) for error in errors] == [ClientDisconnected] * 3
    assert adapter.stats().served == 0


async def test_application_that_stops_at_the_disconnect_is_no_failure() -> None:
    """The exchange ends quietly and counts as disconnected."""
    server = FakeServer({"type": "http.request", "body": b"12345", "more_body": True})
    server.disconnect()
    adapter = WsgiToAsgi(Reader(), request_buffer=4)

    await server.serve(adapter, upload_scope(10))

    assert (server.sent, adapter.stats().disconnected, adapter.stats().failed) == ([], 1, 0)


async def test_body_that_ends_early_never_looks_complete() -> None:
    """A last message before the declared length is a truncated body too."""
    errors: list[OSError] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        with pytest.raises(ClientDisconnected) as raised:
            environ["wsgi.input"].read()
        errors.append(raised.value)
        start_response("400 Bad Request", [])
        return []

    server = await serve(WsgiToAsgi(application, request_buffer=4), upload_scope(10), *request_messages(b"12345"))

    assert (server.status, [str(error) for error in errors]) == (400, ["the request body ended after 5 of 10 bytes"])


async def test_error_of_receive_ends_reads_and_is_raised() -> None:
    """The application is told that no more comes, the server what its receive() raised."""
    error = LookupError("in receive()")
    seen: list[BaseException] = []

    def read(stream: io.BufferedReader) -> bytes:
        try:
            return stream.read()
        except ClientDisconnected as raised:
            seen.append(raised)
            raise

    server = FakeServer({"type": "http.request", "body": b"12345", "more_body": True})
    server.fail_receive(error)
    with pytest.raises(LookupError) as raised:
        await server.serve(WsgiToAsgi(Reader(read), request_buffer=4), upload_scope(10))

    assert (raised.value is error, len(seen)) == (True, 1)
