"""bridge.stream() behind WsgiToAsgi: no thread, every byte, and a client that leaves."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import logging
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import partial
from queue import SimpleQueue
from typing import Any
from wsgiref.validate import validator

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from bridge import ApplicationError, ClientDisconnected, ConfigurationError, WorkerThreads, WsgiToAsgi, stream
from tests.asgi import (
    TIMEOUT,
    Application,
    Environ,
    FakeLifespan,
    FakeServer,
    StartResponse,
    happened,
    http_scope,
    on_asyncio,
    serve,
    wait,
)
from tests.streams.items import Source, Wrapped, got, idle, streaming, until
from tests.wsgi_to_asgi.websocket.playing import Player

variable = contextvars.ContextVar("variable", default="unset")


async def of(*items: Any) -> AsyncIterator[Any]:
    """Give *items*, and the loop a turn before each."""
    for item in items:
        await anyio.lowlevel.checkpoint()
        yield item


# -- the thread -------------------------------------------------------------------------------------------------


async def test_stream_that_gives_nothing_holds_no_thread() -> None:
    """The only thread serves others while the stream waits."""
    source = Source()
    adapter = WsgiToAsgi(streaming(source.items), threads=1)
    server = FakeServer()

    async with server.serving(adapter):
        await idle(adapter, 1, source)
        assert (await serve(adapter, http_scope(path="/plain"))).body == b"plain"
        for text in (b"a", b"b"):
            source.put(text)
            await got(server, text)
            await idle(adapter, 1, source)
            assert (await serve(adapter, http_scope(path="/plain"))).body == b"plain"
        source.end()

    assert (server.body, server.complete) == (b"ab", True)
    stats = adapter.stats()
    assert (stats.streams, stats.busy, stats.served, stats.threads) == (0, 0, 4, 1)


async def test_every_stream_gets_every_event_in_order() -> None:
    """A hundred streams, two threads, one source."""
    source = Source()
    adapter = WsgiToAsgi(streaming(source.items), threads=2)
    servers = [FakeServer() for _ in range(100)]

    async with anyio.create_task_group() as tasks:
        for server in servers:
            tasks.start_soon(server.serve, adapter)
        await idle(adapter, 100, source)
        for number in range(5):
            source.put(b"%d," % number)
            await anyio.lowlevel.checkpoint()
        source.end()

    assert {server.body for server in servers} == {b"0,1,2,3,4,"}
    assert adapter.stats().threads <= 2


async def test_iterable_runs_on_the_servers_event_loop() -> None:
    """And not in a thread: clients and pools of the loop work in it."""
    source = Source()
    adapter = WsgiToAsgi(streaming(source.items))
    server = FakeServer()

    async with server.serving(adapter):
        await until(lambda: source.running)
        source.end()

    assert source.threads == {threading.get_ident()}


async def test_items_are_bytes_text_or_events() -> None:
    """Text is sent as UTF-8; what is empty is nothing."""
    assert (await serve(WsgiToAsgi(streaming(lambda: of(b"a", "é", b"", "", b"z"))))).body == "aéz".encode()


async def test_another_kind_of_item_is_an_error() -> None:
    """It says which kinds there are, and what came."""
    with pytest.raises(ApplicationError, match="bytes, str or ServerSentEvent; the application's gave int 1"):
        await serve(WsgiToAsgi(streaming(lambda: of(1))))


@pytest.mark.parametrize("items", [iter([b"a"]), [b"a"], None, of])
def test_what_is_no_async_iterable_is_refused(items: Any) -> None:
    """In the view, where the mistake is."""
    with pytest.raises(ConfigurationError, match="async iterable"):
        stream(items)


@pytest.mark.parametrize("ping", [0, -1.0, "1", float("nan")])
def test_ping_is_a_number_of_seconds(ping: Any) -> None:
    """More than none."""
    with pytest.raises(ConfigurationError, match="ping is a number of seconds"):
        stream(of(), ping=ping)


async def test_async_iterable_need_not_be_a_generator() -> None:
    """Without aclose(), and with an iterator of its own."""

    class Items:
        def __aiter__(self) -> AsyncIterator[bytes]:
            return Iterating()

    class Iterating:
        def __init__(self) -> None:
            self._left = [b"c", b"b", b"a"]

        def __aiter__(self) -> Iterating:
            return self

        async def __anext__(self) -> bytes:
            await anyio.lowlevel.checkpoint()
            if not self._left:
                raise StopAsyncIteration
            return self._left.pop()

    assert (await serve(WsgiToAsgi(streaming(Items)))).body == b"abc"


@pytest.mark.parametrize("item", [b"x", b""], ids=["a byte", "nothing"])
async def test_iterable_that_awaits_nothing_leaves_the_loop_to_others(item: bytes) -> None:
    """An endless one: it is noticed that the client leaves."""

    async def endless() -> AsyncIterator[bytes]:
        yield b"first"
        while True:
            yield item

    adapter = WsgiToAsgi(streaming(endless))
    server = FakeServer()

    async with server.serving(adapter):
        await server.until(lambda: server.body)
        server.disconnect()

    assert adapter.stats().disconnected == 1


async def test_context_of_the_view_is_the_iterables() -> None:
    """What the view has set, and what the server had set before."""
    seen = []

    async def items() -> AsyncIterator[bytes]:
        seen.append(variable.get())
        variable.set("of the iterable")
        yield b"a"

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        seen.append(variable.get())
        variable.set("of the view")
        yield from stream(items())
        seen.append(variable.get())

    token = variable.set("of the server")
    try:
        await serve(WsgiToAsgi(application))
    finally:
        variable.reset(token)

    assert seen == ["of the server", "of the view", "of the view"]


async def test_application_goes_on_after_a_stream() -> None:
    """In its own context, and with another stream."""
    source = Source()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"<"
        yield from stream(source.items())
        yield b"|"
        yield from stream(source.items())
        yield b">"

    def begun(number: int) -> bool:
        return source.log.count("begins") == number

    adapter = WsgiToAsgi(application, threads=1)
    server = FakeServer()
    async with server.serving(adapter):
        for number, text in enumerate((b"a", b"b"), 1):
            await until(partial(begun, number))
            await idle(adapter, 1)
            source.put(text)
            source.end()

    assert server.body == b"<a|b>"


async def test_two_streams_at_a_time() -> None:
    """The application waits for each of them in its thread, and nothing is lost."""
    source = Source()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        one, other = filter(None, stream(source.items())), filter(None, stream(source.items()))
        for pair in zip(one, other, strict=True):
            yield b"".join(pair)

    adapter = WsgiToAsgi(application)
    server = FakeServer()
    async with server.serving(adapter):
        await until(lambda: source.running == 1)
        source.put(b"a")
        await until(lambda: source.running == 2)  # the second begins once the first has given something
        source.put(b"b", b"c")
        await server.until(lambda: len(server.body) == 4)
        server.disconnect()

    assert (server.body, source.running) == (b"abbc", 0)


async def test_view_may_iterate_the_stream_itself() -> None:
    """The empty chunks of it are nothing to be seen."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        body = b"".join(stream(of(b"a", b"b")))
        start_response("200 OK", [])
        return [body]

    server = await serve(WsgiToAsgi(application))

    assert (server.body, server.header(b"content-length")) == (b"ab", [b"2"])


async def test_stream_may_be_iterated_in_a_thread_of_the_applications_own() -> None:
    """A middleware that reads ahead: the thread of the exchange waits for it, and not the other way round."""
    source = Source()
    begun = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        body = stream(source.items())
        ahead: SimpleQueue[bytes | None] = SimpleQueue()

        def read() -> None:
            for chunk in body:
                assert chunk, "only the thread of the exchange can leave"
                ahead.put(chunk)
            ahead.put(None)

        begun.set()
        yield next(body)  # here, so that the stream is of this exchange
        thread = threading.Thread(target=read)
        thread.start()
        yield from iter(ahead.get, None)
        thread.join(TIMEOUT)
        body.close()

    adapter = WsgiToAsgi(application)
    server = FakeServer()
    async with server.serving(adapter):
        await happened(begun)
        await until(lambda: source.running)
        for text in (b"a", b"b"):
            source.put(text)
            await got(server, text)
        source.end()

    assert server.body == b"ab"


async def test_stream_is_a_valid_wsgi_iterable() -> None:
    """wsgiref.validate between it and the bridge finds nothing, and lets empty chunks pass."""
    source = Source()
    adapter = WsgiToAsgi(validator(streaming(source.items)), threads=1)
    server = FakeServer()

    async with server.serving(adapter):
        await idle(adapter, 1, source)
        source.put(b"a")
        await server.until(lambda: server.body)
        await idle(adapter, 1, source)
        source.end()

    assert (server.body, server.complete) == (b"a", True)


# -- what is in between -----------------------------------------------------------------------------------------


def swallowing(application: Application) -> Application:
    """Take empty chunks out, as a middleware does that compresses or rewrites."""

    def middleware(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        body = application(environ, start_response)
        try:
            yield from filter(None, body)
        finally:
            body.close()  # type: ignore[attr-defined]

    return middleware


async def test_middleware_that_takes_empty_chunks_costs_the_thread_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every byte leaves, at once; the log says why, once a stream."""
    caplog.set_level(logging.DEBUG, "bridge")
    source = Source()
    adapter = WsgiToAsgi(swallowing(streaming(source.items)))
    server = FakeServer()

    async with server.serving(adapter):
        await until(lambda: source.running and caplog.records)
        for text in (b"a", b"b", b"c"):
            source.put(text)
            await got(server, text)
            assert (adapter.stats().busy, adapter.stats().streams) == (1, 0)
        source.end()

    assert (server.body, server.complete) == (b"abc", True)
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "A stream holds its thread while it gives nothing"
    ]


async def test_streams_that_hold_their_threads_keep_no_other_from_going_on() -> None:
    """Half of the threads go on with streams; one that comes to hold its thread no longer counts."""
    free, before, held = Source(), Source(), Source()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/":
            yield from stream(free.items())
        else:
            yield from stream(before.items())  # without a thread
            yield from filter(None, stream(held.items()))  # with one

    adapter = WsgiToAsgi(application, threads=2)
    servers = [FakeServer() for _ in range(2)]
    async with (
        servers[0].serving(adapter),
        servers[1].serving(adapter, http_scope(path="/held")),
    ):
        await idle(adapter, 2, free, before)
        before.end()
        await until(lambda: held.running)
        free.put(b"a")
        await servers[0].until(lambda: servers[0].body)
        free.end()
        await servers[0].until(lambda: servers[0].complete)
        held.end()


async def test_iterable_of_a_middleware_without_close_leaves_nothing_behind() -> None:
    """PEP 3333 asks it to pass close() on; a stream outlives no exchange."""
    source = Source()

    def application(environ: Environ, start_response: StartResponse) -> Wrapped:
        start_response("200 OK", [("Content-Length", "1")])
        return Wrapped(stream(source.items()))

    server = FakeServer()
    async with server.serving(WsgiToAsgi(application)):
        await until(lambda: source.running)
        source.put(b"a")

    assert (server.body, source.running) == (b"a", 0)


async def test_nobody_waits_for_a_stream_of_which_nothing_can_leave() -> None:
    """The response has the length that it declared."""
    source = Source()

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        return stream(source.items())

    server = FakeServer()
    async with server.serving(WsgiToAsgi(application)):
        await until(lambda: source.running)
        source.put(b"ab")

    assert (server.body, source.log) == (b"ab", ["begins", "ends"])


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200 OK"), ("GET", "304 Not Modified"), ("GET", "204 None")])
async def test_response_without_a_body_waits_for_no_chunk(method: str, status: str) -> None:
    """It is complete as soon as the stream has nothing to give."""
    source = Source()
    server = FakeServer()

    async with server.serving(WsgiToAsgi(streaming(source.items, status=status)), http_scope(method)):
        pass

    assert (server.body, server.complete, source.running) == (b"", True, 0)


async def test_denial_of_a_websocket_may_be_a_stream() -> None:
    """Its thread is the WebSocket's own, and stays."""
    source = Source()
    adapter = WsgiToAsgi(streaming(source.items, status="403 Forbidden"))
    player = Player()

    async with player.playing(adapter):
        await until(lambda: source.running)
        assert (adapter.stats().websockets, adapter.stats().streams) == (1, 0)
        source.put(b"a")
        await until(lambda: len(player.sent) == 2)
        source.end()

    assert b"".join(message.get("body", b"") for message in player.sent) == b"a"


async def test_client_of_a_websocket_that_leaves_cancels_its_denial() -> None:
    """The same as of any other response."""
    source = Source()
    player = Player()

    async with player.playing(WsgiToAsgi(streaming(source.items, status="403 Forbidden"))):
        await until(lambda: source.running)
        player.feed({"type": "websocket.disconnect", "code": 1006})

    assert source.running == 0


# -- errors -----------------------------------------------------------------------------------------------------


async def test_error_before_the_first_chunk_is_an_error_of_the_application() -> None:
    """Nothing has left, so the server answers 500."""
    source = Source()
    adapter = WsgiToAsgi(streaming(source.items))
    server = FakeServer()

    with pytest.raises(LookupError):  # noqa: PT012 - the end of the block raises it
        async with server.serving(adapter):
            await idle(adapter, 1, source)
            source.put(LookupError())

    assert (server.sent, adapter.stats().failed) == ([], 1)


@pytest.mark.parametrize("ping", [None, 60.0])
async def test_error_after_a_chunk_cuts_the_response(ping: float | None) -> None:
    """What came before has left; the response does not look complete. No group is made of the error."""
    source = Source()
    server = FakeServer()

    with pytest.raises(LookupError):  # noqa: PT012 - the end of the block raises it
        async with server.serving(WsgiToAsgi(streaming(source.items, ping=ping))):
            await until(lambda: source.running)
            source.put(b"a", LookupError())

    assert (server.body.strip(b":\n"), server.complete) == (b"a", False)


async def test_error_goes_through_the_application() -> None:
    """A generator around the stream, a framework's handler, sees it."""
    source = Source()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            yield from stream(source.items())
        except LookupError:
            yield b"caught"

    adapter = WsgiToAsgi(application)
    server = FakeServer()
    async with server.serving(adapter):
        await idle(adapter, 1, source)
        source.put(LookupError())

    assert (server.body, server.complete) == (b"caught", True)


@on_asyncio
@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError])
async def test_what_is_no_exception_cuts_the_response_and_nothing_larger(error: type[BaseException]) -> None:
    """sys.exit() in an iterable ends no server, and a cancellation that came from nowhere is no end of a body."""

    async def items() -> AsyncIterator[bytes]:
        yield b"a"
        raise error

    server = FakeServer()
    with pytest.raises(ApplicationError, match=error.__name__):
        async with server.serving(WsgiToAsgi(streaming(items))):
            pass

    assert not server.complete


async def test_error_while_it_is_cancelled_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Of a finally block: nobody waits for the response, so that it is logged."""
    caplog.set_level(logging.DEBUG, "bridge")
    begun = anyio.Event()

    async def items() -> AsyncIterator[bytes]:
        try:
            begun.set()
            await anyio.sleep_forever()
            yield b""
        finally:
            raise LookupError

    adapter = WsgiToAsgi(streaming(items))
    server = FakeServer()
    async with server.serving(adapter):
        await begun.wait()
        await idle(adapter, 1)
        server.disconnect()

    errors = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert errors == [LookupError]


# -- clients that leave -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [0, 1])
async def test_client_that_leaves_cancels_the_stream(chunks: int) -> None:
    """First what runs on the loop ends, then close() is called in a worker thread, in the exchange's context."""
    source = Source()
    loop = threading.get_ident()

    class Body:
        def __init__(self) -> None:
            self._stream = stream(source.items())

        def __iter__(self) -> Iterator[bytes]:
            variable.set("of the exchange")
            return self._stream

        def close(self) -> None:
            source.log.append(f"close, {variable.get()}, {threading.get_ident() != loop}")
            self._stream.close()

    def application(environ: Environ, start_response: StartResponse) -> Body:
        start_response("200 OK", [])
        return Body()

    adapter = WsgiToAsgi(application)
    server = FakeServer()
    async with server.serving(adapter):
        await idle(adapter, 1, source)
        source.put(*[b"a"] * chunks)
        await server.until(lambda: len(server.body) == chunks)
        server.disconnect()

    assert source.log == ["begins", "ends", "close, of the exchange, True"]
    stats = adapter.stats()
    assert (stats.disconnected, stats.streams, stats.busy) == (1, 0, 0)


async def test_thousand_clients_that_leave_take_their_streams_with_them() -> None:
    """At once, through one thread."""
    source = Source()
    adapter = WsgiToAsgi(streaming(source.items), threads=1)
    servers = [FakeServer() for _ in range(200)]

    async with anyio.create_task_group() as tasks:
        for server in servers:
            tasks.start_soon(server.serve, adapter)
        await idle(adapter, 200, source)
        for server in servers:
            server.disconnect()

    stats = adapter.stats()
    assert (source.running, stats.streams, stats.disconnected) == (0, 0, 200)


async def test_client_that_leaves_while_the_thread_is_held_frees_it() -> None:
    """Behind a middleware that takes empty chunks: nobody else would wake the thread."""
    source = Source()
    adapter = WsgiToAsgi(swallowing(streaming(source.items)))
    server = FakeServer()

    async with server.serving(adapter):
        await until(lambda: source.running)
        server.disconnect()

    assert (source.running, adapter.stats().disconnected) == (0, 1)


async def test_client_that_leaves_during_the_second_stream_cancels_that() -> None:
    """Each stream of a response ends with it."""
    source = Source()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield from stream(of(b"a"))
        yield from filter(None, stream(source.items()))

    server = FakeServer()
    async with server.serving(WsgiToAsgi(application)):
        await until(lambda: source.running)
        server.disconnect()

    assert source.running == 0


async def test_client_that_leaves_before_the_stream_begins() -> None:
    """The view takes its time: the stream does not begin."""
    source = Source()
    called, go = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"first"
        called.set()
        wait(go)
        yield from filter(None, stream(source.items()))

    adapter = WsgiToAsgi(application)
    server = FakeServer()
    async with server.serving(adapter):
        await happened(called)
        await server.until(lambda: server.body)
        server.disconnect()
        await server.until(lambda: server.told_disconnect)
        go.set()

    assert (source.log, adapter.stats().disconnected) == ([], 1)


async def test_iterable_that_goes_on_though_it_was_cancelled_ends_at_its_next_item() -> None:
    """It takes the cancellation for an error of what it awaits."""
    begun = anyio.Event()

    async def items() -> AsyncIterator[bytes]:
        begun.set()
        try:
            await anyio.sleep_forever()
        except BaseException:
            pass
        while True:
            yield b"x"

    server = FakeServer()
    async with server.serving(WsgiToAsgi(streaming(items))):
        await begun.wait()
        server.disconnect()

    assert server.sent == []


async def test_exchange_that_the_server_cancels_cancels_its_stream() -> None:
    """A stream that is parked; the coroutine does not wait for its close()."""
    source = Source()
    adapter = WsgiToAsgi(streaming(source.items), threads=1)
    server = FakeServer()

    async with server.serving(adapter):
        await idle(adapter, 1, source)
        server.cancel()
    await until(lambda: not source.running and not adapter.stats().busy)

    stats = adapter.stats()
    assert (stats.disconnected, stats.streams) == (1, 0)
    assert (await serve(adapter, http_scope(path="/plain"))).body == b"plain"


async def test_exchange_that_is_cancelled_while_it_waits_to_go_on_is_closed() -> None:
    """It was begun, so that its place in the queue is not just given back."""
    source = Source()
    closed, busy, go = threading.Event(), threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/busy":
            busy.set()
            wait(go)
            yield b"busy"
            return
        try:
            yield from stream(source.items())
        finally:
            closed.set()

    adapter = WsgiToAsgi(application, threads=1)
    server, other = FakeServer(), FakeServer()
    async with server.serving(adapter):
        await idle(adapter, 1, source)
        async with other.serving(adapter, http_scope(path="/busy")):
            await happened(busy)
            source.put(b"a")
            await until(lambda: adapter.stats().pending)
            server.cancel()
            await server.ended.wait()
            assert not closed.is_set()
            go.set()
    await happened(closed)
    await until(lambda: not adapter.stats().busy)

    assert (source.running, adapter.stats().streams) == (0, 0)


async def test_error_of_send_cancels_the_stream() -> None:
    """It is how a server says that the client is gone, and leaves the coroutine as it was."""
    source = Source()
    server = FakeServer()
    server.fail_send(OSError("gone"), after=1)

    with pytest.raises(OSError, match="gone"):  # noqa: PT012 - the end of the block raises it
        async with server.serving(WsgiToAsgi(streaming(source.items))):
            await until(lambda: source.running)
            source.put(b"a")

    await until(lambda: not source.running)


# -- clients that are slow --------------------------------------------------------------------------------------


async def test_stream_with_a_slow_client_holds_no_thread_and_does_not_grow() -> None:
    """It waits while the client is response_buffer bytes behind, and what is read ahead of that."""
    produced = 0

    async def items() -> AsyncIterator[bytes]:
        nonlocal produced
        for _ in range(1000):
            produced += 1000
            yield b"x" * 1000

    adapter = WsgiToAsgi(streaming(items), threads=1, response_buffer=8000)
    server = FakeServer()
    server.hold()

    async with server.serving(adapter):
        await server.until(lambda: server.sends)
        await idle(adapter, 1)
        assert (await serve(adapter, http_scope(path="/plain"))).body == b"plain"
        # The buffer and the chunk that fills it, twice: the stream's own of 16 KiB, too.
        assert produced <= 8000 + 1000 + 16 * 1024 + 1000
        server.release()

    assert (len(server.body), server.complete) == (1_000_000, True)


async def test_what_follows_a_stream_waits_for_a_slow_client() -> None:
    """The stream has ended; the rest of the body is the application's, and has the same limit."""
    produced = lead = 0

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        nonlocal produced
        start_response("200 OK", [])
        yield from stream(of(b"a"))
        for _ in range(1000):
            produced += 1000
            yield b"x" * 1000

    server = FakeServer()
    server.hold()

    def look(message: object) -> None:
        nonlocal lead
        lead = max(lead, produced - len(server.body))

    server.on_sent = look
    adapter = WsgiToAsgi(application, response_buffer=8000)
    async with server.serving(adapter):
        await idle(adapter, 1)
        look(None)
        server.release()

    assert (lead <= 10_000, len(server.body)) == (True, 1_000_001)


async def test_write_after_a_stream_waits_for_a_slow_client() -> None:
    """PEP 3333, "The write() Callable": no thread can be left in the middle of it."""
    produced = 0

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        nonlocal produced
        write = start_response("200 OK", [])
        yield from stream(of(b"a"))
        for _ in range(100):
            produced += 1000
            write(b"x" * 1000)

    server = FakeServer()
    server.hold()
    async with server.serving(WsgiToAsgi(application, response_buffer=8000)):
        await server.until(lambda: server.sends)
        await until(lambda: produced == 8000)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert produced <= 9000
        server.release()

    assert (len(server.body), server.complete) == (100_001, True)


async def test_client_that_leaves_while_it_is_behind_ends_the_exchange() -> None:
    """Nothing more is taken, so that there is no room to wait for."""
    source = Source()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            yield from stream(source.items())
        finally:
            source.log.append("close")

    adapter = WsgiToAsgi(application, response_buffer=10)
    server = FakeServer()
    server.hold()
    async with server.serving(adapter):
        await idle(adapter, 1, source)
        source.put(*[b"x" * 5000] * 10)  # more than is read ahead: the iterable is stopped at an item
        await server.until(lambda: server.sends)
        await idle(adapter, 1, source)
        server.disconnect()
        await until(lambda: not source.running)
        server.release()

    assert source.log == ["begins", "ends", "close"]
    assert (adapter.stats().disconnected, adapter.stats().streams) == (1, 0)


async def test_chunk_that_leaves_in_pieces_is_waited_for_to_its_last() -> None:
    """The client is behind after the first of them, too."""
    server = FakeServer()
    server.hold()
    adapter = WsgiToAsgi(streaming(lambda: of(b"x" * 1_000_000, b"y")), response_buffer=1000)

    async with server.serving(adapter):
        await server.until(lambda: server.sends)
        await idle(adapter, 1)
        server.release()

    assert (len(server.body), server.complete) == (1_000_001, True)


# -- the end of the server --------------------------------------------------------------------------------------


async def test_shutdown_ends_streams_when_its_time_is_over() -> None:
    """DESIGN, "Lifespan": drained, then told to stop."""
    source = Source()
    adapter = WsgiToAsgi(streaming(source.items), drain_timeout=0)
    server, lifespan = FakeServer(), FakeLifespan()

    with pytest.raises(ClientDisconnected, match="the server shuts down"):  # noqa: PT012 - the end of the block raises it
        async with server.serving(adapter):
            await idle(adapter, 1, source)
            async with lifespan.running(adapter):
                pass

    assert (source.running, adapter.stats().streams, adapter.stats().threads) == (0, 0, 0)


async def test_shutdown_waits_for_a_stream_that_ends() -> None:
    """As for any other exchange."""
    source = Source()
    adapter = WsgiToAsgi(streaming(source.items))
    server, lifespan = FakeServer(), FakeLifespan()

    async with server.serving(adapter):
        await idle(adapter, 1, source)
        async with lifespan.running(adapter):
            lifespan.shut_down()
            await anyio.lowlevel.checkpoint()
            source.put(b"a")
            source.end()

    assert (server.body, server.complete, adapter.stats().threads) == (b"a", True, 0)


async def test_stream_goes_on_when_its_worker_threads_were_closed() -> None:
    """It holds none, so that none is waited for; the next are there when it has something."""
    source = Source()
    workers = WorkerThreads(2)
    adapter = WsgiToAsgi(streaming(source.items), threads=workers)
    server = FakeServer()

    async with server.serving(adapter):
        await idle(adapter, 1, source)
        assert await anyio.to_thread.run_sync(workers.close, TIMEOUT)
        assert (adapter.stats().streams, adapter.stats().threads) == (1, 0)
        source.put(b"a")
        await server.until(lambda: server.body)
        source.end()

    assert (server.complete, adapter.stats().threads) == (True, 1)


@on_asyncio
async def test_stream_is_freed_without_a_collection() -> None:
    """Thousands that end at once are not to wait for one."""
    references: list[weakref.ref[Any]] = []

    def application(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [])
        body = stream(of(b"a"))
        references.append(weakref.ref(body))
        return body

    adapter = WsgiToAsgi(application)
    gc.disable()
    try:
        assert (await serve(adapter)).body == b"a"
        await until(lambda: references[0]() is None)
    finally:
        gc.enable()


async def test_nothing_of_a_stream_is_kept() -> None:
    """Adapter, iterable and application are collected once the exchange is over."""

    class Application:
        def __call__(self, environ: Environ, start_response: StartResponse) -> Any:
            start_response("200 OK", [])
            body = stream(of(b"a"))
            references.append(weakref.ref(body))
            return body

    references: list[weakref.ref[Any]] = []
    application = Application()
    adapter = WsgiToAsgi(application)
    references += [weakref.ref(application), weakref.ref(adapter)]
    assert (await serve(adapter)).body == b"a"
    del adapter, application

    def alive() -> list[object]:
        gc.collect()
        return [reference() for reference in references if reference() is not None]

    await until(lambda: not alive())


@on_asyncio
async def test_no_task_is_left() -> None:
    """Neither of a stream that ended nor of one whose client left."""
    source = Source()
    adapter = WsgiToAsgi(streaming(source.items))
    before = asyncio.all_tasks()

    for leave in (True, False):
        server = FakeServer()
        async with server.serving(adapter):
            await idle(adapter, 1, source)
            server.disconnect() if leave else source.end()

    assert asyncio.all_tasks() == before


# -- pings ------------------------------------------------------------------------------------------------------


async def test_ping_begins_the_response_and_keeps_it_alive() -> None:
    """A comment at once, and one after each pause; HTML, "Server-sent events": proxies."""
    source = Source()
    adapter = WsgiToAsgi(streaming(source.items, ping=0.01), threads=1)
    server = FakeServer()

    async with server.serving(adapter):
        await server.until(lambda: len(server.body) >= 9)
        source.put(b"data: a\n\n")
        await server.until(lambda: b"data" in server.body)
        await server.until(lambda: server.body.endswith(b":\n\n"))
        source.end()

    comments, _, rest = server.body.partition(b"data: a\n\n")
    assert set(comments.split(b"\n\n")) == set(rest.split(b"\n\n")) == {b":", b""}


async def test_ping_does_not_come_while_there_are_items() -> None:
    """Only the first, which has the headers leave."""
    assert (await serve(WsgiToAsgi(streaming(lambda: of(b"a", b"b"), ping=60)))).body == b":\n\nab"


async def test_ping_does_not_outrun_a_slow_client() -> None:
    """Comments count like chunks: there is no room for more than the buffers take."""
    made = itertools.count()

    async def items() -> AsyncIterator[bytes]:
        while True:
            next(made)
            yield b"x" * 1000

    server = FakeServer()
    server.hold()
    adapter = WsgiToAsgi(streaming(items, ping=0.001), response_buffer=1000)
    async with server.serving(adapter):
        await server.until(lambda: server.sends)
        await idle(adapter, 1)
        assert next(made) < 30
        server.disconnect()
        await until(lambda: not adapter.stats().streams)
        server.release()


# -- what stands between a stream and the bridge ----------------------------------------------------------------


@pytest.mark.parametrize(
    "around",
    [
        pytest.param(lambda body: (b"[" + chunk + b"]" for chunk in body), id="generator"),
        pytest.param(lambda body: map(b"[%b]".__mod__, body), id="map"),
        pytest.param(lambda body: iter(lambda: b"[" + next(body) + b"]", b"[end]"), id="iter"),
    ],
)
async def test_code_around_a_stream_gets_no_empty_chunk(around: Callable[[Any], Iterator[bytes]]) -> None:
    """The application's own code need not expect one: it would frame it, or take it for the end."""
    source = Source()

    def application(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [])
        return around(stream(source.items()))

    adapter = WsgiToAsgi(application)
    server = FakeServer()
    async with server.serving(adapter):
        for text in (b"a", b"b", b"end"):
            await until(lambda: source.running)
            source.put(text)
            await got(server, b"[" + text + b"]") if text != b"end" else None
        source.end()

    assert server.body.startswith(b"[a][b]")


async def test_unread_body_does_not_hide_that_the_client_has_left() -> None:
    """What lies unread is dropped, or receive() would never be called again."""
    source = Source()
    adapter = WsgiToAsgi(streaming(source.items), request_buffer=10)
    headers = [(b"content-length", b"1000")]
    server = FakeServer(*({"type": "http.request", "body": b"x" * 100, "more_body": True} for _ in range(5)))
    async with server.serving(adapter, http_scope(method="POST", headers=headers)):
        await idle(adapter, 1, source)
        server.disconnect()
        await until(lambda: not source.running)

    assert adapter.stats().disconnected == 1


async def test_end_of_a_stream_is_told_to_each_thread_that_waits() -> None:
    """One of the application's own, and that of the exchange, which closes what is open."""
    source = Source()
    ended = threading.Event()
    threads: list[threading.Thread] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        body = stream(source.items())
        yield next(body)

        def read() -> None:
            try:
                next(body, None)
            except ClientDisconnected:
                pass

        threads.append(threading.Thread(target=read))
        threads[0].start()
        wait(ended)

    adapter = WsgiToAsgi(application)
    server = FakeServer()
    async with server.serving(adapter):
        await until(lambda: source.running)
        source.put(b"a")
        await until(lambda: threads)
        ended.set()
    await anyio.to_thread.run_sync(threads[0].join, TIMEOUT)

    assert not threads[0].is_alive()
