"""bridge.websocket(): what the application does with the object, and what the server and the client see of it."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import bridge
from bridge import ApplicationError, ClientDisconnected, WebSocket, WsgiToAsgi
from tests.asgi import TIMEOUT, Environ, FakeLifespan, Message, StartResponse, bridge_threads, happened, wait
from tests.mount.upstream.speaking import websocket_scope
from tests.wsgi_to_asgi.websocket.playing import Player

ACCEPTED: Message = {"type": "websocket.accept", "subprotocol": None, "headers": []}


def taking(handle: Callable[[WebSocket], object], **options: Any) -> WsgiToAsgi:
    """Make an application that accepts each WebSocket and hands it to *handle*."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        websocket = bridge.websocket(environ)
        websocket.accept()
        handle(websocket)
        return []

    return WsgiToAsgi(application, **options)


def echo(websocket: WebSocket) -> None:
    for message in websocket:
        websocket.send(message)


# -- messages and their order -------------------------------------------------------------------------------------


async def test_messages_go_both_ways() -> None:
    """Text is str, binary is bytes, and their order is kept."""
    player = Player()
    async with player.playing(taking(echo)):
        player.say("é")
        player.say(b"\xff\x00")
        player.feed({"type": "websocket.receive", "text": "", "bytes": None})
        player.feed({"type": "websocket.receive", "text": None, "bytes": b""})
        await player.until(lambda: len(player.sent) == 5)
        player.leave(1000)

    assert player.messages == ["é", b"\xff\x00", "", b""]
    assert player.types == ["accept", "send", "send", "send", "send"]


async def test_subprotocol_and_headers_are_accepted() -> None:
    """RFC 6455, 4.2.2; the client's offer is there in its order."""
    seen: list[object] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        websocket = bridge.websocket(environ)
        seen.append(websocket.subprotocols)
        websocket.accept("chat", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        seen.append(websocket.subprotocol)
        return []

    player = await Player(websocket_scope(subprotocols=["superchat", "chat"])).play(WsgiToAsgi(application))

    headers = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    assert player.sent[0] == {"type": "websocket.accept", "subprotocol": "chat", "headers": headers}
    assert seen == [["superchat", "chat"], "chat"]


@pytest.mark.parametrize(
    ("do", "message"),
    [
        pytest.param(lambda one: one.accept("x"), "the client offers", id="subprotocol not offered"),
        pytest.param(lambda one: one.accept(headers=[("A B", "x")]), "token", id="header name"),
        pytest.param(lambda one: one.accept(headers=[("A", "x\r\ny")]), "CR, LF", id="header value"),
        pytest.param(lambda one: one.accept(headers=[("Upgrade", "x")]), "server's", id="hop-by-hop"),
        pytest.param(lambda one: one.accept(headers=[("Sec-WebSocket-Accept", "x")]), "server's", id="handshake"),
        pytest.param(lambda one: one.send("x"), r"call accept\(\) first", id="send before accept"),
        pytest.param(lambda one: one.receive(), r"call accept\(\) first", id="receive before accept"),
        pytest.param(lambda one: (one.accept(), one.accept()), "second time", id="accept twice"),
        pytest.param(lambda one: (one.accept(), one.send(1)), "int 1", id="no message"),
        pytest.param(lambda one: (one.accept(), one.send("\ud800")), "surrogates", id="surrogate"),
        pytest.param(lambda one: (one.accept(), one.close(1005)), "got 1005", id="close code"),
        pytest.param(lambda one: (one.accept(), one.close(1000, "x" * 124)), "123 bytes", id="close reason"),
    ],
)
async def test_what_the_standards_do_not_allow_is_refused(do: Callable[[Any], object], message: str) -> None:
    """The application made the mistake, and the error says which."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        do(bridge.websocket(environ))
        return []

    with pytest.raises(ApplicationError, match=message):
        await Player().play(WsgiToAsgi(application))


async def test_accept_after_an_answer_is_refused() -> None:
    """The handshake has one answer."""

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("403 Forbidden", [])
        yield b"no"
        bridge.websocket(environ).accept()

    player = Player()
    with pytest.raises(ApplicationError, match="answered with an HTTP response"):
        await player.play(WsgiToAsgi(application))

    assert player.types == ["http.response.start", "http.response.body"]


async def test_generator_may_take_it() -> None:
    """PEP 3333: its code runs when it is iterated."""

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        websocket = bridge.websocket(environ)
        websocket.accept()
        websocket.send("x")
        yield b""
        websocket.send("y")

    player = await Player().play(WsgiToAsgi(application))

    assert player.messages == ["x", "y"]


# -- the end ------------------------------------------------------------------------------------------------------


async def test_return_closes_with_1000() -> None:
    """RFC 6455, 7.4.1: the purpose is fulfilled."""
    player = await Player().play(taking(lambda one: one.send("x")))

    sent = {"type": "websocket.send", "text": "x"}
    assert player.sent == [ACCEPTED, sent, {"type": "websocket.close", "code": 1000, "reason": ""}]


class Body:
    """A response that a framework makes of the return of a view."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield b""
        while True:
            yield b"nobody gets this"

    def close(self) -> None:
        self.closed += 1


async def test_response_after_it_is_dropped() -> None:
    """A framework makes one, whatever the view has done; it is closed, as PEP 3333 asks for."""
    body = Body()

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        bridge.websocket(environ).accept()
        start_response("200 OK", [("Content-Length", "5")])(b"nobody")
        return body

    player = await Player().play(WsgiToAsgi(application))

    assert (player.types, body.closed) == (["accept", "close"], 1)


@pytest.mark.parametrize("returned", [None, [], [b"x"], 5])
async def test_return_value_is_not_looked_at(returned: Any) -> None:
    """The WebSocket was the answer."""

    def application(environ: Environ, start_response: StartResponse) -> Any:
        bridge.websocket(environ).accept()
        return returned

    player = await Player().play(WsgiToAsgi(application))

    assert player.types == ["accept", "close"]


async def test_close_has_code_and_reason() -> None:
    """What was sent before leaves before it; a second close changes nothing; nothing can be sent after it."""
    seen: list[object] = []

    def handle(websocket: WebSocket) -> None:
        websocket.send("x")
        websocket.close(4002, "why")
        websocket.close()
        seen.extend([websocket.closed, websocket.close_code, websocket.close_reason, list(websocket)])
        with pytest.raises(ClientDisconnected, match="application has closed the WebSocket with 4002"):
            websocket.send("y")

    player = await Player().play(taking(handle))

    assert player.types == ["accept", "send", "close"]
    assert player.sent[-1] == {"type": "websocket.close", "code": 4002, "reason": "why"}
    assert seen == [True, 4002, "why", []]


async def test_close_leaves_while_nothing_is_received() -> None:
    """Granian keeps a close back while a receive() waits."""

    class Granian(Player):
        receiving = False

        async def receive(self) -> Message:
            self.receiving = True
            try:
                return await super().receive()
            finally:
                self.receiving = False

        async def send(self, message: Message) -> None:
            assert message["type"] != "websocket.close" or not self.receiving
            await super().send(message)

    player = await Granian().play(taking(lambda one: one.close(4002)))

    assert player.sent[-1]["code"] == 4002


async def test_application_that_ends_by_its_own_close_has_not_failed() -> None:
    """One thread may close what another still sends to."""

    def handle(websocket: WebSocket) -> None:
        websocket.close()
        websocket.send("x")

    adapter = taking(handle)
    player = await Player().play(adapter)

    assert (player.types, adapter.stats().served) == (["accept", "close"], 1)


async def test_close_before_accept_refuses() -> None:
    """ASGI specification, "Close - send event": 403."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        bridge.websocket(environ).close()
        return []

    player = await Player().play(WsgiToAsgi(application))

    assert player.sent == [{"type": "websocket.close", "code": 1000, "reason": ""}]


async def test_clients_close_is_told() -> None:
    """Messages before it are received; then iteration ends, receive() and send() raise."""
    seen: list[object] = []

    def handle(websocket: WebSocket) -> None:
        seen.append((websocket.closed, websocket.close_code, websocket.close_reason))
        websocket.send("open")
        seen.append(list(websocket))
        for call in (websocket.receive, lambda: websocket.send("x")):
            with pytest.raises(ClientDisconnected, match="closed the WebSocket with 4001 bye"):
                call()
        seen.append((websocket.closed, websocket.close_code, websocket.close_reason))

    player = Player()
    adapter = taking(handle)
    async with player.playing(adapter):
        await player.until(lambda: player.messages)
        player.say("a")
        player.say("b")
        player.leave(4001, "bye")

    assert seen == [(False, None, ""), ["a", "b"], (True, 4001, "bye")]
    assert player.types == ["accept", "send"]
    assert (adapter.stats().served, adapter.stats().failed) == (1, 0)


async def test_application_that_ends_by_a_disconnect_has_not_failed() -> None:
    """A loop without end is a way to write a WebSocket."""

    def handle(websocket: WebSocket) -> None:
        while True:
            websocket.send(websocket.receive())

    player = Player()
    adapter = taking(handle)
    async with player.playing(adapter):
        player.say("a")
        await player.until(lambda: player.messages)
        player.leave(1001)

    assert (adapter.stats().served, player.types) == (1, ["accept", "send"])


async def test_failure_closes_with_1011_and_is_raised() -> None:
    """RFC 6455, 7.4.1: an unexpected condition; what was sent before leaves before it."""

    def handle(websocket: WebSocket) -> None:
        websocket.send("x")
        raise KeyError("broken")

    player = Player()
    adapter = taking(handle)
    with pytest.raises(KeyError, match="broken"):
        await player.play(adapter)

    assert player.types == ["accept", "send", "close"]
    assert (player.sent[-1]["code"], adapter.stats().failed) == (1011, 1)


async def test_shutdown_closes_with_1001() -> None:
    """RFC 6455, 7.4.1: the server goes away. The application hears it and ends; the shutdown waits for that."""
    seen: list[object] = []

    def handle(websocket: WebSocket) -> None:
        seen.append(list(websocket))
        seen.append(websocket.close_code)

    player = Player()
    adapter = taking(handle, drain_timeout=TIMEOUT)
    lifespan = FakeLifespan()
    async with player.playing(adapter), lifespan.running(adapter):
        await player.until(lambda: player.sent)

    assert seen == [[], 1001]
    assert player.sent[-1] == {"type": "websocket.close", "code": 1001, "reason": ""}
    assert (lifespan.sent[-1], adapter.stats().websockets) == ("lifespan.shutdown.complete", 0)


async def test_lost_client_ends_it() -> None:
    """ASGI specification, "Disconnected Client": send() raises an OSError, and receive() may come later or never."""
    seen: list[object] = []

    def handle(websocket: WebSocket) -> None:
        seen.append(list(websocket))
        seen.append(websocket.close_code)

    player = Player()
    player.fail_send(OSError("gone"))
    adapter = taking(handle)
    await player.play(adapter)

    assert (seen, player.sent, adapter.stats().served) == ([[], 1006], [], 1)


async def test_close_that_is_heard_after_a_failed_send_counts() -> None:
    """send() only says that the client is gone, receive() says how."""
    seen: list[int | None] = []
    failed, heard = threading.Event(), threading.Event()

    def handle(websocket: WebSocket) -> None:
        list(websocket)
        seen.append(websocket.close_code)
        failed.set()
        wait(heard)
        seen.append(websocket.close_code)

    player = Player()
    player.fail_send(OSError("gone"))
    async with player.playing(taking(handle)):
        await happened(failed)
        player.leave(4001)
        await player.until(lambda: player.receives == 2)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        heard.set()

    assert seen == [1006, 4001]


async def test_servers_own_failure_is_raised() -> None:
    """An error of send() that is no OSError is not about the client."""
    ended = threading.Event()

    def handle(websocket: WebSocket) -> None:
        list(websocket)
        ended.set()

    player = Player()
    player.fail_send(RuntimeError("server"))
    with pytest.raises(RuntimeError, match="server"):
        await player.play(taking(handle))

    await happened(ended)


async def test_cancellation_stops_the_application() -> None:
    """A server may cancel what it does not wait for any more."""
    ended = threading.Event()

    def handle(websocket: WebSocket) -> None:
        with pytest.raises(ClientDisconnected, match="cancelled"):
            websocket.receive()
        ended.set()

    player = Player()
    adapter = taking(handle)
    async with player.playing(adapter):
        await player.until(lambda: player.sent)
        player.cancelled.cancel()

    await happened(ended)
    assert adapter.stats().disconnected == 1


async def test_cancellation_before_the_accept_stops_the_application() -> None:
    """There is nobody to accept any more."""
    entered, gone, ended = threading.Event(), threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        entered.set()
        wait(gone)
        with pytest.raises(ClientDisconnected, match="cancelled"):
            bridge.websocket(environ).accept()
        ended.set()
        return []

    player = Player()
    async with player.playing(WsgiToAsgi(application)):
        await happened(entered)
        player.cancelled.cancel()
    gone.set()

    await happened(ended)
    assert player.sent == []


async def test_client_that_leaves_before_the_accept_is_told() -> None:
    """The application finds out when it accepts."""
    entered, left = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        entered.set()
        wait(left)
        websocket = bridge.websocket(environ)
        with pytest.raises(ClientDisconnected, match="lost"):
            websocket.accept()
        raise AssertionError("unreachable") if not websocket.closed else ClientDisconnected()

    player = Player()
    adapter = WsgiToAsgi(application)
    async with player.playing(adapter):
        await happened(entered)
        player.leave(1006)
        await player.until(lambda: player.receives == 2)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        left.set()

    assert (player.sent, adapter.stats().disconnected) == ([], 1)


# -- waiting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 0.01])
async def test_receive_waits_no_longer_than_told(seconds: float) -> None:
    """A message that is there is taken at once."""

    def handle(websocket: WebSocket) -> None:
        with pytest.raises(TimeoutError, match=f"{seconds:g} s"):
            websocket.receive(seconds)
        websocket.send("ready")
        websocket.send(websocket.receive(TIMEOUT))

    player = Player()
    async with player.playing(taking(handle)):
        await player.until(lambda: player.messages)
        player.say("a")
        await player.until(lambda: len(player.messages) == 2)

    assert player.messages == ["ready", "a"]


async def test_sender_waits_for_a_slow_client() -> None:
    """It is never more than response_buffer bytes ahead, and one message."""
    lead = 0
    sent = taken = 0

    def handle(websocket: WebSocket) -> None:
        nonlocal sent
        for _ in range(100):
            sent += 1
            websocket.send(b"x" * 1000)

    class Slow(Player):
        async def send(self, message: Message) -> None:
            nonlocal lead, taken
            await anyio.lowlevel.checkpoint()
            lead = max(lead, sent - taken)
            taken += message["type"] == "websocket.send"
            await super().send(message)

    player = await Slow().play(taking(handle, response_buffer=8000))

    assert (len(player.messages), lead <= 8) == (100, True)


async def test_client_that_is_held_holds_the_sender_until_it_leaves() -> None:
    """Empty messages count as well, since they take memory; who waits learns of the end."""
    sent = 0
    full, ended = threading.Event(), threading.Event()

    def handle(websocket: WebSocket) -> None:
        nonlocal sent
        try:
            while True:
                websocket.send("")
                sent += 1
                if sent == 10:
                    full.set()
        except ClientDisconnected:
            ended.set()

    player = Player()
    player.hold()
    async with player.playing(taking(handle, response_buffer=2560)):
        await happened(full)
        with anyio.move_on_after(0.05):  # time for a sender that nobody holds to run ahead
            await anyio.sleep_forever()
        ahead = sent
        player.leave(1006)
        await happened(ended)
        player.release()

    assert ahead == 10  # of 256 bytes each, as which an empty message counts


async def test_application_that_does_not_receive_holds_the_client() -> None:
    """No more than request_buffer bytes are read ahead, and one message."""
    go = threading.Event()
    received: list[object] = []

    def handle(websocket: WebSocket) -> None:
        wait(go)
        received.extend(websocket)

    player = Player()
    for _ in range(100):
        player.say(b"x" * 1000)
    player.leave(1000)
    async with player.playing(taking(handle, request_buffer=8000)):
        await player.until(lambda: player.receives == 8)  # the connect, and seven messages of 1,256 bytes
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        ahead = player.receives
        go.set()

    assert (ahead, len(received)) == (8, 100)


# -- threads ------------------------------------------------------------------------------------------------------


async def test_any_thread_may_send() -> None:
    """A chat sends from the threads of others; each one's messages keep their order."""

    def handle(websocket: WebSocket) -> None:
        def speak(number: int) -> None:
            for count in range(100):
                websocket.send(f"{number} {count}")

        threads = [threading.Thread(target=speak, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        assert websocket.receive() == "meanwhile"
        for thread in threads:
            thread.join(TIMEOUT)

    player = Player()
    player.say("meanwhile")
    await player.play(taking(handle, response_buffer=1000))

    for number in range(8):
        mine = [message for message in player.messages if str(message).startswith(f"{number} ")]
        assert mine == [f"{number} {count}" for count in range(100)]


async def test_receivers_take_turns() -> None:
    """Each message is one thread's, and all of them learn of the end."""
    received: list[object] = []

    def handle(websocket: WebSocket) -> None:
        threads = [threading.Thread(target=lambda: received.extend(websocket)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive()

    player = Player()
    for number in range(100):
        player.say(str(number))
    player.leave(1000)
    await player.play(taking(handle, request_buffer=1000))

    assert sorted(received, key=str) == sorted(map(str, range(100)))


async def test_chat_between_two() -> None:
    """What one client says reaches the other, from the thread of the first."""
    members: list[WebSocket] = []
    both = threading.Barrier(2)

    def handle(websocket: WebSocket) -> None:
        members.append(websocket)
        both.wait(TIMEOUT)
        for message in websocket:
            for member in members:
                member.send(message)

    adapter = taking(handle)
    first, second = Player(), Player()
    async with first.playing(adapter), second.playing(adapter):
        first.say("a")
        await second.until(lambda: second.messages)
        second.say("b")
        await first.until(lambda: len(first.messages) == 2)
        await second.until(lambda: len(second.messages) == 2)
        first.leave(1000)
        second.leave(1000)

    assert sorted(first.messages, key=str) == sorted(second.messages, key=str) == ["a", "b"]


def test_loop_that_is_gone_raises() -> None:
    """Whoever sends to it learns that, and is not kept waiting."""
    outcome: list[BaseException] = []
    gone = threading.Event()
    ended = threading.Event()

    def handle(websocket: WebSocket) -> None:
        wait(gone)
        try:
            while True:
                websocket.send("x" * 1000)
        except ClientDisconnected as error:
            outcome.append(error)
        ended.set()

    adapter = taking(handle)
    loop = asyncio.new_event_loop()

    async def begin() -> set[asyncio.Task[Any]]:
        player = Player()
        tasks.append(asyncio.ensure_future(adapter(player.scope, player.receive, player.send)))
        await player.until(lambda: player.sent)
        return asyncio.all_tasks()

    tasks: list[Any] = []  # a coroutine that is collected would end the WebSocket itself
    for task in loop.run_until_complete(begin()):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        tasks.append(task)
    loop.close()
    gone.set()

    assert ended.wait(TIMEOUT)
    assert [str(error) for error in outcome] == ["the server's event loop was closed during the WebSocket"]


def test_adapter_is_collected_with_its_threads() -> None:
    """Nothing of it holds it, so that its threads end with it where there is no lifespan."""
    gc.disable()

    async def serve() -> tuple[weakref.ref[WsgiToAsgi], list[threading.Thread]]:
        adapter = taking(echo)
        player = Player()
        async with player.playing(adapter):
            await player.until(lambda: player.sent)
            threads = bridge_threads()
            player.leave(1000)
        return weakref.ref(adapter), threads

    try:
        kept, threads = anyio.run(serve)
        for thread in threads:
            thread.join(TIMEOUT)
    finally:
        gc.enable()

    assert (kept(), [thread.is_alive() for thread in threads]) == (None, [False])
