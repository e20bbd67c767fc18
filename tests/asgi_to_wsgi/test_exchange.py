"""What an application says with receive() and send(), and what the server gets: ASGI, PEP 3333 and RFC 9110."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from bridge import ApplicationError
from tests.asgi import Message, Receive, Scope, Send
from tests.asgi_to_wsgi.kinds import Kind, Serve, chunk, kinds, last, start
from tests.asgi_to_wsgi.server import request, upload

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup


def sending(*messages: Message) -> Any:
    """An application that sends *messages*."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return application


# -- a response -----------------------------------------------------------------------------------------------


def test_response_reaches_the_server(serve: Serve) -> None:
    """Status, headers and body as they were sent, with one start_response."""
    response = serve(sending(start(404, (b"x-a", b"b")), last(b"gone"))).serve()

    assert (response.status, response.starts) == ("404 Not Found", 1)
    assert response.headers == [("content-type", "text/plain"), ("x-a", "b"), ("content-length", "4")]
    assert response.pieces == [b"gone"]


@pytest.mark.parametrize(
    ("messages", "lengths"),
    [
        pytest.param([start(), last(b"whole")], ["5"], id="one message"),
        pytest.param([start(), last()], ["0"], id="an empty body"),
        pytest.param([start(200, (b"content-length", b"5")), last(b"whole")], ["5"], id="declared"),
        pytest.param([start(), chunk(b"who"), last(b"le")], [], id="two messages"),
        pytest.param([start(), chunk(b"whole"), last()], [], id="an empty last message"),
    ],
)
def test_length_is_added_to_a_body_of_one_message(serve: Serve, messages: list[Message], lengths: list[str]) -> None:
    """Never depending on timing: without it many servers tell the client of the end only after close()."""
    assert serve(sending(*messages)).serve().header("content-length") == lengths


def test_headers_of_one_name_stay_apart_and_in_order(serve: Serve) -> None:
    """RFC 9110, 5.3: the order of fields with one name matters; Set-Cookie cannot be joined at all."""
    cookies = [(b"set-cookie", b"a=1"), (b"x-a", b"-"), (b"set-cookie", b"b=2; Path=/"), (b"set-cookie", b"a=3")]

    assert serve(sending(start(200, *cookies), last())).serve().header("set-cookie") == ["a=1", "b=2; Path=/", "a=3"]


def test_chunks_make_the_body(serve: Serve) -> None:
    """However they are cut when they arrive, and empty ones make no difference."""
    application = sending(start(), chunk(b"a"), chunk(b""), chunk(b"b" * 100), chunk(b"c"), last())

    response = serve(application).serve()

    assert response.body == b"a" + b"b" * 100 + b"c"
    assert b"" not in response.pieces


@pytest.mark.parametrize("messages", [[last()], [chunk(b""), last()], [{"type": "http.response.body"}]])
def test_body_may_be_empty(serve: Serve, messages: list[Message]) -> None:
    """The head arrives all the same; "body" and "more_body" are optional."""
    response = serve(sending(start(201), *messages)).serve()

    assert (response.status, response.body) == ("201 Created", b"")


def test_iterable_is_over_for_good(serve: Serve) -> None:
    """It may be asked again, as any iterator, and closed twice."""
    response = serve(sending(start(), last(b"x"))).start(validated=False)

    assert [response.next() for _ in range(4)] == [b"x", None, None, None]
    response.close()
    response.close()


def test_loop_serves_one_request_after_another(serve: Serve) -> None:
    """What one leaves behind on a loop must not reach the next."""
    server = serve(sending(start(), chunk(b"a"), last(b"b")))

    assert [server.serve().body for _ in range(10)] == [b"ab"] * 10


def test_start_response_comes_with_the_first_body_message(serve: Serve) -> None:
    """ASGI, "Response Start": the server must not send it before; so an error in between is the server's 500."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await anyio.lowlevel.checkpoint()
        raise ValueError("between start and body")

    response = None
    with pytest.raises(ValueError, match="between start and body"):
        response = serve(application).start(start_error=AssertionError("start_response was called"))
    assert response is None


class _Text(bytes):
    """Bytes that are not exactly bytes, which the validator and some servers refuse."""


@pytest.mark.parametrize("body", [b"abc", bytearray(b"abc"), memoryview(b"abc"), _Text(b"abc")], ids=lambda b: type(b))
@pytest.mark.parametrize("more", [True, False])
def test_bytes_of_any_type_are_a_body(serve: Serve, body: Any, more: bool) -> None:
    """The server gets bytes and nothing like it."""
    messages = [{"type": "http.response.body", "body": body, "more_body": more}, *([last()] if more else [])]

    assert serve(sending(start(), *messages)).serve().pieces == [b"abc"]


def test_body_is_taken_when_it_is_sent(serve: Serve) -> None:
    """An application that uses its buffer again must not change what it has sent."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        buffer = bytearray(b"abc")
        await send(start())
        await send({"type": "http.response.body", "body": buffer, "more_body": True})
        buffer[:] = b"xyz"
        await send({"type": "http.response.body", "body": buffer})

    assert serve(application).serve().body == b"abcxyz"


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("HEAD", 404), ("HEAD", 304)]
)
def test_response_without_a_body_has_none(serve: Serve, method: str, status: int) -> None:
    """RFC 9110, 9.3.2, 15.3.5 and 15.4.5; Starlette, Quart and Django send one with HEAD.

    One empty chunk is left of it: for none at all some servers invent a length, or forget the headers.
    """
    content = status not in (204, 304)
    application = sending(start(status, (b"x-a", b"b"), content=content), chunk(b"a" * 100_000), last(b"b"))

    response = serve(application).serve(request(method))

    assert (response.status[:3], response.header("x-a"), response.pieces) == (str(status), ["b"], [b""])


@pytest.mark.parametrize("messages", [[last()], [last(b"hello")], [chunk(b"hel"), last(b"lo")], [last(b"longer")]])
def test_head_keeps_the_length_of_the_get(serve: Serve, messages: list[Message]) -> None:
    """RFC 9110, 8.6: the length is what the body of a GET would have; here there is none to count."""
    response = serve(sending(start(200, (b"content-length", b"5")), *messages)).serve(request("HEAD"))

    assert (response.header("content-length"), response.body) == (["5"], b"")


# -- the request ----------------------------------------------------------------------------------------------


def test_request_without_a_body_is_one_empty_message(serve: Serve) -> None:
    """ASGI, "Request": body and more_body are there, since some frameworks ask for them."""
    got: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        got.append(await receive())
        await send(start())
        await send(last())

    serve(application).serve()

    assert got == [{"type": "http.request", "body": b"", "more_body": False}]


def test_second_receive_waits(serve: Serve) -> None:
    """After the request there is nothing but the disconnect, which has not happened."""
    results: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with anyio.move_on_after(0.01):
            results.append((await receive())["type"])
        await send(start())
        await send(last(b"answered"))

    response = serve(application).serve()

    assert (response.body, results) == (b"answered", [])


def test_application_runs_in_a_copy_of_the_servers_context(serve: Serve) -> None:
    """What a middleware of the server has set is seen; what the application sets stays with the exchange."""
    variable: ContextVar[str] = ContextVar("variable", default="nothing")
    seen: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(variable.get())
        variable.set("application")
        await send(start())
        await send(chunk(b"x"))
        seen.append(variable.get())
        await send(last())

    variable.set("server")
    server = serve(application)
    server.serve()
    server.serve()

    assert seen == ["server", "application"] * 2
    assert variable.get() == "server"


# -- errors of the application --------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("broken"), OSError("broken"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("before", [[], [start()]], ids=["at once", "after the start"])
def test_error_before_the_body_reaches_the_server_as_it_was(
    serve: Serve, error: BaseException, before: list[Message]
) -> None:
    """DESIGN: an error before the response starts is raised to the server, which answers 500 or ends."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        for message in before:
            await send(message)
        await anyio.lowlevel.checkpoint()
        raise error

    with pytest.raises(type(error)) as raised:
        serve(application).start(start_error=AssertionError("start_response was called"))

    assert raised.value is error


@pytest.mark.parametrize("error", [ValueError("broken"), OSError("broken"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("pause", [True, False])
def test_error_in_the_body_is_raised_from_the_iterable(serve: Serve, error: BaseException, pause: bool) -> None:
    """The server has to abort the response; what was sent before arrives first."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(chunk(b"half"))
        if pause:
            await anyio.lowlevel.checkpoint()
        raise error

    response = serve(application).start()
    with pytest.raises(type(error)) as raised:
        response.read()
    response.close()

    assert (raised.value, response.body) == (error, b"half")


def test_server_goes_on_after_an_error(serve: Serve) -> None:
    """The error of one request must not be met by another."""
    server = serve(lambda scope, receive, send: applications.pop(0)(scope, receive, send))

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise SystemExit(1)

    applications: list[Any] = [failing, sending(start(), last(b"fine")), failing, sending(start(), last(b"fine"))]
    for _ in range(2):
        with pytest.raises(SystemExit):
            server.serve()
        assert server.serve().body == b"fine"


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "returned without a response"),
        ([start()], "returned without a response"),
        ([start(), chunk(b"half")], "returned before its response was complete"),
    ],
    ids=["nothing", "a start", "half a body"],
)
def test_application_that_returns_too_early_is_an_error(serve: Serve, messages: list[Message], said: str) -> None:
    """A truncated response must never look complete."""
    server = serve(sending(*messages))

    with pytest.raises(ApplicationError, match=said):
        server.serve()


@kinds(lambda kind: not kind.is_trio)  # trio's own is not raised by applications
@pytest.mark.parametrize("messages", [[], [start()], [start(), chunk(b"half")]], ids=["none", "a start", "half a body"])
def test_application_that_ends_as_cancelled_is_an_error(serve: Serve, messages: list[Message]) -> None:
    """CancelledError is no Exception: a server would let it through to its own thread."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await sending(*messages)(scope, receive, send)
        raise asyncio.CancelledError("stray")

    with pytest.raises(ApplicationError, match="was cancelled before its response was complete") as raised:
        serve(application).serve()

    assert isinstance(raised.value.__cause__, asyncio.CancelledError)


def test_group_of_errors_reaches_the_server(serve: Serve) -> None:
    """What a task group raises when one of its tasks wants the process to end is no Exception either."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise BaseExceptionGroup("group", [SystemExit(3)])

    with pytest.raises(BaseException) as raised:  # noqa: PT011
        serve(application).serve()

    assert [type(error) for error in getattr(raised.value, "exceptions", ())] == [SystemExit]


def test_error_of_start_response_reaches_the_server_and_ends_the_application(serve: Serve) -> None:
    """PEP 3333: start_response may raise; the application is told as of a client that left."""
    ended = threading.Event()
    told: list[BaseException | Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await receive()
            await send(start())
            await send(chunk(b"x"))
            told.append(await receive())
            await send(chunk(b"y"))
        except OSError as error:
            told.append(error)
            raise
        finally:
            ended.set()

    error = RuntimeError("the server refuses")
    with pytest.raises(RuntimeError, match="the server refuses") as raised:
        serve(application).start(start_error=error)

    assert (raised.value, ended.is_set()) == (error, True)
    assert isinstance(told[-1], OSError)


# -- messages that break the specification --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        pytest.param([last(b"x")], "http.response.body before http.response.start", id="no start"),
        pytest.param([start(), start()], "http.response.start after http.response.start", id="two starts"),
        pytest.param([{"type": "http.response.begin"}], "'http.response.begin'", id="unknown"),
        pytest.param([{"type": "websocket.send", "bytes": b""}], "'websocket.send'", id="of another protocol"),
        pytest.param([{"type": "http.response.trailers"}], "'http.response.trailers'", id="trailers"),
        pytest.param([{"type": "http.response.push"}], "'http.response.push'", id="an extension not offered"),
        pytest.param([{"body": b"x"}], "type None", id="no type"),
        pytest.param([{"type": "http.response.start"}], "status", id="no status"),
        pytest.param([start(101)], "from 200 to 999", id="an interim status"),
        pytest.param([start(200, (b"x-a", b"b\r\nset-cookie: c"))], "x-a|control characters", id="header injection"),
        pytest.param([start(200, (b"x a", b"b"))], "token", id="a name with a space"),
        pytest.param([start(200, (b"content-length", b"five"))], "Content-Length", id="a length that is none"),
        pytest.param([start(), last("text")], "encode it", id="text"),  # type: ignore[arg-type]
        pytest.param([start(), last(None)], "NoneType", id="None"),  # type: ignore[arg-type]
        pytest.param([start(), last([b"x"])], "list", id="a list"),  # type: ignore[arg-type]
        pytest.param([start(), last(3)], "int", id="a number"),  # type: ignore[arg-type]
    ],
)
def test_wrong_message_is_an_error_of_the_application(serve: Serve, messages: list[Message], said: str) -> None:
    """It is raised from send(), so with the application's line in its traceback, and the server answers 500."""
    sent: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
            sent.append(message)

    with pytest.raises(ApplicationError, match=said):
        serve(application).start(start_error=AssertionError("start_response was called"))

    assert sent == messages[:-1]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (start(), "http.response.start after the body had begun"),
        ({"type": "http.response.body", "body": "text", "more_body": True}, "encode it"),
        ({"type": "nonsense"}, "'nonsense'"),
    ],
    ids=["a start", "text", "unknown"],
)
def test_wrong_message_in_the_body_aborts_the_response(serve: Serve, wrong: Message, said: str) -> None:
    """The server sees it as an exception of the iterable."""
    response = serve(sending(start(), chunk(b"half"), wrong, last())).start()

    with pytest.raises(ApplicationError, match=said):
        response.read()
    response.close()
    assert response.body == b"half"


def test_application_may_do_better_after_a_wrong_message(serve: Serve) -> None:
    """A message that was refused has left no trace."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        for wrong in ({"type": "http.response.start", "status": "200"}, last(b"early")):
            with pytest.raises(ApplicationError):
                await send(wrong)
        await send(start(200, (b"content-length", b"4")))
        for wrong in (chunk(b"too long"), last(b"abc"), last("text")):  # type: ignore[arg-type]
            with pytest.raises(ApplicationError):
                await send(wrong)
        await send(last(b"good"))

    assert serve(application).serve().body == b"good"


# -- Content-Length -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("messages", [[last(b"hello")], [chunk(b"hel"), chunk(b"lo"), last()]])
def test_declared_length_is_kept(serve: Serve, messages: list[Message]) -> None:
    response = serve(sending(start(200, (b"content-length", b"5")), *messages)).serve()

    assert (response.header("content-length"), response.body) == (["5"], b"hello")


@pytest.mark.parametrize(
    ("messages", "body"),
    [([last(b"hello!")], b""), ([chunk(b"hello!")], b""), ([chunk(b"hel"), last(b"lo!")], b"hel")],
    ids=["in one", "in a chunk", "in the last"],
)
def test_more_than_the_declared_length_is_never_sent(serve: Serve, messages: list[Message], body: bytes) -> None:
    """RFC 9112, 6.3: the client would take the rest for the next response."""
    server = serve(sending(start(200, (b"content-length", b"5")), *messages))

    with pytest.raises(ApplicationError, match="more than the 5 bytes of its Content-Length"):
        server.serve()
    assert server.response.body == body


@pytest.mark.parametrize(
    ("messages", "body"),
    [([last()], b""), ([last(b"hell")], b""), ([chunk(b"hel"), last(b"l")], b"hel"), ([chunk(b"hel"), last()], b"hel")],
    ids=["nothing", "in one", "in two", "an empty last"],
)
def test_less_than_the_declared_length_aborts_the_response(serve: Serve, messages: list[Message], body: bytes) -> None:
    """RFC 9112, 8: an incomplete message must not look complete; the server would wait, or cut it silently."""
    server = serve(sending(start(200, (b"content-length", b"5")), *messages))

    with pytest.raises(ApplicationError, match="declared Content-Length 5 and sent"):
        server.serve()
    assert server.response.body == body


def test_excess_that_the_application_ignores_stays_an_error(serve: Serve) -> None:
    """An application that swallows the error must not end a response that is too short."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, (b"content-length", b"5")))
        await send(chunk(b"hel"))
        with pytest.raises(ApplicationError, match="more than the 5 bytes"):
            await send(chunk(b"lo!"))
        await send(last())

    response = serve(application).start()
    with pytest.raises(ApplicationError, match="declared Content-Length 5 and sent 3"):
        response.read()
    response.close()


# -- several tasks of one application -------------------------------------------------------------------------


def test_any_task_of_the_application_may_send(serve: Serve) -> None:
    """Middlewares (Starlette's BaseHTTPMiddleware) call send() and receive() from tasks of their own."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        async def respond() -> None:
            await send(start())
            await send(chunk(b"a"))
            await send(last(b"b"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(respond)

    server = serve(application)

    assert [server.serve().body for _ in range(3)] == [b"ab"] * 3


def test_task_may_watch_for_the_disconnect_meanwhile(serve: Serve) -> None:
    """As frameworks do below specification 2.4: one task streams, another waits in receive()."""
    events: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

        async def watch() -> None:
            events.append((await receive())["type"])
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await send(start())
            for _ in range(5):
                await send(chunk(b"x"))
            await send(last())
            await anyio.sleep_forever()

    server = serve(application, shutdown_timeout=5)
    bodies = [server.serve().body for _ in range(2)]

    assert bodies == [b"xxxxx"] * 2
    assert events[:1] in ([], ["http.disconnect"])  # on a shared loop nobody waits for the application's end


def test_requests_of_several_threads_do_not_mix(serve: Serve, kind: Kind) -> None:
    """Each gets its own response, however the threads take turns."""
    threads_at_once = threading.Barrier(4)
    bodies: dict[int, list[bytes]] = {}

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for _ in range(5):
            await send(chunk(scope["path"].encode()))
            await anyio.lowlevel.checkpoint()
        await send(last())

    server = serve(application)

    def client(number: int) -> None:
        threads_at_once.wait(10)
        bodies[number] = [server.serve(request(path=f"/{number}")).body for _ in range(10)]

    threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert bodies == {number: [f"/{number}".encode() * 5] * 10 for number in range(4)}


@kinds(lambda kind: not kind.is_trio)
@pytest.mark.parametrize("turns", range(4))
def test_error_reaches_the_server_while_another_task_asks_for_the_body(serve: Serve, turns: int) -> None:
    """Two tasks of one request want the server's thread, a few turns of the loop apart."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.ensure_future(receive())
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        task.cancel()
        raise LookupError("meanwhile")

    server = serve(application)
    for _ in range(2):
        with pytest.raises(LookupError, match="meanwhile"):
            server.serve(upload(b"hello"))
