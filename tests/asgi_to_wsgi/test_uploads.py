"""Request bodies on their way to receive(): when they are read, how far ahead, and how they end."""

from __future__ import annotations

import errno
import sys
import threading
from types import ModuleType
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from bridge import ClientDisconnected
from tests.asgi import Message, Receive, Scope, Send, happened, wait
from tests.asgi_to_wsgi.kinds import Kind, Serve, chunk, kinds, last, start
from tests.asgi_to_wsgi.server import Input, request, upload

BUFFER = 65_536  # the default of request_buffer


class Upload:
    """An application that receives a whole body, or what there is of it, and answers."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.disconnected = False
        self.messages: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            self.messages.append(message)
            if message["type"] == "http.disconnect":
                self.disconnected = True
                return
            assert message["type"] == "http.request"
            self.pieces.append(message["body"])
            more = message["more_body"]
        await send(start())
        await send(last(b"%d" % len(self.body)))

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


# -- whole bodies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1000, BUFFER - 1, BUFFER, BUFFER + 1, 5 * BUFFER + 3])
@pytest.mark.parametrize("declared", [True, False])
def test_body_arrives_as_it_was_sent(serve: Serve, size: int, declared: bool) -> None:
    body = bytes(number % 251 for number in range(size))
    application = Upload()
    source = Input(*(body[at : at + 10_000] for at in range(0, size, 10_000)))

    response = serve(application).serve(upload(source, size if declared else None))

    assert (application.body == body, response.body) == (True, b"%d" % size)
    assert sum(not message["more_body"] for message in application.messages) == 1


@pytest.mark.parametrize("pieces", [[b"hello"], [b"he", b"l", b"lo"]])
def test_short_body_is_one_message(serve: Serve, pieces: list[bytes]) -> None:
    """As most ASGI servers give it, however the input cuts it."""
    application = Upload()

    serve(application).serve(upload(Input(*pieces), 5))

    assert application.messages == [{"type": "http.request", "body": b"hello", "more_body": False}]


def test_declared_length_is_the_end_of_the_body(serve: Serve) -> None:
    """PEP 3333, "Input and Error Streams": what comes after it is the next request's."""
    application = Upload()
    source = Input(b"hello", b"GET / HTTP/1.1", ended=False)

    serve(application).serve(upload(source, 5))

    assert (application.body, source.given) == (b"hello", 5)


def test_empty_body_of_unknown_length(serve: Serve) -> None:
    application = Upload()

    serve(application).serve(upload(Input(), None))

    assert (application.body, application.disconnected) == (b"", False)


@pytest.mark.parametrize("size", [5, 200_000])
def test_body_is_followed_by_nothing(serve: Serve, size: int) -> None:
    """receive() waits then, until the exchange is over."""
    after: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        with anyio.move_on_after(0.01):
            after.append(await receive())
        await send(start())
        await send(last(b"answered"))

    assert serve(application).serve(upload(b"x" * size)).body == b"answered"
    assert after == []


def test_one_body_after_another(serve: Serve) -> None:
    """What one request leaves behind must not reach the next."""
    server = serve(lambda scope, receive, send: Upload()(scope, receive, send))

    for size in (10, 100_000, 0, 20, 300_000):
        assert server.serve(upload(b"x" * size)).body == b"%d" % size


# -- when the input is read -----------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [5, 200_000, None], ids=["short", "long", "unknown"])
def test_nothing_is_read_for_an_application_that_does_not_ask(serve: Serve, length: int | None) -> None:
    """Several servers send 100 Continue with the first read: a refused upload is never sent."""
    source = Input(b"x" * 200_000)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(413))
        await send(chunk(b"too "))
        await send(last(b"long"))

    response = serve(application).serve(upload(source, length))

    assert (response.body, source.sizes) == (b"too long", [])


@pytest.mark.parametrize("length", [5, 200_000, None], ids=["short", "long", "unknown"])
def test_input_is_read_when_receive_is_called(serve: Serve, length: int | None) -> None:
    source = Input(b"x" * 200_000)
    reads_before: list[int] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.lowlevel.checkpoint()
        reads_before.append(len(source.sizes))
        await receive()
        await send(start())
        await send(last())

    serve(application).serve(upload(source, length))

    assert (reads_before, bool(source.sizes)) == ([0], True)


def test_response_may_begin_before_the_body_is_read(serve: Serve) -> None:
    """HTTP is full duplex where the server is: an echo."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send(chunk(message["body"]))
        await send(last())

    body = bytes(range(256)) * 2000

    assert serve(application).serve(upload(body)).body == body


@pytest.mark.parametrize("length", [3 * BUFFER, None], ids=["declared", "unknown"])
def test_piece_arrives_before_the_rest_is_sent(serve: Serve, length: int | None) -> None:
    """A long body is streamed: the client may wait for an answer to its first part."""
    source = Input(b"first", ended=False)
    rest = 3 * BUFFER - 5
    got: list[bytes] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        got.append((await receive())["body"])
        source.feed(b"x" * rest)
        source.end()
        size = 5
        more = True
        while more:
            message = await receive()
            size += len(message["body"])
            more = message["more_body"]
        await send(start())
        await send(last(b"%d" % size))

    assert serve(application).serve(upload(source, length)).body == b"%d" % (3 * BUFFER)
    assert got == [b"first"]


@pytest.mark.parametrize(("buffer", "piece"), [(1, 7), (1000, 7), (1000, 5_000), (40_000, 5_000), (40_000, 1_000_000)])
def test_no_more_than_the_buffer_is_read_ahead(serve: Serve, buffer: int, piece: int) -> None:
    """request_buffer bounds what lies between the input and the application."""
    size = 10 * buffer + 3
    source = Input(*(b"x" * min(piece, size - at) for at in range(0, size, piece)))
    taken = 0
    leads: list[int] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal taken
        more = True
        while more:
            message = await receive()
            for _ in range(5):  # a bridge without a bound reads on
                await anyio.lowlevel.checkpoint()
            taken += len(message["body"])
            more = message["more_body"]
        await send(start())
        await send(last(b"%d" % taken))

    source.on_read = lambda: leads.append(source.given - taken)
    response = serve(application, request_buffer=buffer).serve(upload(source, size))

    # The message that the application has and not yet counted is not ahead of it.
    assert (response.body, max(leads) <= buffer + min(buffer, 16_384)) == (b"%d" % size, True)


def test_reader_stops_when_the_buffer_is_full(serve: Serve) -> None:
    """Whoever does not ask gets nothing more: a slow application holds the client back."""
    buffer = 32_768
    source = Input(*[b"x" * 1000] * 500)
    full = threading.Event()
    seen: list[int] = []

    def on_read() -> None:
        if source.given >= buffer // 2:
            full.set()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        size = len((await receive())["body"])
        await happened(full)
        for _ in range(100):  # a bridge without a bound reads on
            await anyio.lowlevel.checkpoint()
        seen.append(source.given - size)
        more = True
        while more:
            message = await receive()
            size += len(message["body"])
            more = message["more_body"]
        await send(start())
        await send(last(b"%d" % size))

    source.on_read = on_read
    response = serve(application, request_buffer=buffer).serve(upload(source, 500_000))

    assert (response.body, seen[0] <= buffer) == (b"500000", True)


def test_rest_of_a_body_that_nobody_wants_is_not_read(serve: Serve) -> None:
    """The application answers after the first piece; the thread that reads ahead ends with the exchange."""
    source = Input(*[b"x" * 1000] * 1000)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        await send(last(b"enough"))

    assert serve(application).serve(upload(source, 1_000_000)).body == b"enough"
    assert source.given <= BUFFER + 1000


# -- bodies that break off ------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [10, 100_000], ids=["short", "long"])
@pytest.mark.parametrize("sent", [b"", b"half"], ids=["none", "some"])
def test_body_that_ends_early_is_a_disconnect(serve: Serve, length: int, sent: bytes) -> None:
    """A truncated upload must never look complete: RFC 9112, 8. Werkzeug, wsgiref and Gunicorn give b""."""
    application = Upload()
    source = Input(sent) if sent else Input()

    # An application that just returns then, as many do, is not to blame: its server gets what it would have got.
    with pytest.raises(ClientDisconnected) as raised:
        serve(application).serve(upload(source, length))

    assert raised.value.errno == errno.ECONNRESET  # by which Gunicorn knows what it need not log
    assert (application.disconnected, all(message.get("more_body", True) for message in application.messages)) == (
        True,
        True,
    )


@pytest.mark.parametrize("length", [10, 100_000, None], ids=["short", "long", "unknown"])
@pytest.mark.parametrize("error", [OSError("reset"), ValueError("short"), EOFError("end")], ids=lambda e: type(e))
def test_client_that_breaks_the_input_is_a_disconnect(serve: Serve, length: int | None, error: Exception) -> None:
    """SERVERS.md 3.2: what the servers raise then."""
    application = Upload()
    source = Input(b"half", ended=False)
    source.fail(error)

    with pytest.raises(ClientDisconnected):
        serve(application).serve(upload(source, length))

    assert application.disconnected


def test_disconnect_stays(serve: Serve) -> None:
    """ASGI, "Disconnect": once is for good."""
    types: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        while len(types) < 4:
            types.append((await receive())["type"])
        await send(start(400))
        await send(last(b"told"))

    response = serve(application).serve(upload(Input(b"half"), 100_000))

    assert (types, response.body) == (["http.request", *["http.disconnect"] * 3], b"told")


@pytest.mark.parametrize("length", [10, 100_000], ids=["short", "long"])
def test_input_that_fails_by_itself_is_an_error(serve: Serve, length: int) -> None:
    """Not the client's fault, so the application and the server are told what it was."""
    application = Upload()
    source = Input(ended=False)
    error = RuntimeError("a bug in a middleware")
    source.fail(error)

    with pytest.raises(RuntimeError) as raised:
        serve(application).serve(upload(source, length))

    assert (raised.value, application.disconnected) == (error, False)


def test_server_serves_on_after_a_body_that_broke_off(serve: Serve) -> None:
    server = serve(lambda scope, receive, send: Upload()(scope, receive, send))

    for _ in range(2):
        with pytest.raises(ClientDisconnected):
            server.serve(upload(Input(b"half"), 100_000))
        assert server.serve(upload(b"x" * 100_000)).body == b"100000"


# -- input that blocks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [BUFFER + 1, None], ids=["declared", "unknown"])
def test_timeout_around_receive_fires_although_the_input_blocks(serve: Serve, length: int | None) -> None:
    """Issue: long bodies are read off the loop. The response leaves while the read still waits."""
    source = Input(b"half", ended=False)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await happened(source.blocked)
        with anyio.move_on_after(0.01):
            await receive()
        await send(start(408))
        await send(chunk(b"too "))
        await send(last(b"slow"))

    response = serve(application).start(upload(source, length))
    assert (response.status[:3], response.read().body) == ("408", b"too slow")
    source.end()  # the client has its answer and gives up
    response.close()


def test_receive_may_be_asked_again_after_a_timeout(serve: Serve) -> None:
    """A cancelled receive() loses nothing of the body."""
    source = Input(ended=False)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.move_on_after(0.01):
            await receive()
        await happened(source.blocked)
        with anyio.move_on_after(0.01):
            await receive()
        source.feed(*[b"x" * 1000] * 100)
        size = 0
        more = True
        while more:
            message = await receive()
            size += len(message["body"])
            more = message["more_body"]
        await send(start())
        await send(last(b"%d" % size))

    assert serve(application).serve(upload(source, 100_000)).body == b"100000"


@kinds(lambda kind: not kind.takes_turns)  # there the short read is the server's thread, and so the loop's
def test_short_body_may_be_asked_for_again_while_it_is_read(serve: Serve) -> None:
    """The server's thread is in the read; the second receive() must not make it read again."""
    source = Input(ended=False)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        got: list[Message] = []

        async def ask() -> None:
            got.append(await receive())

        with anyio.move_on_after(0.01):
            await receive()
        await happened(source.blocked)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            source.feed(b"hello")
        await send(start())
        await send(last(got[0]["body"]))

    assert serve(application).serve(upload(source, 5)).body == b"hello"
    assert len(source.sizes) == 1


def test_response_leaves_before_a_read_that_may_block(serve: Serve) -> None:
    """A task asks for a short body that does not come, and meanwhile the other has answered."""
    source = Input(ended=False)
    order: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                order.append((await receive())["type"])

            tasks.start_soon(ask)
            await send(start())
            await send(chunk(b"hello"))
            await send(last())

    response = serve(application).start(upload(source, 5))
    order.append("started")
    assert response.next() == b"hello"
    source.feed(b"12345")
    source.end()
    response.read().close()

    assert order[0] == "started"


def test_wait_for_the_client_does_not_keep_the_application_from_its_end(serve: Serve) -> None:
    """What follows the response runs although a read still waits for a client that has stopped sending."""
    source = Input(b"x", ended=False)
    done = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await happened(source.blocked)
        await send(start())
        await send(last(b"enough"))
        done.set()
        source.end()

    assert serve(application).serve(upload(source, 100_000)).body == b"enough"
    wait(done)


# -- inputs that belong to a thread ---------------------------------------------------------------------------


def test_input_of_uwsgi_is_read_in_the_servers_thread(
    serve: Serve, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uwsgi.chunked_read() works in the thread that has the request, and only there."""
    pieces = [b"a" * 100, b"b" * 100_000, b"c"]
    body = b"".join(pieces)
    threads: list[int] = []

    def chunked_read() -> bytes:
        threads.append(threading.get_ident())
        return pieces.pop(0) if pieces else b""

    uwsgi: Any = ModuleType("uwsgi")
    uwsgi.chunked_read = chunked_read
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    application = Upload()
    environ = request("POST", HTTP_TRANSFER_ENCODING="chunked", variables={"uwsgi.version": b"2.0"})

    serve(application).serve(environ)

    assert application.body == body
    assert set(threads) == {threading.get_ident()}
    assert len(threads) == 4  # each chunk, and the end, once


def test_short_body_is_read_in_the_servers_thread(serve: Serve) -> None:
    """No thread is started for what is one read."""
    source = Input(b"hello")

    serve(Upload()).serve(upload(source, 5))

    assert source.threads == {threading.get_ident()}


# -- requests that are refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "status"),
    [
        ({"CONTENT_LENGTH": "five"}, "400"),  # which the validator does not let through
        ({"CONTENT_LENGTH": "-1"}, "400"),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, "411"),
    ],
    ids=["no number", "negative", "no end"],
)
@pytest.mark.parametrize("method", ["POST", "HEAD"])
def test_body_without_a_known_end_is_refused(serve: Serve, variables: dict[str, str], status: str, method: str) -> None:
    """The application is not called; the client is told what to do."""
    response = serve(Upload()).start(request(method, variables=variables), validated=False).read()

    assert response.status[:3] == status
    assert response.header("content-length") == [str(len(response.body))] or method == "HEAD"
    assert bool(response.body) == (method == "POST")
