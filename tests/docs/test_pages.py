"""What the examples of the pages answer, as the pages say."""

from __future__ import annotations

import threading
from typing import Any
from wsgiref.util import setup_testing_defaults

import anyio
import httpx
import pytest

from tests.asgi import TIMEOUT, FakeServer, Message, on_asyncio
from tests.docs.programs import run


def of(page: str) -> pytest.MarkDecorator:
    """Give a test the names that a page defines; not run in its event loop, which imports would hold up."""
    return pytest.mark.parametrize("names", [page], indirect=True)


@pytest.fixture
def names(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Run a page."""
    return run(request.param)


async def get(app: Any, path: str) -> httpx.Response:
    """Ask an ASGI application."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", timeout=TIMEOUT) as client:
        return await client.get(path)


def get_wsgi(app: Any, path: str) -> bytes:
    """Ask a WSGI application."""
    environ: dict[str, Any] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    body = app(environ, lambda status, headers, exc_info=None: None)
    try:
        return b"".join(body)
    finally:
        body.close()


@on_asyncio
@of("index.md")
async def test_quick_start_on_an_asgi_server(names: dict[str, Any]) -> None:
    """index.md: the WSGI application alone, and below its prefix beside the other."""
    assert (await get(names["app"], "/")).text == "Hello"
    assert (await get(names["both"], "/shop/")).text == "Hello"
    assert (await get(names["both"], "/")).json() == {"Hello": "Gilbert"}


@of("index.md")
def test_quick_start_on_a_wsgi_server(names: dict[str, Any]) -> None:
    """index.md: the ASGI application."""
    with names["wsgi_app"] as app:
        assert get_wsgi(app, "/") == b'{"Hello":"Gilbert"}'


@on_asyncio
@of("wsgi-on-asgi.md")
async def test_mounted_applications_know_their_prefix(names: dict[str, Any]) -> None:
    """wsgi-on-asgi.md: two applications below one, which have no page of their own."""
    response = await get(names["site"], "/shop/")

    assert (response.status_code, response.headers["content-type"]) == (404, "text/html; charset=utf-8")  # Flask's


@on_asyncio
@of("wsgi-on-asgi.md")
async def test_early_hints_of_a_view(names: dict[str, Any]) -> None:
    """wsgi-on-asgi.md: the hint leaves before the page, on a server that takes it."""
    scope = {**_scope("http", "/styled"), "extensions": {"http.response.early_hint": {}}}
    server = FakeServer()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] != "http.response.early_hint":
            await server.send(message)

    with anyio.fail_after(TIMEOUT):
        await names["app"](scope, server.receive, send)

    assert sent[0] == {"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload; as=style"]}
    assert server.body == b"a page that takes a while"


@on_asyncio
@of("wsgi-on-asgi.md")
async def test_files_in_chunks(names: dict[str, Any]) -> None:
    """wsgi-on-asgi.md: the application is not told of what the server could send by itself; the rest stays."""
    scopes: list[Any] = []

    async def application(scope: Any, receive: object, send: object) -> None:
        scopes.append(scope)

    names["app"] = application
    extensions: dict[str, Any] = {
        "http.response.pathsend": {},
        "http.response.zerocopysend": {},
        "http.response.early_hint": {},
    }
    await names["in_chunks"]({**_scope("http", "/"), "extensions": extensions}, None, None)
    await names["in_chunks"]({"type": "lifespan"}, None, None)

    assert scopes[0]["extensions"] == {"http.response.early_hint": {}}
    assert (len(extensions), scopes[1]) == (3, {"type": "lifespan"})


@of("streaming.md")
def test_stream_of_an_asgi_application(names: dict[str, Any]) -> None:
    """streaming.md: numbers on a WSGI server."""
    with names["wsgi_app"] as app:
        assert get_wsgi(app, "/numbers") == b"0\n1\n2\n"


class News:
    """The queue of streaming.md: one event, and more of them only when the client has left."""

    def __init__(self) -> None:
        self.client_left = threading.Event()
        self._events = iter(["first"])

    def get(self, timeout: float) -> str:
        for event in self._events:
            return event
        assert self.client_left.wait(TIMEOUT)
        return "late"


@on_asyncio
@of("streaming.md")
async def test_events_are_streamed_as_they_come(names: dict[str, Any]) -> None:
    """streaming.md: an event leaves while the stream is open, and a client that leaves ends it."""
    names["news"] = news = News()
    sent: list[Message] = []
    first_sent = anyio.Event()

    async def receive() -> Message:
        await first_sent.wait()
        news.client_left.set()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            first_sent.set()

    with anyio.fail_after(TIMEOUT):
        await names["app"](_scope("http", "/events"), receive, send)

    assert sent[1] == {"type": "http.response.body", "body": b'data: "first"\n\n', "more_body": True}


@on_asyncio
@of("websocket.md")
async def test_echo_of_a_wsgi_application(names: dict[str, Any]) -> None:
    """websocket.md: the WSGI application that takes its WebSocket by bridge.websocket()."""
    messages = iter([{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}])
    sent: list[Message] = []
    answered = anyio.Event()

    async def receive() -> Message:
        for message in messages:
            return message
        await answered.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "websocket.send":
            answered.set()

    with anyio.fail_after(TIMEOUT):
        await names["served"](_scope("websocket", "/echo"), receive, send)

    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send"]
    assert sent[1]["text"] == "hello"


@on_asyncio
@of("tuning.md")
async def test_metrics_are_served_beside_the_application(names: dict[str, Any]) -> None:
    """tuning.md: the counters, as Prometheus reads them."""
    app = names["app"]
    await get(app, "/")

    assert "bridge_served 1\n" in (await get(app, "/metrics")).text


@on_asyncio
@of("deploying.md")
@pytest.mark.parametrize("path", ["/live", "/ready"])
async def test_probes_answer_on_the_loop(names: dict[str, Any], path: str) -> None:
    """deploying.md: no worker thread is needed, and the probes are no trouble to the lifespan."""
    messages = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[str] = []

    async def receive() -> Message:
        return {"type": next(messages)}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    response = await get(names["app"], path)
    await names["app"]({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)

    assert (response.status_code, names["shop"].stats().threads) == (200, 0)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def _scope(kind: str, path: str) -> dict[str, Any]:
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": kind.replace("websocket", "ws"),
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"test")],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "subprotocols": [],
        "state": {},
    }
