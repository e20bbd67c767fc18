"""PEP 3333 as an application meets it: the order of start_response, write(), chunks and close()."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from bridge import ApplicationError, WsgiToAsgi
from tests.asgi import Environ, FakeServer, StartResponse, serve, wait

PLAIN = [("Content-Type", "text/plain")]


async def test_generator_may_call_start_response_at_its_first_chunk() -> None:
    """PEP 3333: start_response is called before the first chunk, not before the application returns."""

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("201 Created", PLAIN)
        yield b"lazy"

    server = await serve(WsgiToAsgi(application))

    assert (server.status, server.header(b"content-type"), server.body) == (201, [b"text/plain"], b"lazy")


async def test_empty_chunks_hold_the_headers_back() -> None:
    """PEP 3333: headers leave with the first non-empty chunk, so until then an error page can replace them."""

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield b""
        yield b""
        try:
            raise LookupError("too late for most servers")
        except LookupError:
            start_response("500 Oops", [("X-Page", "error")], sys.exc_info())
        yield b"error page"

    server = await serve(WsgiToAsgi(application))

    assert (server.status, server.header(b"content-type"), server.header(b"x-page")) == (500, [], [b"error"])
    assert (server.body, server.complete) == (b"error page", True)


async def test_headers_leave_with_the_first_chunk_that_is_not_empty() -> None:
    """The status is on its way while the application still produces."""
    left = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield b""
        yield b"first"
        wait(left)
        yield b"second"

    server = FakeServer()
    server.on_sent = lambda message: left.set() if message["type"] == "http.response.start" else None
    await server.serve(WsgiToAsgi(application))

    assert server.body == b"firstsecond"


async def test_written_chunks_come_before_and_between_iterated_ones() -> None:
    """PEP 3333: what write() was given leaves before what the iterable yields after it."""

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", PLAIN)
        write(b"a")
        write(b"")
        write(b"b")

        def chunks() -> Iterator[bytes]:
            yield b"c"
            write(b"d")
            yield b"e"

        return chunks()

    assert (await serve(WsgiToAsgi(application))).body == b"abcde"


async def test_write_alone_makes_a_response() -> None:
    """PEP 3333: an application that writes may return an empty iterable."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", PLAIN)(b"written")
        return []

    server = await serve(WsgiToAsgi(application))

    assert (server.body, server.complete) == (b"written", True)


@pytest.mark.parametrize("headers_left", [False, True], ids=["before the headers", "after the headers"])
async def test_second_start_response_without_exc_info_is_an_error(headers_left: bool) -> None:
    """PEP 3333: it is a fatal error to call start_response again without exc_info."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", PLAIN)
        if headers_left:
            write(b"left")
        start_response("200 OK", PLAIN)
        return []

    server = FakeServer()
    with pytest.raises(ApplicationError, match=r"start_response\(\) a second time"):
        await server.serve(WsgiToAsgi(application))

    assert (server.body, server.complete) == (b"left" if headers_left else b"", False)


async def test_exc_info_before_the_headers_replaces_them() -> None:
    """PEP 3333: nothing has been sent, so status and headers are those of the last call alone."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("X-First", "1"), ("Content-Length", "99")])
        try:
            raise LookupError
        except LookupError:
            start_response("503 Later", [("X-Second", "2")], sys.exc_info())
        return [b"sorry"]

    server = await serve(WsgiToAsgi(application))

    assert (server.status, server.headers) == (503, [(b"x-second", b"2"), (b"content-length", b"5")])
    assert server.body == b"sorry"


async def test_exc_info_after_the_headers_raises_the_error() -> None:
    """PEP 3333: headers have left, so start_response raises exc_info's error and the response is cut."""
    error = LookupError("the application's own")

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield b"left"
        try:
            raise error
        except LookupError:
            start_response("500 Oops", PLAIN, sys.exc_info())
        yield b"never"

    server = FakeServer()
    with pytest.raises(LookupError) as raised:
        await server.serve(WsgiToAsgi(application))

    assert raised.value is error
    assert (server.body, server.complete) == (b"left", False)


async def test_first_start_response_may_have_exc_info() -> None:
    """PEP 3333: an application that fails before its first call reports it in that call."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            raise LookupError
        except LookupError:
            start_response("500 Oops", PLAIN, sys.exc_info())
        return [b"error page"]

    server = await serve(WsgiToAsgi(application))

    assert (server.status, server.body) == (500, b"error page")


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        pytest.param([], "never called", id="nothing"),
        pytest.param([b""], "never called", id="an empty chunk"),
        pytest.param([b"body"], r"before it called start_response\(\)", id="a chunk"),
    ],
)
@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
async def test_response_without_start_response_is_an_error(
    chunks: list[bytes], message: str, make: Callable[[list[bytes]], Iterable[bytes]]
) -> None:
    """PEP 3333: start_response must be called before the iterable yields its first body bytes."""
    server = FakeServer()
    with pytest.raises(ApplicationError, match=message):
        await server.serve(WsgiToAsgi(lambda environ, start_response: make(chunks)))

    assert server.sent == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: None, "NoneType", id="None"),
        pytest.param(lambda: 200, "int 200", id="int"),
        pytest.param(lambda: "text", "str 't'.*encode it", id="str"),
        pytest.param(lambda: ["text"], "str 'text'.*encode it", id="list of str"),
        pytest.param(lambda: iter(["text"]), "str 'text'.*encode it", id="iterator of str"),
        pytest.param(lambda: b"bytes", "bytes instead of a list of bytes", id="bytes"),
        pytest.param(lambda: [bytearray(b"bytes")], "bytearray", id="bytearray"),
        pytest.param(lambda: [None], "NoneType", id="list of None"),
    ],
)
async def test_what_is_no_iterable_of_bytes_is_an_error_that_says_so(make: Callable[[], Any], message: str) -> None:
    """PEP 3333: the application returns an iterable of bytes; the error names what came instead."""

    def application(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", PLAIN)
        return make()

    server = FakeServer()
    with pytest.raises(ApplicationError, match=message):
        await server.serve(WsgiToAsgi(application))

    assert server.sent == []


async def test_written_text_is_an_error() -> None:
    """PEP 3333: write() takes bytes."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", PLAIN)("text")  # type: ignore[arg-type]
        return []

    with pytest.raises(ApplicationError, match="encode it"):
        await serve(WsgiToAsgi(application))


async def test_file_wrapper_sends_a_file_and_closes_it() -> None:
    """PEP 3333: wsgi.file_wrapper(file, size) is an iterable of the file's content."""
    file = io.BytesIO(b"x" * 100_000)

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "100000")])
        chunks: Iterable[bytes] = environ["wsgi.file_wrapper"](file, 8192)
        return chunks

    server = await serve(WsgiToAsgi(application))

    assert (server.body, server.complete, file.closed) == (b"x" * 100_000, True, True)
