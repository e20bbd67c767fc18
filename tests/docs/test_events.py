"""docs/events.md: its examples stream what they say, in each framework; Redis and PostgreSQL are played."""

from __future__ import annotations

import gzip
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import bottle
import falcon
import pytest
from django.core.signals import request_finished
from django.http import HttpResponse, StreamingHttpResponse
from pyramid.config import Configurator

from bridge import ServerSentEvent, WsgiToAsgi, stream
from tests.asgi import FakeServer, http_scope, on_asyncio, serve, upload_scope
from tests.docs.programs import run
from tests.streams.items import Source, got, idle, until

COMMENT = b":\n\n"

Names = dict[str, Any]


class Line:
    """What a client of Redis or PostgreSQL hears."""

    def __init__(self) -> None:
        self.send, self.hear = anyio.create_memory_object_stream[Any](10)
        self.said: list[str] = []  # what it was asked for
        self.open = 0


class Redis:
    """As much of redis.asyncio as the page uses. Source: redis-py's documentation, "Asyncio examples"."""

    def __init__(self, line: Line) -> None:
        self.line = line

    def from_url(self, url: str, *, decode_responses: bool) -> Redis:
        """Be a client."""
        assert decode_responses
        return self

    @asynccontextmanager
    async def pubsub(self, *, ignore_subscribe_messages: bool) -> AsyncIterator[Redis]:
        """Be a subscription as well."""
        assert ignore_subscribe_messages
        self.line.open += 1
        try:
            yield self
        finally:
            self.line.open -= 1

    async def subscribe(self, channel: str) -> None:
        self.line.said.append(channel)

    async def listen(self) -> AsyncIterator[dict[str, str]]:
        async for text in self.line.hear:
            yield {"type": "message", "data": text}


class OperationalError(Exception):
    """Psycopg's: the connection is lost."""


class Connection:
    """As much of psycopg's AsyncConnection as the page uses. Source: its documentation, "Concurrent operations"."""

    line: Line

    @classmethod
    async def connect(cls, conninfo: str, *, autocommit: bool) -> Connection:
        assert autocommit  # or nothing is heard before a commit
        return cls()

    async def __aenter__(self) -> Connection:
        self.line.open += 1
        return self

    async def __aexit__(self, *error: object) -> None:
        self.line.open -= 1

    async def execute(self, query: str) -> None:
        self.line.said.append(query)

    async def notifies(self) -> AsyncIterator[SimpleNamespace]:
        async for payload in self.line.hear:
            if payload is None:
                raise OperationalError
            yield SimpleNamespace(payload=payload)


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.send.close()
    made.hear.close()


@pytest.fixture
def names(line: Line, monkeypatch: pytest.MonkeyPatch) -> Names:
    """What the page defines, run where no client of a database is installed."""
    redis, psycopg = ModuleType("redis"), ModuleType("psycopg")
    redis.asyncio = SimpleNamespace(Redis=Redis(line))  # type: ignore[attr-defined]
    psycopg.AsyncConnection = type("AsyncConnection", (Connection,), {"line": line})  # type: ignore[attr-defined]
    psycopg.OperationalError = OperationalError  # type: ignore[attr-defined]
    for name, module in {"redis": redis, "psycopg": psycopg, "asyncpg": ModuleType("asyncpg")}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "redis.asyncio", redis.asyncio)
    return run("events.md")


def _without_waiting() -> SimpleNamespace:
    async def turn(seconds: float) -> None:
        await anyio.lowlevel.checkpoint()

    return SimpleNamespace(**{**vars(anyio), "sleep": turn})


# -- the frameworks ---------------------------------------------------------------------------------------------


def flask(names: Names) -> Any:
    return names["flask_app"]


def plain(names: Names) -> Any:
    return names["application"]


def django(names: Names) -> Any:
    """The view without the rest of Django, whose settings are one for a process."""

    def application(environ: Any, start_response: Any) -> Any:
        response = names["django_events"](None)
        start_response("200 OK", list(response.items()))
        return response

    return application


def of_bottle(names: Names) -> Any:
    app = bottle.Bottle()
    app.route("/countdown", callback=names["bottle_events"])
    return app


def pyramid(names: Names) -> Any:
    config = Configurator()
    config.add_route("countdown", "/countdown")
    config.add_view(names["pyramid_events"], route_name="countdown")
    return config.make_wsgi_app()


def of_falcon(names: Names) -> Any:
    app = falcon.App()
    app.add_route("/countdown", names["Countdown"]())
    return app


@pytest.fixture(params=[flask, plain, django, of_bottle, pyramid, of_falcon])
def application(request: pytest.FixtureRequest, names: Names, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example in each framework. Made on no event loop, which making it would hold up."""
    monkeypatch.setattr(request_finished, "receivers", [])  # Django would ask its settings for databases to close
    return request.param(names)


@on_asyncio
async def test_view_streams_and_holds_no_thread(application: Any, names: Names) -> None:
    """A comment begins the response; the events follow as they come, and between them no thread is busy."""
    source = Source()
    names["countdown"] = lambda number: source.items()
    adapter, server = WsgiToAsgi(application, threads=1), FakeServer()

    async with server.serving(adapter, http_scope(path="/countdown", query_string=b"from=3")):
        await got(server, COMMENT)
        await idle(adapter, 1, source)
        source.put(ServerSentEvent("3"))
        await got(server, b"data: 3\n\n")
        await idle(adapter, 1, source)
        source.end()

    assert server.header(b"content-type")[0].startswith(b"text/event-stream")
    assert server.complete


async def test_countdown(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page begins with."""
    monkeypatch.setitem(names, "anyio", _without_waiting())

    events = [event async for event in names["countdown"](2)]

    assert events == [ServerSentEvent("2"), ServerSentEvent("1"), ServerSentEvent("now", event="start")]


@on_asyncio
async def test_request_is_there_with_its_context(names: Names) -> None:
    """Flask's stream_with_context."""
    server = await serve(WsgiToAsgi(names["flask_app"]), http_scope(path="/greeting", query_string=b"name=Gilbert"))

    assert server.body == b"Hello Gilbert\n"


def test_compressor_leaves_events_alone(names: Names) -> None:
    """And nothing else."""
    request = SimpleNamespace(META={"HTTP_ACCEPT_ENCODING": "gzip"})
    text = HttpResponse(b"text" * 100, content_type="text/plain; charset=utf-8")
    events = StreamingHttpResponse(stream(Source().items()), content_type="text/event-stream")

    compressed, left_alone = (
        names["GZipOtherThanEvents"](lambda request, response=response: response)(request)
        for response in (text, events)
    )

    assert gzip.decompress(compressed.content) == b"text" * 100
    assert (left_alone is events, left_alone.has_header("Content-Encoding")) == (True, False)


@on_asyncio
async def test_long_poll_holds_no_thread(names: Names) -> None:
    """The result comes when it is there."""
    send, receive = anyio.create_memory_object_stream[str](1)
    names["results"]["7"] = receive
    adapter, server = WsgiToAsgi(names["flask_app"]), FakeServer()

    with send, receive:
        async with server.serving(adapter, http_scope(path="/jobs/7/result")):
            await idle(adapter, 1)
            await send.send('{"answer": 42}')

    assert (server.status, server.body) == (200, b'{"answer": 42}')


# -- events from elsewhere ----------------------------------------------------------------------------------------


def posted(text: str) -> tuple[Any, FakeServer]:
    """The request of a form."""
    body = f"text={text}".encode()
    scope = upload_scope(len(body), headers=[(b"content-type", b"application/x-www-form-urlencoded")], path="/news")
    return scope, FakeServer({"type": "http.request", "body": body, "more_body": False})


@on_asyncio
async def test_every_listener_gets_what_a_view_publishes(names: Names) -> None:
    """And leaves nothing behind when it goes."""
    adapter, servers = WsgiToAsgi(names["flask_app"]), [FakeServer(), FakeServer()]
    scope = http_scope(path="/news")

    async with servers[0].serving(adapter, scope), servers[1].serving(adapter, scope):
        await until(lambda: len(names["listeners"]) == 2)
        request, poster = posted("hello")
        await poster.serve(adapter, request)
        for server in servers:
            await got(server, b"data: hello\n\n")
            server.disconnect()

    assert (poster.status, names["listeners"]) == (204, set())


@on_asyncio
async def test_listener_that_is_too_slow_comes_to_its_end(names: Names) -> None:
    """It gets what was kept for it, in order and without a gap; publishing waits for nobody."""
    adapter, server = WsgiToAsgi(names["flask_app"], response_buffer=1), FakeServer()

    async with server.serving(adapter, http_scope(path="/news")):
        await until(lambda: names["listeners"])
        server.hold()
        number = 0
        while names["listeners"]:
            number += 1
            await names["publish"](f"{number},".ljust(10_000))
            await anyio.lowlevel.checkpoint()
        server.release()

    numbers = [int(text) for text in server.body.decode().removeprefix(COMMENT.decode()).split(",") if text.strip()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert (100 <= len(numbers) < number, server.complete) == (True, True)


@on_asyncio
async def test_thread_of_ones_own_publishes(names: Names) -> None:
    """It knows the loop from the streams."""
    adapter, server = WsgiToAsgi(_listening_to_threads(names)), FakeServer()

    async with server.serving(adapter):
        await until(lambda: names["listeners"])
        await anyio.to_thread.run_sync(names["publish_from_any_thread"], "from a thread")
        await got(server, b"from a thread")
        server.disconnect()


def _listening_to_threads(names: Names) -> Any:
    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return stream(names["listen_to_threads"](), ping=15.0)

    return application


@on_asyncio
async def test_redis(names: Names, line: Line) -> None:
    """A subscription for a stream, given back when the client leaves."""
    adapter, server = WsgiToAsgi(names["flask_app"]), FakeServer()

    async with server.serving(adapter, http_scope(path="/redis/shop")):
        await line.send.send("hello")
        await got(server, b"data: hello\n\n")
        assert (line.said, line.open) == (["shop"], 1)
        server.disconnect()

    assert line.open == 0


@on_asyncio
async def test_postgresql(names: Names, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection, with the server; it is opened again when it was lost."""
    monkeypatch.setattr(names["flask_app"].logger, "disabled", True)
    monkeypatch.setitem(
        names, "anyio", SimpleNamespace(**{**vars(anyio), "sleep": lambda seconds: anyio.lowlevel.checkpoint()})
    )
    server = FakeServer()

    async with _started(names["site"]), server.serving(names["site"], http_scope(path="/news", state={})):
        await until(lambda: names["listeners"])
        for text in ("one", None, "two"):
            await line.send.send(text)
        await got(server, b"data: two\n\n")
        server.disconnect()

    assert server.body == COMMENT + b"data: one\n\ndata: two\n\n"
    assert (line.said, line.open) == (["LISTEN news"] * 2, 0)


@asynccontextmanager
async def _started(site: Any) -> AsyncIterator[None]:
    async with site.router.lifespan_context(site):
        yield


@on_asyncio
async def test_asyncpg(names: Names) -> None:
    """What it calls publishes."""
    adapter, server = WsgiToAsgi(names["flask_app"]), FakeServer()

    async with server.serving(adapter, http_scope(path="/news")):
        await until(lambda: names["listeners"])
        await names["hear"](None, 1, "news", "hello")
        await got(server, b"data: hello\n\n")
        server.disconnect()


# -- the page with live messages ----------------------------------------------------------------------------------


@on_asyncio
@pytest.mark.parametrize(
    ("last", "expected"), [("", "123"), ("{}-2", "3"), ("{}-0", "123"), ("other-2", "123"), ("{}-x", "123")]
)
async def test_live_messages_go_on_where_the_browser_was(names: Names, last: str, expected: str) -> None:
    """By the id of the last event; one that is no id of this board's means nothing."""
    board = names["board"]
    for text in "123":
        await board.post(text)
    last_id = last.format(board.name).encode()
    server = FakeServer()

    async with server.serving(
        WsgiToAsgi(names["app"]), http_scope(path="/events", headers=[(b"last-event-id", last_id)])
    ):
        await got(server, b"data: 3\n\n")
        await board.post("4")
        await got(server, b"data: 4\n\n")
        server.disconnect()

    assert server.body.count(b"data: ") == len(expected) + 1
    assert all(b"data: %c\n" % text in server.body for text in (expected + "4").encode())
    assert server.body.startswith(b":\n\nretry: 1000\n\n")
