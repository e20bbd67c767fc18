"""What an application does after its last message: background tasks, and who waits for them."""

from __future__ import annotations

import logging
import threading

import anyio
import anyio.lowlevel
import pytest

from bridge.asgi_to_wsgi import exchange
from tests.asgi import Message, Receive, Scope, Send, happened, wait
from tests.asgi_to_wsgi.kinds import Serve, chunk, kinds, last, start
from tests.asgi_to_wsgi.server import Input, request, upload


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a delivered response leaves to do takes its time: the grace is for clients that left."""
    monkeypatch.setattr(exchange, "DISCONNECT_GRACE", 0.0)


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_background_runs_after_the_server_has_the_whole_response(serve: Serve, chunks: int) -> None:
    """DESIGN: the client does not wait for it. What comes before the last message is no background."""
    steps: list[str] = []
    done = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for _ in range(chunks):
            await send(chunk(b"x"))
        await send(last(b"y"))
        steps.append("first")
        await anyio.lowlevel.checkpoint()
        steps.append("second")
        done.set()

    response = serve(application).start()
    while response.next() is not None:
        steps.append("taken")
    steps.append("closed")
    response.close()
    wait(done)

    assert response.body == b"x" * chunks + b"y"
    assert steps[-3:] == ["closed", "first", "second"]


@kinds(lambda kind: not kind.shared)
def test_close_waits_for_the_background_of_a_request_loop(serve: Serve) -> None:
    """The loop is given back then; however long it takes, it is not cancelled."""
    steps: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(last(b"x"))
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(0.01):
            await anyio.sleep_forever()
        steps.append("done")

    serve(application, shutdown_timeout=0).serve()

    assert steps == ["done"]


@kinds(lambda kind: kind.shared)
def test_close_does_not_wait_for_the_background_of_a_shared_loop(serve: Serve) -> None:
    """The loop goes on by itself, and the server's thread is free."""
    closed = threading.Event()
    done = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(last(b"x"))
        await happened(closed)
        done.set()

    serve(application).serve()
    assert not done.is_set()
    closed.set()
    wait(done)


def test_receive_says_disconnect_after_the_response(serve: Serve) -> None:
    """ASGI, "Disconnect": also if receive is called after a response has been sent."""
    got: list[Message] = []
    done = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        await send(last(b"x"))
        got.append(await receive())
        got.append(await receive())
        done.set()

    serve(application).serve()
    wait(done)

    assert got == [{"type": "http.disconnect"}] * 2


@pytest.mark.parametrize("length", [5, 200_000])
def test_body_is_not_read_after_the_response(serve: Serve, length: int) -> None:
    """The server may take the connection's next request from its input."""
    source = Input(b"x" * length)
    got: list[Message] = []
    done = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(last(b"x"))
        got.append(await receive())
        done.set()

    serve(application).serve(upload(source, length))
    wait(done)

    assert (got, source.sizes) == ([{"type": "http.disconnect"}], [])


def test_receive_that_waits_is_told(serve: Serve) -> None:
    """A task that watches for the end of the exchange."""
    got: list[str] = []
    done = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        async def watch() -> None:
            await receive()
            got.append((await receive())["type"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await send(start())
            await send(chunk(b"x"))
            await send(last(b"y"))
        done.set()

    assert serve(application).serve().body == b"xy"
    wait(done)

    assert got == ["http.disconnect"]


def test_error_in_the_background_is_logged(serve: Serve, bridge_log: list[logging.LogRecord]) -> None:
    """The server has its response; what it cannot be told has to be somewhere."""
    error = LookupError("in the background")
    done = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(start())
            await send(last(b"x"))
            await anyio.lowlevel.checkpoint()
            raise error
        finally:
            done.set()

    server = serve(application)
    assert server.serve().body == b"x"
    wait(done)
    for adapter in [server.application]:
        adapter.close()  # type: ignore[attr-defined]

    records = [record for record in bridge_log if record.exc_info]
    assert [(record.levelname, record.exc_info and record.exc_info[1]) for record in records] == [("ERROR", error)]


def test_message_after_the_last_is_an_error(serve: Serve, bridge_log: list[logging.LogRecord]) -> None:
    done = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(last(b"x"))
        try:
            await send(chunk(b"y"))
        finally:
            done.set()

    server = serve(application)
    assert server.serve().body == b"x"
    wait(done)
    server.application.close()  # type: ignore[attr-defined]

    texts = [str(record.exc_info[1]) for record in bridge_log if record.exc_info]
    assert texts == ["the application sent http.response.body after the response was complete"]


@kinds(lambda kind: not kind.shared)
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
def test_exit_in_the_background_reaches_the_server(serve: Serve, error: BaseException) -> None:
    """From close(): it is the server's thread that it is to end."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(last(b"x"))
        await anyio.lowlevel.checkpoint()
        raise error

    response = serve(application).start()
    assert response.read().body == b"x"
    with pytest.raises(type(error)) as raised:
        response.close()

    assert raised.value is error


@kinds(lambda kind: kind.shared)
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
def test_exit_in_the_background_does_not_end_a_shared_loop(
    serve: Serve, error: BaseException, bridge_log: list[logging.LogRecord]
) -> None:
    """No thread of the server is there that it could end, and other requests need the loop."""
    closed = threading.Event()
    done = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(last(b"x"))
        if scope["path"] == "/exit":
            await happened(closed)
            done.set()
            raise error

    server = serve(application)
    server.serve(request(path="/exit"))
    closed.set()
    wait(done)
    assert server.serve().body == b"x"
    server.application.close()  # type: ignore[attr-defined]

    assert [record.exc_info[1] for record in bridge_log if record.exc_info] == [error]


@kinds(lambda kind: not kind.shared and not kind.is_trio)
@pytest.mark.parametrize("when", ["before", "after"])
def test_task_that_is_left_behind_is_cancelled_with_a_warning(
    serve: Serve, when: str, bridge_log: list[logging.LogRecord]
) -> None:
    """Issue: one warning that names the coroutine; no "Task was destroyed"."""
    import asyncio

    cancelled: list[bool] = []
    tasks: list[asyncio.Task[None]] = []

    async def left_behind() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if when == "before":
            tasks.append(asyncio.create_task(left_behind()))
        await send(start())
        await send(last(b"x"))
        if when == "after":
            tasks.append(asyncio.create_task(left_behind()))
            await asyncio.sleep(0)

    server = serve(application)
    assert [server.serve().body for _ in range(2)] == [b"x", b"x"]

    warnings = [record.getMessage() for record in bridge_log if record.levelno == logging.WARNING]
    assert [("left_behind" in warning) for warning in warnings] == [True, True]
    assert cancelled == [True, True]


@kinds(lambda kind: not kind.shared)
def test_task_that_ends_with_its_request_is_no_news(serve: Serve) -> None:
    """What the application itself awaits is not left behind."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(last(b"x"))
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(anyio.sleep, 0)

    assert serve(application).serve().body == b"x"
