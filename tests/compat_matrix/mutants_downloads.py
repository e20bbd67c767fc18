"""Broken adapters that get the body of a response wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

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
    asgi_send,
    begins,
    ends,
    is_body,
    values,
    wsgi,
    wsgi_environ,
)


@asgi_send("a response is collected before it is sent", "http.stream.first")
def buffers_streams(send: Send) -> Send:
    held: list[Message] = []

    async def hold(message: Message) -> None:
        held.append(message)
        while held and (ends(message) or not is_body(message)):
            await send(held.pop(0))

    return hold


@asgi_send("a chunk is sent when the next one comes", "http.stream.first")
def sends_late(send: Send) -> Send:
    held: list[Message] = []

    async def late(message: Message) -> None:
        held.append(message)
        while len(held) > 1 or (held and (ends(message) or not is_body(message))):
            await send(held.pop(0))

    return late


@asgi_send("all chunks after the first are joined", "http.stream.each")
def joins_chunks(send: Send) -> Send:
    held: list[Message] = []
    sent = 0

    async def joined(message: Message) -> None:
        nonlocal sent
        held.append(message)
        while held and (sent < 2 or ends(message)):
            sent += 1
            await send(held.pop(0))

    return joined


@asgi_send("a body with a length is collected before it is sent", "http.stream.declared")
def buffers_declared(send: Send) -> Send:
    held: list[Message] = []
    declared = False

    async def hold(message: Message) -> None:
        nonlocal declared
        if begins(message):
            declared = values(message["headers"], b"content-length") != []
        held.append(message)
        while held and (ends(message) or not declared or begins(message)):
            await send(held.pop(0))

    return hold


def _bodies_changed(send: Send, change: Callable[[bytes], bytes]) -> Send:
    async def changed(message: Message) -> None:
        await send({**message, "body": change(message.get("body", b""))} if is_body(message) else message)

    return changed


@asgi_send("chunks are cut at 65,535 bytes", "http.response.download")
def chunks_cut(send: Send) -> Send:
    return _bodies_changed(send, lambda body: body[:65_535])


@asgi_send("line ends are changed", wsgi="http.response.right")
def lines_changed(send: Send) -> Send:
    return _bodies_changed(send, lambda body: body.replace(b"\n", b"\r"))


@asgi_send("a body is taken for UTF-8", asgi="http.response.download")
def body_is_utf8(send: Send) -> Send:
    return _bodies_changed(send, lambda body: body.decode("utf-8", "replace").encode("latin-1", "replace"))


@asgi_send("chunks are sent twice", "http.stream.complete")
def sends_twice(send: Send) -> Send:
    async def twice(message: Message) -> None:
        await send(message)
        if is_body(message) and message.get("more_body", False):
            await send(message)

    return twice


@asgi_send("the last message's bytes are lost", wsgi="http.response.right")
def last_chunk_lost(send: Send) -> Send:
    async def cut(message: Message) -> None:
        await send({**message, "body": b""} if ends(message) else message)

    return cut


@wsgi("every second chunk overtakes the one before", wsgi="http.events")
def swaps_iterated(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    chunks = iter(application(environ, start_response))
    for chunk in chunks:
        yield next(chunks, b"")
        yield chunk


@asgi_send("every second chunk overtakes the one before", asgi="http.events")
def swaps_chunks(send: Send) -> Send:
    held: list[Message] = []

    async def swapped(message: Message) -> None:
        if is_body(message) and not ends(message) and not held:
            held.append(message)
        elif ends(message):
            for one in (*held, message):
                await send(one)
        else:
            await send(message)
            while held:
                await send(held.pop())

    return swapped


@asgi_send("a message is sent after the last one", wsgi="validators.responses", needs="asgion")
def goes_on_after_the_end(send: Send) -> Send:
    async def once_more(message: Message) -> None:
        await send(message)
        if ends(message):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return once_more


@wsgi("chunks are no bytes", asgi="validators.streams")
def chunks_are_bytearrays(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Any:
    return map(bytearray, application(environ, start_response))


@wsgi_environ("a file's bytes are lost", "http.response.file")
def file_lost(environ: Environ) -> None:
    environ["wsgi.file_wrapper"] = lambda file, size=0: [b""]


@asgi("send() never waits", "backpressure.held", asgi_on="gunicorn-gthread")
async def holds_nobody_back(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    messages: asyncio.Queue[Message] = asyncio.Queue()

    async def forward() -> None:
        while True:
            message = await messages.get()
            await send(message)
            if ends(message):
                return

    task = asyncio.create_task(forward())
    await application(scope, receive, messages.put)
    await task


@wsgi("a body ends at its first empty chunk", wsgi="raw.chunks.empty", wsgi_app="pep3333")
def ends_at_empty_chunk(
    application: WsgiApplication, environ: Environ, start_response: StartResponse
) -> Iterator[bytes]:
    for chunk in application(environ, start_response):
        if not chunk:
            return
        yield chunk


@asgi_send("a body ends at its first empty chunk", asgi="raw.chunks.empty", asgi_app="asgi3")
def ends_at_empty_message(send: Send) -> Send:
    ended = False

    async def ending(message: Message) -> None:
        nonlocal ended
        if ended:
            return
        ended = is_body(message) and not message.get("body")
        await send({**message, "more_body": False} if ended else message)

    return ending


@asgi_send("pieces of a download change places", "http.download http.response.large")
def swaps_pieces(send: Send) -> Send:
    held: list[Message] = []

    async def swapped(message: Message) -> None:
        if len(message.get("body", b"")) >= 65_536 and not held:
            held.append(message)
            return
        if not message.get("body"):  # the last one stays the last
            while held:
                await send(held.pop())
        await send(message)
        while held:
            await send(held.pop())

    return swapped
