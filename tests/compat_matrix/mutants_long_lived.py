"""Broken adapters that get long-lived responses wrong: event streams and long polls of bridge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import anyio

from bridge.protocols import (
    AsgiApplication,
    Environ,
    Message,
    Receive,
    Scope,
    Send,
    StartResponse,
    WsgiApplication,
)
from tests.compat_matrix.mutating import (
    asgi,
    asgi_receive,
    asgi_scope,
    asgi_send,
    asgi_start,
    ends,
    is_body,
    wsgi,
)

APP = "flask-streams"


@wsgi("an empty chunk is swallowed: the thread waits for the next", wsgi="stream.held", wsgi_app=APP)
def swallows_empty_chunks(
    application: WsgiApplication, environ: Environ, start_response: StartResponse
) -> Iterator[bytes]:
    body = application(environ, start_response)
    try:
        yield from (chunk for chunk in body if chunk)
    finally:
        getattr(body, "close", lambda: None)()


@wsgi("a stream leaves when it is complete", wsgi="stream.events.one_by_one", wsgi_app=APP)
def collects_a_stream(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    body = application(environ, start_response)
    try:
        return [b"".join(body)]
    finally:
        getattr(body, "close", lambda: None)()


@asgi_receive("http.disconnect never comes during a stream", wsgi="stream.left stream.wait.left", wsgi_app=APP)
def never_leaves(receive: Receive, scope: Scope) -> Receive:
    async def patient() -> Message:
        message = await receive()
        if message["type"] == "http.disconnect":
            await anyio.sleep_forever()
        return message

    return patient


@asgi_send("the lines of an event are joined", wsgi="stream.events stream.events.fields", wsgi_app=APP)
def joins_lines(send: Send) -> Send:
    async def joined(message: Message) -> None:
        if is_body(message):
            message = {**message, "body": message.get("body", b"").replace(b"\ndata: more", b" more")}
        await send(message)

    return joined


@asgi_send("the result of a long poll is read as Latin-1", wsgi="stream.wait", wsgi_app=APP)
def reads_latin1(send: Send) -> Send:
    async def read(message: Message) -> None:
        if is_body(message):
            message = {**message, "body": message.get("body", b"").decode("latin-1").encode()}
        await send(message)

    return read


@asgi_start("a status is 200", wsgi="stream.wait.over", wsgi_app=APP)
def is_always_fine(message: Message, scope: Scope) -> None:
    message["status"] = 200


@asgi("a stream that ends is cut", wsgi="stream.complete", wsgi_app=APP)
async def cuts_the_end(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    streams = False

    async def cut(message: Message) -> None:
        nonlocal streams
        if streams and ends(message):
            raise OSError("cut")
        streams = streams or is_body(message)
        await send(message)

    await application(scope, receive, cut)


@wsgi("a stream that fails ends as if it were complete", wsgi="stream.failure stream.wait.failure", wsgi_app=APP)
def hides_failures(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    body = application(environ, start_response)
    try:
        yield from body
    except RuntimeError:
        return
    finally:
        getattr(body, "close", lambda: None)()


@asgi_scope("HEAD is GET for the application", wsgi="stream.head", wsgi_app=APP)
def takes_head_for_get(scope: Scope) -> None:
    if scope["method"] == "HEAD":
        scope["method"] = "GET"
