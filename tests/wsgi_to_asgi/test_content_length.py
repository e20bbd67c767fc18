"""Content-Length, and the responses that have no body: PEP 3333, "Handling the Content-Length Header"; RFC 9110."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from bridge import ApplicationError, WsgiToAsgi
from tests.asgi import Application, Environ, FakeServer, StartResponse, http_scope, serve, wait


def responding(
    chunks: Iterable[bytes], *, status: str = "200 OK", length: int | None = None, write: bytes = b""
) -> Application:
    """Make an application that answers with *chunks* as they are, and declares *length*."""

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        headers = [] if length is None else [("Content-Length", str(length))]
        write_chunk = start_response(status, headers)
        if write:
            write_chunk(write)
        return chunks

    return application


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param([b"abc"], b"3", id="one chunk"),
        pytest.param([b"abc", b"", b"de"], b"5", id="the sum"),
        pytest.param((b"abc", b"de"), b"5", id="tuple"),
        pytest.param([], b"0", id="empty list"),
        pytest.param([b""], b"0", id="empty chunk"),
        pytest.param(iter(()), b"0", id="empty iterator"),
    ],
)
async def test_length_of_a_body_that_is_known_as_a_whole_is_added(chunks: Iterable[bytes], expected: bytes) -> None:
    """DESIGN, "Response": if the whole body is known when headers leave and no length was given, it is added."""
    server = await serve(WsgiToAsgi(responding(chunks)))

    assert server.header(b"content-length") == [expected]
    assert (len(server.body), server.complete) == (int(expected), True)


async def test_length_of_a_body_that_is_not_known_is_not_added() -> None:
    """An iterator may yield more: the server frames the body."""
    server = await serve(WsgiToAsgi(responding(iter([b"abc", b"de"]))))

    assert (server.header(b"content-length"), server.body) == ([], b"abcde")


async def test_length_is_not_added_after_write() -> None:
    """Headers have left with what was written, so the list is not the whole body."""
    server = await serve(WsgiToAsgi(responding([b"de"], write=b"abc")))

    assert (server.header(b"content-length"), server.body) == ([], b"abcde")


@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
async def test_length_of_the_application_stays(make: Callable[[list[bytes]], Iterable[bytes]]) -> None:
    """A declared length is sent as it was, once."""
    server = await serve(WsgiToAsgi(responding(make([b"abc", b"de"]), length=5)))

    assert (server.header(b"content-length"), server.body, server.complete) == ([b"5"], b"abcde", True)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(list, id="empty list"),
        pytest.param(lambda: [b"abc"], id="list"),
        pytest.param(lambda: iter([]), id="empty iterator"),
        pytest.param(lambda: iter([b"", b""]), id="empty chunks"),
    ],
)
async def test_body_that_is_too_short_is_an_error_without_a_response(make: Callable[[], Iterable[bytes]]) -> None:
    """Nothing has left yet, so the server can still answer with an error page."""
    server = FakeServer()
    with pytest.raises(ApplicationError, match="Content-Length 10"):
        await server.serve(WsgiToAsgi(responding(make(), length=10)))

    assert server.sent == []


async def test_streamed_body_that_is_too_short_never_looks_complete() -> None:
    """DESIGN: fewer bytes than Content-Length abort the connection, after those that were produced."""
    server = FakeServer()
    with pytest.raises(ApplicationError, match="Content-Length 10 and produced 3"):
        await server.serve(WsgiToAsgi(responding(iter([b"ab", b"c"]), length=10)))

    assert (server.body, server.complete) == (b"abc", False)


@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
async def test_body_that_is_too_long_is_cut(
    make: Callable[[list[bytes]], Iterable[bytes]], bridge_log: list[Any]
) -> None:
    """PEP 3333: a server must not transmit more bytes than declared; the log says that it happened."""
    server = await serve(WsgiToAsgi(responding(make([b"ab", b"cd", b"ef"]), length=3)))

    assert (server.header(b"content-length"), server.body, server.complete) == ([b"3"], b"abc", True)
    assert [record.levelname for record in bridge_log] == ["ERROR"]


async def test_iteration_stops_when_the_body_is_too_long(bridge_log: list[Any]) -> None:
    """PEP 3333: it may stop iterating, so an application without end does not hold its thread."""
    closed = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "3")])
        try:
            while True:
                yield b"ab"
        finally:
            closed.set()

    server = await serve(WsgiToAsgi(application))

    assert (server.body, server.complete, closed.is_set()) == (b"aba", True, True)
    assert len(bridge_log) == 1


async def test_write_beyond_the_length_raises(bridge_log: list[Any]) -> None:
    """PEP 3333: a server should raise an error when the application calls write() for more than declared."""
    raised: list[BaseException] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [("Content-Length", "3")])
        write(b"ab")
        for _ in range(2):
            try:
                write(b"cd")
            except ApplicationError as error:
                raised.append(error)
        return []

    server = FakeServer()
    await server.serve(WsgiToAsgi(application))

    assert (server.body, server.complete, len(raised)) == (b"abc", True, 2)


async def test_response_leaves_at_once_when_its_length_is_reached() -> None:
    """The client need not wait for what the application does after the last byte it promised."""
    complete = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        yield b"wh"
        yield b"le"
        wait(complete)

    server = FakeServer()
    server.on_sent = lambda message: complete.set() if message.get("more_body") is False else None
    await server.serve(WsgiToAsgi(application))

    assert (server.body, server.complete) == (b"whle", True)


async def test_error_after_the_length_is_reached_is_raised() -> None:
    """The response is complete; the server still hears of the error."""

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "5")])
        yield b"whole"
        raise LookupError("after the response")

    server = FakeServer()
    with pytest.raises(LookupError, match="after the response"):
        await server.serve(WsgiToAsgi(application))

    assert (server.body, server.complete) == (b"whole", True)


@pytest.mark.parametrize(
    ("make", "length"),
    [
        pytest.param(list, None, id="list"),
        pytest.param(list, 5, id="list with length"),
        pytest.param(iter, None, id="iterator"),
        pytest.param(iter, 5, id="iterator with length"),
    ],
)
async def test_head_has_the_headers_of_get_and_no_body(
    make: Callable[[list[bytes]], Iterable[bytes]], length: int | None
) -> None:
    """RFC 9110, 9.3.2: the same headers as GET, and never a body."""
    get = await serve(WsgiToAsgi(responding(make([b"abc", b"de"]), length=length)))
    head = await serve(WsgiToAsgi(responding(make([b"abc", b"de"]), length=length)), http_scope("HEAD"))

    assert (head.status, head.headers) == (get.status, get.headers)
    assert (head.body, head.complete) == (b"", True)


@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
async def test_head_without_a_body_gets_no_length(make: Callable[[list[bytes]], Iterable[bytes]]) -> None:
    """RFC 9110, 8.6: Content-Length of a HEAD response is that of GET; 0 would say that GET has no body."""
    server = await serve(WsgiToAsgi(responding(make([]))), http_scope("HEAD"))

    assert (server.header(b"content-length"), server.complete) == ([], True)


@pytest.mark.parametrize("chunks", [[], iter([])], ids=["list", "iterator"])
async def test_head_may_declare_a_length_that_it_does_not_produce(chunks: Iterable[bytes]) -> None:
    """RFC 9110, 9.3.2: the length is that of the body which GET would have."""
    server = await serve(WsgiToAsgi(responding(chunks, length=1000)), http_scope("HEAD"))

    assert (server.header(b"content-length"), server.body, server.complete) == ([b"1000"], b"", True)


async def test_head_ignores_what_is_written() -> None:
    """write() is no error for HEAD: the application may not know the difference."""
    server = await serve(WsgiToAsgi(responding([b"de"], length=5, write=b"abc")), http_scope("HEAD"))

    assert (server.header(b"content-length"), server.body, server.complete) == ([b"5"], b"", True)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("chunks", [[], [b"body"], [b""]], ids=["nothing", "chunk", "empty"])
@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
async def test_status_without_a_body_has_none_and_no_added_length(
    status: str, chunks: list[bytes], make: Callable[[list[bytes]], Iterable[bytes]]
) -> None:
    """RFC 9110, 6.4.1 and 8.6: 204 and 304 end with their headers; 204 must not have a length."""
    server = await serve(WsgiToAsgi(responding(make(chunks), status=status)))

    assert (server.status, server.headers) == (int(status[:3]), [])
    assert (server.body, server.complete) == (b"", True)


async def test_not_modified_may_declare_the_length_of_the_full_response() -> None:
    """RFC 9110, 8.6: 304 may have the length that 200 would have had."""
    server = await serve(WsgiToAsgi(responding([], status="304 Not Modified", length=1000)))

    assert (server.header(b"content-length"), server.body, server.complete) == ([b"1000"], b"", True)


async def test_reset_content_has_length_zero() -> None:
    """RFC 9110, 15.3.6: 205 has no content, and says so."""
    server = await serve(WsgiToAsgi(responding([], status="205 Reset Content")))

    assert (server.header(b"content-length"), server.body, server.complete) == ([b"0"], b"", True)
