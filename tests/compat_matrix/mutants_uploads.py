"""Broken adapters that get the body of a request wrong."""

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
)
from tests.compat_matrix.mutating import (
    asgi,
    asgi_receive,
    values,
    wsgi_environ,
)


class SimpleInput:
    """A ``wsgi.input`` of which some methods are others."""

    def __init__(self, stream: Any, **others: Callable[..., Any]) -> None:
        self.stream = stream
        self.others = others

    def __getattr__(self, name: str) -> Any:
        return self.others.get(name) or getattr(self.stream, name)

    def __iter__(self) -> Iterator[bytes]:
        lines: Iterator[bytes] = self.others.get("__iter__", self.stream.__iter__)()
        return lines


def _is_chunked(scope: Scope) -> bool:
    return values(scope["headers"], b"transfer-encoding") != []


def _body_changed(receive: Receive, change: Callable[[bytes, bool], bytes]) -> Receive:
    async def changed() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            more = message.get("more_body", False)
            return {**message, "body": change(message.get("body", b""), more), "more_body": more}
        return message

    return changed


@asgi_receive("the last byte of a body is lost", wsgi="http.body.chunked.one", asgi="http.body.length.one")
def last_byte_lost(receive: Receive, scope: Scope) -> Receive:
    ahead = b""

    def change(body: bytes, more: bool) -> bytes:
        nonlocal ahead
        body, ahead = (ahead + body)[:-1], (ahead + body)[-1:]
        return body

    return _body_changed(receive, change)


@asgi_receive("a body loses the byte that would fill 64 KiB", "http.body.length.edges http.body.chunked.edges")
def byte_at_border_lost(receive: Receive, scope: Scope) -> Receive:
    read = 0

    def change(body: bytes, more: bool) -> bytes:
        nonlocal read
        at, read = 65_535 - read, read + len(body)
        return body[:at] + body[at + 1 :] if 0 <= at < len(body) else body

    return _body_changed(receive, change)


@asgi_receive("of a body only 1 MiB arrives", asgi="http.body.length.large")
def large_body_cut(receive: Receive, scope: Scope) -> Receive:
    read = 0

    def change(body: bytes, more: bool) -> bytes:
        nonlocal read
        body, read = body[: max(0, 1_048_576 - read)], read + len(body)
        return body

    return _body_changed(receive, change)


@asgi_receive("a body is taken for text", "http.body.bytes")
def body_is_text(receive: Receive, scope: Scope) -> Receive:
    return _body_changed(receive, lambda body, more: body.decode("ascii", "replace").encode("ascii", "replace"))


@asgi_receive("line ends of a body are changed", asgi="http.body.multipart.files")
def body_lines_changed(receive: Receive, scope: Scope) -> Receive:
    return _body_changed(receive, lambda body, more: body.replace(b"\n", b"\r"))


@asgi_receive("a body of GET is ignored", "http.body.get")
def body_of_get_lost(receive: Receive, scope: Scope) -> Receive:
    return _body_changed(receive, lambda body, more: b"" if scope["method"] == "GET" else body)


@asgi_receive("chunked bodies are ignored", "http.body.chunked.one", asgi_on="gunicorn-gthread")
def chunked_body_lost(receive: Receive, scope: Scope) -> Receive:
    return _body_changed(receive, lambda body, more: b"" if _is_chunked(scope) else body)


@asgi_receive("of a body only the first message is read", wsgi="http.body.chunked.large")
def first_message_only(receive: Receive, scope: Scope) -> Receive:
    taken = False

    async def first() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request" and not taken:
            taken = True
            return {**message, "more_body": False}
        return message

    return first


@asgi_receive("an empty body never ends", wsgi="http.body.chunked.empty", asgi="http.body.length.empty")
def empty_body_endless(receive: Receive, scope: Scope) -> Receive:
    async def with_bytes() -> Message:
        while not (message := await receive()).get("body") and message["type"] != "http.disconnect":
            pass
        return message

    return with_bytes


@asgi_receive("a body that broke off is complete", "http.upload.cut.chunked", asgi_on="gunicorn-gthread")
def cut_body_complete(receive: Receive, scope: Scope) -> Receive:
    async def completed() -> Message:
        message = await receive()
        if message["type"] == "http.disconnect":
            return {"type": "http.request", "body": b"", "more_body": False}
        return message

    return completed


@asgi_receive("uploads are collected before they are handed on", "http.upload.streamed", asgi_on="gunicorn-gthread")
def buffers_uploads(receive: Receive, scope: Scope) -> Receive:
    begun = False

    async def collected() -> Message:
        nonlocal begun
        message = await receive()
        if begun or message["type"] != "http.request":
            return message
        begun, body = True, bytearray(message.get("body", b""))
        while message.get("more_body", False):
            message = await receive()
            if message["type"] != "http.request":
                return message
            body += message.get("body", b"")
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    return collected


@asgi(
    "an upload is collected before the application is called",
    wsgi="http.expect.refused http.body.unread.early",
    asgi="http.body.unread.early",
    asgi_on="gunicorn-gthread",
)
async def reads_before_the_call(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    messages = [await receive()]
    while messages[-1].get("more_body", False):
        messages.append(await receive())

    async def replayed() -> Message:
        return messages.pop(0) if messages else await receive()

    await application(scope, replayed, send)


@asgi_receive("a body after Expect: 100-continue is not read", "http.expect.continue http.expect.unawaited")
def expected_body_lost(receive: Receive, scope: Scope) -> Receive:
    async def empty() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    return empty if values(scope["headers"], b"expect") else receive


@asgi(
    "an upload is read ahead without bound",
    "raw.upload.held",
    wsgi_app="pep3333",
    asgi_app="asgi3",
    asgi_on="gunicorn-gthread",
)
async def reads_ahead(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    messages: asyncio.Queue[Message] = asyncio.Queue()

    async def pull() -> None:
        more = True
        while more:
            message = await receive()
            messages.put_nowait(message)
            more = message.get("more_body", False)

    async def pulled() -> Message:
        return await (receive() if task.done() and messages.empty() else messages.get())

    task = asyncio.create_task(pull())
    await application(scope, pulled, send)
    await task


@wsgi_environ("readline() of wsgi.input loses the line's end", wsgi="raw.input.lines", wsgi_app="pep3333")
def lines_lose_their_end(environ: Environ) -> None:
    stream = environ["wsgi.input"]
    environ["wsgi.input"] = SimpleInput(stream, readline=lambda: stream.readline().rstrip())


@wsgi_environ("readlines() of wsgi.input gives nothing", wsgi="raw.input.lines", wsgi_app="pep3333")
def no_lines(environ: Environ) -> None:
    environ["wsgi.input"] = SimpleInput(environ["wsgi.input"], readlines=list)


@wsgi_environ("iterating wsgi.input gives nothing", wsgi="raw.input.lines", wsgi_app="pep3333")
def no_iteration(environ: Environ) -> None:
    environ["wsgi.input"] = SimpleInput(environ["wsgi.input"], __iter__=lambda: iter([b""]))


@wsgi_environ("read(0) of wsgi.input reads a byte", wsgi="raw.input.lines", wsgi_app="pep3333")
def reads_a_byte(environ: Environ) -> None:
    stream = environ["wsgi.input"]
    environ["wsgi.input"] = SimpleInput(stream, read=lambda size=-1: stream.read(size or 1))
