"""close() of the iterable: once, in the thread and the context of the call, however the exchange ends."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from bridge import ApplicationError, WsgiToAsgi
from tests.asgi import Environ, FakeServer, StartResponse, happened, http_scope, serve

PLAIN = [("Content-Type", "text/plain")]

where = contextvars.ContextVar("where", default="nowhere")


class Closeable:
    """An iterable that notes where it was called, iterated and closed."""

    def __init__(
        self, chunks: Iterable[bytes] = (), *, error: Exception | None = None, close_error: Exception | None = None
    ) -> None:
        self.chunks = chunks
        self.error = error
        self.close_error = close_error
        self.seen: list[tuple[str, int, str]] = []
        self.over = threading.Event()  # closed at least once

    def note(self, what: str) -> None:
        self.seen.append((what, threading.get_ident(), where.get()))

    def __call__(self, environ: Environ, start_response: StartResponse) -> Closeable:
        where.set("set by the call")
        self.note("called")
        start_response("200 OK", PLAIN)
        return self

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.note("iterated")
            yield chunk
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.note("closed")
        self.over.set()
        if self.close_error is not None:
            raise self.close_error

    @property
    def closed(self) -> int:
        """How often."""
        return [what for what, _, _ in self.seen].count("closed")


async def test_call_iteration_and_close_share_one_thread_and_one_context() -> None:
    """DESIGN, "The exchange": a framework keeps its request in a thread local or a context variable."""
    iterable = Closeable([b"a", b"b"])

    await serve(WsgiToAsgi(iterable))

    assert [what for what, _, _ in iterable.seen] == ["called", "iterated", "iterated", "closed"]
    assert len({thread for _, thread, _ in iterable.seen}) == 1
    assert iterable.seen[0][1] != threading.get_ident()
    assert {context for _, _, context in iterable.seen} == {"set by the call"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("chunks", [[], [b""], [b"a", b"b"]], ids=["nothing", "empty", "chunks"])
async def test_iterable_is_closed_once(method: str, chunks: list[bytes]) -> None:
    """PEP 3333: close() must be called upon completion of the request, whatever the method."""
    iterable = Closeable(chunks)

    await serve(WsgiToAsgi(iterable), http_scope(method))

    assert iterable.closed == 1


@pytest.mark.parametrize("chunks", [[], [b"a"]], ids=["before the headers", "after the headers"])
async def test_iterable_that_fails_is_closed_once(chunks: list[bytes]) -> None:
    """PEP 3333: close() must be called also if the iteration ends with an error."""
    iterable = Closeable(chunks, error=LookupError("in the iteration"))

    with pytest.raises(LookupError, match="in the iteration"):
        await serve(WsgiToAsgi(iterable))

    assert iterable.closed == 1


async def test_iterable_that_breaks_the_rules_is_closed_once() -> None:
    """close() is called also if it is the bridge that refuses a chunk."""
    iterable = Closeable(["text"])  # type: ignore[list-item]

    with pytest.raises(ApplicationError):
        await serve(WsgiToAsgi(iterable))

    assert iterable.closed == 1


async def test_iterable_is_closed_once_when_send_fails() -> None:
    """An error of the server ends the exchange like any other."""
    iterable = Closeable(iter(lambda: b"x", b""))  # without end
    server = FakeServer()
    server.fail_send(OSError("gone"), after=2)

    with pytest.raises(OSError, match="gone"):
        await server.serve(WsgiToAsgi(iterable))

    await happened(iterable.over)
    assert iterable.closed == 1


async def test_iterable_is_closed_once_when_the_client_leaves() -> None:
    """A client that goes away in the middle of a response ends the iteration."""
    iterable = Closeable(iter(lambda: b"x", b""))  # without end
    server = FakeServer()

    async with server.serving(WsgiToAsgi(iterable)):
        await server.until(lambda: server.body)
        server.disconnect()

    await happened(iterable.over)
    assert iterable.closed == 1


async def test_error_in_close_after_a_complete_response_is_raised() -> None:
    """The client has its response; the server is told that something went wrong."""
    error = LookupError("in close()")
    server = FakeServer()

    with pytest.raises(LookupError) as raised:
        await server.serve(WsgiToAsgi(Closeable([b"whole"], close_error=error)))

    assert raised.value is error
    assert (server.body, server.complete) == (b"whole", True)


async def test_error_in_close_after_another_error_is_logged(bridge_log: list[Any]) -> None:
    """The first error says what went wrong; the second is not lost."""
    second = LookupError("in close()")
    iterable = Closeable([b"a"], error=ValueError("in the iteration"), close_error=second)

    with pytest.raises(ValueError, match="in the iteration"):
        await serve(WsgiToAsgi(iterable))

    assert [record.exc_info[1] for record in bridge_log] == [second]


async def test_generator_is_closed_in_its_own_context() -> None:
    """The clean-up of a generator that is cut short sees the context variables it has set."""
    seen: list[tuple[str, bool]] = []
    over = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        thread = threading.get_ident()
        where.set("set by the generator")
        start_response("200 OK", PLAIN)
        try:
            while True:
                yield b"x"
        finally:
            seen.append((where.get(), threading.get_ident() == thread))
            over.set()

    server = FakeServer()
    server.fail_send(OSError("gone"), after=2)
    with pytest.raises(OSError, match="gone"):
        await server.serve(WsgiToAsgi(application))

    await happened(over)
    assert seen == [("set by the generator", True)]
