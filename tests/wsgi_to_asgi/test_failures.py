"""Errors of the application and of the server: what leaves the coroutine, and what the client has got by then."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from bridge import ApplicationError, ClientDisconnected, WsgiToAsgi
from tests.asgi import Environ, FakeServer, StartResponse, happened, serve, upload_scope, wait


class Failing:
    """An application that raises *error* after it has produced *chunks*."""

    def __init__(self, error: BaseException, *chunks: bytes, started: bool = True) -> None:
        self.error = error
        self.chunks = chunks
        self.started = started

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        if self.started:
            start_response("200 OK", [])
        yield from self.chunks
        raise self.error


def ok(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answer."""
    start_response("200 OK", [])
    return [b"ok"]


@pytest.mark.parametrize("started", [False, True], ids=["before start_response", "headers held"])
async def test_error_before_the_headers_is_raised_as_it_was(started: bool) -> None:
    """DESIGN, "Response": the server, or a middleware, answers with its own error page."""
    error = LookupError("the application's own")
    adapter = WsgiToAsgi(Failing(error, started=started))
    server = FakeServer()

    with pytest.raises(LookupError) as raised:
        await server.serve(adapter)

    assert (raised.value is error, server.sent) == (True, [])
    assert (adapter.stats().failed, adapter.stats().served) == (1, 0)


async def test_error_in_the_call_is_raised_with_its_traceback() -> None:
    """Whoever debugs the application finds the line that raised."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise LookupError("in the call")

    with pytest.raises(LookupError) as raised:
        await serve(WsgiToAsgi(application))

    assert raised.traceback[-1].name == "application"


@pytest.mark.parametrize("chunks", [[b"a"], [b"a", b"b"], [b"x" * 200_000]], ids=["one", "two", "large"])
async def test_error_after_the_headers_cuts_the_response(chunks: list[bytes]) -> None:
    """DESIGN: what was produced is sent, then the error is raised; a truncated response never looks complete."""
    error = LookupError("the application's own")
    adapter = WsgiToAsgi(Failing(error, *chunks))
    server = FakeServer()

    with pytest.raises(LookupError) as raised:
        await server.serve(adapter)

    assert raised.value is error
    assert (server.body, server.complete) == (b"".join(chunks), False)
    assert (adapter.stats().failed, adapter.stats().served) == (1, 0)


async def test_error_while_the_client_is_slow_is_raised_after_what_was_produced() -> None:
    """The application may have failed long before its last chunk is taken."""
    failed = threading.Event()

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"a"
            yield b"b"
            raise LookupError("early")

        def close(self) -> None:
            failed.set()

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Body()

    server = FakeServer()
    server.hold()

    async def fail_early() -> None:
        async with server.serving(WsgiToAsgi(application)):
            await happened(failed)
            server.release()

    with pytest.raises(LookupError, match="early"):
        await fail_early()

    assert (server.body, server.complete) == (b"ab", False)


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError("not a cancellation"),
        BaseException("base"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("where", ["call", "iteration", "after the headers", "close"])
async def test_what_would_end_more_than_an_exchange_becomes_an_application_error(
    error: BaseException, where: str
) -> None:
    """Issue 2, "Survives": neither the event loop nor the worker thread ends with it."""

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            if where == "after the headers":
                yield b"left"
            if where != "close":
                raise error

        def close(self) -> None:
            if where == "close":
                raise error

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/ok":
            return ok(environ, start_response)
        if where == "call":
            raise error
        start_response("200 OK", [])
        return Body()

    adapter = WsgiToAsgi(application, threads=1)
    with pytest.raises(ApplicationError, match=type(error).__name__) as raised:
        await serve(adapter)

    assert raised.value.__cause__ is error
    thread = adapter.stats().threads
    assert (await serve(WsgiToAsgi(ok))).body == b"ok"
    assert adapter.stats().threads == thread == 1


async def test_error_that_cannot_be_shown_ends_its_exchange() -> None:
    """Nothing hangs: the worker thread does not die of an error that it tries to describe."""

    class Mute(BaseException):
        def __str__(self) -> str:
            raise LookupError("in __str__()")

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise Mute

    with pytest.raises(ApplicationError, match="Mute") as raised:
        await serve(WsgiToAsgi(application))

    assert isinstance(raised.value.__cause__, Mute)


async def test_stop_iteration_reaches_the_coroutine_as_an_error() -> None:
    """PEP 479: a coroutine cannot raise StopIteration, so it is the cause of what it raises."""
    error = StopIteration("next() without a default")

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise error

    server = FakeServer()
    with pytest.raises((ApplicationError, RuntimeError)) as raised:
        await server.serve(WsgiToAsgi(application))

    assert (raised.value.__cause__ is error, server.sent) == (True, [])


@pytest.mark.parametrize("after", [0, 1, 2, 5])
async def test_error_of_send_leaves_the_coroutine_and_stops_the_application(after: int) -> None:
    """DESIGN, "Disconnects": the next write raises ClientDisconnected, the original error leaves the coroutine."""
    error = LookupError("in send()")
    told: list[ClientDisconnected] = []
    over = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [])
        try:
            while True:
                write(b"x")
        except ClientDisconnected as disconnected:
            told.append(disconnected)
            raise
        finally:
            over.set()

    adapter = WsgiToAsgi(application)
    server = FakeServer()
    server.fail_send(error, after=after)
    with pytest.raises(LookupError) as raised:
        await server.serve(adapter)

    await happened(over)
    assert (raised.value is error, len(told), server.complete) == (True, 1, False)


async def test_error_of_send_at_the_last_message_is_raised() -> None:
    """The response did not arrive, whatever the application thinks."""
    error = LookupError("in send()")
    server = FakeServer()
    server.fail_send(error, after=1)
    adapter = WsgiToAsgi(ok)

    with pytest.raises(LookupError) as raised:
        await server.serve(adapter)

    assert (raised.value is error, adapter.stats().served) == (True, 0)


async def test_error_of_send_is_told_to_a_writer_that_waits_for_room() -> None:
    """A thread that waits for a slow client does not wait for ever when the server gives up."""
    full, over = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [])
        try:
            write(b"x" * 100)
            full.set()
            while True:
                write(b"x" * 100)
        finally:
            over.set()

    server = FakeServer()
    server.hold()
    server.fail_send(OSError("gone"))

    async def give_up() -> None:
        async with server.serving(WsgiToAsgi(application, response_buffer=1000)):
            await happened(full)
            server.release()

    with pytest.raises(OSError, match="gone"):
        await give_up()
    await happened(over)


async def test_client_that_left_counts_as_disconnected_when_send_says_so() -> None:
    """ASGI 2.4, "Disconnected Client": send() raises an OSError once the client is gone."""
    server = FakeServer()
    server.fail_send(ConnectionResetError("gone"), after=1)
    adapter = WsgiToAsgi(ok)

    with pytest.raises(ConnectionResetError):
        await server.serve(adapter)

    assert (adapter.stats().disconnected, adapter.stats().failed) == (1, 0)


async def test_error_after_the_coroutine_left_is_logged(bridge_log: list[Any]) -> None:
    """Nobody is left to raise it to, and it must not be lost."""
    error = LookupError("too late")
    called, go, over = threading.Event(), threading.Event(), threading.Event()

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            called.set()
            wait(go)
            yield from ()
            raise error

        def close(self) -> None:
            over.set()

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Body()

    server = FakeServer()
    adapter = WsgiToAsgi(application, threads=1)
    async with server.serving(adapter):
        await happened(called)
        server.cancel()
    go.set()
    await happened(over)
    with pytest.raises(LookupError):
        await serve(adapter)  # the only worker thread is done with the first exchange when it takes this one

    assert [(record.levelname, record.exc_info[1]) for record in bridge_log] == [("ERROR", error)]


async def test_disconnect_that_the_application_was_told_of_is_not_logged() -> None:
    """An application that stops because it was told to is no error: the log stays empty."""
    called, go, over = threading.Event(), threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        called.set()
        wait(go)
        try:
            environ["wsgi.input"].read()
        finally:
            over.set()
        return []

    server = FakeServer()
    async with server.serving(WsgiToAsgi(application, request_buffer=1), upload_scope(10)):
        await happened(called)
        server.cancel()
    go.set()
    await happened(over)
