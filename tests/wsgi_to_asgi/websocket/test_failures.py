"""What is told when a WebSocket's application fails, and its server too."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import bridge
from bridge import WsgiToAsgi
from bridge.loop_thread import mailbox_here
from bridge.wsgi_to_asgi.websocket_link import Link
from bridge.wsgi_to_asgi.websocket_socket import SocketSide
from tests.asgi import TIMEOUT, Environ, Message, StartResponse, happened, on_asyncio, on_trio, wait
from tests.mount.upstream.speaking import websocket_scope
from tests.wsgi_to_asgi.websocket.hand import Hand
from tests.wsgi_to_asgi.websocket.playing import Player


async def test_error_is_logged_if_the_last_close_cannot_be_sent(bridge_log: list[logging.LogRecord]) -> None:
    """The server gets its own error, so the application's would be nowhere."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        bridge.websocket(environ).accept()
        raise ValueError("the application's")

    received: list[Message] = [{"type": "websocket.connect"}]

    async def receive() -> Message:
        if not received:
            await anyio.sleep_forever()
        return received.pop()

    async def send(message: Message) -> None:
        if message["type"] == "websocket.close":
            raise RuntimeError("the server's")

    with pytest.raises(RuntimeError, match="the server's"):
        await WsgiToAsgi(application)(Player().scope, receive, send)

    errors = [record.exc_info[1] for record in bridge_log if record.exc_info]
    assert [str(error) for error in errors] == ["the application's"]


# -- a handshake that came to nothing, after the application has looked at its socket -----------------------------


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes of both ends of each pair: the application's, then the bridge's."""
    inodes: list[int] = []
    make = SocketSide.__init__

    def init(self: SocketSide, *arguments: Any) -> None:
        make(self, *arguments)
        inodes.extend(os.fstat(one.fileno()).st_ino for one in (self.theirs, self._ours) if one)

    monkeypatch.setattr(SocketSide, "__init__", init)
    return inodes


def still_open(inodes: list[int]) -> list[int]:
    """Which of them this process has a descriptor of."""
    targets: set[str] = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            targets.add(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:  # that of the listing itself
            pass
    return [inode for inode in inodes if f"socket:[{inode}]" in targets]


def fail(start_response: StartResponse) -> list[bytes]:
    raise KeyError("broken")


def refuse(start_response: StartResponse) -> list[bytes]:
    start_response("401 Unauthorized", [])
    return [b"no"]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the system does not list descriptors")
@pytest.mark.parametrize(
    ("answer", "denial", "error"),
    [
        pytest.param(fail, True, None, id="failed"),
        pytest.param(fail, False, None, id="failed without denial"),
        pytest.param(refuse, True, None, id="refused"),
        pytest.param(refuse, False, None, id="refused without denial"),
        pytest.param(refuse, True, OSError("gone"), id="refused and gone"),
        pytest.param(refuse, True, RuntimeError("server"), id="refused and failed"),
    ],
)
async def test_handshake_that_failed_leaves_no_descriptor(
    answer: Callable[[StartResponse], list[bytes]], denial: bool, error: Exception | None, sockets: list[int]
) -> None:
    """Both ends are closed by the time the server has its answer, or none."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["werkzeug.socket"].fileno()
        return answer(start_response)

    player = Player(websocket_scope(denial=denial))
    if error is not None:
        player.fail_send(error)
    try:
        await player.play(WsgiToAsgi(application))
    except (KeyError, OSError, RuntimeError):
        left = still_open(sockets[1:])
    else:
        left = still_open(sockets)
    gc.collect()  # the error's traceback holds the environ, and this test the error

    assert (len(sockets), left, still_open(sockets)) == (2, [], [])


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the system does not list descriptors")
async def test_handshake_that_is_cancelled_leaves_no_descriptor(sockets: list[int]) -> None:
    """The bridge closes its end at once, the application's end goes when it returns."""
    entered, leave = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["werkzeug.socket"].fileno()
        entered.set()
        wait(leave)
        return []

    player = Player()
    adapter = WsgiToAsgi(application)
    async with player.playing(adapter):
        await happened(entered)
        player.cancelled.cancel()
    left = still_open(sockets)
    leave.set()
    with anyio.fail_after(TIMEOUT):
        while adapter.stats().websockets:
            await anyio.lowlevel.checkpoint()

    assert (len(sockets), len(left)) == (2, 1)


@on_asyncio
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the system does not list descriptors")
async def test_cancellation_that_comes_again_leaves_no_descriptor(sockets: list[int]) -> None:
    """asyncio's own comes through wherever the exchange waits for the end of its tasks."""
    ended = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert Hand(environ).accept().receive() is None
        ended.set()
        return []

    player = Player()
    task = asyncio.ensure_future(WsgiToAsgi(application)(player.scope, player.receive, player.send))
    await player.until(lambda: player.sent)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(5):  # what was cancelled last ends
        await asyncio.sleep(0)
    left = still_open(sockets[1:])
    await happened(ended)

    assert (len(sockets), left) == (2, [])


@on_trio
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the system does not list descriptors")
async def test_cancellation_at_the_end_leaves_no_descriptor(
    sockets: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes when all is said, and the exchange only waits for its tasks."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert Hand(environ).accept().receive() is None
        start_response("200 OK", [])
        return []

    close_soon = Link.close_soon

    def close_and_cancel(link: Link, *arguments: Any) -> bool:
        player.cancelled.cancel()
        return close_soon(link, *arguments)

    monkeypatch.setattr(Link, "close_soon", close_and_cancel)
    player = Player()
    async with player.playing(WsgiToAsgi(application)):
        await player.until(lambda: player.sent)
        player.leave(1006)

    assert (len(sockets), still_open(sockets[1:])) == (2, [])


@on_asyncio
async def test_descriptor_that_is_waited_for_is_not_closed() -> None:
    """By the time the event loop forgets its number it may be another's; it goes with the last who waits."""
    crossing = mailbox_here()
    assert crossing is not None
    link = Link(crossing, lambda: None, [], 1, 1, lambda why: None)
    ended = asyncio.Event()
    side = SocketSide(link, "dGhlIHNhbXBsZSBub25jZQ==", ended.set)
    theirs = side.theirs
    side.begin(crossing)
    await asyncio.sleep(0)
    side.drop()
    before = side._ours.fileno()
    with anyio.fail_after(TIMEOUT):
        await ended.wait()

    assert (theirs is not None, before >= 0, side._ours.fileno()) == (True, True, -1)


# -- a loop that is closed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("early", [True, False], ids=["looked before", "looks after"])
@pytest.mark.parametrize("kind", [list, iter], ids=["whole", "in chunks"])
def test_loop_that_is_gone_frees_an_application_that_looks_at_the_socket(
    kind: Callable[[list[bytes]], Any], early: bool, sockets: list[int], bridge_log: list[logging.LogRecord]
) -> None:
    """What it has written there nobody reads any more, so its answer is not to wait for that."""
    entered, gone = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Any:
        if early:
            environ["werkzeug.socket"].fileno()
        entered.set()
        wait(gone)
        environ["werkzeug.socket"].fileno()
        start_response("404 Not Found", [])
        return kind([b"x"])

    adapter = WsgiToAsgi(application)
    loop = asyncio.new_event_loop()
    tasks: list[Any] = []  # a coroutine that is collected would end the WebSocket itself

    async def begin() -> set[asyncio.Task[Any]]:
        player = Player()
        tasks.append(asyncio.ensure_future(adapter(player.scope, player.receive, player.send)))
        await happened(entered)
        return asyncio.all_tasks()

    for task in loop.run_until_complete(begin()):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        tasks.append(task)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    gone.set()

    assert adapter._websockets._workers.close(TIMEOUT)
    assert early or still_open(sockets) == []
