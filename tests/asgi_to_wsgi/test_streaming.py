"""Chunks on their way to the server: none is held back, and no more than response_buffer bytes lie there."""

from __future__ import annotations

import threading

import anyio
import anyio.lowlevel
import pytest

from tests.asgi import Receive, Scope, Send, happened, wait
from tests.asgi_to_wsgi.kinds import Kind, Serve, chunk, kinds, last, start
from tests.asgi_to_wsgi.server import request


def test_chunk_reaches_the_server_before_the_application_goes_on(serve: Serve) -> None:
    """PEP 3333, "Buffering and Streaming": an iterable does not wait for a second chunk to give the first."""
    received = [threading.Event() for _ in range(4)]

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for number in range(4):
            await send(chunk(b"%d" % number))
            await happened(received[number])
        await send(last())

    response = serve(application).start()
    for number in range(4):
        assert response.next() == b"%d" % number
        received[number].set()
    response.read().close()

    assert response.body == b"0123"


@kinds(lambda kind: kind.takes_turns)
def test_application_stands_still_while_the_server_has_a_chunk(serve: Serve) -> None:
    """On a loop of the server's own thread it is never more than the one chunk ahead."""
    went_on: list[int] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for number in range(5):
            await send(chunk(b"x"))
            went_on.append(number)
        await send(last())
        went_on.append(-1)

    response = serve(application).start()
    seen = [list(went_on)]
    for _ in range(5):
        response.next()
        seen.append(list(went_on))
    assert response.next() is None
    response.close()

    assert seen == [[], [], [0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    assert went_on == [0, 1, 2, 3, 4, -1]


def test_application_is_never_further_ahead_than_the_buffer(serve: Serve) -> None:
    """send() waits once more than response_buffer bytes are ahead of the server."""
    size, buffer, count = 1000, 8_000, 300
    produced = lead = 0

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal produced
        await send(start())
        for _ in range(count):
            produced += size
            await send(chunk(b"x" * size))
            await anyio.lowlevel.checkpoint()
        await send(last())

    response = serve(application, response_buffer=buffer).start()
    while response.next() is not None:
        lead = max(lead, produced - response.taken)
    response.close()

    # What next() has just taken out is not counted by the test yet, while its place may be filled.
    assert (response.taken, lead <= 2 * (buffer + size)) == (size * count, True)


@kinds(lambda kind: not kind.takes_turns)
def test_server_that_takes_nothing_stops_the_application(serve: Serve) -> None:
    """The buffer is full with the first chunk that goes beyond it; nothing more is produced."""
    size, buffer = 1000, 8_000
    sent = 0
    settled = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(start())

        async def produce() -> None:
            nonlocal sent
            for _ in range(100):
                await send(chunk(b"x" * size))
                sent += size
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(produce)
            for _ in range(300):  # a bridge without backpressure has taken all by then
                await anyio.lowlevel.checkpoint()
            settled.set()
        await send(last())

    response = serve(application, response_buffer=buffer).start()
    wait(settled)
    assert sent == buffer  # and the next send(), which goes beyond it, waits
    response.read().close()

    assert (response.taken, sent) == (100 * size, 100 * size)


@kinds(lambda kind: not kind.takes_turns)
def test_chunks_that_lie_together_leave_as_one(serve: Serve) -> None:
    """Fewer writes for a server that is slower than the application; nothing waits for it."""
    sent = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for body in (b"a", b"b", b"c"):
            await send(chunk(body))
        sent.set()
        await anyio.lowlevel.checkpoint()
        await send(last(b"d"))

    response = serve(application).start()
    wait(sent)

    assert (response.next() or b"").startswith(b"abc")
    response.read().close()
    assert response.body == b"abcd"


@pytest.mark.parametrize("size", [7, 8, 11])
def test_no_wake_up_is_lost(serve: Serve, size: int, kind: Kind) -> None:
    """The application waits for room, and the server takes what makes it, at the same moment again and again."""
    count = 300 if kind.is_trio else 3000

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for _ in range(count):
            await send(chunk(b"x" * size))
        await send(last())

    assert len(serve(application, response_buffer=10).serve().body) == size * count


@pytest.mark.parametrize("size", [0, 1, 100])
def test_message_larger_than_the_buffer_passes(serve: Serve, size: int) -> None:
    """The limit is for what lies there, not for a single message."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for _ in range(3):
            await send(chunk(b"x" * 100_000))
        await send(last(b"y" * size))

    assert len(serve(application, response_buffer=1).serve().body) == 300_000 + size


@kinds(lambda kind: kind.shared)
def test_events_of_one_request_are_fed_by_another(serve: Serve) -> None:
    """Server-sent events: a stream waits while other requests are served."""
    queues: list[anyio.Event] = []
    opened = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        if scope["path"] == "/stream":
            queues.append(anyio.Event())
            await send(chunk(b"open"))
            opened.set()
            await queues[0].wait()
            await send(last(b"event"))
        else:
            queues[0].set()
            await send(last(b"fed"))

    server = serve(application)
    stream = server.start(request(path="/stream"))
    assert stream.next() == b"open"
    wait(opened)
    assert server.serve(request(path="/feed")).body == b"fed"
    assert stream.read().body == b"openevent"
    stream.close()


def test_tasks_of_one_application_may_take_turns_in_send(serve: Serve) -> None:
    """Whatever else they wait for in between, each chunk arrives once and the next request finds a clean loop."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        async def stream(body: bytes) -> None:
            for number in range(5):
                await send(chunk(body))
                for _ in range(number):
                    await anyio.lowlevel.checkpoint()

        async def watch() -> None:
            await receive()
            with anyio.move_on_after(0.001):
                await receive()

        await send(start())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream, b"a")
            tasks.start_soon(watch)
            tasks.start_soon(stream, b"b")
            tasks.start_soon(stream, b"c")
        await send(last(b"."))

    server = serve(application)

    for _ in range(5):
        assert sorted(server.serve().body) == sorted(b"aaaaabbbbbccccc.")
