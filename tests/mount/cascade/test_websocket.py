"""WebSockets in a cascade: what refuses one, and that the next application gets the whole handshake."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, WebSocket

from bridge import WsgiToAsgi
from bridge.errors import ServerError
from bridge.mount.cascade import Cascade
from bridge.mount.cascade.attempt import Verdict, judge
from tests.asgi import TIMEOUT, AsgiApplication, Environ, Message, Receive, Scope, Send, StartResponse

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}


def scope_of(path: str = "/") -> Scope:
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"testserver")],
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }


async def connect(application: AsgiApplication, *messages: Message, path: str = "/") -> list[Message]:
    """Be a server with a client that sends *messages* and stays; return what is sent."""
    fed = deque([CONNECT, *messages])
    sent: list[Message] = []

    async def receive() -> Message:
        if fed:
            return fed.popleft()
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    async def send(message: Message) -> None:
        sent.append(message)

    with anyio.fail_after(TIMEOUT):
        await application(scope_of(path), receive, send)
    return sent


def sending(*messages: Message, log: list[Any] | None = None) -> AsgiApplication:
    """Make an application that takes the first message and sends these."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        opening = await receive()
        if log is not None:
            log.append(opening)
        for message in messages:
            await send(message)
        if log is not None and messages[0]["type"] != "websocket.accept":
            log.append(await receive())

    return application


async def never(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("this application is not to be called")


def close(code: int) -> Message:
    return {"type": "websocket.close", "code": code, "reason": ""}


def denial(status: int, kind: str = "websocket.http.response") -> list[Message]:
    return [{"type": f"{kind}.start", "status": status, "headers": []}, {"type": f"{kind}.body", "body": b"no"}]


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(close(1000), id="Starlette and Quart"),
        pytest.param({"type": "websocket.close"}, id="without a code"),
        pytest.param(close(3404), id="Falcon"),
        pytest.param(close(4405), id="4000 and a status"),
        pytest.param(denial(404)[0], id="denial response"),
        pytest.param(denial(404, "http.response")[0], id="Sanic"),
    ],
)
def test_message_says_that_there_is_no_such_route(refusal: Message) -> None:
    """RFC 6455, 7.4: 1000 is what a close() is without a code; from 3000 on, codes are those of frameworks."""
    assert judge(refusal, {404, 405}) is Verdict.REFUSED


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(close(1008), id="policy violation"),
        pytest.param(close(3403), id="Falcon"),
        pytest.param(close(1011), id="internal error"),
        pytest.param(close(404), id="no code of RFC 6455"),
        pytest.param(denial(401)[0], id="denial response"),
        pytest.param(ACCEPT, id="accepted"),
    ],
)
def test_message_is_a_decision(answer: Message) -> None:
    """Who is not let in here is not let in elsewhere."""
    assert judge(answer, {404, 405}) is Verdict.ACCEPTED


@pytest.mark.parametrize("refusal", [[close(1000)], denial(404)], ids=["close", "denial response"])
async def test_handshake_that_is_refused_falls_through(refusal: list[Message]) -> None:
    """The next application gets websocket.connect; the refused one learns that the client is gone."""
    log: list[Any] = []

    sent = await connect(Cascade([sending(*refusal, log=log), sending(ACCEPT, log=log)]))

    assert sent == [ACCEPT]
    assert sorted(log, key=str) == [CONNECT, CONNECT, {"type": "websocket.disconnect", "code": 1006}]


@pytest.mark.parametrize("answer", [[ACCEPT, close(1000)], denial(401)], ids=["closed once accepted", "denied"])
async def test_any_other_answer_is_the_clients(answer: list[Message]) -> None:
    """After an accept it is too late for another application."""
    assert await connect(Cascade([sending(*answer), never])) == answer


async def test_last_refusal_is_the_clients() -> None:
    """Whatever it is. A WSGI application without such a route refuses too."""

    def wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("404 Not Found", [])
        return [b"no"]

    assert await connect(Cascade([WsgiToAsgi(wsgi), sending(close(1000))])) == [close(1000)]
    assert await connect(Cascade([sending(close(1000)), sending(*denial(404))])) == denial(404)


async def test_client_that_leaves_during_the_handshake_has_left_for_all() -> None:
    """The next application need not wait for an end that the server has said once."""
    gone = {"type": "websocket.disconnect", "code": 1001}
    log: list[Any] = []

    def listening(*answer: Message) -> AsgiApplication:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            log.extend([await receive(), await receive()])
            for message in answer:
                await send(message)

        return application

    assert await connect(Cascade([listening(close(1000)), listening()]), gone) == []
    assert log == [CONNECT, gone, CONNECT, gone]


async def test_message_before_the_handshake_ends_is_an_error() -> None:
    """RFC 6455, 4.1: the client has to wait. It is not kept, and not given to another application."""

    async def impatient(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()

    with pytest.raises(ServerError, match=r"websocket\.receive"):
        await connect(Cascade([impatient, never]), {"type": "websocket.receive", "text": "a"})


def echo_app(path: str, prefix: str) -> FastAPI:
    app = FastAPI()

    @app.websocket(path)
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        for _ in range(2):
            await websocket.send_text(prefix + await websocket.receive_text())
        await websocket.close(4000)

    return app


@pytest.mark.parametrize(("path", "prefix"), [("/a", "first "), ("/b", "second ")])
async def test_messages_go_both_ways_once_it_is_accepted(path: str, prefix: str) -> None:
    """By the first as by the last; FastAPI says close where it has no route."""
    cascade = Cascade([echo_app("/a", "first "), echo_app("/b", "second ")])
    messages = [{"type": "websocket.receive", "text": text} for text in ("x", "y")]

    sent = await connect(cascade, *messages, path=path)

    assert [message["type"] for message in sent] == [
        "websocket.accept",
        "websocket.send",
        "websocket.send",
        "websocket.close",
    ]
    assert [message["text"] for message in sent[1:3]] == [f"{prefix}x", f"{prefix}y"]
