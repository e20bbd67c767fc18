"""How a streamed response leaves: at once, together where it lies together, never further ahead than allowed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import anyio.lowlevel
import pytest

from bridge import ClientDisconnected, WsgiToAsgi
from tests.asgi import (
    TIMEOUT,
    Environ,
    FakeServer,
    Message,
    StartResponse,
    empty_receive,
    happened,
    http_scope,
    on_asyncio,
    serve,
    wait,
)


async def test_each_chunk_leaves_before_the_next_is_produced() -> None:
    """PEP 3333, "Buffering and Streaming": a server must not delay the transmission of a chunk."""
    taken: SimpleQueue[bytes] = SimpleQueue()
    chunks = [b"%d" % number for number in range(20)]

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        for chunk in chunks:
            yield chunk
            assert taken.get(timeout=TIMEOUT) == chunk

    server = FakeServer()
    server.on_sent = lambda message: taken.put(message["body"]) if message.get("body") else None
    await server.serve(WsgiToAsgi(application))

    assert server.pieces == chunks


async def test_written_chunk_leaves_before_write_is_called_again() -> None:
    """PEP 3333: what is given to write() is on its way while the application goes on."""
    taken: SimpleQueue[bytes] = SimpleQueue()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [])
        for chunk in (b"a", b"b", b"c"):
            write(chunk)
            assert taken.get(timeout=TIMEOUT) == chunk
        return []

    server = FakeServer()
    server.on_sent = lambda message: taken.put(message["body"]) if message.get("body") else None
    await server.serve(WsgiToAsgi(application))

    assert server.pieces == [b"a", b"b", b"c"]


async def test_chunks_that_lie_together_leave_in_one_send() -> None:
    """DESIGN, "Cost": the output buffer is drained as a whole."""
    taken, produced, go = threading.Event(), threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        wait(taken)
        yield b"b"
        yield b"c"
        yield b"d"
        produced.set()
        wait(go)
        yield b"e"

    server = FakeServer()
    server.hold()
    async with server.serving(WsgiToAsgi(application)):
        await server.until(lambda: server.sends == 1)  # the start waits for the client, with the first chunk behind it
        taken.set()
        await happened(produced)
        server.release()
        await server.until(lambda: server.body == b"abcd")
        go.set()

    # The first look at the buffer may have been before or after b"a" was there alone.
    assert server.pieces in ([b"abcd", b"e"], [b"a", b"bcd", b"e"])


async def test_small_response_is_two_messages() -> None:
    """A body that is there at once leaves in one message, which is the last."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [b"a", b"b", b"c"]

    server = await serve(WsgiToAsgi(application))

    assert [(message["type"], message.get("more_body")) for message in server.sent] == [
        ("http.response.start", None),
        ("http.response.body", False),
    ]


@on_asyncio
async def test_application_is_never_further_ahead_than_the_buffer() -> None:
    """A worker thread waits while the client is response_buffer bytes behind."""
    produced = taken = lead = 0

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        nonlocal produced
        start_response("200 OK", [])
        for _ in range(1000):
            produced += 1000
            yield b"x" * 1000

    async def send(message: Message) -> None:
        nonlocal taken, lead
        await asyncio.sleep(0)  # give a bridge without backpressure room to run ahead
        lead = max(lead, produced - taken)
        taken += len(message.get("body", b""))

    await WsgiToAsgi(application, response_buffer=8_000)(http_scope(), empty_receive, send)

    assert (lead <= 10_000, taken) == (True, 1_000_000)


@pytest.mark.parametrize("chunk", [1, 999, 8_000, 20_000])
async def test_writer_is_never_further_ahead_than_the_buffer_and_a_chunk(chunk: int) -> None:
    """write() waits for a slow client like an iterable does, on every event loop."""
    produced = taken = lead = 0

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        nonlocal produced
        write = start_response("200 OK", [])
        for _ in range(200):
            produced += chunk
            write(b"x" * chunk)
        return []

    async def send(message: Message) -> None:
        nonlocal taken, lead
        for _ in range(10):
            await anyio.lowlevel.checkpoint()  # give a bridge without backpressure room to run ahead
        lead = max(lead, produced - taken)
        taken += len(message.get("body", b""))

    await WsgiToAsgi(application, response_buffer=8_000)(http_scope(), empty_receive, send)

    # What it produces while it waits for the room of its last chunk is one chunk more.
    assert (lead <= 8_000 + 2 * chunk, taken) == (True, 200 * chunk)


async def test_response_that_fits_the_buffer_frees_its_thread_at_once() -> None:
    """DESIGN, "Response": a slow client holds no thread if all it is to get lies in the buffer."""
    over = threading.Event()

    class Body(list[bytes]):
        def close(self) -> None:
            over.set()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return Body([b"x" * 1000] * 8)

    server = FakeServer()
    server.hold()
    async with server.serving(WsgiToAsgi(application, response_buffer=8_000)):
        await happened(over)  # the client has taken nothing
        assert server.sent == []
        server.release()

    assert (len(server.body), server.complete) == (8_000, True)


@pytest.mark.parametrize("size", [(1 << 18) - 1, 1 << 18, (1 << 18) + 1, 5 << 20, (5 << 20) + 1])
@pytest.mark.parametrize("shape", ["list", "iterator", "write"])
async def test_large_chunk_arrives_whole_and_in_pieces(size: int, shape: str) -> None:
    """A chunk of many MiB is not copied into the server's buffer as a whole."""
    chunk = bytes(range(256)) * (size // 256) + b"!" * (size % 256)

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes] | list[bytes]:
        write = start_response("200 OK", [])
        if shape == "write":
            write(chunk)
            return []
        return [chunk] if shape == "list" else iter([chunk])

    server = await serve(WsgiToAsgi(application))

    assert (server.body == chunk, server.complete) == (True, True)
    assert max(map(len, server.pieces)) <= 1 << 18


async def test_large_list_arrives_in_order() -> None:
    """A list that is larger than the buffer waits for the client chunk by chunk."""
    chunks = [b"%04d" % number * 250 for number in range(500)]

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return chunks

    server = await serve(WsgiToAsgi(application, response_buffer=1_000))

    assert (server.body == b"".join(chunks), server.header(b"content-length")) == (True, [b"500000"])


async def test_writer_that_waits_for_room_is_told_that_the_client_left() -> None:
    """Nothing hangs: a thread that waits for a client that is gone gets ClientDisconnected."""
    full, told = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [])
        try:
            write(b"x" * 100)
            full.set()
            while True:
                write(b"x" * 100)
        except ClientDisconnected:
            told.set()
            raise

    server = FakeServer()
    server.hold()
    adapter = WsgiToAsgi(application, response_buffer=1_000)
    async with server.serving(adapter):
        await happened(full)
        await server.until(lambda: server.sends)
        # The first send of a stream waits for the client; only then is the disconnect watched for.
        server.release()
        await server.until(lambda: server.receives)
        server.hold()
        server.disconnect()
        await happened(told)
        server.release()

    assert (server.complete, adapter.stats().disconnected) == (False, 1)
