"""Requests passed on and responses passed back: what goes over the wire, and when."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio
import anyio.to_thread
import pytest

from bridge.mount.upstream import Upstream
from tests.asgi import (
    TIMEOUT,
    FakeLifespan,
    FakeServer,
    Message,
    http_scope,
    on_asyncio,
    request_messages,
    serve,
    upload_scope,
)
from tests.mount.upstream.raw import Line, played

FORWARDED = b"x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: testserver\r\n"


async def answer_ok(line: Line) -> None:
    """Answer every request that has no body."""
    try:
        while True:
            await line.head()
            await line.answer(b"ok")
    except anyio.EndOfStream:
        pass


# -- requests -----------------------------------------------------------------------------------------------------


async def test_request_without_body_is_a_bare_head() -> None:
    """No length, no chunks, nothing that a client library would add."""
    heads: list[bytes] = []

    async def handle(line: Line) -> None:
        heads.append(await line.head())
        await line.answer(b"hello", b"Content-Type: text/plain")

    async with played(handle) as server:
        served = await serve(server.upstream, http_scope(path="/a b", headers=[(b"x-a", b"\xe9")]))

    assert heads == [b"GET /a%20b HTTP/1.1\r\nhost: testserver\r\n" + FORWARDED + b"x-a: \xe9\r\n\r\n"]
    assert (served.status, served.body) == (200, b"hello")
    assert served.headers == [(b"content-length", b"5"), (b"content-type", b"text/plain")]


async def test_declared_body_is_passed_on_with_its_length() -> None:
    """RFC 9112, 6.2."""
    uploads: list[bytes] = []

    async def handle(line: Line) -> None:
        uploads.append(await line.head() + await line.exactly(6))
        await line.answer()

    async with played(handle) as server:
        await serve(server.upstream, upload_scope(6), *request_messages(b"abc", b"", b"def"))

    head = b"POST / HTTP/1.1\r\nhost: testserver\r\n" + FORWARDED + b"content-length: 6\r\n\r\n"
    assert uploads == [head + b"abcdef"]


async def test_chunked_body_is_passed_on_in_chunks() -> None:
    """RFC 9112, 7.1."""
    uploads: list[bytes] = []

    async def handle(line: Line) -> None:
        uploads.append(await line.head())
        uploads.append(await line.until(b"0\r\n\r\n"))
        await line.answer()

    async with played(handle) as server:
        await serve(server.upstream, upload_scope(None), *request_messages(b"abc", b"def", b""))

    assert uploads[0].endswith(b"transfer-encoding: chunked\r\n\r\n")
    assert b"content-length" not in uploads[0]
    assert uploads[1] == b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "chunks", "sent"),
    [
        pytest.param("POST", [b""], b"\r\n\r\n", id="no body"),
        pytest.param("GET", [b""], b"\r\n\r\n", id="GET without a body"),
        pytest.param("POST", [b"abc"], b"\r\ncontent-length: 3\r\n\r\nabc", id="known at once"),
        pytest.param(
            "POST",
            [b"", b"abc", b"d"],
            b"\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
            id="streamed",
        ),
    ],
)
async def test_body_of_unknown_length_is_framed_when_it_is_seen(method: str, chunks: list[bytes], sent: bytes) -> None:
    """RFC 9113, 8.1: over HTTP/2 no header need tell of it, over HTTP/1.1 one must."""
    got: list[bytes] = []

    async def handle(line: Line) -> None:
        got.append(await line.exactly(len(HEAD) + len(sent) - 2))
        await line.answer()

    HEAD = f"{method} / HTTP/1.1\r\nhost: testserver\r\n".encode() + FORWARDED  # noqa: N806 as below
    async with played(handle) as server:
        await serve(server.upstream, http_scope(method, http_version="2"), *request_messages(*chunks))

    assert got == [HEAD[:-2] + sent]


async def test_upload_is_streamed() -> None:
    """Each chunk is at the upstream before the next one is asked for."""
    seen = anyio.Event()

    async def handle(line: Line) -> None:
        await line.head()
        assert await line.exactly(3) == b"abc"
        seen.set()
        assert await line.exactly(3) == b"def"
        await line.answer()

    async with played(handle) as server:
        client = FakeServer({"type": "http.request", "body": b"abc", "more_body": True})
        async with client.serving(server.upstream, upload_scope(6)):
            await seen.wait()
            client.feed({"type": "http.request", "body": b"def", "more_body": False})

    assert client.status == 200


async def test_upload_waits_for_a_slow_upstream() -> None:
    """What it does not take is not received from the client."""
    chunk = b"x" * 65536
    go_on = anyio.Event()

    async def handle(line: Line) -> None:
        await line.head()
        await go_on.wait()
        await line.skip(400 * len(chunk))
        await line.answer()

    async with played(handle) as server:
        client = FakeServer(*request_messages(*[chunk] * 400))
        async with client.serving(server.upstream, upload_scope(400 * len(chunk))):
            await anyio.wait_all_tasks_blocked()
            waited = client.receives
            go_on.set()

    assert waited < 350  # the kernel's buffers take some
    assert client.status == 200


@pytest.mark.parametrize("length", [10, None])
async def test_upload_that_breaks_off_does_not_look_complete(length: int | None) -> None:
    """The connection ends before the declared length, or the last chunk, is reached."""
    rests: list[bytes] = []

    async def handle(line: Line) -> None:
        await line.head()
        rests.append(await line.rest())

    async with played(handle) as server:
        client = FakeServer({"type": "http.request", "body": b"abc", "more_body": True})
        client.disconnect()
        await client.serve(server.upstream, upload_scope(length))
        await server.until(lambda: not server.open)

    assert rests == [b"abc" if length else b"3\r\nabc\r\n"]
    assert client.sent == []


@pytest.mark.parametrize("chunks", [[b"abc"], [b"abc", b"defg"]], ids=["less", "more"])
async def test_body_of_another_length_than_declared_is_refused(chunks: list[bytes]) -> None:
    """RFC 9110, 8.6: a server sees to that, so this is a middleware that changes bodies."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.rest()

    async with played(handle) as server:
        served = await serve(server.upstream, upload_scope(5), *request_messages(*chunks))

    assert (served.status, served.body) == (400, b"The request declares a body of 5 bytes and has another one.\n")


# -- 100 Continue, and answers before the end of the request ------------------------------------------------------

EXPECT = [(b"expect", b"100-continue")]


async def test_client_is_asked_for_its_body_when_the_upstream_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9110, 10.1.1: servers send 100 Continue when the application first calls receive()."""
    monkeypatch.setattr("bridge.mount.upstream.exchange._CONTINUE_WAIT", 10 * TIMEOUT)
    receives: list[int] = []
    client = FakeServer(*request_messages(b"abc"))

    async def handle(line: Line) -> None:
        assert b"expect: 100-continue\r\n" in await line.head()
        receives.append(client.receives)
        await line.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await line.exactly(3) == b"abc"
        await line.answer()

    async with played(handle) as server:
        await client.serve(server.upstream, upload_scope(3, headers=EXPECT))

    assert (receives, client.status) == ([0], 200)


async def test_client_need_not_send_a_body_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9110, 10.1.1: a final answer instead of 100 Continue."""
    monkeypatch.setattr("bridge.mount.upstream.exchange._CONTINUE_WAIT", 10 * TIMEOUT)
    rests: list[bytes] = []

    async def handle(line: Line) -> None:
        await line.head()
        await line.answer(b"no", status=b"401 Unauthorized")
        rests.append(await line.rest())

    async with played(handle) as server:
        client = FakeServer(*request_messages(b"abc"))
        await client.serve(server.upstream, upload_scope(3, headers=EXPECT))
        await server.until(lambda: not server.open)

    assert (client.status, client.body, rests) == (401, b"no", [b""])


async def test_upstream_that_never_says_continue_gets_the_body_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9110, 10.1.1: a client does not wait for ever. Vibora never says it."""
    monkeypatch.setattr("bridge.mount.upstream.exchange._CONTINUE_WAIT", 0.05)

    async def handle(line: Line) -> None:
        await line.head()
        assert await line.exactly(3) == b"abc"
        await line.answer()

    async with played(handle) as server:
        served = await serve(server.upstream, upload_scope(3, headers=EXPECT), *request_messages(b"abc"))

    assert served.status == 200


async def test_answer_before_the_end_of_the_request_is_passed_back_at_once() -> None:
    """A client that is told 413 stops; another one goes on, and so does its upload."""
    rests: list[bytes] = []

    async def handle(line: Line) -> None:
        await line.head()
        await line.exactly(3)
        await line.say(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nth")
        rests.append(await line.exactly(3))
        await line.say(b"is")
        rests.append(await line.rest())

    async with played(handle) as server:
        client = FakeServer({"type": "http.request", "body": b"abc", "more_body": True})
        async with client.serving(server.upstream, upload_scope(1000)):
            await client.until(lambda: client.body == b"th")
            client.feed({"type": "http.request", "body": b"def", "more_body": True})
        await server.until(lambda: not server.open)

    assert (client.status, client.body) == (413, b"this")
    assert rests == [b"def", b""]  # and what is not sent to its end uses up the connection


async def test_answer_of_an_upstream_that_has_stopped_listening_is_passed_back() -> None:
    """RFC 9112, 9.5: what it has said is there to be read, though writing fails."""
    chunk = b"x" * 65536

    async def handle(line: Line) -> None:
        await line.head()
        await line.answer(b"too long", b"Connection: close", status=b"413 Content Too Large")

    async with played(handle) as server:
        client = FakeServer()

        async def endless() -> Any:
            await client.receive()
            return {"type": "http.request", "body": chunk, "more_body": True}

        client.feed(*[{"type": "http.request"}] * 1000)
        with anyio.fail_after(TIMEOUT):
            await server.upstream(upload_scope(None), endless, client.send)

    assert (client.status, client.body) == (413, b"too long")


# -- responses ----------------------------------------------------------------------------------------------------


async def test_response_is_streamed() -> None:
    """Its head is passed back before its body, each piece before the next one."""
    steps = [anyio.Event() for _ in range(2)]

    async def handle(line: Line) -> None:
        await line.head()
        await line.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await steps[0].wait()
        await line.say(b"3\r\nabc\r\n")
        await steps[1].wait()
        await line.say(b"3\r\ndef\r\n0\r\n\r\n")

    async with played(handle) as server:
        client = FakeServer()
        async with client.serving(server.upstream):
            await client.until(lambda: client.sent)
            steps[0].set()
            await client.until(lambda: client.body == b"abc")
            steps[1].set()

    assert (client.headers, client.pieces, client.complete) == ([], [b"abc", b"def"], True)


async def test_upstream_waits_for_a_slow_client() -> None:
    """What the client does not take is not read."""
    taken = 0
    chunk = b"x" * 65536

    async def handle(line: Line) -> None:
        nonlocal taken
        await line.head()
        await line.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (400 * len(chunk)))
        for _ in range(400):
            await line.say(chunk)
            taken += 1

    async with played(handle) as server:
        client = FakeServer()
        client.hold()
        async with client.serving(server.upstream):
            await client.until(lambda: client.sends == 1)
            await anyio.wait_all_tasks_blocked()
            waited = taken
            client.release()

    assert waited < 350  # the kernel's buffers take some
    assert (len(client.body), client.complete) == (400 * len(chunk), True)


async def test_headers_of_a_response_keep_their_order_and_bytes() -> None:
    """RFC 6265, 3: Set-Cookie must not be joined. Neither is anything decoded, followed or kept."""
    cookies = [b"a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", b"b=\xe9", b"a=2"]

    async def handle(line: Line) -> None:
        assert b"cookie" not in await line.head()
        headers = [b"Set-Cookie: " + cookie for cookie in cookies]
        await line.answer(
            b"\x1f\x8b not gzip", *headers, b"Content-Encoding: gzip", b"Location: /login", status=b"302 Found"
        )

    async with played(handle) as server:
        await serve(server.upstream)
        served = await serve(server.upstream)

    assert (served.status, served.body) == (302, b"\x1f\x8b not gzip")
    assert served.headers == [
        (b"content-length", b"11"),
        *[(b"set-cookie", cookie) for cookie in cookies],
        (b"content-encoding", b"gzip"),
        (b"location", b"/login"),
    ]


async def test_headers_of_the_upstreams_connection_stay_with_it() -> None:
    """RFC 9110, 7.6.1; RFC 9112, 6.3: and a length that chunks override is not passed back."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.say(
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\n"
            b"Transfer-Encoding: chunked\r\nContent-Length: 9\r\nTrailer: X-T\r\nX-Kept: 1\r\n\r\n"
            b"2\r\nok\r\n0\r\nX-T: 1\r\n\r\n"
        )

    async with played(handle) as server:
        served = await serve(server.upstream)

    assert (served.headers, served.body) == ([(b"x-kept", b"1")], b"ok")


@pytest.mark.parametrize(
    ("method", "answer", "headers"),
    [
        pytest.param("HEAD", b"200 OK\r\nContent-Length: 5", [(b"content-length", b"5")], id="HEAD"),
        pytest.param("HEAD", b"200 OK\r\nTransfer-Encoding: chunked", [], id="HEAD, chunked"),
        pytest.param("GET", b"304 Not Modified\r\nContent-Length: 5", [(b"content-length", b"5")], id="304"),
        pytest.param("GET", b"204 No Content", [], id="204"),
        pytest.param("GET", b"204 No Content\r\nContent-Length: 0", [], id="204 with a length"),
    ],
)
async def test_response_without_a_body_ends_with_its_head(
    method: str, answer: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    """RFC 9110, 6.4.1 and 8.6. And the connection serves the next one."""

    async def handle(line: Line) -> None:
        for _ in range(2):
            await line.head()
            await line.say(b"HTTP/1.1 " + answer + b"\r\n\r\n")

    async with played(handle) as server:
        await serve(server.upstream, http_scope(method))
        served = await serve(server.upstream, http_scope(method))

    assert (served.headers, served.body, server.connections) == (headers, b"", 1)


async def test_interim_responses_are_not_the_answer() -> None:
    """RFC 9110, 15.2."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.say(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n")
        await line.answer(b"ok")

    async with played(handle) as server:
        served = await serve(server.upstream)

    assert (served.status, served.body, served.header(b"link")) == (200, b"ok", [])


async def test_response_that_ends_with_its_connection_is_complete() -> None:
    """RFC 9112, 6.3: of HTTP/1.0 nothing else can be known."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.say(b"HTTP/1.0 200 OK\r\n\r\nall of it")

    async with played(handle) as server:
        served = await serve(server.upstream)

    assert (served.body, served.complete) == (b"all of it", True)


# -- the client leaves --------------------------------------------------------------------------------------------


async def disconnect_ends(answer: Iterable[bytes], seen: int) -> FakeServer:
    ended: list[bytes] = []
    asked = anyio.Event()

    async def handle(line: Line) -> None:
        await line.head()
        asked.set()
        await line.say(*answer)
        ended.append(await line.rest())

    async with played(handle) as server:
        client = FakeServer()
        async with client.serving(server.upstream):
            await asked.wait()
            await client.until(lambda: len(client.sent) == seen)
            client.disconnect()
        await server.until(lambda: ended)
    return client


async def test_client_that_leaves_while_it_waits_ends_the_request() -> None:
    """An upstream works for nobody else."""
    assert (await disconnect_ends([], 0)).sent == []


async def test_client_that_leaves_in_the_middle_of_a_response_ends_the_request() -> None:
    """An endless stream of events would never end."""
    client = await disconnect_ends([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"], 2)
    assert not client.complete


async def test_cancelled_exchange_ends_the_request() -> None:
    """Servers cancel what takes too long at a shutdown."""
    ended: list[bytes] = []
    asked = anyio.Event()

    async def handle(line: Line) -> None:
        await line.head()
        asked.set()
        ended.append(await line.rest())

    async with played(handle) as server:
        client = FakeServer()
        async with client.serving(server.upstream):
            await asked.wait()
            client.cancel()
        await server.until(lambda: ended)


async def test_disconnect_that_the_end_of_the_response_brings_does_not_stop_it() -> None:
    """Servers say it as soon as they know the end, which may not be out by then."""
    begun = anyio.Event()
    sent: list[Message] = []

    async def handle(line: Line) -> None:
        await line.head()
        await line.answer(b"ok")

    async def receive() -> Message:
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if not message.get("more_body", True):
            begun.set()
            await anyio.wait_all_tasks_blocked()
        sent.append(message)

    async with played(handle) as server:
        with anyio.fail_after(TIMEOUT):
            await server.upstream(http_scope(), receive, send)

    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_error_of_the_servers_send_leaves_as_it_is() -> None:
    """And the upstream's connection is not used again with half of a response in it."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.answer(b"ok")

    async with played(handle) as server:
        client = FakeServer()
        client.fail_send(OSError("gone"), after=1)
        with pytest.raises(OSError, match="gone"):
            await client.serve(server.upstream)
        await server.until(lambda: not server.open)


async def test_error_of_the_servers_receive_leaves_as_it_is() -> None:
    """It is nothing that an upstream could be asked about."""

    async def handle(line: Line) -> None:
        await line.rest()

    async with played(handle) as server:
        client = FakeServer()
        client.fail_receive(RuntimeError("broken"))
        with pytest.raises(RuntimeError, match="broken"):
            await client.serve(server.upstream, upload_scope(5))


@pytest.mark.parametrize("again", [b"x", b""])
async def test_body_that_is_given_for_ever_does_not_stop_the_loop(again: bytes) -> None:
    """A middleware that replays a body may give its last message again and again."""
    client = FakeServer()
    bodies = iter([b"x"])

    async def replay() -> Any:
        return {"type": "http.request", "body": next(bodies, again), "more_body": False}

    async def handle(line: Line) -> None:
        await line.head()
        await line.exactly(1)
        await line.answer(b"ok")

    async with played(handle) as server:
        with anyio.fail_after(TIMEOUT):
            await server.upstream(upload_scope(1), replay, client.send)

    assert client.body == b"ok"


# -- connections --------------------------------------------------------------------------------------------------


async def test_connections_are_used_again() -> None:
    """Also after an upload."""

    async def handle(line: Line) -> None:
        for _ in range(3):
            await line.head()
            await line.answer(b"ok")
        await line.head()
        await line.exactly(3)
        await line.answer(b"ok")
        await line.head()
        await line.answer(b"end")

    async with played(handle) as server:
        for _ in range(3):
            await serve(server.upstream)
        await serve(server.upstream, upload_scope(3), *request_messages(b"abc"))
        served = await serve(server.upstream)

    assert (served.body, server.connections) == (b"end", 1)


async def test_requests_at_once_have_a_connection_each_up_to_the_limit() -> None:
    """One more waits for one of them to end."""
    waiting: list[Line] = []
    go_on = anyio.Event()

    async def handle(line: Line) -> None:
        await line.head()
        waiting.append(line)
        server.change(0)
        await go_on.wait()
        await line.answer(b"ok")
        await answer_ok(line)

    async with played(handle, max_connections=2) as server:
        clients = [FakeServer() for _ in range(5)]
        async with anyio.create_task_group() as tasks:
            for client in clients:
                tasks.start_soon(client.serve, server.upstream)
            await server.until(lambda: len(waiting) == 2)
            go_on.set()

    assert [client.body for client in clients] == [b"ok"] * 5
    assert server.connections == 2


async def test_idle_connection_that_was_closed_is_not_used() -> None:
    """Servers close those that nobody uses, Gunicorn after two seconds."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.answer(b"ok")

    async with played(handle) as server:
        for _ in range(3):
            await serve(server.upstream, upload_scope(0))
            await server.until(lambda: not server.open)

    assert server.connections == 3


@pytest.mark.parametrize(("method", "repeated"), [("GET", True), ("DELETE", True), ("POST", False)])
async def test_request_that_was_lost_on_an_idle_connection_is_repeated_if_it_may_be(
    method: str, repeated: bool, bridge_log: list[Any]
) -> None:
    """RFC 9110, 9.2.2: nobody can know whether the upstream has seen it, so not one that must happen only once."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.answer(b"first")
        if line.number == 1:
            await line.head()  # read, and the connection closed: as if both had happened at the same time
        else:
            await answer_ok(line)

    async with played(handle) as server:
        await serve(server.upstream)
        served = await serve(server.upstream, http_scope(method, headers=[(b"content-length", b"0")]))

    assert (served.status, server.connections) == ((200, 2) if repeated else (502, 1))
    assert len(bridge_log) == (0 if repeated else 1)


async def test_request_that_was_begun_to_be_answered_is_not_repeated(bridge_log: list[Any]) -> None:
    """The upstream has seen it, and what makes it fail would do so again."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.answer(b"first")
        await line.head()
        await line.say(b"HTTP/1.1 200")

    async with played(handle) as server:
        await serve(server.upstream)
        served = await serve(server.upstream)

    assert (served.status, server.connections, len(bridge_log)) == (502, 1, 1)


@pytest.mark.parametrize("length", [20_000_000, None])
async def test_upload_that_was_cut_short_is_not_followed_by_another_request(length: int | None) -> None:
    """RFC 9112, 9.3: the upstream would take it for the rest of the body, cookies and all."""
    rests: list[bytes] = []

    async def handle(line: Line) -> None:
        head = await line.head()
        await line.answer(b"no")  # and reads nothing until that has arrived
        if head.startswith(b"POST"):
            await answered.wait()
            rests.append(await line.rest())

    async with played(handle) as server:
        answered = anyio.Event()
        await serve(server.upstream, upload_scope(length), *request_messages(b"x" * 20_000_000))
        second = FakeServer()
        async with second.serving(server.upstream):
            answered.set()
        await server.until(lambda: rests)

    assert b"GET" not in rests[0][-1000:]
    assert (second.body, server.connections) == (b"no", 2)


async def test_connection_with_more_than_was_read_is_not_used_again() -> None:
    """The streams of asyncio keep it, where no socket says that there is something to read."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %05d\r\n\r\n"
    size = 65536 - len(head % 0)

    async def handle(line: Line) -> None:
        await line.head()
        await line.say(head % size + b"x" * size + head % 6 + b"forged")
        await line.rest()

    async with played(handle) as server:
        sizes = [len((await serve(server.upstream)).body) for _ in range(2)]

    assert (sizes, server.connections) == ([size, size], 2)


async def test_connection_with_more_than_its_response_is_not_used_again() -> None:
    """RFC 9112, 9.3: it would be taken for the next one's answer."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.say(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
        )
        await line.rest()

    async with played(handle) as server:
        bodies = [(await serve(server.upstream)).body for _ in range(2)]

    assert (bodies, server.connections) == ([b"ok", b"ok"], 2)


class Answering(BaseHTTPRequestHandler):
    """An upstream that lives in no event loop."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *message: object) -> None: ...


def test_one_upstream_serves_several_event_loops_in_turn() -> None:
    """A connection belongs to the loop that it was made on."""

    async def once() -> bytes:
        async with FakeLifespan().running(upstream):
            return (await serve(upstream)).body

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        upstream = Upstream(f"http://127.0.0.1:{server.server_address[1]}")
        bodies = [anyio.run(once, backend=backend) for backend in ("asyncio", "trio", "asyncio")]
        server.shutdown()
        thread.join(TIMEOUT)

    assert bodies == [b"ok"] * 3


@on_asyncio
async def test_process_that_is_forked_makes_connections_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that read from one connection get half of each other's responses."""

    async def handle(line: Line) -> None:
        await answer_ok(line)

    async with played(handle) as server:
        parents = server.upstream._connections.here()
        await serve(server.upstream)
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            await serve(server.upstream)
            await server.upstream._connections.close_here()
        await server.until(lambda: server.open == 1)
        await parents.close()

    assert server.connections == 2


@on_asyncio
async def test_loops_that_are_closed_are_forgotten() -> None:
    """Else each of them would stay in memory, with its connections, as long as the upstream does."""
    upstream = Upstream("http://127.0.0.1:9")
    loops = [asyncio.new_event_loop() for _ in range(3)]

    async def use() -> None:
        upstream._connections.here()

    def use_all() -> None:
        for loop in loops:
            loop.run_until_complete(use())
            loop.close()

    await anyio.to_thread.run_sync(use_all)
    upstream._connections.here()

    assert len(upstream._connections._by_loop) == 1
