"""Upstreams that are down, slow, or break off: what the client is told, and what it must not take for an answer."""

from __future__ import annotations

import logging
import socket
import ssl
from typing import Any

import anyio
import pytest

from bridge import ApplicationError, ConfigurationError
from bridge.mount.upstream import Upstream
from tests.asgi import FakeServer, http_scope, on_asyncio, request_messages, serve, upload_scope
from tests.mount.upstream.raw import Line, played

Log = list[logging.LogRecord]


def logged(records: Log) -> str:
    (record,) = records
    return record.getMessage()


# -- before the answer --------------------------------------------------------------------------------------------


async def test_upstream_that_is_down_is_answered_502(bridge_log: Log) -> None:
    """RFC 9110, 15.6.3. The address is for the log, not for the client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    served = await serve(Upstream(f"http://127.0.0.1:{port}"), http_scope(path="/x"))

    text = b"The upstream server cannot be reached.\n"
    assert (served.status, served.body) == (502, text)
    assert served.headers == [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(text)),
    ]
    assert f"A request for '/x' is answered 502: the upstream http://127.0.0.1:{port}: no conn" in logged(bridge_log)


async def test_failure_is_answered_to_head_without_its_text(bridge_log: Log) -> None:
    """RFC 9110, 9.3.2."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    served = await serve(Upstream(f"http://127.0.0.1:{port}"), http_scope("HEAD"))

    assert (served.status, served.body, served.header(b"content-length")) == (502, b"", [b"39"])
    assert len(bridge_log) == 1


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        pytest.param(b"", b"The upstream server broke off before its answer.\n", id="nothing"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nX: ", b"The upstream server broke off before its answer.\n", id="half a head"
        ),
        pytest.param(b"SSH-2.0-x\r\n\r\n", b"The upstream server sent no valid response.\n", id="no HTTP"),
        pytest.param(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            b"The upstream server sent no valid response.\n",
            id="a protocol that nobody asked for",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            b"The upstream server sent no valid response.\n",
            id="two lengths",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
            b"The upstream server sent no valid response.\n",
            id="endless head",
        ),
    ],
)
async def test_upstream_without_a_valid_answer_is_answered_502(answer: bytes, text: bytes, bridge_log: Log) -> None:
    """RFC 9110, 15.6.3; RFC 9112, 6.3."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.say(answer)

    async with played(handle) as server:
        served = await serve(server.upstream)

    assert (served.status, served.body) == (502, text)
    assert len(bridge_log) == 1


async def test_upstream_that_is_killed_is_answered_502(bridge_log: Log) -> None:
    """Its system resets the connection."""

    async def handle(line: Line) -> None:
        await line.receive()
        await line.reset()

    async with played(handle) as server:
        served = await serve(server.upstream, upload_scope(3), *request_messages(b"abc"))

    assert (served.status, served.header(b"content-type")) == (502, [b"text/plain; charset=utf-8"])
    assert len(bridge_log) == 1


async def test_upstream_that_does_not_answer_is_answered_504(bridge_log: Log) -> None:
    """RFC 9110, 15.6.5. The log names the option."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.rest()

    async with played(handle, timeout=0.05) as server:
        served = await serve(server.upstream)
        await server.until(lambda: not server.open)

    assert (served.status, served.body) == (504, b"The upstream server did not answer in time.\n")
    assert "0.05 s (option timeout)" in logged(bridge_log)


async def test_upstream_that_takes_nothing_of_an_upload_is_answered_504(bridge_log: Log) -> None:
    """Else a client with a large upload would wait for ever."""
    chunk = b"x" * 65536
    received = anyio.Event()

    async def handle(line: Line) -> None:
        await line.head()
        await received.wait()

    async with played(handle, timeout=0.2) as server:
        served = await serve(server.upstream, upload_scope(400 * len(chunk)), *request_messages(*[chunk] * 400))
        received.set()

    assert served.status == 504
    assert len(bridge_log) == 1


async def test_upstream_is_not_blamed_for_a_slow_client() -> None:
    """The time runs while it is the upstream's turn."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.exactly(6)
        await line.answer(b"ok")

    async with played(handle, timeout=0.1) as server:
        client = FakeServer({"type": "http.request", "body": b"abc", "more_body": True})
        async with client.serving(server.upstream, upload_scope(6)):
            await client.until(lambda: client.receives == 2)
            with anyio.move_on_after(0.3):
                await client.ended.wait()
            client.feed({"type": "http.request", "body": b"def", "more_body": False})

    assert client.body == b"ok"


async def test_upstream_that_accepts_no_connection_is_answered_504(bridge_log: Log) -> None:
    """A host that is switched off says nothing at all."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with socket.create_connection(listener.getsockname()):  # the only place there is
            port = listener.getsockname()[1]
            served = await serve(Upstream(f"http://127.0.0.1:{port}", connect_timeout=0.1))

    assert (served.status, served.body) == (504, b"The upstream server did not accept a connection in time.\n")
    assert "0.1 s (option connect_timeout)" in logged(bridge_log)


async def test_request_that_finds_no_connection_free_is_answered_503(bridge_log: Log) -> None:
    """RFC 9110, 15.6.4: the limit is the user's, and the log names it."""
    asked = anyio.Event()
    go_on = anyio.Event()

    async def handle(line: Line) -> None:
        await line.head()
        asked.set()
        await go_on.wait()
        await line.answer(b"ok")

    async with played(handle, max_connections=1, connect_timeout=0.1) as server:
        first = FakeServer()
        async with first.serving(server.upstream):
            await asked.wait()
            second = await serve(server.upstream)
            go_on.set()

    assert (first.status, second.status, second.header(b"retry-after")) == (200, 503, [b"1"])
    assert "all 1 connections for http are in use (option max_connections)" in logged(bridge_log)


@on_asyncio
async def test_request_that_is_no_http_is_answered_400() -> None:
    """What a server lets through must not reach another one, which may see two requests in it."""

    async def handle(line: Line) -> None:
        await line.rest()

    async with played(handle) as server:
        served = await serve(server.upstream, http_scope(headers=[(b"x-a", b"1\r\nx-b: 2")]))
        await server.until(lambda: not server.open)

    assert served.status == 400


# -- in the middle of the answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"Content-Length: 10\r\n\r\nabc", id="before its length"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", id="before the last chunk"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n", id="with nonsense"),
    ],
)
async def test_response_that_breaks_off_does_not_look_complete(answer: bytes) -> None:
    """An exception tells the server to cut the connection: nothing else can be said any more."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.say(b"HTTP/1.1 200 OK\r\n" + answer)

    async with played(handle) as server:
        client = FakeServer()
        with pytest.raises(ApplicationError, match=r"the response of the upstream http://127\S* broke off: it sent no"):
            await client.serve(server.upstream)

    assert (client.status, client.body, client.complete) == (200, b"abc", False)


async def test_response_of_an_upstream_that_is_killed_does_not_look_complete() -> None:
    """The same, by a reset."""
    client = FakeServer()

    async def handle(line: Line) -> None:
        await line.head()
        await line.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await client.until(lambda: client.body)
        await line.reset()

    async with played(handle) as server:
        with pytest.raises(ApplicationError, match="broke off"):
            await client.serve(server.upstream)

    assert not client.complete


async def test_response_that_stops_is_cut() -> None:
    """Seconds without a byte count, not those of the whole response."""

    async def handle(line: Line) -> None:
        await line.head()
        await line.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await line.rest()

    async with played(handle, timeout=0.05) as server:
        client = FakeServer()
        with pytest.raises(ApplicationError, match=r"broke off: .* 0\.05 s \(option timeout\)"):
            await client.serve(server.upstream)

    assert not client.complete


@on_asyncio
async def test_nobody_hears_of_a_failure_after_the_client_has_left() -> None:
    """There is nobody to be told."""
    client = FakeServer()

    async def handle(line: Line) -> None:
        await line.head()
        client.disconnect()
        await client.until(lambda: client.told_disconnect)

    async with played(handle) as server:
        await client.serve(server.upstream)

    assert client.sent == []


# -- TLS ----------------------------------------------------------------------------------------------------------


@on_asyncio
async def test_upstream_that_cannot_prove_who_it_is_is_answered_502(bridge_log: Log) -> None:
    """It answers in plain text here; the same goes for a certificate that nobody has signed."""

    async def handle(line: Line) -> None:
        await line.receive()
        await line.answer(b"ok")

    async with played(handle) as server:
        served = await serve(Upstream(server.url.replace("http:", "https:")))

    assert (served.status, served.body) == (502, b"The upstream server cannot be reached.\n")
    assert "SSL" in logged(bridge_log)


async def test_connection_that_does_not_become_secure_is_closed(bridge_log: Log) -> None:
    """It takes the time of a connection, and holds none after it."""

    async def handle(line: Line) -> None:
        await line.rest()

    async with played(handle) as server:
        served = await serve(Upstream(server.url.replace("http:", "https:"), connect_timeout=0.1))
        await server.until(lambda: server.connections and not server.open)

    assert (served.status, len(bridge_log)) == (504, 1)


# -- options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:9000",
        "ws://127.0.0.1:9000",
        "ftp://h",
        "http://",
        "http://h:x",
        "http://h:99999",
        "http://user@h",
        "http://h/?q=1",
        "http://h/#f",
        "http://h/a b",
        "http://h/é",
        "http://é.example",
        "http://a..example",
        f"http://{'a' * 64}",
        b"http://h",
        None,
    ],
)
def test_url_that_is_none_is_refused(url: Any) -> None:
    """With an example of one, and what was given."""
    with pytest.raises(ConfigurationError, match="an upstream is a URL such as"):
        Upstream(url)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_connections", 0),
        ("max_connections", True),
        ("max_message_size", 1.5),
        ("connect_timeout", 0),
        ("connect_timeout", None),
        ("timeout", -1),
        ("timeout", "60"),
    ],
)
def test_option_that_cannot_be_is_refused(option: str, value: Any) -> None:
    """By its name."""
    with pytest.raises(ConfigurationError, match=f"^{option} is a "):
        Upstream("http://h", **{option: value})


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the application is made, not at its first request."""
    monkeypatch.setattr("bridge.mount.upstream.adapter.find_spec", lambda name: None if name == "wsproto" else name)

    with pytest.raises(ConfigurationError, match=r"needs wsproto: pip install 'wsgi-asgi-bridge\[upstream\]'"):
        Upstream("http://h")


def test_repr_is_the_call() -> None:
    """It names the application in messages of the lifespan."""
    assert repr(Upstream("https://h/base/", ssl_context=ssl.create_default_context())) == "Upstream('https://h/base')"
