"""bridge.stream() in the responses of frameworks: the bytes of a plain generator, and whether a thread is free."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from typing import Any

import anyio.lowlevel
import pytest

from bridge import WsgiToAsgi, stream
from tests.asgi import Application, FakeServer, http_scope, serve
from tests.streams.items import Source, got, idle, until

TEXTS = [b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"]
MIMETYPE = "text/event-stream"


class _Streamed:
    body: Callable[[], Any]


# What each application streams: set by the test that calls it.
streamed = _Streamed()


def plain() -> Iterator[bytes]:
    """Give what every WSGI server can stream."""
    yield from TEXTS


async def items() -> AsyncIterator[bytes]:
    """Give the same, later."""
    for text in TEXTS:
        await anyio.lowlevel.checkpoint()
        yield text


@cache
def flask_application() -> Application:
    from flask import Flask, Response, request, stream_with_context

    app = Flask("streams")

    @app.get("/")
    def view() -> Response:
        return Response(streamed.body(), mimetype=MIMETYPE)

    @app.get("/context")
    def with_context() -> Response:
        return Response(stream_with_context(streamed.body()), mimetype=MIMETYPE)

    @app.get("/request")
    def of_request() -> Response:
        async def names() -> AsyncIterator[str]:
            for _ in range(2):
                await anyio.lowlevel.checkpoint()
                yield request.args["name"]

        return Response(stream_with_context(stream(names())), mimetype=MIMETYPE)

    app.get("/plain")(lambda: "plain")
    return app


@cache
def django_application() -> Application:
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse, StreamingHttpResponse
    from django.test.utils import override_settings
    from django.urls import path

    if not settings.configured:
        # The only one that a process can have: other tests need the same.
        settings.configure(ALLOWED_HOSTS=["*"], MIDDLEWARE=["django.middleware.common.CommonMiddleware"])
    django.setup()
    urls = (
        path("", lambda request: StreamingHttpResponse(streamed.body(), content_type=MIMETYPE)),
        path("plain", lambda request: HttpResponse("plain")),
    )

    if not hasattr(settings, "ROOT_URLCONF"):
        settings.ROOT_URLCONF = urls

    class Handler(WSGIHandler):  # type: ignore[misc]
        def get_response(self, request: Any) -> Any:
            request.urlconf = urls
            return super().get_response(request)

    with override_settings(
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.gzip.GZipMiddleware",
            "django.middleware.http.ConditionalGetMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ]
    ):
        return Handler()


@cache
def bottle_application() -> Application:
    import bottle

    app = bottle.Bottle()

    def view() -> Any:
        bottle.response.content_type = MIMETYPE
        return streamed.body()

    app.get("/", callback=view)
    app.get("/plain", callback=lambda: "plain")
    return app  # type: ignore[no-any-return]


@cache
def pyramid_application() -> Application:
    from pyramid.config import Configurator
    from pyramid.response import Response

    with Configurator() as config:
        config.add_route("view", "/")
        config.add_view(lambda request: Response(app_iter=streamed.body(), content_type=MIMETYPE), route_name="view")
        config.add_route("plain", "/plain")
        config.add_view(lambda request: Response("plain"), route_name="plain")
        return config.make_wsgi_app()  # type: ignore[no-any-return]


@cache
def falcon_application() -> Application:
    import falcon

    class View:
        def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
            response.content_type = MIMETYPE
            response.stream = streamed.body()

    class Plain:
        def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
            response.text = "plain"

    app: Any = falcon.App()
    app.add_route("/", View())
    app.add_route("/plain", Plain())
    return app  # type: ignore[no-any-return]


FRAMEWORKS = [
    pytest.param(flask_application, "/", id="flask"),
    pytest.param(flask_application, "/context", id="flask, stream_with_context"),
    pytest.param(django_application, "/", id="django"),
    pytest.param(bottle_application, "/", id="bottle"),
    pytest.param(pyramid_application, "/", id="pyramid"),
    pytest.param(falcon_application, "/", id="falcon"),
]
frameworks = pytest.mark.parametrize(("framework", "path"), FRAMEWORKS)


@pytest.fixture(autouse=True, scope="module")
def _imported() -> None:
    """Import the frameworks outside of an event loop, which that would block."""
    for param in FRAMEWORKS:
        param.values[0]()  # type: ignore[operator]


def application(framework: Callable[[], Application], monkeypatch: pytest.MonkeyPatch, body: Callable[[], Any]) -> Any:
    """Return the application of *framework*, which streams what *body* returns."""
    monkeypatch.setattr(streamed, "body", body, raising=False)
    return framework()


@frameworks
async def test_response_is_that_of_a_plain_generator(
    framework: Callable[[], Application], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status, headers and body."""
    responses = []
    for body in (plain, lambda: stream(items())):
        server = await serve(WsgiToAsgi(application(framework, monkeypatch, body)), http_scope(path=path))
        responses.append((server.status, server.headers, server.body))

    assert responses[0] == responses[1]
    assert responses[0][2] == b"".join(TEXTS)


@frameworks
async def test_thread_is_free_while_there_is_nothing(
    framework: Callable[[], Application], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread, two streams and a plain view. Bottle looks at the first chunk before it returns, so with a ping."""
    source = Source()
    adapter = WsgiToAsgi(application(framework, monkeypatch, lambda: stream(source.items(), ping=3600)), threads=1)
    servers = [FakeServer(), FakeServer()]

    async with servers[0].serving(adapter, http_scope(path=path)), servers[1].serving(adapter, http_scope(path=path)):
        await idle(adapter, 2, source)
        for text in TEXTS:
            source.put(text)
            for server in servers:
                await got(server, text)
            await idle(adapter, 2)
            assert (await serve(adapter, http_scope(path="/plain"))).body == b"plain"
        servers[0].disconnect()
        await until(lambda: source.running == 1)
        source.end()

    assert (servers[1].body, servers[1].complete) == (b":\n\n" + b"".join(TEXTS), True)
    assert (adapter.stats().streams, adapter.stats().disconnected) == (0, 1)


@frameworks
async def test_head_starts_nothing_that_is_left(
    framework: Callable[[], Application], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some frameworks close the body unread, some leave it to the server; a few have no HEAD for a GET view."""
    source = Source()
    adapter = WsgiToAsgi(application(framework, monkeypatch, lambda: stream(source.items(), ping=3600)))

    server = await serve(adapter, http_scope("HEAD", path))

    assert (server.body, server.complete, source.running, adapter.stats().streams) == (b"", True, 0, 0)


async def test_flasks_request_is_there_in_the_iterable() -> None:
    """stream_with_context() keeps it; the iterable runs in a copy of that context, on the loop."""
    scope = http_scope(path="/request", query_string=b"name=me")

    assert (await serve(WsgiToAsgi(flask_application()), scope)).body == b"meme"


async def test_bottle_holds_its_thread_until_the_first_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks at that before it returns from the view."""
    source = Source()
    adapter = WsgiToAsgi(application(bottle_application, monkeypatch, lambda: stream(source.items())))
    server = FakeServer()

    async with server.serving(adapter):
        await until(lambda: source.running)
        assert (adapter.stats().busy, adapter.stats().streams) == (1, 0)
        source.put(b"a")
        await idle(adapter, 1)
        source.end()

    assert server.body == b"a"


async def test_djangos_gzip_holds_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes empty chunks. From Django 6.0 on it lets each event leave at once; before, it collects them."""
    import django

    source = Source()
    adapter = WsgiToAsgi(application(django_application, monkeypatch, lambda: stream(source.items())))
    server = FakeServer()
    scope = http_scope(headers=[(b"accept-encoding", b"gzip")])

    async with server.serving(adapter, scope):
        await until(lambda: source.running)
        for text in TEXTS:
            before = len(server.body)
            source.put(text)
            if django.VERSION >= (6, 0):
                await server.until(lambda before=before: len(server.body) > before)  # type: ignore[misc]
            assert (adapter.stats().busy, adapter.stats().streams) == (1, 0)
        source.end()

    assert server.header(b"content-encoding") == [b"gzip"]
    assert gzip.decompress(server.body) == b"".join(TEXTS)
