"""Servers that close a response early, or forget it: how the application is told, and how it ends."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from bridge import ClientDisconnected
from bridge.asgi_to_wsgi import exchange, left_overs, loop_threads
from tests.asgi import Receive, Scope, Send, happened, wait
from tests.asgi_to_wsgi.kinds import Kind, Serve, chunk, kinds, last, start
from tests.asgi_to_wsgi.server import Input, Response, request, upload

SHORT = 0.01  # seconds


@pytest.fixture(autouse=True)
def _long_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application that has to be cancelled where it should not be fails its test."""
    monkeypatch.setattr(exchange, "DISCONNECT_GRACE", 60.0)


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "DISCONNECT_GRACE", SHORT)
    for module in (left_overs, loop_threads):
        monkeypatch.setattr(module, "LEFT_OVER_GRACE", SHORT)


def test_receive_says_that_the_client_left(serve: Serve) -> None:
    """ASGI, "Disconnect"; again on each later call. The application ends by itself, and close() waits for that."""
    told: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())

        async def watch() -> None:
            told.extend([(await receive())["type"] for _ in range(3)])
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await send(chunk(b"x"))
            await anyio.sleep_forever()

    response = serve(application).start()
    assert (response.next(), told) == (b"x", [])
    response.close()

    assert told == ["http.disconnect"] * 3


def test_send_says_that_the_client_left(serve: Serve) -> None:
    """Specification 2.4: send() raises an OSError; a generator that is in it can end."""
    errors: list[OSError] = []
    ended = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            while True:
                await send(chunk(b"x" * 100))
        except OSError as error:
            errors.append(error)
        for _ in range(2):
            with pytest.raises(OSError, match="client is gone"):
                await send(last(b"more"))
        ended.set()

    response = serve(application, response_buffer=1000).start()
    response.next()
    response.close()

    assert (len(errors), isinstance(errors[0], ClientDisconnected), ended.is_set()) == (1, True, True)


@pytest.mark.parametrize("way", ["passed on", "grouped", "cause of another"])
def test_error_of_send_that_ends_the_application_is_no_news(serve: Serve, way: str) -> None:
    """Most applications let it pass, or their task group does, or (Litestar) they raise their own from that; nothing
    is logged and close() raises nothing."""

    async def stream(send: Send) -> None:
        while True:
            await send(chunk(b"x"))

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        if way == "passed on":
            await stream(send)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stream, send)
        except Exception as error:
            if way == "grouped":
                raise
            raise RuntimeError("exception caught after the response had started") from error

    response = serve(application, response_buffer=10).start()
    response.next()
    response.close()


def test_response_that_is_closed_before_its_first_chunk_is_taken(serve: Serve) -> None:
    """A HEAD request in some servers, or a client that left at once."""
    errors: list[OSError] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            await send(last(b"x"))
        except OSError as error:
            errors.append(error)

    response = serve(application).start()
    response.close()

    assert len(errors) == 1


def test_two_tasks_in_send_are_both_told(serve: Serve) -> None:
    """Whatever the application waits in, it is let go."""
    errors: list[OSError] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        async def stream() -> None:
            try:
                while True:
                    await send(chunk(b"x"))
            except OSError as error:
                errors.append(error)

        await send(start())
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(stream)

    response = serve(application, response_buffer=10).start()
    for _ in range(5):
        response.next()
    response.close()

    assert len(errors) == 3


def test_application_that_goes_on_is_cancelled(serve: Serve, short_grace: None) -> None:
    """After the grace period; its finally blocks run, those that await included."""
    steps: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            try:
                await send(chunk(b"x"))
            except OSError:
                pass
            await anyio.sleep_forever()
        finally:
            steps.append("cancelled")
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            steps.append("put away")

    response = serve(application).start()
    response.next()
    response.close()

    assert steps == ["cancelled", "put away"]


def test_application_that_ends_within_the_grace_period_is_not_cancelled(serve: Serve) -> None:
    steps: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        try:
            await send(chunk(b"x"))
            steps.append((await receive())["type"])
        except OSError:
            steps.append("http.disconnect")
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(SHORT):
            await anyio.sleep_forever()
        steps.append("put away")

    response = serve(application).start()
    response.close()

    assert steps == ["http.disconnect", "put away"]


@pytest.mark.parametrize("taken", [True, False])
def test_application_that_ignores_its_cancellation_is_reported(
    serve: Serve, short_grace: None, taken: bool, bridge_log: list[logging.LogRecord], kind: Kind
) -> None:
    """It is left alone, and the server's thread goes on."""
    release: list[Callable[[], object]] = []
    over = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        stay = anyio.Event()
        token = anyio.lowlevel.current_token()
        release.append(lambda: anyio.from_thread.run_sync(stay.set, token=token))
        await send(start())
        try:
            # asyncio's cancellation passes the shield, and a task that is lost in one is never collected.
            with anyio.CancelScope(shield=True) if kind.is_trio else nullcontext():
                try:
                    await send(chunk(b"x"))
                except OSError:
                    pass
                await _stubborn(stay)
        finally:
            over.set()

    response = serve(application, shutdown_timeout=SHORT).start(request(path="/stubborn"))
    if taken:
        response.next()
    response.close()

    errors = [record.getMessage() for record in bridge_log if record.levelno >= logging.ERROR]
    assert "although it was cancelled" in errors[0]
    assert "GET /stubborn" in errors[0]
    assert "shutdown_timeout" in errors[0]
    del response
    if kind.shared or kind.is_trio:  # elsewhere its loop is gone
        release.pop()()
        wait(over)


async def _stubborn(stay: anyio.Event) -> None:
    """Wait for *stay*, whatever is cancelled."""
    while not stay.is_set():
        try:
            await stay.wait()
        except GeneratorExit:
            raise
        except BaseException:
            continue


@pytest.mark.parametrize("cause", [None, ConnectionRefusedError("the database")], ids=["by itself", "from another"])
def test_other_error_after_the_disconnect_is_logged(
    serve: Serve, bridge_log: list[logging.LogRecord], cause: OSError | None
) -> None:
    """The server has closed, so nobody else would hear of it."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            while True:
                await send(chunk(b"x"))
        finally:
            raise LookupError("while putting away") from cause

    response = serve(application, response_buffer=10).start()
    response.close()

    assert [(record.levelname, type(record.exc_info[1])) for record in bridge_log if record.exc_info] == [
        ("ERROR", LookupError)
    ]


def test_server_goes_on_after_a_client_that_left(serve: Serve, short_grace: None) -> None:
    """The loop of a request that was cancelled is clean for the next."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(chunk(b"x"))
        if scope["path"] == "/stays":
            await anyio.sleep_forever()
        await send(last(b"y"))

    server = serve(application)
    for _ in range(3):
        response = server.start(request(path="/stays"))
        response.next()
        response.close()
        assert server.serve().body == b"xy"


@kinds(lambda kind: kind.shared)
def test_other_requests_of_a_shared_loop_do_not_notice(serve: Serve, short_grace: None) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(chunk(b"x"))
        if scope["path"] == "/stays":
            await anyio.sleep_forever()
        await happened(left)
        await send(last(b"y"))

    left = threading.Event()
    server = serve(application)
    other = server.start()
    response = server.start(request(path="/stays"))
    response.close()
    left.set()
    assert other.read().body == b"xy"
    other.close()


def test_client_that_leaves_during_its_upload(serve: Serve) -> None:
    """The thread that reads ahead ends, and what is left of the body is not read."""
    source = Input(*[b"x" * 1000] * 1000)
    told: list[Any] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        try:
            while True:  # until the client has left: an application that reads on at once may be faster than that
                await send(chunk(bytes(100_000)))
        except OSError as error:
            told.append(type(error))
        while (await receive())["type"] != "http.disconnect":  # what has been read before may still come
            pass
        told.append("http.disconnect")

    response = serve(application).start(upload(source, 1_000_000))
    response.close()

    assert told[-1:] == ["http.disconnect"]
    assert source.given < 1_000_000


# -- servers that do not call close() -------------------------------------------------------------------------


def test_iterable_that_is_dropped_ends_the_exchange(serve: Serve) -> None:
    """Uvicorn's own WSGI never calls close(), not even after the whole response (SERVERS.md 3.2)."""
    steps: list[str] = []
    ended = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            while True:
                await send(chunk(b"x"))
        except OSError:
            steps.append("told")
        ended.set()

    response = serve(application, response_buffer=10).start(validated=False)
    response.next()
    response.drop()
    gc.collect()
    wait(ended)

    assert steps == ["told"]


def test_whole_response_that_is_dropped_is_delivered(serve: Serve) -> None:
    """The application goes on after its last message."""
    steps: list[str] = []
    ended = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(last(b"x"))
        steps.append("background")
        ended.set()

    response: Response = serve(application).start(validated=False)
    response.read()
    assert steps == []
    response.drop()
    gc.collect()
    wait(ended)

    assert steps == ["background"]
