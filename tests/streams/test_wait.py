"""bridge.wait(): the view returns, the response comes later, and no thread waits for it."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from bridge import ApplicationError, ConfigurationError, ServerSentEvent, WsgiToAsgi, wait
from tests.asgi import Application, Environ, FakeServer, StartResponse, http_scope, serve
from tests.streams.items import idle, until

CONTENT_TYPE = ("Content-Type", "text/plain")


def waiting(make: Callable[[], Any], *, status: str = "200 OK", **options: Any) -> Application:
    """Make an application that waits for what *make* returns."""

    def application(environ: Environ, start_response: StartResponse) -> Any:
        start_response(status, [CONTENT_TYPE, ("X-Kept", "yes")])
        return wait(make(), **options) if environ["PATH_INFO"] == "/" else [b"plain"]

    return application


async def result(value: Any) -> Any:
    """Give *value*, later."""
    await anyio.lowlevel.checkpoint()
    return value


@pytest.mark.parametrize(
    ("value", "body"),
    [
        pytest.param(b"bytes", b"bytes", id="bytes"),
        pytest.param("é", "é".encode(), id="text is UTF-8"),
        pytest.param(ServerSentEvent("a"), b"data: a\n\n", id="an event"),
    ],
)
async def test_result_is_the_body(value: Any, body: bytes) -> None:
    """With the head that the view has given."""
    server = await serve(WsgiToAsgi(waiting(lambda: result(value))))

    assert (server.status, server.body, server.header(b"content-type")) == (200, body, [b"text/plain"])


async def test_function_is_called_on_the_loop() -> None:
    """For what has to be made there."""
    threads = []

    def make() -> Awaitable[bytes]:
        threads.append(threading.get_ident())
        return result(b"made")

    server = await serve(WsgiToAsgi(waiting(lambda: make)))

    assert (server.body, threads) == (b"made", [threading.get_ident()])


async def test_no_thread_waits() -> None:
    """The only one serves others meanwhile."""
    event = anyio.Event()

    async def happens() -> bytes:
        await event.wait()
        return b"happened"

    adapter = WsgiToAsgi(waiting(happens), threads=1)
    server = FakeServer()
    async with server.serving(adapter):
        await idle(adapter, 1)
        assert (await serve(adapter, http_scope(path="/plain"))).body == b"plain"
        event.set()

    assert (server.status, server.body) == (200, b"happened")


@pytest.mark.parametrize("value", [None, b"", ""], ids=repr)
async def test_no_result_is_204(value: Any) -> None:
    """RFC 9110, 15.3.5 and 8.6: without a body, and without a length; other headers stay."""
    server = await serve(WsgiToAsgi(waiting(lambda: result(value))))

    assert (server.status, server.headers, server.body) == (204, [(b"x-kept", b"yes")], b"")


async def test_status_of_the_applications_choice_stays() -> None:
    """Only 200 says that there is a body."""
    server = await serve(WsgiToAsgi(waiting(lambda: result(None), status="404 Not Found")))

    assert (server.status, server.header(b"content-type"), server.body) == (404, [b"text/plain"], b"")


@pytest.mark.parametrize(("default", "status"), [(None, 204), (b"nothing new", 200)])
@pytest.mark.parametrize("seconds", [0, 0.001])
async def test_timeout_gives_the_default(default: bytes | None, status: int, seconds: float) -> None:
    """What is awaited is cancelled."""
    over = []

    async def never() -> bytes:
        try:
            await anyio.sleep_forever()
        finally:
            over.append(True)
        return b"never"

    server = await serve(WsgiToAsgi(waiting(lambda: never, timeout=seconds, default=default)))

    assert (server.status, server.body, over) == (status, default or b"", [True])


async def test_what_a_middleware_adds_is_sent() -> None:
    """It is a body, so that the response is no 204."""
    inside = waiting(lambda: result(None))

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        yield from inside(environ, start_response)
        yield b"footer"

    server = await serve(WsgiToAsgi(application))

    assert (server.status, server.body) == (200, b"footer")


async def test_view_that_awaits_itself_decides_itself() -> None:
    """What it has iterated is not its response."""

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        assert b"".join(wait(result(None))) == b""
        start_response("200 OK", [])
        yield b""

    assert (await serve(WsgiToAsgi(application))).status == 200


async def test_error_is_the_applications() -> None:
    """As of a view."""

    async def fails() -> bytes:
        raise LookupError

    with pytest.raises(LookupError):
        await serve(WsgiToAsgi(waiting(fails)))


async def test_result_of_another_kind_is_an_error() -> None:
    """Which says what came."""
    with pytest.raises(ApplicationError, match="gave dict"):
        await serve(WsgiToAsgi(waiting(lambda: result({}))))


async def test_head_awaits_nothing() -> None:
    """Frameworks close a body that they do not send; the coroutine is closed with it, without a warning."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        wait(result(b"body")).close()
        return []

    assert (await serve(WsgiToAsgi(application), http_scope("HEAD"))).body == b""


async def test_client_that_leaves_cancels_what_is_awaited() -> None:
    """At once."""
    log = []

    async def never() -> bytes:
        log.append("begins")
        try:
            await anyio.sleep_forever()
        finally:
            log.append("ends")
        return b""

    adapter = WsgiToAsgi(waiting(never))
    server = FakeServer()
    async with server.serving(adapter):
        await until(lambda: log)
        server.disconnect()

    assert (log, adapter.stats().disconnected) == (["begins", "ends"], 1)


@pytest.mark.parametrize("awaitable", [None, b"body"])
def test_what_cannot_be_awaited_is_refused(awaitable: Any) -> None:
    """In the view, where the mistake is."""
    with pytest.raises(ConfigurationError, match="takes an awaitable"):
        wait(awaitable)


@pytest.mark.parametrize("timeout", [-1, "1", float("nan")])
def test_timeout_is_a_number_of_seconds(timeout: Any) -> None:
    """Or none."""
    with pytest.raises(ConfigurationError, match="timeout is a number of seconds"):
        wait(lambda: result(None), timeout=timeout)
