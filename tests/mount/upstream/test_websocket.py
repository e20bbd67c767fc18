"""WebSockets passed through: handshake, messages, and every way that one can end."""

from __future__ import annotations

import logging
import socket
import tracemalloc

import anyio
import anyio.lowlevel
import pytest
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from bridge import ApplicationError
from bridge.mount.upstream import Upstream
from tests.asgi import TIMEOUT, Message, Scope
from tests.mount.upstream.raw import Line, played
from tests.mount.upstream.speaking import FakeWebSocket, Speaker, websocket_scope

Log = list[logging.LogRecord]

ACCEPTED: Message = {"type": "websocket.accept", "subprotocol": None, "headers": []}


# -- handshake ----------------------------------------------------------------------------------------------------


async def test_handshake_is_the_bridges_own_with_the_clients_headers() -> None:
    """RFC 6455, 4.1: key and extensions belong to the connection, Origin and cookies to the client."""
    speakers: list[Speaker] = []

    async def handle(line: Line) -> None:
        speaker = await Speaker(line).accept()
        speakers.append(speaker)
        await speaker.say(CloseConnection(1000))

    headers = [(b"origin", b"https://public.example"), (b"cookie", b"a=1")]
    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream, websocket_scope("/old/x", root_path="/old", headers=headers)):
            pass

    *lines, key, end, empty = speakers[0].head.split(b"\r\n")
    assert lines == [
        b"GET /x HTTP/1.1",
        b"host: testserver",
        b"x-forwarded-for: 127.0.0.1",
        b"x-forwarded-proto: http",
        b"x-forwarded-host: testserver",
        b"x-forwarded-prefix: /old",
        b"origin: https://public.example",
        b"cookie: a=1",
        b"connection: Upgrade",
        b"upgrade: websocket",
        b"sec-websocket-version: 13",
    ]
    assert key.startswith(b"sec-websocket-key: ")
    assert b"dGhlIHNhbXBsZSBub25jZQ==" not in key
    assert (end, empty) == (b"", b"")
    assert client.sent[0] == ACCEPTED


async def test_subprotocol_and_headers_of_the_answer_are_passed_back() -> None:
    """RFC 6455, 4.2.2; but not those of the upstream's own connection."""
    offered: list[list[str]] = []

    async def handle(line: Line) -> None:
        speaker = await Speaker(line).accept("chat", [(b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")])
        offered.append(speaker.request.subprotocols)
        await speaker.say(CloseConnection(1000))

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream, websocket_scope(subprotocols=["superchat", "chat"])):
            pass

    assert offered == [["superchat", "chat"]]
    assert client.sent[0] == {
        "type": "websocket.accept",
        "subprotocol": "chat",
        "headers": [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")],
    }


@pytest.mark.parametrize("denial", [True, False])
async def test_denial_is_passed_back(denial: bool) -> None:
    """ASGI specification, "Websocket Denial Response"; a server without it makes 403 of a close before the accept."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.answer(b"who are you?", b"WWW-Authenticate: Basic", status=b"401 Unauthorized")

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream, websocket_scope(denial=denial)):
            pass

    if denial:
        headers = [(b"content-length", b"12"), (b"www-authenticate", b"Basic")]
        assert client.sent == [
            {"type": "websocket.http.response.start", "status": 401, "headers": headers},
            {"type": "websocket.http.response.body", "body": b"who are you?", "more_body": True},
            {"type": "websocket.http.response.body", "body": b"", "more_body": False},
        ]
    else:
        assert client.sent == [{"type": "websocket.close", "code": 1000}]


async def test_denial_that_breaks_off_does_not_look_complete() -> None:
    """An exception tells the server to cut the connection."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.say(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 12\r\n\r\nwho")

    async with played(handle) as server:
        client = FakeWebSocket()
        with pytest.raises(ApplicationError, match="broke off"):
            async with client.serving(server.upstream):
                pass

    assert [message.get("more_body") for message in client.sent] == [None, True]


@pytest.mark.parametrize("denial", [True, False])
async def test_upstream_that_is_down_denies_the_handshake(denial: bool, bridge_log: Log) -> None:
    """With 502 where the server can say so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        upstream = Upstream(f"http://127.0.0.1:{listener.getsockname()[1]}")

    client = FakeWebSocket()
    async with client.serving(upstream, websocket_scope(denial=denial)):
        pass

    if denial:
        assert client.sent[0]["status"] == 502
        assert client.sent[1]["body"] == b"The upstream server cannot be reached.\n"
    else:
        assert client.sent == [{"type": "websocket.close", "code": 1000}]
    assert len(bridge_log) == 1


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"Sec-WebSocket-Accept: AAAA", id="of another request"),
        pytest.param(b"X: 1", id="of no WebSocket"),
    ],
)
async def test_handshake_that_is_wrong_is_denied_with_502(headers: bytes, bridge_log: Log) -> None:
    """RFC 6455, 4.1: what answers so is no WebSocket server, or a cache."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.say(b"HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + headers + b"\r\n\r\n")
        await line.rest()

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            pass

    assert client.sent[0]["status"] == 502
    assert "Sec-WebSocket-Accept is not for this request" in bridge_log[0].getMessage()


@pytest.mark.parametrize(
    ("headers", "wrong"),
    [
        ([(b"Sec-WebSocket-Protocol", b"chat")], "subprotocol 'chat' was not offered"),
        ([(b"Sec-WebSocket-Extensions", b"permessage-deflate")], "extensions that nobody has asked for"),
    ],
)
async def test_answer_to_what_was_not_offered_is_denied(
    headers: list[tuple[bytes, bytes]], wrong: str, bridge_log: Log
) -> None:
    """RFC 6455, 4.1."""

    async def handle(line: Line) -> None:
        await Speaker(line).accept(headers=headers)
        await line.rest()

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            pass

    assert client.sent[0]["status"] == 502
    assert wrong in bridge_log[0].getMessage()


async def test_handshake_that_takes_too_long_is_denied_with_504(bridge_log: Log) -> None:
    """As a request is; an open WebSocket may be silent as long as it likes."""

    async def handle(line: Line) -> None:
        await line.rest()

    async with played(handle, timeout=0.05) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            pass

    assert (client.sent[0]["status"], len(bridge_log)) == (504, 1)


async def test_client_that_leaves_during_the_handshake_ends_it() -> None:
    """Nobody is left to be told of its outcome."""
    asked = anyio.Event()
    rests: list[bytes] = []

    async def handle(line: Line) -> None:
        await line.head()
        asked.set()
        rests.append(await line.rest())

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            await asked.wait()
            client.leave(1001)
        await server.until(lambda: not server.open)

    assert (client.sent, rests) == ([], [b""])


# -- messages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    ["", "text", "é" * 70_000, b"", b"\x00\xff", b"x" * 1_000_000],
    ids=["empty text", "text", "long text", "no bytes", "bytes", "many bytes"],
)
async def test_messages_go_both_ways_as_they_are(data: str | bytes) -> None:
    """RFC 6455, 5.6: text stays text and bytes stay bytes."""
    got: list[str | bytes] = []

    async def handle(line: Line) -> None:
        speaker = await Speaker(line).accept()
        message = await speaker.message()
        got.append(message)
        await speaker.say(TextMessage(message) if isinstance(message, str) else BytesMessage(message))
        await speaker.say(CloseConnection(1000))

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            client.say(data)

    key = "text" if isinstance(data, str) else "bytes"
    assert got == [data]
    assert client.sent[1] == {"type": "websocket.send", key: data}


async def test_message_that_comes_in_fragments_is_put_together() -> None:
    """RFC 6455, 5.4: also with a ping in between, and where a character is cut in two."""

    async def handle(line: Line) -> None:
        speaker = await Speaker(line).accept()
        await line.say(b"\x01\x01\xc3", b"\x89\x00", b"\x00\x01\xa9", b"\x80\x01x")  # TEXT, PING, CONTINUATION, its end
        assert isinstance(await speaker.next(), Pong)
        await speaker.say(CloseConnection(1000))

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            pass

    assert client.sent[1] == {"type": "websocket.send", "text": "éx"}


async def test_ping_is_answered_and_not_passed_on() -> None:
    """RFC 6455, 5.5.2: ASGI has no message for it, and the client's server has pings of its own."""
    pongs: list[object] = []

    async def handle(line: Line) -> None:
        speaker = await Speaker(line).accept()
        await speaker.say(Ping(b"are you there"))
        pongs.append(await speaker.next())
        await speaker.say(CloseConnection(1000))

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            pass

    assert pongs == [Pong(b"are you there")]
    assert [message["type"] for message in client.sent] == ["websocket.accept", "websocket.close"]


async def test_message_right_behind_the_handshake_is_not_lost() -> None:
    """It may come in the same packet."""

    async def handle(line: Line) -> None:
        speaker = Speaker(line)
        await speaker.asked()
        await speaker.say(AcceptConnection(), TextMessage("at once"), CloseConnection(1000))
        await line.rest()

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            pass

    assert client.sent[1] == {"type": "websocket.send", "text": "at once"}


async def test_message_beyond_the_limit_ends_it_for_both(bridge_log: Log) -> None:
    """RFC 6455, 7.4.1: 1009. It is put together in memory, which has an end."""
    closes: list[object] = []

    async def handle(line: Line) -> None:
        speaker = await Speaker(line).accept()
        await speaker.say(BytesMessage(b"x" * 600, message_finished=False), BytesMessage(b"x" * 600))
        closes.append(await speaker.next())

    async with played(handle, max_message_size=1000) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            pass

    reason = "a message has more than 1000 bytes"
    assert closes == [CloseConnection(1009, reason)]
    assert client.sent[1:] == [{"type": "websocket.close", "code": 1009, "reason": reason}]
    assert "option max_message_size" in bridge_log[0].getMessage()


async def test_message_in_countless_fragments_takes_its_size() -> None:
    """RFC 6455, 5.4: a fragment may be of two bytes, or of none. A limit in bytes is one of memory."""
    taken: list[int] = []

    async def handle(line: Line) -> None:
        speaker = await Speaker(line).accept()
        fragments = b"\x02\x00" + b"\x00\x02ab\x00\x00" * 1_000
        before = tracemalloc.get_traced_memory()[0]
        await line.say(fragments)
        await speaker.say(Ping())
        await speaker.next()  # all of it has been heard
        taken.append(tracemalloc.get_traced_memory()[0] - before)
        await line.say(b"\x80\x00")
        await speaker.say(CloseConnection(1000))
        await line.rest()

    tracemalloc.start(1)
    try:
        async with played(handle) as server:
            client = FakeWebSocket()
            async with client.serving(server.upstream):
                pass
    finally:
        tracemalloc.stop()

    assert client.sent[1] == {"type": "websocket.send", "bytes": b"ab" * 1_000}
    assert taken[0] < 40_000


async def test_frames_without_a_message_do_not_stop_the_loop() -> None:
    """A read may bring thousands of them, and other exchanges go on between."""
    turns: list[int] = []

    async def handle(line: Line) -> None:
        speaker = await Speaker(line).accept()
        await line.say(b"\x89\x00" * 100 + b"\x8a\x00" * 100 + b"\x01\x00" + b"\x00\x00" * 100 + b"\x80\x00")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(count_turns)
            await client.until(lambda: len(client.sent) == 2)
            tasks.cancel_scope.cancel()
        await speaker.say(CloseConnection(1000))
        await line.rest()

    async def count_turns() -> None:
        while True:
            turns.append(len(client.sent))
            await anyio.lowlevel.checkpoint()

    client = FakeWebSocket()
    async with played(handle) as server, client.serving(server.upstream):
        pass

    assert turns.count(1) > 100


async def test_pong_is_not_waited_for() -> None:
    """RFC 6455, 5.5.3. An upstream that writes before it reads on would wait for ever, and the client with it."""
    pongs: list[Event] = []

    async def handle(line: Line) -> None:
        speaker = await Speaker(line).accept()
        await line.receive()  # and no more of what the client says, until this is out
        for number in range(100):
            await line.say(b"\x89\x03%03d" % number + b"\x82\x7f" + (100_000).to_bytes(8, "big") + b"y" * 100_000)
        while not pongs or pongs[-1] != Pong(b"099"):
            event = await speaker.next()
            if isinstance(event, Pong):
                pongs.append(event)

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            for _ in range(100):
                client.say(b"x" * 200_000)
            await client.until(lambda: len(client.sent) == 101)
            client.leave(1006)

    assert len(pongs) < 100  # of those that came while it could not be answered the last one


async def test_client_waits_for_a_slow_upstream() -> None:
    """What it does not take is not received."""
    go_on = anyio.Event()

    async def handle(line: Line) -> None:
        speaker = await Speaker(line).accept()
        await go_on.wait()
        for _ in range(200):
            await speaker.message()
        await speaker.say(CloseConnection(1000))

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            for _ in range(200):
                client.say(b"x" * 100_000)
            await client.until(lambda: client.receives > 2)
            await anyio.wait_all_tasks_blocked()
            waited = client.receives
            go_on.set()

    assert waited < 190  # the kernel's buffers take some


async def test_upstream_waits_for_a_slow_client() -> None:
    """What it does not take is not read."""
    said = 0

    async def handle(line: Line) -> None:
        nonlocal said
        speaker = await Speaker(line).accept()
        for _ in range(200):
            await speaker.say(BytesMessage(b"x" * 100_000))
            said += 1
        await speaker.say(CloseConnection(1000))

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            await client.until(lambda: client.sent)
            client.hold()
            await client.until(lambda: client.sends > len(client.sent))
            await anyio.wait_all_tasks_blocked()
            waited = said
            client.release()

    assert waited < 190  # the kernel's buffers take some
    assert len(client.sent) == 202


# -- the end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason", "event"),
    [
        (1000, "", CloseConnection(1000, "")),
        (1001, "bye", CloseConnection(1001, "bye")),
        (4001, "é", CloseConnection(4001, "é")),
        pytest.param(1005, "", CloseConnection(1005, ""), id="no code"),
    ],
)
async def test_close_of_the_client_is_passed_on(code: int, reason: str, event: CloseConnection) -> None:
    """RFC 6455, 7.1.5; 1005 stands for a close without a code, and is never sent."""
    got: list[object] = []

    async def handle(line: Line) -> None:
        speaker = await Speaker(line).accept()
        close = await speaker.next()
        got.append(close)
        assert isinstance(close, CloseConnection)
        await speaker.say(close.response())
        await line.rest()

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            await client.until(lambda: client.sent)
            client.leave(code, reason)
        await server.until(lambda: not server.open)

    assert (got, client.sent) == ([event], [ACCEPTED])


async def test_client_that_is_lost_is_not_passed_on_as_a_close() -> None:
    """RFC 6455, 7.1.5: 1006 is for a connection that ended without one, and so does the upstream's."""
    rests: list[bytes] = []

    async def handle(line: Line) -> None:
        await Speaker(line).accept()
        rests.append(await line.rest())

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            await client.until(lambda: client.sent)
            client.leave(1006)
        await server.until(lambda: not server.open)

    assert rests == [b""]


@pytest.mark.parametrize(
    ("event", "code", "reason"),
    [
        (CloseConnection(1000), 1000, ""),
        (CloseConnection(1001, "bye"), 1001, "bye"),
        (CloseConnection(4001, "é"), 4001, "é"),
        pytest.param(None, 1000, "", id="no code"),
    ],
)
async def test_close_of_the_upstream_is_passed_back(event: CloseConnection | None, code: int, reason: str) -> None:
    """RFC 6455, 7.1.5; ASGI has no close without a code. And the upstream is answered."""
    answers: list[object] = []

    async def handle(line: Line) -> None:
        speaker = await Speaker(line).accept()
        if event is None:
            await line.say(b"\x88\x00")
            answers.append(await line.rest())
        else:
            await speaker.say(event)
            answers.append(await speaker.next())

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            pass
        await server.until(lambda: answers)

    assert client.sent[1:] == [{"type": "websocket.close", "code": code, "reason": reason}]
    if event is not None:
        (answer,) = answers
        assert isinstance(answer, CloseConnection)
        assert answer.code == code


@pytest.mark.parametrize("killed", [True, False])
async def test_upstream_that_is_lost_is_an_error_for_the_client(killed: bool, bridge_log: Log) -> None:
    """RFC 6455, 7.4.1: 1011. A client that wants to go on connects anew."""

    async def handle(line: Line) -> None:
        await Speaker(line).accept()
        if killed:
            await line.reset()

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            pass

    assert client.sent[1:] == [{"type": "websocket.close", "code": 1011, "reason": "The upstream server was lost."}]
    assert "A WebSocket is closed with 1011" in bridge_log[0].getMessage()


async def test_upstream_that_breaks_the_protocol_is_an_error_for_the_client(bridge_log: Log) -> None:
    """RFC 6455, 7.4.1: 1002 for the one who did it, 1011 for the other one."""
    closes: list[object] = []

    async def handle(line: Line) -> None:
        speaker = await Speaker(line).accept()
        await line.say(b"\xf0\x00")  # reserved bits
        closes.append(await speaker.next())

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            pass

    assert [message["code"] for message in client.sent[1:]] == [1011]
    assert [close.code for close in closes if isinstance(close, CloseConnection)] == [1002]
    assert "the upstream broke RFC 6455" in bridge_log[0].getMessage()


async def test_send_to_a_client_that_has_left_lets_its_close_through() -> None:
    """ASGI WebSocket specification, "Send": an OSError; how it has left, receive() says."""
    closes: list[object] = []

    async def handle(line: Line) -> None:
        speaker = await Speaker(line).accept()
        await speaker.message()
        await speaker.say(TextMessage("a"), TextMessage("b"))
        close = await speaker.next()
        closes.append(close)
        await speaker.say(CloseConnection(4001))

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            await client.until(lambda: client.sent)
            client.fail_send(OSError("the client has left"))
            client.say("go on")
            await client.until(lambda: client.sends == 2)
            client.leave(4001, "enough")

    assert closes == [CloseConnection(4001, "enough")]


async def test_upstream_that_does_not_answer_a_close_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 6455, 7.1.1: after a reasonable time. Else it would hold the connection."""
    monkeypatch.setattr("bridge.mount.upstream.websocket._CLOSE_WAIT", 0.05)

    async def handle(line: Line) -> None:
        await Speaker(line).accept()
        await line.rest()

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            await client.until(lambda: client.sent)
            client.leave(1000)
        await server.until(lambda: not server.open)


async def test_upstream_that_closes_and_reads_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to its close waits behind a message that it does not take."""
    monkeypatch.setattr("bridge.mount.upstream.websocket._CLOSE_WAIT", 0.05)
    full = anyio.Event()

    async def handle(line: Line) -> None:
        speaker = await Speaker(line).accept()
        await full.wait()
        await speaker.say(CloseConnection(4001))
        await anyio.sleep_forever()

    async with played(handle) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            for _ in range(100):
                client.say(b"x" * 200_000)
            await anyio.wait_all_tasks_blocked()
            full.set()

    assert client.sent[1:] == [{"type": "websocket.close", "code": 4001, "reason": ""}]


async def test_upstream_that_takes_nothing_is_left(bridge_log: Log) -> None:
    """Its client may have left behind what it has said: nobody would ever know."""

    async def handle(line: Line) -> None:
        await Speaker(line).accept()
        await anyio.sleep_forever()

    async with played(handle, timeout=0.1) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            for _ in range(100):
                client.say(b"x" * 200_000)
            client.leave(1000)

    reason = "The upstream server did not answer in time."
    assert client.sent[1:] == [{"type": "websocket.close", "code": 1011, "reason": reason}]
    assert "option timeout" in bridge_log[0].getMessage()


async def test_upstream_that_says_something_is_not_silent() -> None:
    """Whether it takes anything or not, nor is one of which nothing is wanted."""
    said = 0

    async def handle(line: Line) -> None:
        nonlocal said
        speaker = await Speaker(line).accept()
        while said < 5:  # longer than the limit
            await speaker.say(TextMessage("still here"))
            said += 1
            with anyio.move_on_after(0.1):
                await anyio.sleep_forever()
        await line.skip(100 * 200_000)
        await speaker.say(CloseConnection(1000))
        await line.rest()

    async with played(handle, timeout=0.4) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            for _ in range(100):
                client.say(b"x" * 200_000)

    assert [message.get("code") for message in client.sent[-1:]] == [1000]


async def test_disconnect_that_the_end_of_a_denial_brings_does_not_stop_it() -> None:
    """The server says it as soon as it knows the end, which may not be out by then."""
    sent: list[Message] = []
    begun = anyio.Event()
    connected = False

    async def handle(line: Line) -> None:
        await line.head()
        await line.answer(b"no", status=b"403 Forbidden")

    async def receive() -> Message:
        nonlocal connected
        if not connected:
            connected = True
            return {"type": "websocket.connect"}
        await begun.wait()
        return {"type": "websocket.disconnect", "code": 1006}

    async def send(message: Message) -> None:
        if not message.get("more_body", True):
            begun.set()
            await anyio.wait_all_tasks_blocked()
        sent.append(message)

    async with played(handle) as server:
        with anyio.fail_after(TIMEOUT):
            await server.upstream(websocket_scope(), receive, send)

    assert sent[-1] == {"type": "websocket.http.response.body", "body": b"", "more_body": False}


async def test_error_of_the_servers_send_leaves_as_it_is() -> None:
    """It is the server's, and its log is where it belongs."""

    async def handle(line: Line) -> None:
        await Speaker(line).accept()
        await line.rest()

    async with played(handle) as server:
        client = FakeWebSocket()
        client.fail_send(RuntimeError("broken"))
        with pytest.raises(RuntimeError, match="broken"):
            async with client.serving(server.upstream):
                pass
        await server.until(lambda: not server.open)


async def test_websockets_take_no_connection_from_requests(bridge_log: Log) -> None:
    """They last, so that the limit holds for each kind."""
    opened = anyio.Event()

    async def handle(line: Line) -> None:
        if line.number == 1:
            await Speaker(line).accept()
            opened.set()
            await line.rest()
        else:
            await line.head()
            await line.answer(b"ok")

    async def answer(scope: Scope) -> FakeWebSocket:
        other = FakeWebSocket()
        async with other.serving(server.upstream, scope):
            pass
        return other

    async with played(handle, max_connections=1, connect_timeout=0.1) as server:
        client = FakeWebSocket()
        async with client.serving(server.upstream):
            await opened.wait()
            request = await answer({**websocket_scope(), "type": "http", "method": "GET", "scheme": "http"})
            second = await answer(websocket_scope())
            client.leave(1006)

    assert (request.sent[0]["status"], second.sent[0]["status"]) == (200, 503)
    assert len(bridge_log) == 1
