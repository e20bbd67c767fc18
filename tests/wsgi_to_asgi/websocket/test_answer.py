"""A WSGI application that does not take the WebSocket: its HTTP response answers the handshake."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import anyio
import pytest

import bridge
from bridge import ApplicationError, NoWebSocket, WsgiToAsgi
from tests.asgi import Environ, StartResponse, happened, http_scope, serve, wait
from tests.mount.upstream.speaking import websocket_scope
from tests.wsgi_to_asgi.websocket.playing import Player


def unauthorized(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("401 Unauthorized", [("WWW-Authenticate", "Basic")])
    return [b"who are you?"]


async def test_response_leaves_as_a_denial() -> None:
    """ASGI specification, "Websocket Denial Response"."""
    player = await Player().play(WsgiToAsgi(unauthorized))

    headers = [(b"www-authenticate", b"Basic"), (b"content-length", b"12")]
    assert player.sent == [
        {"type": "websocket.http.response.start", "status": 401, "headers": headers},
        {"type": "websocket.http.response.body", "body": b"who are you?", "more_body": False},
    ]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        pytest.param("404 Not Found", 1000, id="no route"),
        pytest.param("401 Unauthorized", 1008, id="refused"),
        pytest.param("200 OK", 1008, id="a page"),
    ],
)
async def test_server_without_the_extension_gets_a_close(status: str, code: int) -> None:
    """ASGI specification, "Close - send event": before the accept, the server answers 403."""

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response(status, [])
        yield b"a"
        yield b"b"

    player = await Player(websocket_scope(denial=False)).play(WsgiToAsgi(application))

    assert player.sent == [{"type": "websocket.close", "code": code, "reason": ""}]


async def test_response_may_stream() -> None:
    """It is a response like any other."""
    sent = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("403 Forbidden", [])
        yield b"a"
        wait(sent)
        yield b"b"

    player = Player()
    async with player.playing(WsgiToAsgi(application)):
        await player.until(lambda: len(player.sent) == 2)
        sent.set()

    assert b"".join(message["body"] for message in player.sent[1:]) == b"ab"
    assert [message["more_body"] for message in player.sent[1:]][-1] is False


async def test_client_that_leaves_stops_a_response() -> None:
    """As with any other response that streams."""
    stopped = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("403 Forbidden", [])
        try:
            while True:
                yield b"x" * 1000
        finally:
            stopped.set()

    adapter = WsgiToAsgi(application, response_buffer=10_000)
    player = Player()
    async with player.playing(adapter):
        await player.until(lambda: len(player.sent) > 2)
        player.leave(1006)

    await happened(stopped)
    assert adapter.stats().disconnected == 1


@pytest.mark.parametrize("denial", [True, False])
async def test_failure_before_an_answer_is_raised(denial: bool) -> None:
    """The server makes 500 of it; one without the extension is told to refuse first, as not all do."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise KeyError("broken")

    player = Player(websocket_scope(denial=denial))
    adapter = WsgiToAsgi(application)
    with pytest.raises(KeyError, match="broken"):
        await player.play(adapter)

    assert player.sent == ([] if denial else [{"type": "websocket.close", "code": 1011, "reason": ""}])
    assert adapter.stats().failed == 1


async def test_application_that_does_nothing_is_an_error() -> None:
    """PEP 3333: start_response() is called, or here the WebSocket taken."""
    with pytest.raises(ApplicationError, match=r"start_response\(\) was never called"):
        await Player().play(WsgiToAsgi(lambda environ, start_response: []))


async def test_handshake_is_not_the_applications_to_answer() -> None:
    """RFC 6455, 4.2.2: 101 is the server's, which holds the connection."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("101 Switching Protocols", [])
        return []

    player = Player()
    with pytest.raises(ApplicationError, match=r"bridge\.websocket\(environ\)"):
        await player.play(WsgiToAsgi(application))

    assert player.sent == []


async def test_client_that_is_gone_at_once_is_not_served() -> None:
    """ASGI specification: what comes before websocket.connect can only be the end."""
    player = Player()
    await player.receive()
    player.leave(1006)
    adapter = WsgiToAsgi(unauthorized)
    await player.play(adapter)

    assert (player.sent, adapter.stats().disconnected) == ([], 1)


async def test_bad_target_is_answered_by_the_bridge() -> None:
    """RFC 9112, 3.2: a target that has none of the forms is 400."""
    scope = {**websocket_scope(), "path": "chat", "raw_path": b"chat"}
    player = await Player(scope).play(WsgiToAsgi(unauthorized))

    assert player.sent[0]["status"] == 400


async def test_one_too_many_is_refused_and_http_is_served(bridge_log: list[logging.LogRecord]) -> None:
    """Each WebSocket holds a thread, and none of those that HTTP requests have; the log names the option, once."""
    entered, leave = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if "bridge.websocket" in environ:
            bridge.websocket(environ).accept()
            entered.set()
            wait(leave)
            return []
        start_response("200 OK", [])
        return [b"served"]

    adapter = WsgiToAsgi(application, threads=1, websocket_threads=1)
    first = Player()
    async with first.playing(adapter):
        await happened(entered)
        denied = await Player().play(adapter)
        closed = await Player(websocket_scope(denial=False)).play(adapter)
        request = await serve(adapter, http_scope())
        stats = adapter.stats()
        leave.set()
    again = await Player().play(adapter)

    assert (denied.sent[0]["status"], dict(denied.sent[0]["headers"])[b"retry-after"]) == (503, b"1")
    assert closed.sent == [{"type": "websocket.close", "code": 1008, "reason": ""}]
    assert (request.status, request.body) == (200, b"served")
    assert (stats.rejected, stats.busy, stats.websockets) == (2, 0, 1)
    assert (first.types, again.types) == (["accept", "close"], ["accept", "close"])
    (record,) = bridge_log
    assert "option websocket_threads" in record.getMessage()


async def test_http_requests_leave_websockets_their_threads() -> None:
    """It holds the other way round, too."""
    entered, leave = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if "bridge.websocket" not in environ:
            entered.set()
            wait(leave)
        start_response("200 OK", [])
        return []

    adapter = WsgiToAsgi(application, threads=1, max_pending=0)
    player = Player()

    async def request() -> None:
        await happened(entered)
        await player.play(adapter)
        leave.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(request)
        await serve(adapter, http_scope())

    assert player.sent[0]["status"] == 200


async def test_environ_of_a_request_has_no_websocket() -> None:
    """Who asks for one learns which request it was."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        bridge.websocket(environ)
        return []

    with pytest.raises(NoWebSocket, match="GET /page"):
        await serve(WsgiToAsgi(application), http_scope(path="/page"))


@pytest.mark.parametrize("running", [0, 1])
async def test_handshake_that_gets_no_thread_is_refused(
    running: int, monkeypatch: pytest.MonkeyPatch, bridge_log: list[logging.LogRecord]
) -> None:
    """It would wait for as long as another WebSocket lives; the log says how many there could be."""
    leave = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        bridge.websocket(environ).accept()
        wait(leave)
        return []

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    adapter = WsgiToAsgi(application, websocket_threads=5)
    first = Player()
    async with anyio.create_task_group() as tasks:
        if running:
            tasks.start_soon(first.play, adapter)
            await first.until(lambda: first.sent)
        with monkeypatch.context() as patch:
            patch.setattr("bridge.wsgi_to_asgi.workers.threading.Thread.start", start)
            refused = await Player().play(adapter)
        stats = adapter.stats()
        leave.set()
    again = await Player().play(adapter)

    assert (refused.sent[0]["status"], stats.rejected, stats.websockets) == (503, 1, running)
    assert again.types == ["accept", "close"]
    (record,) = bridge_log
    assert f"no thread left for a WebSocket: {running} of 5 run" in record.getMessage()
