"""wsgi.early_hints where the server offers http.response.early_hint: before the response, and never after."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import anyio.to_thread
import pytest

from bridge import ApplicationError, ClientDisconnected, WsgiToAsgi, run_async
from tests.asgi import (
    Environ,
    FakeServer,
    Message,
    Scope,
    StartResponse,
    happened,
    http_scope,
    on_asyncio,
    wait,
)

HINT = "http.response.early_hint"
LINK = ("Link", "</style.css>; rel=preload; as=style")


class HintedServer(FakeServer):
    """A server that takes hints, before the response."""

    def __init__(self, *messages: Message) -> None:
        super().__init__(*messages)
        self.hints: list[list[bytes]] = []

    def _check(self, message: Message) -> None:
        if message["type"] == HINT:
            assert not self.sent, "the response has begun"
            assert all(type(link) is bytes for link in message["links"])
            assert message["links"]
        else:
            super()._check(message)

    async def send(self, message: Message) -> None:
        await super().send(message)
        if message["type"] == HINT:
            self.hints.append(self.sent.pop()["links"])

    @property
    def links(self) -> list[bytes]:
        return [link for links in self.hints for link in links]


def scope(version: str = "2", **extensions: Any) -> Scope:
    return http_scope(http_version=version, extensions={HINT: {}, **extensions})


async def serve(application: WsgiToAsgi, scope: Scope) -> HintedServer:
    server = HintedServer({"type": "http.request", "body": b"", "more_body": False})
    await server.serve(application, scope)
    return server


def hinting(*headers: Any) -> WsgiToAsgi:
    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.early_hints"](list(headers))
        start_response("200 OK", [])
        return [b"page"]

    return WsgiToAsgi(application)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(dict(scope()), True, id="offered"),
        pytest.param(dict(scope("1.1")), True, id="HTTP/1.1"),
        pytest.param(dict(scope("1.0")), False, id="HTTP/1.0"),
        pytest.param(dict(http_scope(extensions={})), False, id="not offered"),
        pytest.param(dict(http_scope(extensions={"http.response.trailers": {}})), False, id="others offered"),
        pytest.param(dict(http_scope(extensions=None)), False, id="no extensions"),
        pytest.param(dict(http_scope()), False, id="key absent"),
    ],
)
async def test_callable_is_there_where_hints_can_be_sent(given: Scope, expected: bool) -> None:
    """ASGI, "Extensions"; RFC 9110, 15.2: a server must not send a 1xx to a client of HTTP/1.0."""
    seen: list[bool] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append(callable(environ.get("wsgi.early_hints")))
        start_response("200 OK", [])
        return []

    await serve(WsgiToAsgi(application), given)

    assert seen == [expected]


async def test_hint_leaves_while_the_application_still_works() -> None:
    """RFC 8297: that is what it is for."""
    left = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.early_hints"]([LINK])
        wait(left)
        start_response("200 OK", [])
        return [b"page"]

    server = HintedServer({"type": "http.request", "body": b"", "more_body": False})
    server.on_sent = lambda message: left.set() if message["type"] == HINT else None
    await server.serve(WsgiToAsgi(application), scope())

    assert (server.hints, server.body) == ([[LINK[1].encode()]], b"page")


@pytest.mark.parametrize("name", ["Link", "link", b"LINK"])
@pytest.mark.parametrize("value", [" </caf\xe9.css> \t", b" </caf\xe9.css> \t"], ids=["str", "bytes"])
async def test_names_and_values_are_text_or_bytes(name: str | bytes, value: str | bytes) -> None:
    """As Gunicorn takes them; RFC 9110, 5.5: white space around a value is no part of it."""
    assert (await serve(hinting((name, value)), scope())).hints == [[b"</caf\xe9.css>"]]


async def test_all_links_leave_in_their_order_and_before_the_response() -> None:
    """How many messages carry them is open; a response that begins at once does not overtake them."""
    expected = [b"</%d.css>" % number for number in range(60)]

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        for number in range(0, 60, 2):
            environ["wsgi.early_hints"]([("Link", f"</{number}.css>"), ("Link", f"</{number + 1}.css>")])
        start_response("200 OK", [])
        return [b"page"]

    server = await serve(WsgiToAsgi(application), scope())

    assert (server.links, server.body) == (expected, b"page")


async def test_other_headers_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """ASGI's message carries links only."""
    caplog.set_level("DEBUG", "bridge")

    server = await serve(hinting(("X-Other", "1"), LINK, ("Server-Timing", "a")), scope())

    assert server.hints == [[LINK[1].encode()]]
    assert "Early hints carry Link headers only, x-other, server-timing is left out." in caplog.text


@pytest.mark.parametrize("headers", [[], [("X-Other", "1")], [("Link", " ")]], ids=["none", "no link", "empty"])
async def test_hint_without_a_link_sends_nothing(headers: list[Any]) -> None:
    server = await serve(hinting(*headers), scope())

    assert (server.hints, server.body) == ([], b"page")


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(("Link", "a\r\nSet-Cookie: b"), id="CR LF in a value"),
        pytest.param(("X-Other", "a\nb"), id="LF in a value that is not sent"),
        pytest.param(("Li nk", "a"), id="name"),
        pytest.param((b"Link:", b"a"), id="name as bytes"),
        pytest.param(("Link", "\u20ac"), id="beyond U+00FF"),
        pytest.param(("Link", 1), id="number"),
        pytest.param("Link", id="no pair"),
        pytest.param(None, id="None"),
    ],
)
async def test_bad_header_is_an_error_of_the_application(header: Any) -> None:
    """RFC 9110, 5.1 and 5.5; nothing of the call is sent."""
    with pytest.raises(ApplicationError, match=r"wsgi\.early_hints"):
        await serve(hinting(LINK, header), scope())


async def test_hint_after_the_response_has_begun_is_nothing() -> None:
    """As with Gunicorn; ASGI, "Early Hints": before http.response.start."""
    begun = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        environ["wsgi.early_hints"]([LINK])  # nothing has left yet
        yield b"a"
        environ["wsgi.early_hints"]([LINK])
        wait(begun)
        environ["wsgi.early_hints"]([LINK])
        yield b"b"

    server = HintedServer({"type": "http.request", "body": b"", "more_body": False})
    server.on_sent = lambda message: begun.set() if message["type"] == "http.response.body" else None
    await server.serve(WsgiToAsgi(application), scope())

    assert (server.hints, server.body) == ([[LINK[1].encode()]], b"ab")


async def test_hint_after_the_exchange_is_nothing() -> None:
    kept: list[Any] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        kept.append(environ["wsgi.early_hints"])
        start_response("200 OK", [])
        return []

    server = await serve(WsgiToAsgi(application), scope())
    await anyio.to_thread.run_sync(kept[0], [LINK])

    assert (server.hints, server.complete) == ([], True)


@on_asyncio
async def test_exchange_leaves_no_cycle() -> None:
    """What an application keeps in environ goes with the exchange, not with the next collection."""

    class Kept:
        pass

    kept: list[weakref.ref[Kept]] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["kept"] = Kept()
        kept.append(weakref.ref(environ["kept"]))
        environ["wsgi.early_hints"]([LINK])
        start_response("200 OK", [])
        return [b"page"]

    adapter = WsgiToAsgi(application)
    gc.disable()
    try:
        await serve(adapter, scope())
        await anyio.to_thread.run_sync(_drained, adapter)
        assert kept[0]() is None
    finally:
        gc.enable()


async def test_client_that_takes_nothing_does_not_fill_the_memory(caplog: pytest.LogCaptureFixture) -> None:
    """What is too much is left out; the application does not wait for it, and its response is whole."""
    caplog.set_level("DEBUG", "bridge")
    held = threading.Event()
    hinted = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.early_hints"]([LINK])
        wait(held)
        for _ in range(200):
            environ["wsgi.early_hints"]([LINK, LINK])
        hinted.set()
        start_response("200 OK", [])
        return [b"page"]

    server = HintedServer({"type": "http.request", "body": b"", "more_body": False})
    server.hold()
    async with server.serving(WsgiToAsgi(application), scope()):
        await server.until(lambda: server.sends == 1)
        held.set()
        await happened(hinted)
        server.release()

    assert (len(server.links), server.body) == (1 + 256, b"page")
    assert "2 early hints are left out: 256 wait to be sent." in caplog.text


async def test_error_of_send_reaches_the_application_and_the_server() -> None:
    """As with chunks: the next hint raises, and the error leaves the coroutine as it was."""
    raised: list[BaseException] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            while True:
                environ["wsgi.early_hints"]([LINK])
        except ClientDisconnected as error:
            raised.append(error)
            raise

    server = HintedServer({"type": "http.request", "body": b"", "more_body": False})
    server.fail_send(OSError("gone"))
    adapter = WsgiToAsgi(application)
    with pytest.raises(OSError, match="gone"):
        await server.serve(adapter, scope())
    await anyio.to_thread.run_sync(_drained, adapter)

    assert (len(raised), adapter.stats().disconnected) == (1, 1)


def _drained(adapter: WsgiToAsgi) -> None:
    adapter._workers.drain(adapter, 5.0, 5.0)


@on_asyncio
async def test_asynchronous_code_on_the_servers_loop_can_hint() -> None:
    """An async view runs there: the call must not wait for the loop."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        async def view() -> bytes:
            for _ in range(1000):
                environ["wsgi.early_hints"]([LINK])
            return b"page"

        page = run_async(view)
        start_response("200 OK", [])
        return [page]

    server = await serve(WsgiToAsgi(application), scope())

    assert (len(server.links), server.body) == (256, b"page")
